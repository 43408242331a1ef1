"""offlineimap3: as mbsync, by another program: 300 messages down, uploads, flags and deletions."""

import check
import mail
from maildir import Offlineimap, flag, flags, unmarked


def job(house, folder):
    messages = mail.all_messages()
    with house.judge() as judge:
        for number, octets in enumerate(messages):
            judge.append("INBOX" if number < 250 else "Archive", octets, "\\Seen" if number % 4 else "")
    near = Offlineimap(house, folder)

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
    check.same([mail.crlf(p.read_bytes()) for p in near.files()], messages[:250], "INBOX down")

    here = sorted(near.files(), key=lambda path: path.name)
    for path in here[:10]:
        flag(path, "SF")
    for path in here[10:20]:
        path.unlink()
    up = [octets for octets in mail.written() if Offlineimap.keeps(octets)]
    for octets in up:
        near.put(octets, "Archive")
    with house.judge() as judge:
        uids = [m.uid for m in judge.messages("INBOX")]
        judge.store("INBOX", uids[-10:], "+FLAGS", "\\Answered \\Seen")
        judge.expunge("INBOX", uids[-30:-20])
        judge.append("INBOX", messages[299])
    near.sync()
    equal("second")
    with house.judge() as judge:
        inbox, archive = judge.messages("INBOX"), judge.messages("Archive")
        assert 230 <= len(inbox) <= 241, len(inbox)
        assert len(archive) == 50 + len(up), len(archive)
        there = {unmarked(m.octets) for m in archive}
        assert all(octets in there for octets in up), "what was put here is not there"
    near.sync()
    equal("third")
