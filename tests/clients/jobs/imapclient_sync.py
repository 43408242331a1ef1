"""IMAPClient beside imapflow, mbsync and a second user: it hears in IDLE what they do, catches up by
CHANGEDSINCE, searches, sorts and threads in UTF-8, and keeps quotas and rights."""

import re
import ssl
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime

import imapclient

import mail
from house import ALICE, BOB, PASSWORD
from maildir import Mbsync, flag
from phone import Phone, truth

WORDS = ["Grüße", "naïve", "日本語", "привет", "שלום"]


def job(house, folder):
    messages = [titled(number, octets) for number, octets in enumerate(mail.all_messages()[:90])]
    near = Mbsync(house, folder)
    with house.judge() as judge, client(house, ALICE) as mine, Phone(house) as phone:
        for octets in messages:
            judge.append("INBOX", octets)
        near.sync()
        phone.opened()
        searched(judge, mine, messages)
        known = caught_up(judge, mine, {}, 0)
        uids = list(known[0])
        phone.order("flag", uids=f"{uids[0]}:{uids[4]}", add=["\\Flagged", "$Phone"])
        phone.order("remove", uids=f"{uids[5]}:{uids[9]}")
        flag(near.find(messages[20]), "R")
        near.put(messages[0])
        near.sync()
        known = caught_up(judge, mine, *known)
        assert mine.search(["KEYWORD", "$Phone", "FLAGGED"]) == uids[:5]
        assert mine.search(["ANSWERED"]) == [uids[20]]
        idle(judge, mine, phone, near)
        known = caught_up(judge, mine, *known)
        phone.order("wait", wanted=truth(judge))
        phone.equal(truth(judge), "at the end")
        quota(house, judge, mine)
        rights(house, mine)
        phone.order("logout")


def titled(number, octets):
    """With a subject beyond ASCII, in answer to an earlier message."""
    word = WORDS[number % len(WORDS)]
    encoded = message_from_bytes(b"", policy=policy.SMTP)
    encoded["Subject"] = f"{'Re: ' if number % 3 else ''}{word} {number // 15}"
    octets = re.sub(rb"^Subject: .*\r\n", lambda _: bytes(encoded).strip() + b"\r\n", octets, count=1, flags=re.M)
    octets = re.sub(rb"^Message-ID: .*\r\n", f"Message-ID: <{number}@thread.example>\r\n".encode(), octets, count=1, flags=re.M)
    if number % 3:
        octets = f"In-Reply-To: <{number - number % 3}@thread.example>\r\n".encode() + octets
    return octets


def read(octets):
    return message_from_bytes(octets, policy=policy.default)


def searched(judge, mine, messages):
    """What Python's email package says of the messages is what the server finds."""
    mine.select_folder("INBOX")
    there = judge.messages()
    uids = [message.uid for message in there]
    mails = [read(message.octets) for message in there]
    for word in WORDS:
        found = [uid for uid, each in zip(uids, mails) if word in each["Subject"]]
        assert mine.search(["SUBJECT", word], "UTF-8") == found and found, word
        upper = "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in word)
        assert mine.search(["SUBJECT", upper], "UTF-8") == found, upper
        bodies = [uid for uid, each in zip(uids, mails) if word in text(each)]
        assert mine.search(["BODY", word], "UTF-8") == bodies and bodies, word
        assert mine.search(["NOT", "OR", "BODY", word, "SUBJECT", word], "UTF-8") == [
            uid for uid in uids if uid not in bodies and uid not in found]
    dates = [parsedate_to_datetime(each["Date"]) for each in mails]
    by_date = [uid for _, uid in sorted(zip(dates, uids))]
    assert mine.sort("DATE") == by_date
    assert mine.sort("REVERSE DATE") == [uid for _, uid in sorted(zip(dates, uids), key=lambda pair: (-pair[0].timestamp(), pair[1]))]
    sizes = [len(message.octets) for message in there]
    assert mine.sort("SIZE") == [uid for _, uid in sorted(zip(sizes, uids))]
    some = [uid for uid in by_date if WORDS[0] in mails[uids.index(uid)]["Subject"]]
    assert mine.sort("DATE", ["SUBJECT", WORDS[0]], "UTF-8") == some
    threads = mine.thread("REFS", "ALL", "UTF-8")
    assert sorted(map(sorted, map(flat, threads))) == [uids[at:at + 3] for at in range(0, len(uids), 3)], threads
    joined = mine.thread("REFERENCES", ["SUBJECT", WORDS[1]], "UTF-8")
    wanted = [uid for uid, each in zip(uids, mails) if WORDS[1] in each["Subject"]]
    assert sorted(uid for thread in joined for uid in flat(thread)) == wanted
    for thread in joined:
        assert len({base(mails[uids.index(uid)]["Subject"]) for uid in flat(thread)}) == 1, thread


def flat(thread):
    return [uid for each in thread for uid in (flat(each) if isinstance(each, tuple) else [each])]


def base(subject):
    return subject.removeprefix("Re: ")


def text(each):
    """All text there is in a message, nested ones included."""
    parts = [part for part in each.walk() if part.get_content_maintype() == "text"]
    inner = [part for part in each.walk() if part.get_content_type() == "message/rfc822"]
    heads = [str(value) for part in inner for value in part.get_content().values()]
    return "\n".join([part.get_content() for part in parts] + heads)


def caught_up(judge, mine, known, since, mailbox="INBOX"):
    """By CONDSTORE: what has changed since, and what is still there; as the judge finds it."""
    status = mine.select_folder(mailbox)
    there = mine.search()
    if since:
        assert sorted(mine.search(["MODSEQ", str(since + 1)])) == sorted(
            mine.fetch(there, ["FLAGS"], [f"CHANGEDSINCE {since}"])), since
    changes = mine.fetch(there, ["FLAGS", "MODSEQ"], [f"CHANGEDSINCE {since}"])
    known = {uid: known.get(uid) for uid in there}
    for uid, change in changes.items():
        assert change[b"MODSEQ"][0] > since, change
        known[uid] = sorted(set(name.decode() for name in change[b"FLAGS"]) - {"\\Recent"})
    wanted = {message.uid: sorted(message.flags) for message in judge.messages(mailbox)}
    assert known == wanted, (known, wanted)
    highest = status[b"HIGHESTMODSEQ"]
    highest = highest[0] if isinstance(highest, (list, tuple)) else highest
    assert all(change[b"MODSEQ"][0] <= highest for change in changes.values())
    return known, highest


def idle(judge, mine, phone, near):
    """Each of the others does something; it is heard within the same IDLE."""
    mine.select_folder("INBOX")
    uids = mine.search()
    mine.idle()
    phone.order("flag", uids=str(uids[1]), add=["$Idle"])
    until(mine, lambda news: any(b"$Idle" in item[2][-1] for item in fetched(news)))
    phone.order("remove", uids=str(uids[2]))
    until(mine, lambda news: (3, b"EXPUNGE") in news)
    near.put(mail.all_messages()[89])
    near.sync()
    until(mine, lambda news: any(item[1] == b"EXISTS" for item in news))
    judge.ask("select", "INBOX")
    judge.ask("uid", "move", str(uids[3]), "Archive")
    until(mine, lambda news: (3, b"EXPUNGE") in news)
    mine.idle_done()


def fetched(news):
    return [item for item in news if item[1] == b"FETCH"]


def until(mine, holds):
    news = []
    while not holds(news):
        more = mine.idle_check(timeout=60)
        assert more, f"IDLE heard only {news}"
        news += more


def quota(house, judge, mine):
    """What is used grows with mail and shrinks again; more than there may be is refused."""
    house.run("user", "quota", ALICE, "--messages", "100000", "--octets", "1GiB")
    before = resources(mine)
    judge.append("Archive", b"Subject: x\r\n\r\n" + b"x" * 50_000 + b"\r\n")
    after = resources(mine)
    assert after["MESSAGE"].usage == before["MESSAGE"].usage + 1, (before, after)
    assert 48 <= after["STORAGE"].usage - before["STORAGE"].usage <= 50, (before, after)
    judge.expunge("Archive", [judge.messages("Archive")[-1].uid])
    assert resources(mine) == before, before


def resources(mine):
    return {each.resource: each for each in mine.get_quota_root("INBOX")[1]}


def rights(house, mine):
    """A mailbox is given to another, who changes it under our eyes, and is taken away again."""
    mine.create_folder("Familie")
    mine.append("Familie", b"Subject: for all\r\n\r\nx\r\n")
    name = f"Other Users/{ALICE}/Familie"
    with client(house, BOB) as other:
        assert not other.folder_exists(name)
        mine.setacl("Familie", BOB, "lrsw")
        assert [rights for who, rights in mine.getacl("Familie") if who.decode() == BOB] == [b"lrsw"]
        assert other.folder_exists(name)
        assert b"lrsw" in raw(other, "MYRIGHTS", f'"{name}"'), "MYRIGHTS"
        other.select_folder(name)
        mine.select_folder("Familie")
        mine.idle()
        other.add_flags(1, ["\\Flagged"])
        until(mine, lambda news: any(b"\\Flagged" in item[2][-1] for item in fetched(news)))
        mine.idle_done()
        try:
            other.append(name, b"Subject: no\r\n\r\n")
            raise AssertionError("an APPEND without the right i")
        except imapclient.exceptions.IMAPClientError as refused:
            assert "NOPERM" in str(refused), refused
        other.unselect_folder()
        mine.setacl("Familie", BOB, '""')
        assert not other.folder_exists(name)


def raw(who, command, arguments):
    """A command that IMAPClient has no method for."""
    kind, data = who._imap.xatom(command, arguments)
    assert kind == "OK", data
    return b"".join(who._imap.untagged_responses.pop(command, []))


def client(house, user):
    tls = ssl.create_default_context(cafile=house.certificate)
    made = imapclient.IMAPClient("localhost", house.ports["imaps"], ssl_context=tls)
    made.plain_login(user, PASSWORD)
    return made
