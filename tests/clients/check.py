"""What the jobs hold against each other, octet by octet."""

import hashlib


def same(found, wanted, where):
    """The same messages, in whatever order."""
    found, wanted = list(found), list(wanted)
    assert len(found) == len(wanted), f"{where}: {len(found)} messages, not {len(wanted)}"
    left = {}
    for octets in wanted:
        left.setdefault(octets, []).append(octets)
    for octets in found:
        if not left.get(octets):
            raise AssertionError(f"{where}: not as it was: {nearest(octets, wanted)}")
        left[octets].pop()


def same_in_order(found, wanted, where):
    assert len(found) == len(wanted), f"{where}: {len(found)} messages, not {len(wanted)}"
    for number, (one, other) in enumerate(zip(found, wanted)):
        equal(one, other, f"{where}, message {number}")


def equal(one, other, where):
    if one != other:
        at = next((i for i, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), min(len(one), len(other)))
        raise AssertionError(
            f"{where}: {len(one)} and {len(other)} octets differ at {at}: "
            f"{one[max(0, at - 30):at + 50]!r} and {other[max(0, at - 30):at + 50]!r}"
        )


def arrived(found, wanted, where):
    """Equal but for the trace fields that a delivery puts on top."""
    for message in found:
        head = message.split(b"\r\n\r\n")[0].lower()
        assert b"received: " in head, f"{where}: no Received"
    same([untraced(message) for message in found], wanted, where)


def untraced(message):
    """Without Return-Path and Received at the top."""
    while True:
        name = message.split(b":", 1)[0].lower()
        if name not in (b"return-path", b"received", b"delivered-to", b"authentication-results"):
            return message
        end = message.index(b"\r\n") + 2
        while message[end:end + 1] in (b" ", b"\t"):
            end = message.index(b"\r\n", end) + 2
        message = message[end:]


def nearest(octets, wanted):
    line = next((line for line in octets.split(b"\r\n") if line.lower().startswith(b"subject:")), b"")
    for other in wanted:
        if line in other:
            try:
                equal(octets, other, line.decode(errors="replace"))
            except AssertionError as error:
                return str(error)
    return f"{octets[:200]!r} {hashlib.sha256(octets).hexdigest()[:12]}"
