#!/usr/bin/env python3
"""Prints what Python's email package makes of messages: one JSON object a file.

usage: bodystructure.py FILE...

Each part is [depth, kind, "type/subtype", body in base64 (leaves only)]; a second opinion for the
structure scanner's test.
"""

import base64
import json
import sys
from email.feedparser import BytesFeedParser


def walk(message, depth, parts):
    media = message.get_content_type()
    payload = message._payload  # get_payload() would decode the octets
    if media.startswith("message/") and media != "message/rfc822":
        # Reports and pieces of messages have no parts.
        parts.append([depth, "leaf", media, None])
        return
    if not isinstance(payload, list):
        body = (payload or "").encode("ascii", "surrogateescape")
        parts.append([depth, "leaf", media, base64.b64encode(body).decode()])
        return
    kind = "message" if message.get_content_maintype() == "message" else "multipart"
    parts.append([depth, kind, media, None])
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
