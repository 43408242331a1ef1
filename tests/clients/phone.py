"""A phone that keeps a copy of a mailbox by imapflow; phone.mjs is the phone itself."""

import hashlib
import json
import os
import pathlib
import subprocess

from house import ALICE, PASSWORD


class Phone:
    """`with Phone(house) as phone`; each order is answered by what the phone heard meanwhile."""

    def __init__(self, house, user=ALICE, qresync=True):
        environment = {
            **os.environ, "PORTS": json.dumps(house.ports), "USER": user, "PASSWORD": PASSWORD,
            "CERTIFICATE": str(house.certificate), "QRESYNC": "yes" if qresync else "no",
        }
        script = pathlib.Path(__file__).with_name("phone.mjs")
        self.node = subprocess.Popen(
            ["node", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.stdin.close()
        self.node.wait(60)

    def order(self, order, **what):
        self.node.stdin.write(json.dumps({"order": order, **what}) + "\n")
        self.node.stdin.flush()
        answer = self.node.stdout.readline()
        assert answer, f"the phone ended at {order}"
        answer = json.loads(answer)
        assert "error" not in answer, answer["error"]
        return answer

    def opened(self, mailbox="INBOX"):
        """Connects and is in step with the mailbox."""
        self.order("connect")
        return self.order("open", mailbox=mailbox)

    def equal(self, wanted, where):
        """Its copy is what the judge found."""
        found = self.order("state")["messages"]
        assert found == wanted, f"{where}: {differences(found, wanted)}"


def truth(judge, mailbox="INBOX"):
    """What the judge finds in a mailbox, in the words of a phone."""
    return {
        str(message.uid): {
            "flags": sorted(message.flags), "octets": hashlib.sha256(message.octets).hexdigest()}
        for message in judge.messages(mailbox)
    }


def differences(found, wanted):
    uids = sorted(set(found) | set(wanted), key=int)
    return {uid: (found.get(uid), wanted.get(uid)) for uid in uids if found.get(uid) != wanted.get(uid)}
