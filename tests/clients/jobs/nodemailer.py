"""npm's nodemailer: attachments by both submission ports, a Bcc recipient, and a raw message, which
must arrive as it left."""

from email import message_from_bytes, policy

import check
from house import BOB
from node import run


def job(house, folder):
    attachment = bytes(range(256)) * 400
    (folder / "alles.bin").write_bytes(attachment)
    run("nodemailer", house, folder)
    came = house.wait_for(BOB, "INBOX", 3)
    for number, message in enumerate(came[:2]):
        read = message_from_bytes(message.octets, policy=policy.default)
        assert read["Subject"] == f"Grüße {number}" and "bcc" not in read, read.items()
        attached = {part.get_filename(): part.get_content() for part in read.iter_attachments()}
        check.equal(attached["Übersicht.bin"], attachment, "the attachment")
    check.arrived([came[2].octets], [(folder / "raw").read_bytes()], "a raw message")
    with house.judge() as judge:
        assert len(judge.messages()) == 1, "the Bcc recipient has no copy"
