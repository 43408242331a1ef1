"""What is forwarded by reference leaves as what was downloaded and uploaded: octet for octet, by each
door, whatever the next server can take. The next server is aiosmtpd."""

import base64
import re
import smtplib
import socket

import check
from house import ALICE, PASSWORD, House
from sink import Sink

FRIEND = "friend@elsewhere.example"
ABILITIES = [(), ("8BITMIME",), ("8BITMIME", "CHUNKING", "BINARYMIME")]

# 300,000 octets of attachment: far more than what the store keeps beside its rows.
ATTACHED = b"".join(b"%076d\r\n" % number for number in range(3_900))
SOURCE = (
    b"From: agent@travel.example\r\nTo: alice@demo.example\r\nSubject: Your trip\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\n\r\nHere it is.\r\n"
    b'--x\r\nContent-Type: application/x-trip; name="trip"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + ATTACHED +
    b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "..Grüße\r\n.\r\n. und Küsse\r\n".encode() +
    b"--x--\r\n"
)
HEAD = (
    f"From: Alice <{ALICE}>\r\nTo: Friend <{FRIEND}>\r\nSubject: Fwd: Your trip\r\n"
    "Date: Thu, 12 Nov 2026 16:57:05 +0000\r\nMessage-ID: <forward@demo.example>\r\n"
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="y"\r\n\r\n'
    "--y\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "Schöne Grüße\r\n"
).encode()
BETWEEN, END = b"\r\n--y\r\n", b"\r\n--y--\r\n"


class Wire:
    """A connection of lines on which one says what no library says."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()

    def say(self, octets, until):
        """Sends octets; the lines up to one that begins so."""
        self.socket.sendall(octets)
        heard = []
        while not heard or not heard[-1].startswith(until):
            heard.append(self.lines.readline())
            assert heard[-1], f"{octets[:80]!r}: the server hung up: {heard}"
        return heard

    def smtp(self, octets, wanted=b"250 "):
        heard = self.say(octets, (b"2", b"3", b"4", b"5"))
        while heard[-1][3:4] == b"-":
            heard += self.say(b"", (b"2", b"3", b"4", b"5"))
        assert heard[-1].startswith(wanted), heard

    def imap(self, octets):
        heard = self.say(b"t " + octets + b"\r\n", b"t ")
        assert heard[-1].startswith(b"t OK"), heard
        return heard


def job(house, folder):
    for number, able in enumerate(ABILITIES):
        own = folder / str(number)
        own.mkdir()
        with Sink(*able) as sink:
            relay = f'[outbound]\nrelay = "127.0.0.1:{sink.port}"\ntls = "none"\n'
            with House(house.program, own, house.pair, relay) as sender:
                wanted = uploaded(sender, sink)
                for way in (by_url, by_chunks, submitted):
                    way(sender)
                    check.equal(arrived(sink), wanted, f"{way.__name__}, next server with {able}")


def arrived(sink):
    """The next message without the fields that say which way it came."""
    sender, recipients, octets = sink.next()
    assert (sender, recipients) == (ALICE, [FRIEND]), (sender, recipients)
    head, _, body = octets.partition(b"\r\n\r\n")
    head = re.sub(rb"(?mi)^Received:.*\r\n([ \t].*\r\n)*", b"", head + b"\r\n")
    return head + b"\r\n" + body


def uploaded(house, sink):
    """Downloads the parts, puts them together, and sends all of it."""
    with house.judge() as judge:
        judge.append("INBOX", SOURCE)
        judge.ask("select", "INBOX")
        parts = {}
        for name in ("2.MIME", "2", "3.MIME", "3"):
            parts[name] = judge.ask("fetch", "1", f"(BODY.PEEK[{name}])")[0][1]
    whole = (HEAD + BETWEEN[2:] + parts["2.MIME"] + parts["2"] + BETWEEN + parts["3.MIME"] + parts["3"] + END)
    with smtplib.SMTP("127.0.0.1", house.ports["submission"], "client.example", 60) as smtp:
        smtp.login(ALICE, PASSWORD)
        smtp.sendmail(ALICE, [FRIEND], whole, ["BODY=8BITMIME"])
    return arrived(sink)


def literal(octets):
    return b"{%d+}\r\n" % len(octets) + octets


def phone(house):
    imap = Wire(house.ports["imap"])
    imap.imap(f"LOGIN {ALICE} {PASSWORD}".encode())
    return imap


def submission(house):
    smtp = Wire(house.ports["submission"])
    smtp.smtp(b"EHLO phone.example\r\n")
    plain = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode())
    smtp.smtp(b"AUTH PLAIN " + plain + b"\r\n", b"235 ")
    smtp.smtp(f"MAIL FROM:<{ALICE}> BODY=8BITMIME\r\n".encode())
    smtp.smtp(f"RCPT TO:<{FRIEND}>\r\n".encode())
    return smtp


def authorised(imap, path):
    rump = f"imap://alice%40demo.example@localhost/{path};URLAUTH=submit+alice%40demo.example"
    heard = imap.imap(f'GENURLAUTH "{rump}" INTERNAL'.encode())
    return heard[0].split(b'"')[1]


def by_url(house):
    """CATENATE into Sent, then one BURL."""
    imap = phone(house)
    parts = [
        b"TEXT " + literal(HEAD + BETWEEN[2:]),
        b'URL "/INBOX/;UID=1/;SECTION=2.MIME"', b'URL "/INBOX/;UID=1/;SECTION=2"',
        b"TEXT " + literal(BETWEEN),
        b'URL "/INBOX/;UID=1/;SECTION=3.MIME"', b'URL "/INBOX/;UID=1/;SECTION=3"',
        b"TEXT " + literal(END),
    ]
    heard = imap.imap(b"APPEND Sent (\\Seen) CATENATE (" + b" ".join(parts) + b")")
    uid = re.search(rb"APPENDUID \d+ (\d+)", heard[-1])[1].decode()
    submission(house).smtp(b"BURL " + authorised(imap, f"Sent/;UID={uid}") + b" LAST\r\n")


def by_chunks(house):
    """BDAT for what is new, BURL for what is there."""
    imap, smtp = phone(house), submission(house)
    chunks = [HEAD + BETWEEN[2:], "2.MIME", "2", BETWEEN, "3.MIME", "3"]
    for chunk in chunks:
        if isinstance(chunk, bytes):
            smtp.smtp(b"BDAT %d\r\n" % len(chunk) + chunk)
        else:
            smtp.smtp(b"BURL " + authorised(imap, f"INBOX/;UID=1/;SECTION={chunk}") + b"\r\n")
    smtp.smtp(b"BDAT %d LAST\r\n" % len(END) + END)


def submitted(house):
    """SUBMIT of a skeleton, over IMAP alone."""
    external = (
        b'Content-Type: message/external-body; access-type=URL; URL="/INBOX/;UID=1/;SECTION=%d"\r\n\r\n%s\r\n\r\n'
    )
    headers = [
        b'Content-Type: application/x-trip; name="trip"\r\nContent-Transfer-Encoding: base64',
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit",
    ]
    skeleton = (
        HEAD + BETWEEN[2:] + external % (2, headers[0]) + BETWEEN + external % (3, headers[1]) + END)
    phone(house).imap(b"SUBMIT " + literal(skeleton))
