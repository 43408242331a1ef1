-- Times are seconds since 1970. Names ending in _key are folded for comparison.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- Who has mail here.

CREATE TABLE domain (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    catch_all INTEGER REFERENCES account (id) ON DELETE SET NULL,
    created   INTEGER NOT NULL
) STRICT;

CREATE TABLE account (
    id               INTEGER PRIMARY KEY,
    domain           INTEGER NOT NULL REFERENCES domain (id),
    address          TEXT NOT NULL,
    address_key      TEXT NOT NULL UNIQUE,
    full_name        TEXT NOT NULL DEFAULT '',
    owner            INTEGER NOT NULL DEFAULT 0,
    enabled          INTEGER NOT NULL DEFAULT 1,
    password         TEXT,
    scram_salt       BLOB NOT NULL,
    scram_iterations INTEGER NOT NULL,
    scram_sha256     BLOB,
    scram_sha1       BLOB,
    quota_octets     INTEGER,
    quota_messages   INTEGER,
    used_octets      INTEGER NOT NULL DEFAULT 0,
    used_messages    INTEGER NOT NULL DEFAULT 0,
    mod_seq          INTEGER NOT NULL DEFAULT 1,
    uid_validity     INTEGER NOT NULL DEFAULT 0,
    thread_next      INTEGER NOT NULL DEFAULT 1,
    created          INTEGER NOT NULL,
    last_login       INTEGER
) STRICT;

CREATE INDEX account_of_domain ON account (domain);

CREATE TABLE alias (
    address_key TEXT NOT NULL,
    address     TEXT NOT NULL,
    account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created     INTEGER NOT NULL,
    PRIMARY KEY (address_key, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_of_account ON alias (account);

-- An app password; its secret is random, so a plain hash guards it.
CREATE TABLE device (
    id           INTEGER PRIMARY KEY,
    account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    secret       BLOB NOT NULL,
    scram_sha256 BLOB NOT NULL,
    scram_sha1   BLOB NOT NULL,
    created      INTEGER NOT NULL,
    last_used    INTEGER
) STRICT;

CREATE INDEX device_of_account ON device (account);

-- Octets, stored once. What refers to a content has no foreign key (checking one would scan every
-- message when a content goes); the sweeper deletes only what nothing refers to.

-- pieces: what follows the header, in order (see contents.rs).
CREATE TABLE content (
    id        INTEGER PRIMARY KEY,
    hash      BLOB NOT NULL UNIQUE,
    size      INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    pieces    BLOB NOT NULL,
    preview   TEXT NOT NULL,
    header    BLOB NOT NULL
) STRICT;

CREATE TABLE summary (
    content   INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE,
    summary   BLOB NOT NULL,
    structure BLOB NOT NULL
) STRICT;

CREATE TABLE octets (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- A file under blobs/, named by its hash.
CREATE TABLE blob (
    id        INTEGER PRIMARY KEY,
    hash      BLOB NOT NULL UNIQUE,
    size      INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) STRICT;

-- Mailboxes and what is in them.

CREATE TABLE mailbox (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    name_key       TEXT NOT NULL,
    uid_validity   INTEGER NOT NULL,
    uid_next       INTEGER NOT NULL DEFAULT 1,
    mod_seq        INTEGER NOT NULL,
    recent_uid     INTEGER NOT NULL DEFAULT 1,
    messages       INTEGER NOT NULL DEFAULT 0,
    unseen         INTEGER NOT NULL DEFAULT 0,
    deleted        INTEGER NOT NULL DEFAULT 0,
    octets         INTEGER NOT NULL DEFAULT 0,
    deleted_octets INTEGER NOT NULL DEFAULT 0,
    special_use    INTEGER NOT NULL DEFAULT 0,
    selectable     INTEGER NOT NULL DEFAULT 1,
    created        INTEGER NOT NULL,
    UNIQUE (account, name_key)
) STRICT;

CREATE TABLE subscription (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE keyword (
    mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    name    TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (mailbox, number),
    UNIQUE (mailbox, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    mailbox       INTEGER NOT NULL REFERENCES mailbox (id),
    uid           INTEGER NOT NULL,
    mod_seq       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    keywords      BLOB NOT NULL,
    content       INTEGER NOT NULL,
    thread        INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    save_date     INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;

-- The expunge log: first message by message, so that sessions not yet told can still fetch, then
-- folded into ranges.
CREATE TABLE tombstone (
    mailbox       INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    uid           INTEGER NOT NULL,
    mod_seq       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    keywords      BLOB NOT NULL,
    content       INTEGER NOT NULL,
    thread        INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    save_date     INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    expunged      INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstone_by_age ON tombstone (expunged);

CREATE TABLE vanished (
    mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    mod_seq INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (mailbox, mod_seq, first)
) STRICT, WITHOUT ROWID;

-- Which conversation a Message-ID belongs to; reference is the first 8 octets of its hash.
CREATE TABLE reference (
    account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    reference INTEGER NOT NULL,
    thread    INTEGER NOT NULL,
    PRIMARY KEY (account, reference)
) STRICT, WITHOUT ROWID;

-- What is said about mailboxes and messages; owner 0 means shared.

CREATE TABLE annotation (
    mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    uid     INTEGER NOT NULL,
    entry   TEXT NOT NULL,
    owner   INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid, entry, owner)
) STRICT, WITHOUT ROWID;

-- mailbox 0 means the server's own.
CREATE TABLE metadata (
    mailbox INTEGER NOT NULL,
    entry   TEXT NOT NULL,
    owner   INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (mailbox, entry, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE acl (
    mailbox    INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    rights     TEXT NOT NULL,
    PRIMARY KEY (mailbox, identifier)
) STRICT, WITHOUT ROWID;

CREATE TABLE url_key (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    key     BLOB NOT NULL,
    PRIMARY KEY (account, mailbox)
) STRICT, WITHOUT ROWID;

-- Mail on its way out.

CREATE TABLE queue (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account    INTEGER,
    sender     TEXT NOT NULL,
    content    INTEGER NOT NULL,
    ret        TEXT,
    envid      TEXT,
    body       INTEGER NOT NULL,
    utf8       INTEGER NOT NULL,
    trace      TEXT NOT NULL,
    created    INTEGER NOT NULL
) STRICT;

CREATE INDEX queue_of_account ON queue (account);

CREATE TABLE queue_recipient (
    queue        INTEGER NOT NULL REFERENCES queue (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    address      TEXT NOT NULL,
    notify       TEXT,
    orcpt        TEXT,
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL,
    delay_told   INTEGER NOT NULL DEFAULT 0,
    reply        TEXT NOT NULL DEFAULT '',
    remote       TEXT NOT NULL DEFAULT '',
    last_attempt INTEGER,
    PRIMARY KEY (queue, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_due ON queue_recipient (next_attempt) WHERE state = 0;
CREATE INDEX queue_report ON queue_recipient (queue) WHERE state <> 0 OR delay_told = 1;

-- What happened to each message, kept for some weeks: no subject, no content.
CREATE TABLE trace (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    trace   TEXT NOT NULL,
    account INTEGER,
    mailbox INTEGER,
    uid     INTEGER,
    content INTEGER,
    step    TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;

CREATE INDEX trace_of_message ON trace (trace);
CREATE INDEX trace_of_content ON trace (content) WHERE content IS NOT NULL;
