-- Expunges up to this mod-sequence are no longer all in the log.
ALTER TABLE mailbox ADD COLUMN log_from INTEGER NOT NULL DEFAULT 0;
