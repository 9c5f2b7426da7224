"""A process with open dashboards: raw sockets on the live stream, and when each frame was there.

Reads a plan as one line of JSON on standard input, opens the streams, says "ready", and at the next
line tells in one line of JSON what came. Screens of one server are sent the same bytes, so each
different frame is parsed once.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import uvloop

from bench.http1 import Origin
from bench.lines import say

OPENED_AT_ONCE: Final = 20
OPEN_S_MAX: Final = 30.0
_MOVES: Final = b"event: pos\ndata: "


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreensPlan:
    port: int
    tokens: Sequence[str]
    """One for each dashboard."""


class Frames:
    """The different frames that came, by their bytes."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number_of(self, frame: bytes) -> int:
        return self._numbers.setdefault(frame, len(self._numbers))

    def positions(self) -> list[list[tuple[str, int]]]:
        """Return of each frame, by its number, who was shown at which time in milliseconds."""
        return [_positions(frame) for frame in self._numbers]


def _positions(frame: bytes) -> list[tuple[str, int]]:
    shown = []
    for block in frame.split(b"\n\n"):
        if block.startswith(_MOVES):
            for row in json.loads(block.removeprefix(_MOVES))["drivers"]:
                at = datetime.fromisoformat(row["fix_at"])
                shown.append((row["driver_id"], round(1000 * at.timestamp())))
    return shown


class Dashboard(asyncio.Protocol):
    """One open stream."""

    def __init__(self, frames: Frames, request: bytes) -> None:
        self._frames = frames
        self._request = request
        self._buffer = bytearray()
        self._begun = False
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrived: list[tuple[int, float]] = []
        """Which frame, and when the last of its bytes was there."""
        self.bytes = 0
        self.dropped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own transports derive from none of asyncio's.
        cast("asyncio.Transport", transport).write(self._request)

    def connection_lost(self, _error: Exception | None) -> None:
        self.dropped = True
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self._buffer += data
        if not self._begun:
            head, mark, rest = self._buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            if b" 200 " not in head[:16]:
                self.greeted.set_exception(RuntimeError(head[:40].decode("latin-1")))
                return
            self._begun, self._buffer = True, rest
        self._take_chunks()

    def _take_chunks(self) -> None:
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            size = int(self._buffer[:end], 16)
            if len(self._buffer) < end + 2 + size + 2:
                return
            chunk = bytes(self._buffer[end + 2 : end + 2 + size])
            del self._buffer[: end + 2 + size + 2]
            if chunk.startswith(b"id: ") and b"event: hello" in chunk:
                if not self.greeted.done():
                    self.greeted.set_result(None)
            elif not chunk.startswith(b":"):
                self.arrived.append((self._frames.number_of(chunk), time.monotonic()))


async def watch(plan: ScreensPlan) -> dict[str, Any]:
    """Open every stream; return what came until the next line on standard input."""
    frames = Frames()
    origin = Origin(host="127.0.0.1", port=plan.port)
    dashboards = [Dashboard(frames, _request(origin, token)) for token in plan.tokens]
    loop = asyncio.get_running_loop()
    for start in range(0, len(dashboards), OPENED_AT_ONCE):
        some = dashboards[start : start + OPENED_AT_ONCE]
        async with asyncio.timeout(OPEN_S_MAX):
            for one in some:
                await loop.create_connection(lambda one=one: one, origin.host, origin.port)  # type: ignore[misc]  # a default binds the loop's value
            await asyncio.gather(*(one.greeted for one in some))
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    return {
        "frames": frames.positions(),
        "arrived": [one.arrived for one in dashboards],
        "bytes": sum(one.bytes for one in dashboards),
        "dropped": sum(one.dropped for one in dashboards),
        "cpu_s": time.process_time(),
    }


def _request(origin: Origin, token: str) -> bytes:
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: {origin.authority}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: text/event-stream\r\n\r\n"
    ).encode()


def main() -> None:
    plan = ScreensPlan(**json.loads(sys.stdin.readline()))
    say(json.dumps(uvloop.run(watch(plan))))


if __name__ == "__main__":
    main()
