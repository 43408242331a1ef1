"""Messages for the jobs: 300 that are made, the same every time, and those of tests/mail. All have
the line ends of the wire."""

import base64
import pathlib
import quopri
import random

NUMBER = 300
PARTS = ["one", "two", "three", "Grüße", "naïve", "日本語", "привет", "שלום", "🙂"]


def all_messages():
    dice = random.Random(20261106)
    return [make(dice, number) for number in range(NUMBER)]


def written():
    """The messages of tests/mail."""
    folder = pathlib.Path(__file__).parent.parent / "mail"
    return [crlf(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]


def crlf(octets):
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def make(dice, number):
    kind = [plain, eight_bit, quoted, html, attached, nested, dots, long_lines, empty][number % 9]
    if number % 50 == 49:
        kind = large
    head = [
        f"From: Sender {number} <sender{number % 7}@remote.example>",
        "To: Alice <alice@demo.example>",
        f"Subject: message {number}",
        f"Date: {number % 28 + 1:02} Oct 2026 {number % 24:02}:00:{number % 60:02} +0200",
        f"Message-ID: <{number}.{dice.getrandbits(48):x}@remote.example>",
        "MIME-Version: 1.0",
    ]
    if number > 9 and number % 3 == 0:
        head.append(f"X-Folded: some words\n\tand a tab {number}\n and a blank")
    return crlf("\n".join(head).encode() + b"\n" + kind(dice))


def words(dice, number):
    return " ".join(dice.choice(PARTS) for _ in range(number))


def lines(dice, number):
    return "".join(words(dice, dice.randint(1, 9)) + "\n" for _ in range(number))


def octets(dice, number):
    return bytes(dice.getrandbits(8) for _ in range(number))


def plain(dice):
    text = "".join(f"line {dice.randint(0, 999)}\n" for _ in range(dice.randint(1, 40)))
    return b"Content-Type: text/plain; charset=us-ascii\n\n" + text.encode()


def eight_bit(dice):
    head = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    return (head + lines(dice, dice.randint(1, 30))).encode()


def quoted(dice):
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    return head + quopri.encodestring(lines(dice, dice.randint(1, 30)).encode())


def multipart(subtype, boundary, *parts):
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n'.encode()
    begin = f"--{boundary}\n".encode()
    return head + b"".join(begin + part + b"\n" for part in parts) + f"--{boundary}--\n".encode()


def html(dice):
    page = f"Content-Type: text/html; charset=utf-8\n\n<p>{words(dice, 30)}</p>\n"
    return multipart("alternative", f"alt-{dice.getrandbits(32):x}", plain(dice), page.encode())


def attached(dice):
    data = base64.encodebytes(octets(dice, dice.randint(100, 20_000)))
    name = f"=_{dice.getrandbits(32):x}"
    part = (
        b"Content-Type: application/octet-stream\n"
        b"Content-Disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.bin\n"
        b"Content-Transfer-Encoding: base64\n\n" + data
    )
    return multipart("mixed", name, quoted(dice), part)


def nested(dice):
    inner = b"From: inner@remote.example\nSubject: inside\nMIME-Version: 1.0\n" + html(dice)
    part = b"Content-Type: message/rfc822\n\n" + inner
    return multipart("mixed", f"n{dice.getrandbits(32):x}", plain(dice), part)


def dots(dice):
    text = "".join(dice.choice([".\n", "..\n", ". dot\n", "From here\n", ">From\n"]) for _ in range(20))
    return b"Content-Type: text/plain\n\n" + text.encode()


def long_lines(dice):
    return b"Content-Type: text/plain\n\n" + b"".join(b"x" * dice.randint(70, 990) + b"\n" for _ in range(5))


def empty(_):
    return b"Content-Type: text/plain\n\n"


def large(dice):
    data = base64.encodebytes(octets(dice, 300_000))
    part = b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + data
    return multipart("mixed", "large", plain(dice), part)
