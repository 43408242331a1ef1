"""isync's mbsync: a Maildir and the house kept equal both ways: 300 messages down, some up, flags,
deletions and expunges from both sides."""

import pathlib
import subprocess

import check
import mail
from house import ALICE, PASSWORD

FLAGS = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered", "D": "\\Draft"}


def job(house, folder):
    messages = mail.all_messages()
    with house.judge() as judge:
        for number, octets in enumerate(messages):
            judge.append("INBOX" if number < 250 else "Archive", octets, "\\Seen" if number % 4 else "")
    local = folder / "maildir"
    local.mkdir()
    config = folder / "mbsyncrc"
    config.write_text(f"""
IMAPAccount house
Host localhost
Port {house.ports["imap"]}
User {ALICE}
Pass {PASSWORD}
SSLType STARTTLS
CertificateFile {house.certificate}

IMAPStore far
Account house

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
CopyArrivalDate yes
""")

    def sync():
        subprocess.run(["mbsync", "--config", config, "--all"], check=True, capture_output=True, timeout=120)

    def equal(where):
        with house.judge() as judge:
            for name in ("INBOX", "Archive"):
                far = {untuned(m.octets): m.flags for m in judge.messages(name)}
                near = {untuned(mail.crlf(p.read_bytes())): flags(p) for p in files(local / name)}
                check.same(near, far, f"{where}, {name}")
                for octets, marks in near.items():
                    assert marks == far[octets], f"{where}: {marks} here, {far[octets]} there"

    sync()
    equal("first")
    check.same([untuned(mail.crlf(p.read_bytes())) for p in files(local / "INBOX")], messages[:250], "INBOX down")

    here = sorted(files(local / "INBOX"), key=lambda path: path.name)
    gone = {untuned(mail.crlf(path.read_bytes())) for path in here[10:20]}
    for path in here[:10]:
        flag(path, "SF")
    for path in here[10:20]:
        flag(path, "ST")
    for number, octets in enumerate(mail.written()):
        new = local / "Archive" / "new" / f"1700000000.{number}_1.here"
        new.write_bytes(octets.replace(b"\r\n", b"\n"))
    with house.judge() as judge:
        there = [m for m in judge.messages("INBOX") if m.octets not in gone]
        uids = [m.uid for m in there]
        judge.store("INBOX", uids[-10:], "+FLAGS", "\\Answered \\Seen")
        judge.expunge("INBOX", uids[-30:-20])
        judge.ask("uid", "move", f"{uids[-40]}:{uids[-31]}", "Archive")
        judge.append("INBOX", messages[299])
    sync()
    equal("second")
    with house.judge() as judge:
        inbox, archive = judge.messages("INBOX"), judge.messages("Archive")
        assert len(inbox) == 250 - 10 - 10 - 10 + 1, len(inbox)
        assert len(archive) == 50 + len(mail.written()) + 10, len(archive)
        up = {untuned(m.octets) for m in archive}
        assert all(octets in up for octets in mail.written()), "what was put here is not there"
        assert sum({"\\Seen", "\\Flagged"} <= m.flags for m in inbox) == 10
        assert sum({"\\Answered"} <= m.flags for m in inbox) == 10
    sync()
    equal("third")


def files(mailbox):
    return [path for part in ("cur", "new") for path in pathlib.Path(mailbox, part).iterdir()]


def flags(path):
    marks = path.name.partition(":2,")[2]
    return {name for mark, name in FLAGS.items() if mark in marks}


def flag(path, marks):
    name = path.name.partition(":2,")[0]
    path.rename(path.parent.parent / "cur" / f"{name}:2,{''.join(sorted(marks))}")


def untuned(octets):
    """Without the field by which mbsync finds its uploads again."""
    head, blank, body = octets.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"X-TUID: ")]
    return b"\r\n".join(lines) + blank + body
