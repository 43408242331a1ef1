"""npm's imapflow: what its script did, held against what the house has."""

import check
import mail
from node import run


def job(house, folder):
    messages = mail.all_messages()
    house.deliver(messages)
    out = folder / "out"
    out.mkdir()
    odd = mail.written()
    for number, octets in enumerate(odd):
        (folder / f"append-{number}").write_bytes(octets)
    run("imapflow", house, folder)
    got = [(out / str(uid)).read_bytes() for uid in range(1, 301)]
    check.arrived(got, messages, "fetched")
    with house.judge() as judge:
        inbox = judge.messages()
        assert [m.uid for m in inbox] == [u for u in range(1, 302) if not 11 <= u <= 20 and not 31 <= u <= 40]
        assert all({"\\Seen", "\\Flagged", "$Phone"} <= m.flags for m in inbox[:10]), inbox[0].flags
        check.arrived([m.octets for m in judge.messages("Archive")], messages[10:30], "Archive")
        check.same([m.octets for m in judge.messages("Projekte/Grün".encode("utf-7").decode().replace("+", "&"))], odd, "appended")
