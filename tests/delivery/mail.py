"""A real SMTP server in the test's own loop, which can refuse, drop, be slow or ask for TLS."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from server.delivery.ports import SmtpServer

SENDER = "notices@jolda.example"
WAIT_S_MAX = 10.0


@dataclass
class Mailbox:
    """What arrived, and how the server answers. An answer of None cuts the connection."""

    rcpt: str = "250 OK"
    data: str | None = "250 OK"
    on_data: Callable[[], object] = lambda: None
    delay_s: float = 0.0
    rcpt_delay_s: float = 0.0
    """Before the message itself comes in."""
    got: list[Envelope] = field(default_factory=list)
    on_its_way: asyncio.Event = field(default_factory=asyncio.Event)
    """A whole message has come in, and the server has not answered for it yet."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, the server answers for no message until it is set again."""

    def __post_init__(self) -> None:
        self.answering.set()

    async def until_on_its_way(self) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            await self.on_its_way.wait()

    def messages(self) -> list[EmailMessage]:
        return [
            message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]  # bytes: decode_data is off
            for envelope in self.got
        ]

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        await asyncio.sleep(self.rcpt_delay_s)
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.got.append(envelope)
        self.on_data()
        self.on_its_way.set()
        await asyncio.sleep(self.delay_s)
        await self.answering.wait()
        if self.data is None:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return "421 gone"
        return self.data


@asynccontextmanager
async def smtp_server(
    mailbox: Mailbox, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[SmtpServer]:
    def connection() -> SMTP:
        return SMTP(mailbox, hostname="mail.test", ident="test", tls_context=tls)

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield SmtpServer(
            host="127.0.0.1", port=port, sender=SENDER, implicit_tls=False, plain=tls is None
        )
    finally:
        server.close()
        await server.wait_closed()
