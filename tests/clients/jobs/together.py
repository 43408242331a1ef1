"""All at once on one mailbox: phones by imapflow (QRESYNC with IDLE, CONDSTORE alone, NOTIFY), IMAPClient,
imaplib, mbsync and offlineimap3 do some hundred deeds at the same time; in the end what each holds is
what the server holds. `TOGETHER_SEED=7` repeats a run, `TOGETHER_DEEDS=200` makes a longer one."""

import concurrent.futures
import contextlib
import os
import random
import subprocess

import mail
from house import ALICE
from jobs.imapclient_sync import caught_up, client
from maildir import Mbsync, Offlineimap, flag, held
from phone import Phone, truth

MAILBOX = "Zusammen"
DEEDS = int(os.environ.get("TOGETHER_DEEDS", "40"))
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Label1", "rot"]


def job(house, folder):
    seed = int(os.environ.get("TOGETHER_SEED", os.getpid()))
    print(f"TOGETHER_SEED={seed}", flush=True)
    with contextlib.ExitStack() as stack:
        judge = stack.enter_context(house.judge())
        judge.ask("create", MAILBOX)
        for octets in mail.all_messages()[:40]:
            judge.append(MAILBOX, octets)
        phones = [stack.enter_context(Phone(house, qresync=way)) for way in (True, False, True)]
        for phone in phones:
            phone.opened(MAILBOX)
        phones[2].order("notify")
        reader = stack.enter_context(client(house, ALICE))
        known = caught_up(judge, reader, {}, 0, MAILBOX)
        near = [Mbsync(house, folder), Offlineimap(house, folder)]
        for each in near:
            each.sync()
        deeds = [
            *(PhoneDeeds(phone, folder / f"phone{number}", seed + number, number == 2) for number, phone in enumerate(phones)),
            ReaderDeeds(reader, seed + 10), JudgeDeeds(stack.enter_context(house.judge()), seed + 11),
            *(MaildirDeeds(each, seed + 12 + number) for number, each in enumerate(near)),
        ]
        with concurrent.futures.ThreadPoolExecutor(len(deeds)) as pool:
            for done in [pool.submit(each.run) for each in deeds]:
                done.result()
        settle(judge, near)
        wanted = truth(judge, MAILBOX)
        for phone, way in zip(phones, ("QRESYNC", "CONDSTORE", "NOTIFY")):
            phone.order("check")
            phone.equal(wanted, f"{way}, in the end")
            phone.order("drop")
            phone.opened(MAILBOX)
            phone.equal(wanted, f"{way}, back in the end")
        caught_up(judge, reader, *known, MAILBOX)
        for each in near:
            assert each.contents(MAILBOX) == held(judge, MAILBOX), type(each).__name__


def settle(judge, near):
    """What one brings the other does not know yet: until nothing comes any more."""
    for _ in range(6):
        before = truth(judge, MAILBOX)
        for each in near:
            each.sync()
        if truth(judge, MAILBOX) == before:
            return
    raise AssertionError("the Maildirs do not come to rest")


class Deeds:
    """Somebody who does something, by dice of his own."""

    def __init__(self, seed, deeds=DEEDS):
        self.dice = random.Random(seed)
        self.deeds = deeds
        self.seed = seed
        self.made = 0

    def run(self):
        for _ in range(self.deeds):
            self.deed(self.dice.randrange(100))

    def uids(self, known):
        """Some that were there when he last looked."""
        return sorted(self.dice.sample(known, min(len(known), self.dice.randint(1, 3)))) if known else []

    def message(self):
        self.made += 1
        return f"From: {self.seed}@remote.example\r\nSubject: {self.seed} {self.made}\r\n\r\n{self.dice.random()}\r\n".encode()


class PhoneDeeds(Deeds):
    def __init__(self, phone, folder, seed, notify):
        super().__init__(seed)
        self.phone, self.folder, self.notify = phone, folder, notify
        self.folder.mkdir()

    def deed(self, dice):
        known = [int(uid) for uid in self.phone.order("state")["messages"]]
        uids = ",".join(map(str, self.uids(known)))
        if dice < 25 and uids:
            self.phone.order("flag", uids=uids, add=[self.dice.choice(FLAGS)])
        elif dice < 40 and uids:
            self.phone.order("flag", uids=uids, remove=[self.dice.choice(FLAGS)])
        elif dice < 48 and uids:
            self.phone.order("remove", uids=uids)
        elif dice < 53 and uids:
            self.phone.order("move", uids=uids, to="Archive")
        elif dice < 70:
            file = self.folder / "new"
            file.write_bytes(self.message())
            self.phone.order("append", file=str(file), to=MAILBOX, flags=[self.dice.choice(FLAGS)])
        elif dice < 80:
            self.phone.order("check")
            self.phone.order("drop")
            self.phone.opened(MAILBOX)
            if self.notify:
                self.phone.order("notify")
        elif dice < 90:
            self.phone.order("check")
        elif not self.notify:
            self.phone.order("idle")


class ReaderDeeds(Deeds):
    def __init__(self, reader, seed):
        super().__init__(seed)
        self.reader = reader

    def deed(self, dice):
        uids = self.uids(self.reader.search())
        if dice < 25:
            self.reader.add_flags(uids, [self.dice.choice(FLAGS)], silent=dice < 12)
        elif dice < 40:
            self.reader.remove_flags(uids, [self.dice.choice(FLAGS)])
        elif dice < 50:
            self.reader.delete_messages(uids)
            self.reader.uid_expunge(uids)
        elif dice < 60:
            self.reader.move(uids, "Archive")
        elif dice < 70:
            self.reader.copy(uids, MAILBOX)
        elif dice < 85:
            self.reader.append(MAILBOX, self.message())
        else:
            self.reader.idle()
            self.reader.idle_done()


class JudgeDeeds(Deeds):
    def __init__(self, judge, seed):
        super().__init__(seed)
        self.judge = judge

    def deed(self, dice):
        uids = self.uids([message.uid for message in self.judge.messages(MAILBOX)])
        if dice < 30:
            self.judge.append(MAILBOX, self.message(), self.dice.choice(FLAGS))
        elif dice < 60:
            self.judge.store(MAILBOX, uids, self.dice.choice(["+FLAGS", "-FLAGS", "FLAGS"]), self.dice.choice(FLAGS))
        elif dice < 75:
            self.judge.expunge(MAILBOX, uids)
        else:
            self.judge.ask("select", "Archive")
            self.judge.ask("uid", "move", "1:*", MAILBOX)


class MaildirDeeds(Deeds):
    def __init__(self, near, seed):
        super().__init__(seed, DEEDS // 4)
        self.near = near

    def deed(self, dice):
        files = self.near.files(MAILBOX)
        for path in self.dice.sample(files, min(len(files), 2)):
            flag(path, "".join(self.dice.sample("DFRS", 2)))
        if files and dice < 30:
            self.gone(self.dice.choice(self.near.files(MAILBOX)))
        if dice > 40:
            self.near.put(self.message(), MAILBOX, "S")
        try:
            self.near.sync()
        except (subprocess.CalledProcessError, AssertionError):
            # What it was about to read may be gone; it must find its way at the next time.
            pass

    def gone(self, path):
        if isinstance(self.near, Mbsync):
            flag(path, "T")
        else:
            path.unlink()
