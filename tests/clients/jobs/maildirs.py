"""mbsync and offlineimap3, each with its own Maildir of the same account: what one changes the other
has after it has synchronised; so it is with mailboxes that come, go and get other names, and with
those of other users."""

import shutil

import mail
from house import ALICE, BOB
from maildir import Mbsync, Offlineimap, flag, held

OTHERS = f"Other Users/{BOB}/INBOX"


def job(house, folder):
    messages = [octets for octets in mail.all_messages() if Offlineimap.keeps(octets)]
    with house.judge() as judge, house.judge(BOB) as bob:
        share(house, bob)
        for number, octets in enumerate(messages[:40]):
            judge.append("INBOX", octets, "\\Seen" if number % 4 else "")
        for octets in messages[40:50]:
            bob.append("INBOX", octets)
            judge.append("Shared/Team", octets, "\\Flagged")
        one, other = Mbsync(house, folder), Offlineimap(house, folder)
        both = (one, other)
        equal(judge, both, "at first")
        exchange(judge, both, messages)
        mailboxes(judge, both, messages)
        shared(judge, bob, both, messages)


def share(house, bob):
    bob.ask("setacl", "INBOX", ALICE, "lrswite")
    house.run("shared", "add", "Team")
    for user in (ALICE, BOB):
        house.run("shared", "allow", "Team", user, "lrswite")


def equal(judge, both, where, then=()):
    """After each has synchronised, twice since the first does not know what the second brings."""
    for each in (*both, *both):
        each.sync()
    names = {name.decode().rsplit('"/" ', 1)[1].strip('"') for name in judge.ask("list") if b"\\Noselect" not in name}
    for each in both:
        assert names <= each.mailboxes(), (where, names, each.mailboxes())
        for name in names:
            assert each.contents(name) == held(judge, name), f"{where}, {type(each).__name__}, {name}"


def exchange(judge, both, messages):
    """Flags, deletions, moves and new mail of one are the other's; a third changes the server."""
    one, other = both
    flag(one.find(messages[0]), "FRS")
    flag(one.find(messages[1]), "T")
    one.find(messages[2]).rename(one.root / "Archive" / "cur" / "1800000000_1.1.here:2,S")
    one.put(messages[60], marks="S")
    flag(other.find(messages[3]), "F")
    other.find(messages[4]).unlink()
    other.put(messages[61], "Archive", "FS")
    uids = [message.uid for message in judge.messages()]
    judge.store("INBOX", uids[5:10], "+FLAGS", "\\Answered")
    judge.expunge("INBOX", uids[10:15])
    judge.ask("uid", "move", f"{uids[15]}:{uids[19]}", "Archive")
    judge.append("INBOX", messages[62])
    equal(judge, both, "exchanged")
    inbox, archive = held(judge), held(judge, "Archive")
    assert len(inbox) == 40 - 3 - 5 - 5 + 2, len(inbox)
    assert len(archive) == 1 + 1 + 5, len(archive)
    assert (messages[0], ["\\Answered", "\\Flagged", "\\Seen"]) in inbox
    assert (messages[61], ["\\Flagged", "\\Seen"]) in archive


def mailboxes(judge, both, messages):
    """Made by each of three, renamed and deleted on the server."""
    one, other = both
    one.put(messages[70], "Reisen/2026")
    other.put(messages[71], "Projekte")
    judge.ask("create", "Vereine")
    judge.append("Vereine", messages[72])
    equal(judge, both, "new mailboxes")
    for name in ("Reisen/2026", "Projekte", "Vereine"):
        assert len(held(judge, name)) == 1, name
    judge.expunge("Vereine", [message.uid for message in judge.messages("Vereine")])
    equal(judge, both, "emptied")
    judge.ask("unselect")
    judge.ask("rename", "Projekte", "Vorhaben")
    judge.ask("delete", "Vereine")
    # mbsync takes an empty mailbox away itself; what else has an old name the owner takes away.
    for path in (one.root / "Projekte", other.root / "Projekte", other.root / "Vereine"):
        shutil.rmtree(path)
    equal(judge, both, "renamed and deleted")
    names = b"\n".join(judge.ask("list"))
    assert b"Vereine" not in names and b"Projekte" not in names and b"Vorhaben" in names, names
    assert all("Vereine" not in each.mailboxes() for each in both)


def shared(judge, bob, both, messages):
    """Another user's mailbox and a shared one: both owners' changes go both ways."""
    one, other = both
    flag(one.find(messages[40], OTHERS), "F")
    flag(other.find(messages[41], OTHERS), "RS")
    flag(one.find(messages[42], "Shared/Team"), "T")
    other.put(messages[80], "Shared/Team", "S")
    one.put(messages[81], OTHERS, "S")
    bob.store("INBOX", [5], "+FLAGS", "\\Flagged \\Seen")
    bob.expunge("Shared/Team", [5])
    bob.append("Shared/Team", messages[82])
    equal(judge, both, "shared")
    assert held(bob) == held(judge, OTHERS), "both owners see the same"
    assert len(held(bob)) == 11 and len(held(bob, "Shared/Team")) == 10
    assert (messages[40], ["\\Flagged"]) in held(bob)
