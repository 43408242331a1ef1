#!/usr/bin/env python3
"""Prints what Python's email package makes of messages: one JSON object a file.

usage: bodystructure.py FILE...

Each part is [depth, kind, "type/subtype", body in base64 (leaves only), fields]; a second opinion for
the structure scanner's test. Fields are the transfer encoding, and the parameters of Content-Type and
Content-Disposition, of those fields that there are; in them an octet beyond US-ASCII is U+FFFD.
"""

import base64
import json
import sys
from email.feedparser import BytesFeedParser


def plain(text):
    """Text with single blanks, as lines are folded anyhow."""
    return " ".join(text.split())


def parameters(message, field):
    """The first word, and the parameters; those of RFC 2231 are decoded by Python, and left out."""
    (first, _), *rest = message.get_params(header=field, unquote=True)
    found = {}
    for name, value in rest:
        if name and isinstance(value, str):
            found.setdefault(name.lower(), plain(value))
    return [first.lower(), found]


def fields(message):
    found = {}
    if (encoding := message.get("content-transfer-encoding")) is not None:
        found["encoding"] = plain(str(encoding)).lower()
    for field in ("content-type", "content-disposition"):
        if message.get(field) is not None:
            found[field] = parameters(message, field)
    return found


def walk(message, depth, parts):
    media = message.get_content_type()
    payload = message._payload  # get_payload() would decode the octets
    if media.startswith("message/") and media != "message/rfc822":
        # Reports and pieces of messages have no parts.
        parts.append([depth, "leaf", media, None, fields(message)])
        return
    if not isinstance(payload, list):
        body = (payload or "").encode("ascii", "surrogateescape")
        parts.append([depth, "leaf", media, base64.b64encode(body).decode(), fields(message)])
        return
    kind = "message" if message.get_content_maintype() == "message" else "multipart"
    parts.append([depth, kind, media, None, fields(message)])
    for part in payload:
        walk(part, depth + 1, parts)


for name in sys.argv[1:]:
    parser = BytesFeedParser()
    with open(name, "rb") as file:
        parser.feed(file.read())
    message = parser.close()
    parts = []
    try:
        walk(message, 0, parts)
    except RecursionError:
        parts = None
    subject = dict((name.lower(), value) for name, value in reversed(message._headers)).get("subject")
    if subject is not None:
        text = subject.encode("ascii", "surrogateescape")
        subject = text.replace(b"\r", b"").replace(b"\n", b"").strip().decode("latin-1")
    print(json.dumps({"file": name, "parts": parts, "subject": subject}))
