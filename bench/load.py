"""A process that uploads: bodies built beforehand, raw sockets, one upload at a time each.

Reads a plan as one line of JSON on standard input, says "ready", uploads at the next line, and
answers with one line of JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

import uvloop

from bench.bodies import Shape, bodies, drive
from bench.lines import say


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to upload: so many bodies of each driver, from ``began`` on."""

    port: int
    connections: int
    shape: Shape
    size: int
    uploads_each: int
    began: str
    seed: int
    tokens: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    uploads: int
    failed: int
    seconds: float
    cpu_s: float
    p50_ms: float
    p99_ms: float


class Phone(asyncio.Protocol):
    """One connection: sends the next request when the last was answered."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self._requests = requests
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._sent_at = 0.0
        self.took_s: list[float] = []
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own transports derive from none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        request = next(self._requests, None)
        if request is None or self._transport is None:
            if not self._done.done():
                self._done.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.took_s.append(time.perf_counter() - self._sent_at)
        # Both servers answer {"accepted": n, ...}; nothing may be refused or be there already.
        self.failed += b" 200 " not in head[:16] or b'"duplicate":0,"refused":[]' not in body
        self._buffer = b""
        self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionResetError("the server hung up"))


def requests(plan: Plan) -> list[bytes]:
    """Return whole HTTP requests, the drivers taking turns."""
    began = datetime.fromisoformat(plan.began)
    of_driver = []
    for place, token in enumerate(plan.tokens):
        whole = drive(plan.seed + place, plan.uploads_each * plan.size, began=began)
        head = (
            f"POST /v1/positions HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode()
        of_driver.append(
            [
                head + str(len(body)).encode() + b"\r\n\r\n" + body
                for body in bodies(whole, size=plan.size, shape=plan.shape)
            ]
        )
    return [request for turn in zip(*of_driver, strict=True) for request in turn]


async def upload(plan: Plan, built: list[bytes]) -> Outcome:
    loop = asyncio.get_running_loop()
    left = iter(built)
    phones, finished = [], []
    for _ in range(plan.connections):
        done = loop.create_future()
        phone = Phone(left, done)
        await loop.create_connection(lambda phone=phone: phone, "127.0.0.1", plan.port)  # type: ignore[misc]  # a default binds the loop's value
        phones.append(phone)
        finished.append(done)
    began, cpu_began = time.perf_counter(), _cpu_s()
    for phone in phones:
        phone.send_next()
    await asyncio.gather(*finished)
    seconds, cpu_s = time.perf_counter() - began, _cpu_s() - cpu_began
    took_s = sorted(one for phone in phones for one in phone.took_s)
    return Outcome(
        uploads=len(took_s),
        failed=sum(phone.failed for phone in phones),
        seconds=seconds,
        cpu_s=cpu_s,
        p50_ms=1000 * took_s[len(took_s) // 2],
        p99_ms=1000 * took_s[len(took_s) * 99 // 100],
    )


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    built = requests(plan)
    say("ready")
    sys.stdin.readline()
    say(json.dumps(asdict(uvloop.run(upload(plan, built)))))


if __name__ == "__main__":
    main()
