"""A phone that writes its own bytes: uploads and their answers as they stand on the socket."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from server.kit.http_server import Address
from tests.uploading import positions
from tests.world import NOW

BITS: Final = 10
NUMBERS_MAX: Final = 1 << BITS
ANSWERED_S_MAX: Final = 30.0
"""What must be answered is so before this, even on a busy machine."""


class Answer(NamedTuple):
    status: int
    body: Any
    """None where it is no JSON."""

    @property
    def number(self) -> int:
        """Which upload this answers: the one whose number it spells by what it refuses."""
        return sum(1 << one["index"] for one in self.body["refused"])

    @property
    def kept(self) -> int:
        """Positions that are stored, now or before."""
        return int(self.body["accepted"] + self.body["duplicate"])


def numbered(number: int, *, now: datetime = NOW) -> bytes:
    """Return an upload that no other number's answer fits: it keeps at least one position.

    Position ``i`` is too old, and refused, where bit ``i`` of the number is 1.
    """
    long_ago = now - timedelta(days=5)
    sent = [
        positions(1, until=long_ago if number >> place & 1 else now)[0] for place in range(BITS)
    ]
    sent += positions(1, until=now, altitude_m=float(number))
    return json.dumps({"positions": sent}).encode()


def request(
    token: str,
    body: bytes,
    *,
    headers: str = "",
    path: str = "/v1/positions",
    version: str = "1.1",
) -> bytes:
    """Return an upload with its length told."""
    return _head(token, f"{headers}Content-Length: {len(body)}\r\n", path, version) + body


def chunked(token: str, body: bytes, *, step: int = 97) -> bytes:
    parts = (body[at : at + step] for at in range(0, len(body), step))
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return _head(token, "Transfer-Encoding: chunked\r\n") + framed + b"0\r\n\r\n"


def zipped(token: str, body: bytes) -> bytes:
    return request(token, gzip.compress(body), headers="Content-Encoding: gzip\r\n")


def _head(token: str, headers: str, path: str = "/v1/positions", version: str = "1.1") -> bytes:
    return (
        f"POST {path} HTTP/{version}\r\nHost: jolda.test\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\n{headers}\r\n"
    ).encode()


class RawPhone:
    """One connection of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, within_s: float = ANSWERED_S_MAX) -> Answer:
        """Return the next answer; an interim one is passed over.

        Raises
        ------
        EOFError
            The server closed instead.
        TimeoutError
        """
        async with asyncio.timeout(within_s):
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                status = int(head.split(maxsplit=2)[1])
                if status >= 200:
                    break
            [size] = [
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ]
            body = await self.reader.readexactly(size)
        is_json = b"json" in head.lower()
        return Answer(status, json.loads(body) if is_json else None)

    async def is_closed_by_the_server(self, within_s: float = ANSWERED_S_MAX) -> bool:
        """Return whether nothing more comes, not a byte; raises TimeoutError if it stays open."""
        async with asyncio.timeout(within_s):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def abort(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_phone(address: Address, *, local: str | None = None) -> AsyncGenerator[RawPhone]:
    """Connect; ``local`` is the address to come from."""
    reader, writer = await asyncio.open_connection(
        address.host, address.port, local_addr=None if local is None else (local, 0)
    )
    try:
        yield RawPhone(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def slices(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """Cut the bytes into parts of these sizes."""
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size
