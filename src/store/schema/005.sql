-- Who else may do what with a mailbox (RFC 4314): an account, or everybody when that is null.
-- Negative entries take rights away. The rights are bits (see mail/rights.rs).
DROP TABLE acl;

CREATE TABLE acl (
    mailbox  INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    account  INTEGER REFERENCES account (id) ON DELETE CASCADE,
    negative INTEGER NOT NULL,
    rights   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX acl_of_mailbox ON acl (mailbox, ifnull(account, 0), negative);
CREATE INDEX acl_of_account ON acl (account);

-- Account 0 owns what belongs to nobody alone, the mailboxes below Shared/. Nobody logs in as it and
-- no mail is addressed to it.
INSERT INTO domain (id, name, created) VALUES (0, '', 0);
INSERT INTO account (id, domain, address, address_key, enabled, scram_salt, scram_iterations, created)
    VALUES (0, 0, '', '', 0, x'', 0, 0);
