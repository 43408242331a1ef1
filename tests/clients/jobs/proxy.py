"""The proxy before Dovecot and aiosmtpd: mbsync, IMAPClient and imapflow do through it what they do
without it, and SUBMIT sends a message with an attachment that lies in Dovecot."""

import os
import shutil
import ssl

import imapclient

import check
import mail
from dovecot import Behind, Dovecot, Proxy
from house import ALICE, BOB, PASSWORD
from jobs import imapflow, mbsync
from sink import Sink


def job(house, folder):
    if os.geteuid() != 0:
        print("proxy: left out, Dovecot needs root", flush=True)
        return
    for name, through in (("without", False), ("through", True)):
        for what in (mbsync.job, imapflow.job, reader):
            own = folder / f"{what.__module__.rsplit('.', 1)[-1]}-{name}"
            own.mkdir()
            play(house, own, what, through)
    own = folder / "submit"
    own.mkdir()
    play(house, own, submit, True)


def play(house, folder, what, through):
    with Dovecot(folder, house.certificate) as dovecot, Sink("8BITMIME", login=(ALICE, PASSWORD)) as sink:
        if not through:
            return what(Behind(dovecot, {}), folder)
        with (
            Proxy(house.program, folder, dovecot, sink.port, "starttls") as imap,
            Proxy(house.program, folder, dovecot, sink.port, "tls") as imaps,
        ):
            behind = Behind(dovecot, {"imap": imap.port, "imaps": imaps.port})
            behind.sink = sink
            try:
                what(behind, folder)
            except Exception:
                print(imap.log(), imaps.log(), dovecot.log(), flush=True)
                raise
            shutil.rmtree(dovecot.home / "mail")


def connect(house):
    tls = ssl.create_default_context(cafile=house.certificate)
    client = imapclient.IMAPClient("localhost", house.ports["imaps"], ssl_context=tls)
    client.login(ALICE, PASSWORD)
    return client


def reader(house, folder):
    """A mail reader's day."""
    messages = mail.all_messages() + mail.written()
    with connect(house) as client:
        client.create_folder("Grüße/日本")
        client.select_folder("Grüße/日本")
        for octets in messages:
            client.append("Grüße/日本", octets, [imapclient.SEEN])
        uids = client.search("ALL")
        assert len(uids) == len(messages)
        kept = {}
        for start in range(0, len(uids), 50):
            for uid, data in client.fetch(uids[start:start + 50], ["BODY[]", "FLAGS", "ENVELOPE"]).items():
                kept[uid] = data[b"BODY[]"]
        check.same_in_order([kept[uid] for uid in uids], messages, "as appended")
        client.add_flags(uids[:5], [imapclient.FLAGGED, "$Todo"])
        assert client.search(["KEYWORD", "$Todo"]) == uids[:5]
        client.move(uids[10:20], "Archive")
        client.delete_messages(uids[30:40])
        client.expunge()
        assert client.search() == uids[:10] + uids[20:30] + uids[40:]
        client.select_folder("INBOX")
        client.idle()
        house.deliver([b"From: x@remote.example\r\nSubject: news\r\n\r\nnews\r\n"])
        heard = []
        while (1, b"EXISTS") not in heard:
            heard += client.idle_check(timeout=60)
        client.idle_done()


ATTACHED = b"".join(b"%076d\r\n" % number for number in range(20_000))
SOURCE = (
    b"From: agent@travel.example\r\nTo: alice@demo.example\r\nSubject: trip\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\nHere it is.\r\n'
    b"--x\r\nContent-Type: application/x-trip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + ATTACHED + b"\r\n--x--\r\n"
)


def submit(house, folder):
    """A forward without download, sent over IMAP alone."""
    with connect(house) as client:
        assert client.has_capability("CAN-SUBMIT") and not client.has_capability("COMPRESS=DEFLATE")
        client.append("Archive", SOURCE)
        url = "imap://alice@localhost/Archive/;UID=1/;SECTION=2"
        for number, of in enumerate((url, "/Archive/;UID=1/;SECTION=2")):
            head = (
                f"From: Alice <{ALICE}>\r\nTo: {BOB}, friend@elsewhere.example\r\nBcc: hidden@elsewhere.example\r\n"
                f"Subject: Fwd: trip {number}\r\nMIME-Version: 1.0\r\n"
                'Content-Type: multipart/mixed; boundary="y"\r\n\r\n--y\r\n\r\nSee below.\r\n'
            )
            part = "Content-Type: application/x-trip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            external = f'--y\r\nContent-Type: message/external-body; access-type=URL;\r\n URL="{of}"\r\n\r\n{part}'
            message = (head + external + "\r\n--y--\r\n").encode()
            assert b"completed" in raw(client, message)
            sender, recipients, octets = house.sink.next()
            assert sender == ALICE, sender
            assert recipients == [BOB, "friend@elsewhere.example", "hidden@elsewhere.example"], recipients
            body = octets.split(b"\r\n\r\n", 1)[1]
            wanted = b"--y\r\n\r\nSee below.\r\n--y\r\n" + part.encode() + ATTACHED + b"\r\n--y--\r\n"
            check.equal(body, wanted, "sent")
            assert b"hidden" not in octets and b"\r\nMessage-ID: <" in octets, octets[:1000]


def raw(client, message):
    """SUBMIT, which no library knows."""
    tag = client._imap._new_tag()
    client._imap.send(tag + b" SUBMIT {%d+}\r\n" % len(message) + message + b"\r\n")
    while True:
        line = client._imap.readline()
        if line.startswith(tag):
            assert line.startswith(tag + b" OK"), line
            return line
