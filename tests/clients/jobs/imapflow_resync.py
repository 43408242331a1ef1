"""npm's imapflow as a phone: it goes and comes back by QRESYNC and by CONDSTORE, and hears exactly what
imaplib, IMAPClient and mbsync have done meanwhile; so it does in IDLE and by NOTIFY."""

import ssl

import imapclient

import mail
from house import ALICE, PASSWORD
from maildir import Mbsync, flag
from phone import Phone, truth


def job(house, folder):
    messages = mail.all_messages()
    near = Mbsync(house, folder)
    with house.judge() as judge, Phone(house) as phone, Phone(house, qresync=False) as plain:
        for octets in messages[:60]:
            judge.append("INBOX", octets)
        near.sync()
        for each in (phone, plain):
            each.opened()
            each.equal(truth(judge), "at first")
            each.order("logout")
        away(house, judge, near, messages, phone, plain)
        nothing(judge, phone)
        dropped(judge, messages, phone)
        listening(house, judge, near, messages, phone, plain)
        notified(house, judge, messages, phone)
        conditional(judge, phone, plain)
        phone.order("logout")
        plain.order("logout")
        another_validity(judge, messages, phone)


def away(house, judge, near, messages, phone, plain):
    """All of it happens while the phones are away; how it is told has its place in RFC 7162 §3.2.5.1."""
    before = truth(judge)
    uids = list(map(int, before))
    highest = int(phone.order("state")["highest"])
    judge.store("INBOX", uids[:5], "+FLAGS", "\\Seen $Label1")
    judge.expunge("INBOX", uids[5:10])
    judge.append("INBOX", messages[60], "\\Flagged")
    with client(house) as other:
        other.select_folder("INBOX")
        other.move(uids[10:15], "Archive")
        other.add_flags(uids[15:18], [imapclient.ANSWERED])
        other.copy(uids[18:20], "INBOX")
    near.sync()
    here = near.contents()
    flag(near.find(messages[50]), "F")
    flag(near.find(messages[51]), "T")
    near.put(messages[61], marks="S")
    near.sync()
    assert len(near.contents()) == len(here), near.contents()
    after = truth(judge)

    changed = {uid for uid in after if before.get(uid) != after[uid]}
    assert len(changed) == 5 + 1 + 3 + 2 + 1 + 1, changed
    heard = phone.opened()
    assert heard["resynced"]
    told = heard["heard"]
    assert sorted(told["earlier"]) == sorted(int(uid) for uid in before if uid not in after), told
    assert {str(change["uid"]) for change in told["flags"]} == changed, told["flags"]
    assert len(told["flags"]) == len(changed), told["flags"]
    for change in told["flags"]:
        assert change["flags"] == after[str(change["uid"])]["flags"], change
        assert int(change["modseq"]) > highest, change
    assert told["vanished"] == told["expunged"] == [], told
    plain.opened()
    for each in (phone, plain):
        each.equal(after, "came back")
    phone.order("logout")


def nothing(judge, phone):
    """Nothing has happened, nothing is told."""
    told = phone.opened()["heard"]
    assert not any(told.values()), told
    phone.equal(truth(judge), "nothing happened")


def dropped(judge, messages, phone):
    """The connection is lost without a word, thrice."""
    for number in range(3):
        phone.order("drop")
        uids = [message.uid for message in judge.messages()]
        judge.expunge("INBOX", uids[number::20])
        judge.store("INBOX", uids[number + 1::20], "+FLAGS", f"round{number}")
        judge.append("INBOX", messages[70 + number])
        told = phone.opened()["heard"]
        assert sorted(told["earlier"]) == uids[number::20], told["earlier"]
        assert len(told["flags"]) == len(uids[number + 1::20]) + 1, told["flags"]
        phone.equal(truth(judge), "dropped")


def listening(house, judge, near, messages, phone, plain):
    """In IDLE each change is told as it comes: VANISHED to one phone, EXPUNGE to the other."""
    plain.order("check")
    uids = [message.uid for message in judge.messages()]

    def mbsync():
        near.sync()
        flag(next(path for path in near.files() if path.name.endswith(":2,")), "R")
        near.put(messages[82])
        near.sync()

    with client(house) as other:
        other.select_folder("INBOX")
        for change, vanished in (
            (lambda: judge.append("INBOX", messages[80], "\\Flagged \\Seen"), []),
            (lambda: judge.expunge("INBOX", uids[3:6]), uids[3:6]),
            (lambda: other.add_flags(uids[6:9], ["$Later"]), []),
            (lambda: other.remove_flags(uids[6:7], ["$Later"]), []),
            (lambda: other.move(uids[9:11], "Archive"), uids[9:11]),
            (lambda: house.deliver(messages[81:82]), []),
            (mbsync, []),
        ):
            change()
            wanted = truth(judge)
            told = phone.order("wait", wanted=wanted)["heard"]
            assert sorted(told["vanished"]) == vanished and told["earlier"] == [], told
            told = plain.order("wait", wanted=wanted)["heard"]
            assert len(told["expunged"]) == len(vanished), (vanished, told)
            for each in (phone, plain):
                each.equal(wanted, "in IDLE")


def notified(house, judge, messages, phone):
    """By NOTIFY without IDLE; of other mailboxes their STATUS and their names."""
    phone.order("notify")
    uids = [message.uid for message in judge.messages()]
    judge.store("INBOX", uids[:2], "+FLAGS", "$Told")
    told = phone.order("wait", wanted=truth(judge))["heard"]
    assert {change["uid"] for change in told["flags"]} == set(uids[:2]), told
    judge.expunge("INBOX", uids[4:5])
    told = phone.order("wait", wanted=truth(judge))["heard"]
    assert told["vanished"] == uids[4:5] and not told["status"], told
    house.deliver(messages[90:91])
    told = phone.order("wait", wanted=truth(judge))["heard"]
    new = judge.messages()[-1].uid
    assert [change["uid"] for change in told["flags"]] == [new], "MessageNew tells what was asked for"
    judge.append("Archive", messages[91])
    phone.order("wait", wanted=truth(judge), status=["Archive"])
    judge.ask("create", "Reisen")
    phone.order("wait", wanted=truth(judge), list=["Reisen"])
    judge.ask("rename", "Reisen", "Ferien")
    phone.order("wait", wanted=truth(judge), list=["Ferien"])
    phone.equal(truth(judge), "by NOTIFY")


def conditional(judge, phone, plain):
    """UNCHANGEDSINCE: what somebody has changed meanwhile is left as it is, and shown."""
    uid = judge.messages()[-1].uid
    since = phone.order("state")["highest"]
    judge.store("INBOX", [uid], "+FLAGS", "mine")
    plain.order("flag", uids=str(uid), add=["yours"], since=since)
    flags = truth(judge)[str(uid)]["flags"]
    assert "mine" in flags and "yours" not in flags, flags
    plain.order("check")
    plain.equal(truth(judge), "the other has changed it")
    since = plain.order("state")["highest"]
    plain.order("flag", uids=str(uid), add=["yours"], since=since)
    assert {"mine", "yours"} <= set(truth(judge)[str(uid)]["flags"])
    phone.order("wait", wanted=truth(judge))


def another_validity(judge, messages, phone):
    """A mailbox is deleted and made anew: nothing of what was known holds."""
    judge.ask("create", "Neu")
    for octets in messages[100:105]:
        judge.append("Neu", octets)
    phone.order("forget")
    phone.opened("Neu")
    phone.order("logout")
    judge.ask("delete", "Neu")
    judge.ask("create", "Neu")
    for octets in messages[105:108]:
        judge.append("Neu", octets)
    assert not phone.opened("Neu")["resynced"]
    phone.equal(truth(judge, "Neu"), "another UIDVALIDITY")
    phone.order("logout")


def client(house):
    tls = ssl.create_default_context(cafile=house.certificate)
    made = imapclient.IMAPClient("localhost", house.ports["imaps"], ssl_context=tls)
    made.plain_login(ALICE, PASSWORD)
    return made
