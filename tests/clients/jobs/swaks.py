"""swaks: every SMTP door, with each login and TLS it has, an attachment, and what must be refused."""

import subprocess
from email import message_from_bytes, policy

import check
import mail
from house import ALICE, BOB, PASSWORD


def job(house, folder):
    messages = mail.all_messages()
    ports = house.ports
    sent = []

    def swaks(*arguments, status=0):
        done = subprocess.run(
            ["swaks", "--ehlo", "client.remote.example", "--timeout", "60", *arguments],
            capture_output=True, text=True)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def send(service, sender, *arguments):
        octets = messages[len(sent)]
        (folder / "mail").write_bytes(octets.removesuffix(b"\r\n"))  # swaks ends the last line
        swaks("--server", f"localhost:{ports[service]}", "--from", sender, "--to", BOB,
              "--data", f"@{folder / 'mail'}", *arguments)
        sent.append(octets)

    other = "friend@remote.example"
    send("smtp", other)
    send("smtp", other, "-tls", "--tls-verify", "--tls-ca-path", str(house.certificate))
    send("smtp", other, "--pipeline")
    send("lmtp", other, "--protocol", "LMTP")
    came = house.wait_for(BOB, "INBOX", len(sent))
    check.arrived([m.octets for m in came], sent, "from outside")

    login = ["--auth-user", ALICE, "--auth-password", PASSWORD]
    body = ["--header", "Subject: from swaks", "--body", "see there", "--attach", f"@{folder / 'mail'}"]
    for number, (service, more) in enumerate([
        ("submission", ["-tls", "--auth", "PLAIN"]),
        ("submission", ["-tls", "--auth", "LOGIN"]),
        ("submission", ["--auth", "PLAIN"]),
        ("submissions", ["--tls-on-connect", "--auth", "PLAIN"]),
    ]):
        swaks("--server", f"localhost:{ports[service]}", "--from", ALICE, "--to", BOB, *login, *more, *body)
        last = house.wait_for(BOB, "INBOX", len(sent) + number + 1)[-1]
        read = message_from_bytes(last.octets, policy=policy.default)
        parts = [part.get_content() for part in read.walk() if not part.is_multipart()]
        assert read["Subject"] == "from swaks" and parts[0].strip() == "see there", parts
        check.equal(parts[1], (folder / "mail").read_bytes(), "the attachment")

    door = ["--server", f"localhost:{ports['submission']}", "--from", ALICE, "--to", BOB]
    swaks(*door, "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", "wrong", status=28)
    swaks(*door, status=23)
    refused = ["--server", f"localhost:{ports['smtp']}", "--from", other]
    swaks(*refused, "--to", "else@remote.example", status=24)
    swaks(*refused, "--to", "nobody@demo.example", status=24)
    house.wait_for(BOB, "INBOX", len(sent) + 4)
