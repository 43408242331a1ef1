"""Maildirs that mbsync and offlineimap3 keep equal to the house."""

import pathlib
import subprocess
from email import message_from_bytes, policy

import mail
from house import ALICE, PASSWORD

FLAGS = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered", "D": "\\Draft"}
PATIENCE = 180


class Maildirs:
    """All mailboxes of a user, a folder each."""

    number = 0

    def __init__(self, folder):
        self.root = folder
        self.root.mkdir(parents=True)

    def files(self, mailbox="INBOX"):
        return files(self.root / mailbox)

    def contents(self, mailbox="INBOX"):
        """The octets of each message as they go over the wire, with its flags."""
        return sorted((unmarked(mail.crlf(path.read_bytes())), sorted(flags(path))) for path in self.files(mailbox))

    def mailboxes(self):
        return {str(path.parent.relative_to(self.root)) for path in self.root.rglob("cur")}

    def find(self, octets, mailbox="INBOX"):
        """The file of a message."""
        return next(path for path in self.files(mailbox) if unmarked(mail.crlf(path.read_bytes())) == octets)

    def put(self, octets, mailbox="INBOX", marks=""):
        """A new message, as a program that keeps mail here would add it."""
        Maildirs.number += 1
        for part in ("cur", "new", "tmp"):
            (self.root / mailbox / part).mkdir(parents=True, exist_ok=True)
        name = f"17000{Maildirs.number:05}_{Maildirs.number}.1.here:2,{marks}"
        (self.root / mailbox / "cur" / name).write_bytes(octets.replace(b"\r\n", b"\n"))


class Mbsync(Maildirs):
    def __init__(self, house, folder, user=ALICE):
        super().__init__(folder / "mbsync")
        self.config = folder / "mbsyncrc"
        self.config.write_text(f"""
IMAPAccount house
Host localhost
Port {house.ports["imap"]}
User {user}
Pass {PASSWORD}
SSLType STARTTLS
CertificateFile {house.certificate}

IMAPStore far
Account house

MaildirStore near
Path {self.root}/
Inbox {self.root}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
""")

    def sync(self):
        command = ["mbsync", "--config", self.config, "--all"]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


class Offlineimap(Maildirs):
    def __init__(self, house, folder, user=ALICE):
        super().__init__(folder / "offlineimap")
        self.config = folder / "offlineimaprc"
        self.config.write_text(f"""
[general]
accounts = house
metadata = {folder}/state
ui = basic
[Account house]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {self.root}
sep = /
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {house.ports["imaps"]}
remoteuser = {user}
remotepass = {PASSWORD}
ssl = yes
sslcacertfile = {house.certificate}
auth_mechanisms = PLAIN
maxconnections = 2
""")

    def sync(self):
        done = subprocess.run(
            ["offlineimap", "-c", self.config, "-o", "-u", "basic"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and "ERROR" not in done.stderr, done.stdout + done.stderr

    @staticmethod
    def keeps(octets):
        """It passes uploads through Python's email package, which changes some."""
        return message_from_bytes(octets, policy=policy.SMTP).as_bytes() == octets


def held(judge, mailbox="INBOX"):
    """What the judge finds, as `contents` tells it: a Maildir knows no other flags."""
    known = set(FLAGS.values())
    return sorted((unmarked(m.octets), sorted(m.flags & known)) for m in judge.messages(mailbox))


def files(mailbox):
    return [path for part in ("cur", "new") for path in pathlib.Path(mailbox, part).iterdir()]


def flags(path):
    marks = path.name.partition(":2,")[2]
    return {name for mark, name in FLAGS.items() if mark in marks}


def flag(path, marks):
    name = path.name.partition(":2,")[0]
    path.rename(path.parent.parent / "cur" / f"{name}:2,{''.join(sorted(marks))}")


def unmarked(octets):
    """Without the fields by which the programs find their uploads again."""
    head, blank, body = octets.partition(b"\r\n\r\n")
    own = (b"X-TUID: ", b"X-OfflineIMAP: ")
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(own)) + blank + body
