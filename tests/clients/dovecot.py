"""Dovecot with the users of a house, and `mailade proxy` before it: what a job can be given in place of
a house."""

import json
import pathlib
import shutil
import socket
import subprocess
import time

from house import ALICE, PASSWORD, PATIENCE, House, Judge

CONFIG = """
protocols = imap lmtp
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
listen = 127.0.0.1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{home}/mail/%u:LAYOUT=fs
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={home}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Archive {{
    auto = create
    special_use = \\Archive
  }}
  mailbox Drafts {{
    auto = create
    special_use = \\Drafts
  }}
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as there:
        return there.getsockname()[1]


class Dovecot:
    """`with Dovecot(folder, certificate) as dovecot`; `dovecot.ports`."""

    def __init__(self, folder, certificate):
        self.home = pathlib.Path(folder) / "dovecot"
        self.home.mkdir()
        self.certificate = certificate
        self.ports = {name: free_port() for name in ("imap", "imaps", "lmtp")}
        key = pathlib.Path(certificate).with_name("key.pem")
        self.config = self.home / "dovecot.conf"
        self.config.write_text(CONFIG.format(
            home=self.home, cert=certificate, key=key, password=PASSWORD, **self.ports))
        # Its processes run as another user.
        for path in [self.home, *self.home.parents][:-1]:
            path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(self.home, "nobody", "nogroup")

    def __enter__(self):
        self.server = subprocess.Popen(["dovecot", "-F", "-c", self.config])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                Judge(self.ports["imap"], ALICE).imap.logout()
                return self
            except OSError:
                assert time.monotonic() < deadline and self.server.poll() is None, self.log()
                time.sleep(0.05)

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait(PATIENCE)

    def log(self):
        log = self.home / "log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


class Proxy:
    """`mailade proxy` before Dovecot, and before a submission server at this port."""

    def __init__(self, program, folder, dovecot, smtp, listen_tls):
        self.program, self.listen_tls = program, listen_tls
        self.folder = pathlib.Path(folder) / f"proxy-{listen_tls}"
        self.folder.mkdir()
        key = pathlib.Path(dovecot.certificate).with_name("key.pem")
        self.config = self.folder / "mailade.toml"
        self.config.write_text(f"""
hostname = "localhost"
data_dir = "/proc/none"
[tls]
cert = "{dovecot.certificate}"
key = "{key}"
[proxy]
listen = ["127.0.0.1:0"]
listen_tls = "{listen_tls}"
imap = "localhost:{dovecot.ports["imaps"]}"
imap_tls = "tls"
smtp = "127.0.0.1:{smtp}"
smtp_tls = "none"
ca = "{dovecot.certificate}"
""")

    def __enter__(self):
        with open(self.folder / "log", "ab") as log:
            self.server = subprocess.Popen(
                [self.program, "--config", self.config, "proxy", "--announce"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.server.stdout.readline()
        assert line.startswith("ready "), self.log()
        self.port = int(json.loads(line[len("ready "):])["proxy"][0].rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.server.terminate()
        assert self.server.wait(15) == 0, self.log()

    def log(self):
        return (self.folder / "log").read_text()[-3000:]


class Behind:
    """What a job takes for a house: Dovecot, reached through the proxy or without it."""

    def __init__(self, dovecot, ports):
        self.certificate = dovecot.certificate
        self.ports = {**dovecot.ports, **ports}
        self.direct = dovecot.ports["imap"]

    def judge(self, user=ALICE):
        return Judge(self.direct, user)

    deliver = House.deliver
    wait_for = House.wait_for
