-- What is said about mailboxes and messages takes room like mail does: shared values that of the
-- mailbox's account, private ones that of their owner. A mailbox's row goes after what is said of it.

CREATE TRIGGER metadata_comes AFTER INSERT ON metadata BEGIN
    UPDATE account SET used_octets = used_octets + length(NEW.entry) + length(NEW.value) WHERE id =
        CASE NEW.owner WHEN 0 THEN (SELECT account FROM mailbox WHERE id = NEW.mailbox)
        ELSE NEW.owner END;
END;

CREATE TRIGGER metadata_goes AFTER DELETE ON metadata BEGIN
    UPDATE account SET used_octets = max(0, used_octets - length(OLD.entry) - length(OLD.value)) WHERE id =
        CASE OLD.owner WHEN 0 THEN (SELECT account FROM mailbox WHERE id = OLD.mailbox)
        ELSE OLD.owner END;
END;

CREATE TRIGGER annotation_comes AFTER INSERT ON annotation BEGIN
    UPDATE account SET used_octets = used_octets + length(NEW.entry) + length(NEW.value) WHERE id =
        CASE NEW.owner WHEN 0 THEN (SELECT account FROM mailbox WHERE id = NEW.mailbox)
        ELSE NEW.owner END;
END;

CREATE TRIGGER annotation_goes AFTER DELETE ON annotation BEGIN
    UPDATE account SET used_octets = max(0, used_octets - length(OLD.entry) - length(OLD.value)) WHERE id =
        CASE OLD.owner WHEN 0 THEN (SELECT account FROM mailbox WHERE id = OLD.mailbox)
        ELSE OLD.owner END;
END;
