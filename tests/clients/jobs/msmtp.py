"""msmtp: sends messages with attachments over both submission ports, its login chosen by itself."""

import re
import subprocess

import check
import mail
from house import ALICE, BOB, PASSWORD


def job(house, folder):
    config = folder / "msmtprc"
    accounts = [("starttls", "submission", "off"), ("wrapped", "submissions", "on")]
    methods = ["on", "plain", "scram-sha-256", "login"]
    text = f"defaults\ntls on\ntls_trust_file {house.certificate}\nhost localhost\n"
    text += f"from {ALICE}\nuser {ALICE}\npassword {PASSWORD}\n"
    for name, service, wrapped in accounts:
        for method in methods:
            text += f"account {name}-{method}\nport {house.ports[service]}\n"
            text += f"auth {method}\ntls_starttls {'off' if wrapped == 'on' else 'on'}\n"
    config.write_text(text)
    config.chmod(0o600)
    sent = []
    offered = subprocess.run(["msmtp", "--version"], capture_output=True, text=True).stdout
    for octets in mail.all_messages()[::12]:
        octets = re.sub(rb"^From: .*?\r\n", b"From: Alice <alice@demo.example>\r\n", octets)
        account, _, _ = accounts[len(sent) % 2]
        method = methods[len(sent) // 2 % 4]
        if method not in ("on", "plain") and method not in offered.lower():
            method = "on"
        subprocess.run(
            ["msmtp", "--file", config, "--account", f"{account}-{method}", BOB],
            input=octets.replace(b"\r\n", b"\n"), check=True, capture_output=True, timeout=60)
        sent.append(octets)
    came = house.wait_for(BOB, "INBOX", len(sent))
    check.arrived([m.octets for m in came], sent, "sent by msmtp")

    config.write_text(config.read_text().replace(f"password {PASSWORD}", "password wrong"))
    wrong = subprocess.run(
        ["msmtp", "--file", config, "--account", "starttls-on", BOB], input=b"Subject: x\n\n",
        capture_output=True, timeout=60)
    assert wrong.returncode == 77, f"a wrong password: {wrong.returncode} {wrong.stderr}"
