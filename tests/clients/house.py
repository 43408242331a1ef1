"""A house of its own for a job: the real program on free ports, with two users, and a judge that
says what is in a mailbox."""

import imaplib
import json
import pathlib
import re
import smtplib
import subprocess
import time

SERVICES = ["imap", "imaps", "smtp", "lmtp", "submission", "submissions"]
OFF = ["immp", "managesieve", "admin", "https", "http"]
ALICE, BOB, PASSWORD = "alice@demo.example", "bob@demo.example", "secret"
PATIENCE = 60

imaplib._MAXLINE = 10_000_000


class House:
    """A running house; `with House(program, folder, certificate) as house`. `more` is added to its
    configuration."""

    def __init__(self, program, folder, certificate, more=""):
        self.program = str(program)
        self.folder = pathlib.Path(folder)
        self.pair = certificate
        self.certificate, key = certificate
        self.config = self.folder / "mailade.toml"
        lines = [
            'hostname = "localhost"',
            f'data_dir = "{self.folder / "data"}"',
            "[tls]",
            f'cert = "{self.certificate}"',
            f'key = "{key}"',
            "[listen]",
            *(f'{name} = ["127.0.0.1:0"]' for name in SERVICES),
            *(f"{name} = []" for name in OFF),
        ]
        self.config.write_text("\n".join(lines) + "\n" + more)
        self.server = None
        self.ports = {}

    def __enter__(self):
        self.run("domain", "add", "demo.example")
        for user in (ALICE, BOB):
            self.run("user", "add", user, "--password-stdin", input=PASSWORD + "\n")
        log = open(self.folder / "log", "ab")
        self.server = subprocess.Popen(
            [self.program, "--config", self.config, "serve", "--announce"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )
        line = self.server.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"the server does not start: {(self.folder / 'log').read_text()}")
        for name, addresses in json.loads(line[len("ready "):]).items():
            if addresses:
                self.ports[name] = int(addresses[0].rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.server.terminate()
        try:
            self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
            raise AssertionError("the server does not stop within 15 s")
        if self.server.returncode != 0:
            raise AssertionError(f"the server ended with {self.server.returncode}")

    def run(self, *arguments, input=""):
        """The command line beside the server."""
        subprocess.run(
            [self.program, "--config", self.config, *arguments],
            input=input, text=True, check=True, capture_output=True,
        )

    def judge(self, user=ALICE):
        """A connection of the judge, logged in."""
        return Judge(self.ports["imap"], user)

    def deliver(self, messages, recipient=ALICE):
        """By LMTP, as another mail server's programs do."""
        with Lmtp("127.0.0.1", self.ports["lmtp"]) as lmtp:
            for message in messages:
                lmtp.sendmail("friend@remote.example", [recipient], message)

    def wait_for(self, user, mailbox, number):
        """The messages of a mailbox as soon as it holds this many, oldest first."""
        deadline = time.monotonic() + PATIENCE
        with self.judge(user) as judge:
            while True:
                messages = judge.messages(mailbox)
                if len(messages) >= number:
                    assert len(messages) == number, f"{len(messages)} in {mailbox}, not {number}"
                    return messages
                assert time.monotonic() < deadline, f"{len(messages)} in {mailbox}, not {number}"
                time.sleep(0.05)


class Lmtp(smtplib.LMTP):
    def __init__(self, host, port):
        super().__init__(host, port, local_hostname="test.example")


class Message:
    """A message as the judge finds it."""

    def __init__(self, uid, flags, octets):
        self.uid, self.flags, self.octets = uid, flags, octets

    @property
    def subject(self):
        found = re.search(rb"^Subject: ([^\r\n]*)", self.octets, re.M | re.I)
        return found[1].decode() if found else ""


class Judge:
    """Says by plain IMAP what a mailbox holds, octet for octet."""

    FETCHED = re.compile(rb"\d+ \(.*?UID (\d+)")
    FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")

    def __init__(self, port, user):
        self.imap = imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE)
        self.imap.login(user, PASSWORD)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.imap.logout()

    def ask(self, what, *arguments):
        status, data = getattr(self.imap, what)(*arguments)
        assert status == "OK", f"{what} {arguments}: {status} {data}"
        return data

    def messages(self, mailbox="INBOX"):
        self.ask("select", f'"{mailbox}"', True)
        found = []
        for item in self.ask("uid", "fetch", "1:*", "(UID FLAGS BODY.PEEK[])"):
            if isinstance(item, tuple):
                uid = int(self.FETCHED.match(item[0])[1])
                flags = set(self.FLAGS.search(item[0])[1].decode().split()) - {"\\Recent"}
                found.append(Message(uid, flags, item[1]))
        return found

    def append(self, mailbox, octets, flags=""):
        imaplib_keeps = self.imap.append  # it would turn line ends, which ours are already
        status, data = imaplib_keeps(f'"{mailbox}"', f"({flags})", None, octets)
        assert status == "OK", data

    def store(self, mailbox, uids, how, flags):
        self.ask("select", f'"{mailbox}"')
        self.ask("uid", "store", ",".join(map(str, uids)), how, f"({flags})")

    def expunge(self, mailbox, uids):
        self.store(mailbox, uids, "+FLAGS", "\\Deleted")
        self.ask("expunge")
