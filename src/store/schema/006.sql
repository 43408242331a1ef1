-- How many messages each account has in the queue; account -1 stands for all of them, those of
-- nobody included. Kept true by the two triggers, so that nobody has to count.
CREATE TABLE queue_length (
    account  INTEGER PRIMARY KEY,
    messages INTEGER NOT NULL
) STRICT;

INSERT INTO queue_length SELECT -1, count(*) FROM queue;
INSERT INTO queue_length
    SELECT account, count(*) FROM queue WHERE account IS NOT NULL GROUP BY account;

CREATE TRIGGER queue_longer AFTER INSERT ON queue BEGIN
    UPDATE queue_length SET messages = messages + 1 WHERE account = -1;
    INSERT INTO queue_length SELECT NEW.account, 1 WHERE NEW.account IS NOT NULL
        ON CONFLICT (account) DO UPDATE SET messages = messages + 1;
END;

CREATE TRIGGER queue_shorter AFTER DELETE ON queue BEGIN
    UPDATE queue_length SET messages = messages - 1 WHERE account = -1 OR account = OLD.account;
    DELETE FROM queue_length WHERE account = OLD.account AND messages = 0;
END;

-- From where each login name was used lately: a hash of the name, and an address (of IPv6 a network
-- of 64 bits). Who is known is not locked out when strangers guess.
CREATE TABLE known_address (
    address TEXT NOT NULL,
    login   BLOB NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (address, login)
) STRICT, WITHOUT ROWID;

CREATE INDEX known_address_last ON known_address (last);
