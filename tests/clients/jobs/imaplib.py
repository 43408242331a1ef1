"""Python's imaplib: reads 300 messages, changes flags, moves, expunges, appends, and sends with
smtplib what the email package builds with an attachment."""

import imaplib
import smtplib
import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage

import check
import mail
from house import ALICE, BOB, PASSWORD


def job(house, folder):
    messages = mail.all_messages()
    house.deliver(messages)
    tls = ssl.create_default_context(cafile=house.certificate)
    client = imaplib.IMAP4("localhost", house.ports["imap"])
    client.starttls(tls)
    client.login(ALICE, PASSWORD)
    assert client.select("INBOX") == ("OK", [b"300"])
    fetched = fetch(client, "1:*")
    check.arrived(fetched.values(), messages, "INBOX")

    uids = sorted(fetched)
    ok(client.uid("STORE", f"{uids[0]}:{uids[9]}", "+FLAGS.SILENT", "(\\Seen $Label1)"))
    status, found = client.uid("SEARCH", "SEEN", "KEYWORD", "$Label1")
    assert found[0].split() == [str(uid).encode() for uid in uids[:10]], found
    status, found = client.uid("SEARCH", "CHARSET", "UTF-8", "SUBJECT", '"message 123"')
    assert found[0].split() == [str(uids[123]).encode()], found
    ok(client.uid("MOVE", f"{uids[10]}:{uids[19]}", "Archive"))
    ok(client.uid("COPY", f"{uids[20]}:{uids[29]}", "Archive"))
    ok(client.uid("STORE", f"{uids[20]}:{uids[24]}", "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    ok(client.create("Everything"))
    for octets in messages:
        ok(client.append("Everything", None, None, octets))
    odd = [b"Subject: no end of line\r\n\r\nlast", b"Subject: \xe4 raw\r\n\r\n\xff\xfe\r\n", *mail.written()]
    for octets in odd:
        ok(client.append("Drafts", "(\\Draft \\Seen)", '"05-Nov-2026 10:00:00 +0100"', octets))
    client.close()

    with house.judge() as judge:
        inbox = judge.messages()
        assert [m.uid for m in inbox] == uids[:10] + uids[25:]
        assert all(m.flags == {"\\Seen", "$Label1"} for m in inbox[:10])
        assert all(not m.flags for m in inbox[10:]), [m.flags for m in inbox]
        check.same([m.octets for m in inbox], [fetched[m.uid] for m in inbox], "INBOX")
        archive = judge.messages("Archive")
        check.same_in_order([m.octets for m in archive], [fetched[u] for u in uids[10:30]], "Archive")
        everything = judge.messages("Everything")
        check.same_in_order([m.octets for m in everything], messages, "Everything")
        drafts = judge.messages("Drafts")
        check.same_in_order([m.octets for m in drafts], odd, "Drafts")
        assert all(m.flags == {"\\Draft", "\\Seen"} for m in drafts)

    new = EmailMessage(policy.SMTP)
    new["From"], new["To"], new["Subject"] = ALICE, BOB, "Grüße mit Anhang"
    new.set_content("Siehe Anhang.\n")
    new.add_attachment(bytes(range(256)) * 300, "application", "octet-stream", filename="alles.bin")
    with smtplib.SMTP("localhost", house.ports["submission"]) as smtp:
        smtp.starttls(context=tls)
        smtp.login(ALICE, PASSWORD)
        smtp.send_message(new)
    with smtplib.SMTP_SSL("localhost", house.ports["submissions"], context=tls) as smtp:
        smtp.login(ALICE, PASSWORD)
        smtp.send_message(new)
    for came in house.wait_for(BOB, "INBOX", 2):
        read = message_from_bytes(came.octets, policy=policy.default)
        assert read["Subject"] == "Grüße mit Anhang" and read["Date"] and read["Message-ID"]
        attachment = next(read.iter_attachments())
        assert attachment.get_filename() == "alles.bin"
        check.equal(attachment.get_content(), bytes(range(256)) * 300, "the attachment")
    client.logout()


def fetch(client, which):
    status, data = client.uid("FETCH", which, "(BODY.PEEK[])")
    assert status == "OK"
    items = [item for item in data if isinstance(item, tuple)]
    return {int(head.split(b"UID ")[1].split()[0]): octets for head, octets in items}


def ok(answer):
    assert answer[0] == "OK", answer
