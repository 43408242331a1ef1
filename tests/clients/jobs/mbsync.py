"""isync's mbsync: a Maildir and the house kept equal both ways: 300 messages down, some up, flags,
deletions and expunges from both sides."""

import check
import mail
from maildir import Mbsync, flag, flags, unmarked


def job(house, folder):
    messages = mail.all_messages()
    with house.judge() as judge:
        for number, octets in enumerate(messages):
            judge.append("INBOX" if number < 250 else "Archive", octets, "\\Seen" if number % 4 else "")
    near = Mbsync(house, folder)

    def equal(where):
        with house.judge() as judge:
            for name in ("INBOX", "Archive"):
                far = {unmarked(m.octets): m.flags for m in judge.messages(name)}
                here = {unmarked(mail.crlf(p.read_bytes())): flags(p) for p in near.files(name)}
                check.same(here, far, f"{where}, {name}")
                for octets, marks in here.items():
                    assert marks == far[octets], f"{where}: {marks} here, {far[octets]} there"

    near.sync()
    equal("first")
    check.same([unmarked(mail.crlf(p.read_bytes())) for p in near.files()], messages[:250], "INBOX down")

    here = sorted(near.files(), key=lambda path: path.name)
    gone = {unmarked(mail.crlf(path.read_bytes())) for path in here[10:20]}
    for path in here[:10]:
        flag(path, "SF")
    for path in here[10:20]:
        flag(path, "ST")
    for octets in mail.written():
        near.put(octets, "Archive")
    with house.judge() as judge:
        there = [m for m in judge.messages("INBOX") if m.octets not in gone]
        uids = [m.uid for m in there]
        judge.store("INBOX", uids[-10:], "+FLAGS", "\\Answered \\Seen")
        judge.expunge("INBOX", uids[-30:-20])
        judge.ask("uid", "move", f"{uids[-40]}:{uids[-31]}", "Archive")
        judge.append("INBOX", messages[299])
    near.sync()
    equal("second")
    with house.judge() as judge:
        inbox, archive = judge.messages("INBOX"), judge.messages("Archive")
        assert len(inbox) == 250 - 10 - 10 - 10 + 1, len(inbox)
        assert len(archive) == 50 + len(mail.written()) + 10, len(archive)
        up = {unmarked(m.octets) for m in archive}
        assert all(octets in up for octets in mail.written()), "what was put here is not there"
        assert sum({"\\Seen", "\\Flagged"} <= m.flags for m in inbox) == 10
        assert sum({"\\Answered"} <= m.flags for m in inbox) == 10
    near.sync()
    equal("third")
