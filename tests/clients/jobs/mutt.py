"""mutt: opens 300 messages in a terminal, copies them all into a Maildir, marks, moves, deletes, and
sends a message with an attachment."""

import os
import pty
import re
import select
import subprocess
import time
from email import message_from_bytes, policy

import check
import mail
from house import ALICE, BOB, PASSWORD
from maildir import files


def job(house, folder):
    messages = mail.all_messages()
    with house.judge() as judge:
        for octets in messages:
            judge.append("INBOX", octets)
    config = folder / "muttrc"
    config.write_text(f"""
set imap_user={ALICE} imap_pass={PASSWORD} ssl_force_tls=yes
set certificate_file={house.certificate}
set folder=imap://localhost:{house.ports["imap"]}/ spoolfile=+INBOX record="" postponed=""
set smtp_url=smtp://{ALICE}@localhost:{house.ports["submission"]} smtp_pass={PASSWORD}
set smtp_authenticators=scram-sha-256  # of -PLUS it takes the word but cannot bind
set from={ALICE} realname=Alice hostname=demo.example
set mbox_type=Maildir confirmappend=no confirmcreate=no delete=yes move=no quit=yes sort=mailbox-order
set wait_key=no header_cache="" mail_check=1 timeout=1 beep=no menu_scroll=yes
set tmpdir={folder}
""")
    keep = folder / "kept"
    keys = [
        f"<tag-pattern>~A<enter><tag-prefix><copy-message>{keep}<enter>",
        "<untag-pattern>~A<enter>",
        "<tag-pattern>~m1-10<enter><tag-prefix><set-flag>!<untag-pattern>~A<enter>",
        "<tag-pattern>~m11-20<enter><tag-prefix><set-flag>*<untag-pattern>~A<enter>",
        "<delete-pattern>~m21-30<enter>",
        "<tag-pattern>~m31-40<enter><tag-prefix><save-message>=Archive<enter><untag-pattern>~A<enter>",
        "<sync-mailbox><quit>",
    ]
    terminal(["mutt", "-F", config, "-n", "-e", f"push \"{''.join(keys)}\""], folder)

    check.same([unchanged(p.read_bytes()) for p in files(keep)], messages, "copied to a Maildir")
    with house.judge() as judge:
        inbox = judge.messages()
        check.same_in_order([m.octets for m in inbox], messages[:20] + messages[40:], "INBOX")
        flagged = [number for number, m in enumerate(inbox) if "\\Flagged" in m.flags]
        assert flagged == list(range(10)) or flagged == list(range(10, 20)), flagged
        archive = judge.messages("Archive")
        check.same_in_order([m.octets for m in archive], messages[30:40], "Archive")

    attachment = folder / "alles.bin"
    attachment.write_bytes(bytes(range(256)) * 100)
    subprocess.run(
        ["mutt", "-F", config, "-n", "-s", "Grüße von mutt", "-a", attachment, "--", BOB],
        input="Siehe Anhang.\n".encode(), check=True, capture_output=True, timeout=60,
        env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(folder)})
    came = house.wait_for(BOB, "INBOX", 1)[0]
    read = message_from_bytes(came.octets, policy=policy.default)
    assert read["Subject"] == "Grüße von mutt", read["Subject"]
    check.equal(next(read.iter_attachments()).get_content(), attachment.read_bytes(), "the attachment")


def terminal(command, folder):
    """Runs a program that wants a terminal, until it ends."""
    child, screen = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", HOME=str(folder), LINES="40", COLUMNS="120")
        os.execvp(command[0], [str(word) for word in command])
    seen, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 1)[0]:
            continue
        try:
            piece = os.read(screen, 65536)
        except OSError:
            piece = b""
        if not piece:
            _, status = os.waitpid(child, 0)
            assert status == 0, f"{command[0]} ended with {status}: {plain(seen)[-2000:]}"
            return
        seen += piece
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError(f"{command[0]} does not end: {plain(seen)[-2000:]}")


def plain(seen):
    return re.sub(rb"\x1b[\[(][0-9;?]*[A-Za-z]|\x1b.|[\x00-\x08\x0b-\x1f]", b"", seen).decode(errors="replace")


def unchanged(octets):
    """As the server holds it: mutt drops and adds fields of its own in a copy."""
    head, blank, body = octets.partition(b"\n\n")
    own = (b"status:", b"content-length:", b"lines:", b"x-status:")
    lines = [line for line in head.split(b"\n") if not line.lower().startswith(own)]
    return mail.crlf(b"\n".join(lines) + blank + body)
