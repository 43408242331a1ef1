-- When each user submitted messages within the last hour; what is older is forgotten.
CREATE TABLE submission (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX submission_of_account ON submission (account, at);

-- Since when mail for the account has been put off for lack of room, without a break.
ALTER TABLE account ADD COLUMN full_since INTEGER;
