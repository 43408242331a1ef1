"""offlineimap3: as mbsync, by another program: 300 messages down, uploads, flags and deletions."""

import subprocess
from email import message_from_bytes, policy

import check
import mail
from house import ALICE, PASSWORD
from jobs.mbsync import files, flag, flags


def job(house, folder):
    messages = mail.all_messages()
    with house.judge() as judge:
        for number, octets in enumerate(messages):
            judge.append("INBOX" if number < 250 else "Archive", octets, "\\Seen" if number % 4 else "")
    local = folder / "maildir"
    config = folder / "offlineimaprc"
    config.write_text(f"""
[general]
accounts = house
metadata = {folder}/state
ui = basic
[Account house]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {local}
sep = /
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {house.ports["imaps"]}
remoteuser = {ALICE}
remotepass = {PASSWORD}
ssl = yes
sslcacertfile = {house.certificate}
auth_mechanisms = PLAIN
maxconnections = 2
""")

    def sync():
        done = subprocess.run(
            ["offlineimap", "-c", config, "-o", "-u", "basic"], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0 and "ERROR" not in done.stderr, done.stdout + done.stderr

    def equal(where):
        with house.judge() as judge:
            for name in ("INBOX", "Archive"):
                far = {unmarked(m.octets): m.flags for m in judge.messages(name)}
                near = {unmarked(mail.crlf(p.read_bytes())): flags(p) for p in files(local / name)}
                check.same(near, far, f"{where}, {name}")
                for octets, marks in near.items():
                    assert marks == far[octets], f"{where}: {marks} here, {far[octets]} there"

    sync()
    equal("first")
    check.same([mail.crlf(p.read_bytes()) for p in files(local / "INBOX")], messages[:250], "INBOX down")

    here = sorted(files(local / "INBOX"), key=lambda path: path.name)
    for path in here[:10]:
        flag(path, "SF")
    for path in here[10:20]:
        path.unlink()
    up = [octets for octets in mail.written() if email_keeps(octets)]
    for number, octets in enumerate(up):
        new = local / "Archive" / "new" / f"1700000000_{number}.1.here:2,"
        new.write_bytes(octets.replace(b"\r\n", b"\n"))
    with house.judge() as judge:
        uids = [m.uid for m in judge.messages("INBOX")]
        judge.store("INBOX", uids[-10:], "+FLAGS", "\\Answered \\Seen")
        judge.expunge("INBOX", uids[-30:-20])
        judge.append("INBOX", messages[299])
    sync()
    equal("second")
    with house.judge() as judge:
        inbox, archive = judge.messages("INBOX"), judge.messages("Archive")
        assert 230 <= len(inbox) <= 241, len(inbox)
        assert len(archive) == 50 + len(up), len(archive)
        there = {unmarked(m.octets) for m in archive}
        assert all(octets in there for octets in up), "what was put here is not there"
    sync()
    equal("third")


def email_keeps(octets):
    """It passes uploads through Python's email package, which changes some."""
    return message_from_bytes(octets, policy=policy.SMTP).as_bytes() == octets


def unmarked(octets):
    """Without the field by which offlineimap finds its uploads again."""
    head, blank, body = octets.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"X-OfflineIMAP: ")]
    return b"\r\n".join(lines) + blank + body
