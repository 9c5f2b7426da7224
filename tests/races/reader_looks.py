"""The readers' black box: asks over sockets of its own, and keeps every byte as it came.

What counts is what the kernel had when the stop was answered: a byte that lay there unread left the
server before. So at that very moment each connection is asked how much it holds.
"""

import asyncio
import fcntl
import re
import struct
import termios
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

STREAM: Final = "stream"
"""The only way that never ends by itself."""
PAUSE_S: Final = 0.02
HEAD_BYTES_MAX: Final = 4096
"""Of an answer; what comes after it is the body."""


class Look(asyncio.Protocol):
    """One question on a connection of its own, and all that came of it."""

    def __init__(self, question: bytes, mark: re.Pattern[bytes], *, late: bool) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked_late = late
        """Asked after the stop was answered: then not a byte may show the driver."""
        self.shows = False
        self._question = question
        self._mark = mark
        self._came = bytearray()
        self._in_time: int | None = 0 if late else None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._question)

    def data_received(self, data: bytes) -> None:
        # Back by what a mark may be long: it may come in two parts.
        begin = max(0, len(self._came) - 16)
        self._came += data
        self.shows = self.shows or self._mark.search(self._came, begin) is not None

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # cut off, as it should be
        if not self.over.done():
            self.over.set_result(None)

    def stop_answered(self) -> None:
        """Count what came until now, and what the kernel holds of it."""
        self._in_time = len(self._came) + self._unread()

    def shows_late(self) -> bool:
        """Tell whether a position came that was not there when the stop was answered."""
        in_time = len(self._came) if self._in_time is None else self._in_time
        return any(one.end() > in_time for one in self._mark.finditer(self._came))

    def is_in_parts(self) -> bool:
        """Tell whether more than what it began with was still to be drawn when it began."""
        head, _, _ = self._came[:HEAD_BYTES_MAX].partition(b"\r\n\r\n")
        return b"transfer-encoding: chunked" in head.lower()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _unread(self) -> int:
        if self._transport is None or self._transport.is_closing():
            return 0
        opened = self._transport.get_extra_info("socket")
        held = fcntl.ioctl(opened.fileno(), termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", held)[0])


class Looks:
    """Everybody who looks at one driver, each by another way, without pause."""

    def __init__(self, ways: Sequence[str], mark: re.Pattern[bytes]) -> None:
        self.by_way: dict[str, list[Look]] = {way: [] for way in ways}
        self._mark = mark
        self._answered = False

    def stop_answered(self) -> None:
        """Say so at once, before anything else can come: what comes from now on is late."""
        self._answered = True
        for look in self._all():
            look.stop_answered()

    def shown_by(self) -> set[str]:
        """Return the ways by which the driver was seen."""
        return {way for way, looks in self.by_way.items() if any(one.shows for one in looks)}

    def answered_late(self, times: int) -> bool:
        """Tell whether each way was asked so often since the stop, and has answered."""
        return all(
            sum(one.asked_late and one.over.done() for one in looks) >= times
            for way, looks in self.by_way.items()
            if way != STREAM
        )

    def seen(self) -> Counter[str]:
        return Counter({way: sum(one.shows for one in its) for way, its in self.by_way.items()})

    def late(self) -> Counter[str]:
        return Counter(
            {way: sum(one.shows_late() for one in its) for way, its in self.by_way.items()}
        )

    def seen_in_parts(self) -> Counter[str]:
        return self._in_parts(lambda one: one.shows)

    def late_in_parts(self) -> Counter[str]:
        return self._in_parts(Look.shows_late)

    def _in_parts(self, holds: Callable[[Look], bool]) -> Counter[str]:
        counted = {
            way: sum(holds(one) and one.is_in_parts() for one in looks)
            for way, looks in self.by_way.items()
            if way != STREAM
        }
        return +Counter(counted)

    async def look(self, way: str, path: str, token: str | None, urls: Sequence[str]) -> None:
        """Ask by one way, at each server in turn, until cancelled."""
        places = [(str(one.hostname), one.port or 0) for one in map(urlsplit, urls)]
        told = "" if token is None else f"Authorization: Bearer {token}\r\n"
        question = f"GET {path} HTTP/1.1\r\nHost: proof\r\nConnection: close\r\n{told}\r\n".encode()
        loop = asyncio.get_running_loop()
        turn = list(self.by_way).index(way)
        while True:
            turn += 1
            look = Look(question, self._mark, late=self._answered)
            self.by_way[way].append(look)
            with suppress(OSError):
                await loop.create_connection(lambda: look, *places[turn % len(places)])  # noqa: B023 - called within the turn
                await look.over
            await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        for look in self._all():
            look.close()

    def _all(self) -> list[Look]:
        return [look for looks in self.by_way.values() for look in looks]


@asynccontextmanager
async def looking(
    paths: Mapping[str, tuple[str, str | None]], urls: Sequence[str], mark: re.Pattern[bytes]
) -> AsyncGenerator[Looks]:
    """Look by every way, until the block ends. ``paths`` gives the path and token of each."""
    looks = Looks(tuple(paths), mark)
    tasks = [
        asyncio.create_task(looks.look(way, path, token, urls))
        for way, (path, token) in paths.items()
    ]
    try:
        yield looks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        looks.close()
