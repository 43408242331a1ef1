#!/usr/bin/env python3
"""Random deeds by several IMAP sessions on two mailboxes, each held against a client's own memory.

Each session keeps what a simple client would: a list of UIDs by message number, and the flags it was
told. No answer may contradict it: a number that means another UID, an EXPUNGE under a command that
counts by number, a UID whose message has another subject than before, \\Recent after IMAP4rev2. In
the end, when nothing happens any more, the flags a session was told must be those that the server
says, and sessions in one mailbox must agree.

Usage: imap_model.py PORT USER PASSWORD [SESSIONS] [STEPS] [SEED]
"""

import random
import re
import socket
import sys
import threading

MAILBOXES = ["one", "other"]
FLAGS = ["\\Flagged", "\\Seen", "\\Answered kw1", "kw2"]
SEARCHES = ["FLAGGED", "UNSEEN", "KEYWORD kw1", "NOT DELETED", "SUBJECT s"]
PATIENCE = 60
IDLES = 0.02


class Subjects:
    """What each message was when somebody first saw it: it must stay so."""

    def __init__(self):
        self.known = {}
        self.lock = threading.Lock()

    def check(self, mailbox, uid, subject):
        with self.lock:
            known = self.known.setdefault((mailbox, uid), subject)
        assert known == subject, f"{mailbox} {uid} was {known} and is {subject}"


class Client:
    def __init__(self, port, login, subjects, seed):
        self.random = random.Random(seed)
        self.subjects = subjects
        self.name = f"s{seed}"
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(PATIENCE)
        self.buffer = b""
        self.tags = 0
        self.appended = 0
        self.mailbox = None
        self.uids = []
        self.flags = {}
        self.log = []
        self.line()
        self.command(login)
        self.is_rev2 = self.random.random() < 0.4
        if self.is_rev2:
            self.command("ENABLE IMAP4rev2")

    # What comes in

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server has closed")
        self.buffer += data

    def line(self):
        """One answer with its literals."""
        answer = b""
        while True:
            while b"\r\n" not in self.buffer:
                self.fill()
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            answer += line
            literal = re.search(rb"\{(\d+)\}$", line)
            if not literal:
                return answer
            size = int(literal[1])
            while len(self.buffer) < size:
                self.fill()
            answer += b"\r\n" + self.buffer[:size]
            self.buffer = self.buffer[size:]

    def hear(self, line, may_expunge):
        self.log.append(line[:200])
        if match := re.match(rb"\* (\d+) EXISTS", line):
            count = int(match[1])
            assert count >= len(self.uids), "EXISTS shrinks"
            self.uids += [None] * (count - len(self.uids))
        elif match := re.match(rb"\* (\d+) EXPUNGE", line):
            assert may_expunge, "EXPUNGE under a command that counts by number"
            assert 1 <= int(match[1]) <= len(self.uids), "EXPUNGE of no message"
            self.flags.pop(self.uids.pop(int(match[1]) - 1), None)
        elif match := re.match(rb"\* (\d+) RECENT", line):
            assert not self.is_rev2, "RECENT under IMAP4rev2"
            assert int(match[1]) <= len(self.uids), "more are recent than there are"
        elif match := re.match(rb"\* (\d+) FETCH \((.*)\)$", line, re.DOTALL):
            self.hear_fetch(int(match[1]), match[2])
        elif line.startswith(b"* SEARCH"):
            numbers = [int(number) for number in line.split()[2:]]
            assert all(numbers) and len(set(numbers)) == len(numbers), "SEARCH of no message"

    def hear_fetch(self, number, items):
        assert 1 <= number <= len(self.uids), "FETCH of no message"
        if uid := re.search(rb"UID (\d+)", items):
            known = self.uids[number - 1]
            assert known in (None, int(uid[1])), f"number {number} was UID {known}"
            self.uids[number - 1] = int(uid[1])
        uid = self.uids[number - 1]
        if flags := re.search(rb"FLAGS \(([^)]*)\)", items):
            flags = set(flags[1].split())
            assert not (self.is_rev2 and b"\\Recent" in flags), "\\Recent under IMAP4rev2"
            if uid:
                self.flags[uid] = flags - {b"\\Recent"}
        if (subject := re.search(rb"Subject: (\S+)", items)) and uid:
            self.subjects.check(self.mailbox, uid, subject[1])

    # What goes out

    def send(self, text, literal=b""):
        self.tags += 1
        self.log.append("C: " + text)
        tag = b"t%d " % self.tags
        self.socket.sendall(tag + text.encode() + b"\r\n" + literal)
        return tag

    def command(self, text, still=False, literal=b""):
        tag = self.send(text, literal)
        while not (line := self.line()).startswith(tag):
            self.hear(line, not still)
        self.log.append(line)
        assert line.startswith((tag + b"OK", tag + b"NO")) and b"SERVERBUG" not in line, line

    def select(self):
        """Opens a mailbox; what is said up to CLOSED is about the one before."""
        mailbox = self.random.choice(MAILBOXES)
        tag = self.send(self.random.choice(["SELECT ", "SELECT ", "EXAMINE "]) + mailbox)
        lines = []
        while not (line := self.line()).startswith(tag):
            lines = [] if line.startswith(b"* OK [CLOSED]") else lines + [line]
        assert line.startswith(tag + b"OK"), line
        self.mailbox, self.uids, self.flags = mailbox, [], {}
        for told in lines:
            self.hear(told, may_expunge=False)
        self.command("FETCH 1:* (UID FLAGS)", still=True)

    def append(self):
        self.appended += 1
        message = f"Subject: {self.name}-{self.appended}\r\n\r\n".encode()
        flags = self.random.choice(["", "(\\Seen) ", "(kw1 kw3) "])
        mailbox = self.random.choice(MAILBOXES)
        self.command(f"APPEND {mailbox} {flags}{{{len(message)}+}}", literal=message + b"\r\n")

    def append_three(self):
        self.command(f"APPEND {self.mailbox} {{1+}}", literal=b"a (kw4) {1+}\r\nb {1+}\r\nc\r\n")

    def idle(self):
        tag = self.send("IDLE")
        while not (line := self.line()).startswith(b"+"):
            self.hear(line, may_expunge=True)
        self.socket.settimeout(IDLES)
        try:
            while True:
                self.hear(self.line(), may_expunge=True)
        except TimeoutError:
            self.socket.settimeout(PATIENCE)
        self.socket.sendall(b"DONE\r\n")
        while not (line := self.line()).startswith(tag):
            self.hear(line, may_expunge=True)

    def some(self):
        """A few neighbours, by number and by UID."""
        first = self.random.randint(1, len(self.uids))
        last = min(len(self.uids), first + self.random.randrange(4))
        uid = self.uids[first - 1] or 1
        return f"{first}:{last}", f"{uid}:{uid + 3}"

    def on_all(self):
        return [
            (20, self.append),
            (4, self.append_three),
            (6, lambda: self.command("EXPUNGE")),
            (4, self.idle),
            (8, lambda: self.command("NOOP")),
            (2, self.select),
        ]

    def on_some(self):
        numbers, uids = self.some()
        flags, search = self.random.choice(FLAGS), self.random.choice(SEARCHES)
        sign = self.random.choice(["+", "-", ""])
        silent = self.random.choice(["", ".SILENT"])
        to = self.random.choice(MAILBOXES)
        return [
            (16, f"STORE {numbers} {sign}FLAGS ({flags})"),
            (6, f"UID STORE {uids} +FLAGS (\\Draft)"),
            (8, f"STORE {numbers} +FLAGS{silent} (\\Deleted)"),
            (4, f"UID EXPUNGE {uids}"),
            (8, f"FETCH {numbers} (UID FLAGS BODY[HEADER])"),
            (4, "UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"),
            (5, f"SEARCH {search} {numbers}"),
            (3, f"UID SEARCH {search}"),
            (3, f"SEARCH RETURN (SAVE) {search}"),
            (3, "FETCH $ (UID FLAGS)"),
            (6, f"COPY {numbers} {to}"),
            (8, f"MOVE {numbers} {to}"),
            (3, f"UID MOVE {uids} {to}"),
        ]

    def step(self):
        deeds = self.on_all() + (self.on_some() if self.uids else [])
        weights, deeds = zip(*deeds)
        deed = self.random.choices(deeds, weights)[0]
        if not isinstance(deed, str):
            return deed()
        # A silent STORE tells nothing: what the flags are is asked.
        if ".SILENT" in deed:
            numbers = deed.split()[1]
            self.command(deed, still=True)
            deed = f"FETCH {numbers} (UID FLAGS)"
        still = deed.startswith(("STORE", "FETCH", "SEARCH"))
        return self.command(deed, still)

    def settle(self):
        """What the client holds when nothing happens any more; what it was told must be true."""
        self.command("NOOP")
        self.command("FETCH 1:* (UID)", still=True)
        told = {uid: self.flags.get(uid) for uid in self.uids}
        self.command("UID FETCH 1:* (FLAGS)")
        for uid, flags in told.items():
            assert flags in (None, self.flags[uid]), f"{uid}: {flags}, not {self.flags[uid]}"
        return self.mailbox, (list(self.uids), dict(self.flags))


def main():
    port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    usual = ["6", "400", "1"]
    sessions, steps, seed = (int(arg) for arg in sys.argv[4:7] + usual[len(sys.argv) - 4:])
    login, subjects = f"LOGIN {user} {password}", Subjects()
    first = Client(port, login, subjects, seed)
    for mailbox in MAILBOXES:
        first.command("CREATE " + mailbox)
    done, failures = [], []

    def guarded(client, deed):
        try:
            return deed()
        except Exception as error:
            failures.append((client.name, error, client.log[-20:]))
            return None

    def play(client):
        client.select()
        for _ in range(steps):
            client.step()
        done.append(client)

    clients = [Client(port, login, subjects, seed * 1000 + n) for n in range(sessions)]
    threads = [threading.Thread(target=guarded, args=(c, lambda c=c: play(c))) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = {}
    for client in done:
        if settled := guarded(client, client.settle):
            mailbox, messages = settled
            if held.setdefault(mailbox, messages) != messages:
                failures.append((client.name, "others in this mailbox hold something else", []))
    for name, error, log in failures:
        print(f"session {name}: {error!r}")
        for line in log:
            print("   ", line)
    if failures or len(done) != sessions:
        sys.exit(f"failed; seed {seed}")
    counts = {mailbox: len(messages[0]) for mailbox, messages in held.items()}
    print(f"{sessions} sessions agree: {counts}")


main()
