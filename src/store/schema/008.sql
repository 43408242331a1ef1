-- Which keywords were taken from which messages, and by which change: what a message does not bear has
-- no mod-sequence there. System flags are not noted. See unchanged.rs.
CREATE TABLE unmarked (
    mailbox  INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    mod_seq  INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    flags    INTEGER NOT NULL,
    keywords BLOB NOT NULL,
    PRIMARY KEY (mailbox, mod_seq, first)
) STRICT, WITHOUT ROWID;

-- What was taken away by changes up to this mod-sequence is no longer all noted.
ALTER TABLE mailbox ADD COLUMN unmarked_from INTEGER NOT NULL DEFAULT 0;
UPDATE mailbox SET unmarked_from = mod_seq;

-- The fixed keywords that messages of a mailbox bear or bore; in mailboxes from before all that may be.
ALTER TABLE mailbox ADD COLUMN fixed_keywords INTEGER NOT NULL DEFAULT 0;
UPDATE mailbox SET fixed_keywords = 0x3ff00
    WHERE EXISTS (SELECT 1 FROM message WHERE message.mailbox = mailbox.id AND flags > 0x1f);
