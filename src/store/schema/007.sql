-- Messages in mailboxes that their users have asked the server to submit ($Queued), each until it is
-- sent, refused or taken back. state 0: it waits; 1: the server has claimed it; 2: it was claimed and
-- then taken back, so that its claim has to be undone. by_header: no envelope was left with it when it
-- was asked for. A message with $Queued has a row in one of the first two states, and one of them only.
CREATE TABLE sending (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    mailbox   INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    uid       INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    by_header INTEGER NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    asked     INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    UNIQUE (mailbox, uid)
) STRICT;

CREATE INDEX sending_of_account ON sending (account);
CREATE INDEX sending_due ON sending (due);
