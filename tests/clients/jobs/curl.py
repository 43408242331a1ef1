"""curl: 300 messages by imap, imaps and STARTTLS, a few commands, uploads, and mail by smtp(s)."""

import re
import subprocess

import check
import mail
from house import ALICE, BOB, PASSWORD


def job(house, folder):
    messages = mail.all_messages()
    house.deliver(messages)
    ports = house.ports
    login = ["--user", f"{ALICE}:{PASSWORD}", "--cacert", house.certificate]

    def curl(*arguments):
        command = ["curl", "--silent", "--show-error", "--max-time", "120", *login, *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    plain = f"imap://localhost:{ports['imap']}"
    over_tls = f"imaps://localhost:{ports['imaps']}"
    for way, url in (("starttls", plain), ("imaps", over_tls)):
        out = folder / way
        out.mkdir()
        curl("--ssl-reqd", f"{url}/INBOX;UID=[1-300]", "--output", f"{out}/#1")
        got = [(out / str(number)).read_bytes() for number in range(1, 301)]
        check.arrived(got, messages, way)
    names = curl(f"{plain}/").decode()
    assert 'Archive' in names and '\\Sent' in names, names
    text = curl(f"{plain}/INBOX;UID=1;SECTION=TEXT")
    check.equal(text, messages[0].split(b"\r\n\r\n", 1)[1], "TEXT")
    found = curl(f"{plain}/INBOX?SUBJECT%20%22message%20299%22")
    assert found.split() == [b"*", b"SEARCH", b"300"], found

    for command in (
        "UID STORE 1:10 +FLAGS (\\Seen \\Flagged)", "UID MOVE 11:20 Archive", "UID COPY 21:30 Archive",
        "UID STORE 31:40 +FLAGS.SILENT (\\Deleted)", "EXPUNGE",
    ):
        curl(f"{plain}/INBOX", "--request", command)
    for number, octets in enumerate(mail.written()):
        (folder / "upload").write_bytes(octets)
        curl("--ssl-reqd", f"{plain if number % 2 else over_tls}/Drafts", "--upload-file", folder / "upload")
    with house.judge() as judge:
        inbox = judge.messages()
        assert [m.uid for m in inbox] == [u for u in range(1, 301) if not 11 <= u <= 20 and not 31 <= u <= 40]
        wanted = [messages[m.uid - 1] for m in inbox]
        check.arrived([m.octets for m in inbox], wanted, "INBOX")
        assert all({"\\Seen", "\\Flagged"} <= m.flags for m in inbox[:10])
        archive = judge.messages("Archive")
        check.arrived([m.octets for m in archive], messages[10:30], "Archive")
        check.same([m.octets for m in judge.messages("Drafts")], mail.written(), "Drafts")

    sent = []
    for url, more in (
        (f"smtp://localhost:{ports['submission']}", ["--ssl-reqd"]),
        (f"smtps://localhost:{ports['submissions']}", []),
        (f"smtp://localhost:{ports['submission']}", ["--login-options", "AUTH=LOGIN"]),
        (f"smtp://localhost:{ports['submission']}", ["--login-options", "AUTH=PLAIN", "--sasl-ir"]),
    ):
        octets = re.sub(rb"^From: .*?\r\n", b"From: alice@demo.example\r\n", messages[len(sent) + 9])
        (folder / "mail").write_bytes(octets)
        curl(url, *more, "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", folder / "mail")
        sent.append(octets)
    came = house.wait_for(BOB, "INBOX", len(sent))
    check.arrived([m.octets for m in came], sent, "sent by submission")
    login = []
    (folder / "mail").write_bytes(messages[8])
    curl(f"smtp://localhost:{ports['smtp']}/relay.example", "--mail-from", "x@remote.example",
         "--mail-rcpt", BOB, "--mail-rcpt", ALICE, "--upload-file", folder / "mail")
    check.arrived([house.wait_for(BOB, "INBOX", len(sent) + 1)[-1].octets], [messages[8]], "by smtp")
