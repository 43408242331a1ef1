"""The next server of a house: aiosmtpd, with the extensions a job asks for."""

import queue

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, syntax

PATIENCE = 60


class Chunked(SMTP):
    """aiosmtpd with BDAT and BINARYMIME (RFC 3030), which it lacks."""

    chunks = b""

    async def smtp_MAIL(self, arg):
        self.chunks = b""
        await super().smtp_MAIL(arg and arg.replace("BODY=BINARYMIME", "BODY=8BITMIME"))

    @syntax("BDAT SP size [SP LAST]")
    async def smtp_BDAT(self, arg):
        size, _, last = arg.partition(" ")
        self.chunks += await self._reader.readexactly(int(size))
        if not last:
            await self.push("250 2.0.0 more, please")
            return
        self.envelope.content = self.envelope.original_content = self.chunks
        await self.push(await self.event_handler.handle_DATA(self, self.session, self.envelope))
        self._set_post_data_state()


class Server(Controller):
    def __init__(self, handler, chunked, login):
        self.kind = Chunked if chunked else SMTP
        self.login = login
        super().__init__(handler, hostname="127.0.0.1", port=0)

    def factory(self):
        auth = {}
        if self.login:
            auth = {"authenticator": self.judge, "auth_require_tls": False, "auth_required": True}
        return self.kind(self.handler, decode_data=False, enable_SMTPUTF8=True, **auth)

    def judge(self, server, session, envelope, mechanism, said):
        given = (said.login.decode(), said.password.decode())
        return AuthResult(success=given == self.login)

    def _trigger_server(self):
        # The port is known only now.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Sink:
    """`with Sink("8BITMIME", "CHUNKING", "BINARYMIME") as sink`; `sink.port`, `sink.next()`. With a login
    it takes nothing from anybody else."""

    def __init__(self, *extensions, login=None):
        self.extensions = set(extensions)
        self.came = queue.Queue()
        self.server = Server(self, "CHUNKING" in extensions, login)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        names = [line[4:] for line in responses]
        kept = [name for name in names[:-1] if name != "8BITMIME" or "8BITMIME" in self.extensions]
        kept += sorted(self.extensions - {"8BITMIME"})
        return [f"250-{name}" for name in kept] + [f"250 {names[-1]}"]

    async def handle_DATA(self, server, session, envelope):
        self.came.put((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 2.0.0 taken"

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    @property
    def port(self):
        return self.server.port

    def next(self):
        """Sender, recipients and octets of the next message that comes."""
        return self.came.get(timeout=PATIENCE)
