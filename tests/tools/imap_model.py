#!/usr/bin/env python3
"""Random deeds by several IMAP sessions on one mailbox, each held against a client's own list.

Each session keeps what a simple client would: a list of UIDs by message number. No answer may
contradict it (a number that means another UID, an EXPUNGE under a command that counts by number),
and in the end all lists must be equal to what UID SEARCH ALL says.

Usage: imap_model.py PORT USER PASSWORD [SESSIONS] [STEPS] [SEED]
"""

import random
import re
import socket
import sys
import threading

MESSAGE = b"Subject: x\r\n\r\n"


class Client:
    def __init__(self, port, login, mailbox, seed):
        self.random = random.Random(seed)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.buffer = b""
        self.count = 0
        self.uids = []
        self.log = []
        self.line()
        self.command(login)
        if mailbox:
            self.mailbox = mailbox
            self.command("SELECT " + mailbox)
            self.command("FETCH 1:* (UID)")

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server has closed")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def hear(self, line, may_expunge):
        self.log.append(line)
        if match := re.match(rb"\* (\d+) EXISTS", line):
            count = int(match[1])
            assert count >= len(self.uids), "EXISTS shrinks"
            self.uids += [None] * (count - len(self.uids))
        elif match := re.match(rb"\* (\d+) EXPUNGE", line):
            assert may_expunge, "EXPUNGE under a command that counts by number"
            assert 1 <= int(match[1]) <= len(self.uids), "EXPUNGE of no message"
            del self.uids[int(match[1]) - 1]
        elif match := re.match(rb"\* (\d+) FETCH \(", line):
            number = int(match[1])
            assert number <= len(self.uids), "FETCH of no message"
            if uid := re.search(rb"UID (\d+)", line):
                known = self.uids[number - 1]
                assert known in (None, int(uid[1])), f"number {number} was UID {known}"
                self.uids[number - 1] = int(uid[1])

    def command(self, text, still=False, literal=b""):
        self.count += 1
        tag = b"t%d " % self.count
        self.log.append(text)
        self.socket.sendall(tag + text.encode() + b"\r\n" + literal)
        untagged = []
        while not (line := self.line()).startswith(tag):
            self.hear(line, not still)
            untagged.append(line)
        self.log.append(line)
        assert line.startswith((tag + b"OK", tag + b"NO")) and b"SERVERBUG" not in line, line
        return untagged

    def idle(self, seconds):
        self.count += 1
        tag = b"t%d " % self.count
        self.socket.sendall(tag + b"IDLE\r\n")
        while not (line := self.line()).startswith(b"+"):
            self.hear(line, True)
        self.socket.settimeout(seconds)
        try:
            while True:
                self.hear(self.line(), True)
        except TimeoutError:
            self.socket.settimeout(None)
        self.socket.sendall(b"DONE\r\n")
        while not (line := self.line()).startswith(tag):
            self.hear(line, True)

    def step(self):
        deed, count, mailbox = self.random.randrange(100), len(self.uids), self.mailbox
        some = self.random.randint(1, count) if count else 0
        if deed < 25:
            self.command(f"APPEND {mailbox} {{{len(MESSAGE)}+}}", literal=MESSAGE + b"\r\n")
        elif deed < 30:
            self.command(f"APPEND {mailbox} {{1+}}", literal=b"a {1+}\r\nb {1+}\r\nc\r\n")
        elif deed < 45 and some:
            silent = self.random.choice(["", ".SILENT"])
            last = min(count, some + 3)
            self.command(f"STORE {some}:{last} +FLAGS{silent} (\\Flagged)", still=True)
        elif deed < 55 and some:
            self.command(f"STORE {some} +FLAGS.SILENT (\\Deleted)", still=True)
        elif deed < 65:
            self.command("EXPUNGE")
        elif deed < 75 and some:
            self.command(f"FETCH {some}:* (UID FLAGS)", still=True)
        elif deed < 80 and some:
            self.command("UID FETCH 1:* (FLAGS)")
        elif deed < 85 and some:
            self.command("SEARCH FLAGGED", still=True)
        elif deed < 90:
            self.idle(0.02)
        elif deed < 95 and some:
            self.command(f"COPY {some} {mailbox}")
        else:
            self.command("NOOP")

    def settle(self):
        """The client's list and the server's, when nothing happens any more."""
        self.command("NOOP")
        self.command("FETCH 1:* (UID)", still=True)
        found = [line.split()[2:] for line in self.command("UID SEARCH ALL")
                 if line.startswith(b"* SEARCH")]
        return self.uids, [int(uid) for line in found for uid in line]


def main():
    port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    sessions, steps, seed = (int(arg) for arg in (sys.argv[4:7] + ["6", "400", "1"][len(sys.argv) - 4:]))
    login, mailbox = f"LOGIN {user} {password}", f"model-{seed}"
    Client(port, login, None, 0).command("CREATE " + mailbox)
    done, failures = [], []

    def play(number):
        client = None
        try:
            client = Client(port, login, mailbox, seed * 1000 + number)
            for _ in range(steps):
                client.step()
            done.append(client)
        except Exception as error:
            failures.append((number, error, client.log[-20:] if client else None))

    threads = [threading.Thread(target=play, args=(number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, error, log in failures:
        print(f"session {number}: {error!r}")
        for line in log or []:
            print("   ", line)
    lists = [each for client in done for each in client.settle()]
    differs = any(each != lists[0] for each in lists)
    if failures or differs or not lists:
        sys.exit("the sessions do not agree" if differs else "failed")
    print(f"{sessions} sessions agree on {len(lists[0])} messages")


main()
