"""A link to PostgreSQL that breaks between a commit and its answer, after any number of bytes.

What comes from either side is passed on byte for byte. Of the committer's sessions the messages are
understood just far enough to know which answer tells of a commit. Such a one is held back until it
has come whole, so the commit is done; then the first so many of its bytes are handed on and the
connection is reset on both sides. Or the request is cut, of which PostgreSQL then does nothing.
"""

import asyncio
import random
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from server.kit.db import ROLE_COMMITTER

SOCKET: Final = ".s.PGSQL.5432"
"""Its name in whatever folder it lies."""
CHUNK_BYTES: Final = 1 << 16
HEAD_BYTES: Final = 5
"""Of every message but the first: its type and its length."""
FIRST_HEAD_BYTES: Final = 8
"""Of the first: its length, and what it asks for."""
ASKS_FOR_ENCRYPTION: Final = frozenset({80_877_103, 80_877_104})
BIND: Final = b"B"
BOUND, DATA, COMPLETE, READY = b"2", b"D", b"C", b"Z"
HELD_FROM: Final = frozenset({BOUND, COMPLETE})
"""With one of these begins what a statement that was run is answered."""
IDLE: Final = b"I"
COMMITTED: Final = b"COMMIT\0"


class Breaks:
    """When the link breaks: a seeded share of the times, until it has done so often enough."""

    def __init__(self, wanted: int, *, share: float, of_requests: float, seed: int) -> None:
        self.wanted = wanted
        self.answers = 0
        self.requests = 0
        self._share = share
        self._of_requests = of_requests
        self._dice = random.Random(seed)  # noqa: S311 - no secret

    @property
    def count(self) -> int:
        return self.answers + self.requests

    def of_answer(self, length: int) -> int | None:
        """Return after how many bytes an answer of this length is cut; None if it is not."""
        if not self._breaks(self._share):
            return None
        self.answers += 1
        return self._dice.randrange(length)

    def of_request(self, length: int) -> int | None:
        if not self._breaks(self._share * self._of_requests):
            return None
        self.requests += 1
        return self._dice.randrange(length)

    def _breaks(self, share: float) -> bool:
        return self.count < self.wanted and self._dice.random() < share


class Answers:
    """The messages of a session's server: what may be passed on, and what ends a commit."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._at = 0
        """Up to here it has come in whole messages."""
        self._begins: int | None = None
        """Where the answer begins that is held back."""
        self._has_data = False
        self._tag = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Return what may be passed on now, each with whether it is the answer to a commit."""
        self._came += data
        found: list[tuple[bytes, bool]] = []
        while (message := self._next()) is not None:
            kind, content = message
            if self._begins is None and kind in HELD_FROM:
                self._begins = self._at - HEAD_BYTES - len(content)
            self._has_data |= kind == DATA
            if kind == COMPLETE:
                self._tag = content
            if kind == READY and self._begins is not None:
                found += self._taken(self._begins, is_of_commit=False)
                found += self._taken(self._at, is_of_commit=self._tells_of_commit(content))
                self._begins, self._has_data, self._tag = None, False, b""
        if self._begins is None:
            found += self._taken(self._at, is_of_commit=False)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        head_end = self._at + HEAD_BYTES
        if len(self._came) < head_end:
            return None
        kind, length = struct.unpack_from("!ci", self._came, self._at)
        end = self._at + 1 + length
        if len(self._came) < end:
            return None
        self._at = end
        return kind, bytes(self._came[head_end:end])

    def _taken(self, until: int, *, is_of_commit: bool) -> list[tuple[bytes, bool]]:
        taken = bytes(self._came[:until])
        del self._came[:until]
        self._at -= until
        return [(taken, is_of_commit)] if taken else []

    def _tells_of_commit(self, state: bytes) -> bool:
        """Tell whether a transaction ended well here: a COMMIT, or a statement on its own."""
        return state == IDLE and (self._tag == COMMITTED or self._has_data)


class Link:
    """Passes sessions on to PostgreSQL; see :func:`link`."""

    def __init__(self, postgres: Path, breaks: Breaks) -> None:
        self._postgres = postgres
        self._breaks = breaks

    async def serve(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._postgres)
        except OSError:
            to_client.transport.abort()
            return
        ends = (to_client, to_server)
        with suppress(OSError, asyncio.IncompleteReadError):
            role = await _begun(from_client, to_server, from_server, to_client)
            async with asyncio.TaskGroup() as group:
                if ROLE_COMMITTER.encode() in role:
                    group.create_task(self._requests(from_client, to_server, ends))
                    group.create_task(self._answers(from_server, to_client, ends))
                else:
                    group.create_task(_copied(from_client, to_server, ends))
                    group.create_task(_copied(from_server, to_client, ends))
        _reset(ends)

    async def _requests(
        self, reader: StreamReader, writer: StreamWriter, ends: tuple[StreamWriter, ...]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                cut = self._breaks.of_request(len(data)) if data.startswith(BIND) else None
                writer.write(data[:cut])
                await writer.drain()
                if cut is not None:
                    break
        _reset(ends)

    async def _answers(
        self, reader: StreamReader, writer: StreamWriter, ends: tuple[StreamWriter, ...]
    ) -> None:
        answers = Answers()
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                for answer, is_of_commit in answers.feed(data):
                    cut = self._breaks.of_answer(len(answer)) if is_of_commit else None
                    writer.write(answer[:cut])
                    await writer.drain()
                    if cut is not None:
                        # Written before the reset, or the kernel may drop it unread.
                        await asyncio.sleep(0)
                        _reset(ends)
                        return
        _reset(ends)


async def _begun(
    from_client: StreamReader,
    to_server: StreamWriter,
    from_server: StreamReader,
    to_client: StreamWriter,
) -> bytes:
    """Pass on how a session begins; return what it says of itself."""
    while True:
        head = await from_client.readexactly(FIRST_HEAD_BYTES)
        length, asked = struct.unpack("!ii", head)
        said = await from_client.readexactly(length - FIRST_HEAD_BYTES)
        to_server.write(head + said)
        await to_server.drain()
        if asked not in ASKS_FOR_ENCRYPTION:
            return said
        to_client.write(await from_server.readexactly(1))
        await to_client.drain()


async def _copied(
    reader: StreamReader, writer: StreamWriter, ends: tuple[StreamWriter, ...]
) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    _reset(ends)


def _reset(ends: tuple[StreamWriter, ...]) -> None:
    for one in ends:
        one.transport.abort()


@asynccontextmanager
async def tcp_link(postgres: Path, breaks: Breaks) -> AsyncGenerator[int]:
    """Listen on a port of this machine, which is given, until the block ends."""
    listening = await asyncio.start_server(Link(postgres, breaks).serve, "127.0.0.1", 0)
    try:
        port: int = listening.sockets[0].getsockname()[1]
        yield port
    finally:
        listening.close()


@asynccontextmanager
async def unix_link(postgres: Path, breaks: Breaks, folder: Path) -> AsyncGenerator[Path]:
    """Listen on a socket in this folder as PostgreSQL would, until the block ends."""
    path = folder / SOCKET
    listening = await asyncio.start_unix_server(Link(postgres, breaks).serve, path)
    try:
        yield path
    finally:
        listening.close()
