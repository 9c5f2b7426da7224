"""Raw sockets on the edge: what no well-behaved client would ever send."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from server.kit.http_connection import Limits
from server.kit.http_server import Address, listening
from tests.kit import toy

CANARY = "CANARY-55.7558"
HOST = "Host: jolda.test\r\n"
GET = f"GET /v1/places HTTP/1.1\r\n{HOST}\r\n"
SHORT = Limits(head_s_max=0.5, body_s_max=1, idle_s_max=1.5, unread_s_max=0.5, linger_s_max=0.3)
SOON_S = 8.0
"""What must happen at some time does so before this, even on a busy machine."""


class Refusals(Counter[str]):
    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def count(self, reason: str) -> None:
        self[reason] += 1
        self.first.set()


@asynccontextmanager
async def edge(limits: Limits = SHORT, refused: Refusals | None = None) -> AsyncGenerator[Address]:
    async with listening(
        toy.application(),
        host="127.0.0.1",
        port=0,
        limits=limits,
        count_refused=(refused if refused is not None else Refusals()).count,
    ) as address:
        yield address


class Raw:
    """A socket and what came out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: str | bytes) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def rest(self, within_s: float = SOON_S) -> bytes:
        """Return everything until the server closes, which it must do in time."""
        async with asyncio.timeout(within_s):
            try:
                return await self.reader.read()
            except (ConnectionResetError, BrokenPipeError):
                return b""

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(SOON_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            return int(head.split()[1]), head + await self.reader.readexactly(size)


@asynccontextmanager
async def raw(address: Address) -> AsyncGenerator[Raw]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def answers_in(received: bytes) -> int:
    return received.count(b"HTTP/1.")
