"""Proof: after a withdrawal or a pause is answered, no frame of that driver leaves the process.

Workers (threads with an event loop, a pool and a hub of their own) tick as fast as they can while
drivers move without pause, stop sharing, and share again. Each frame is stamped when the kernel
has it, each stop when it is answered; a position stamped after the first stop that ended its epoch
is late. Workers stall at random between reading the gates and writing, as any process may.

The control has no barrier. Before each stop a frame is held up in that very place, until the stop
was answered: it must find late frames every time, or the proof proves nothing.

``SIZE=smoke python -m tests.races.frames`` for a short run.
"""

import asyncio
import json
import random
import socket
import sys
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import numpy as np
import uvloop

from server.deposits import committer
from server.deposits.model import UploadsBusy
from server.gate import service as gate
from server.gate.model import GateBusy, GateItem
from server.gate.service import screen_epochs
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.sending import Connection as Screen
from server.live.hub import Barrier, Hub
from server.shifts import service as shifts
from server.tracking.model import Positions, to_ms
from server.uploads.model import Upload
from server.uploads.service import Uploads
from tests import consents
from tests.looks import looking
from tests.proofs import Report, Row, ended, size
from tests.races.held_frames import Hold, HoldingStream, StallingStream
from tests.stage import Place, Stage, on_a_stage, stage_on
from tests.world import NOW, Driver, add_company, add_driver

COMPANIES: Final = 2
DRIVERS: Final = 4
WORKERS: Final = 2
SEEN_S_MAX: Final = 10.0
ROUNDS: Final = {"smoke": 200, "full": 4_000}
CONTROL_ROUNDS: Final = 200
SPEED: Final = 60
"""The clock's. A consent given again counts half a minute after it was withdrawn."""
_START: Final = monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of the proof's table."""

    variant: str
    stops: int
    frames: int
    positions: int
    late: int
    stop_ms_p50: float
    stop_ms_max: float


@dataclass(slots=True)
class History:
    """What happened, by the one monotonic clock that all threads share."""

    frames: int = 0
    sent: dict[UUID, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """By driver: when the kernel had a position, and under which epoch it was sent."""
    stops: dict[UUID, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    """By driver: the first epoch after the stop, and when it was answered."""
    took_s: list[float] = field(default_factory=list)

    def seen_since(self, driver_id: UUID, epoch: int) -> bool:
        sent = self.sent[driver_id]
        return bool(sent) and sent[-1][1] >= epoch

    def late(self) -> int:
        """Count positions sent after the answer to the stop that ended their epoch."""
        count = 0
        for driver_id, sent in self.sent.items():
            stops = self.stops[driver_id]
            epochs = [epoch for epoch, _ in stops]
            for at, epoch in sent:
                place = bisect_right(epochs, epoch)
                count += place < len(stops) and at > stops[place][1]
        return count


class Tap:
    """A real socket, and a note of when the kernel had each frame."""

    def __init__(self, screen: Screen, history: History) -> None:
        self._screen = screen
        self._history = history
        self._under_way: list[bytes] = []

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        self._under_way.append(chunk)
        self._screen.send(chunk, until=until)
        self.unsent_bytes()

    def unsent_bytes(self) -> int:
        unsent = self._screen.unsent_bytes()
        if unsent == 0 and self._under_way:
            at = monotonic()
            for driver_id, epoch in _positions_of(b"".join(self._under_way)):
                self._history.sent[driver_id].append((at, epoch))
            self._history.frames += 1
            self._under_way.clear()
        return unsent

    def drop(self) -> None:
        self._under_way.clear()
        self._screen.drop()

    def is_gone(self) -> bool:
        return self._screen.is_gone()


def _positions_of(frame: bytes) -> list[tuple[UUID, int]]:
    found = []
    for block in frame.split(b"\n\n"):
        if block.startswith(b"event: pos\n"):
            data = json.loads(block.partition(b"data: ")[2])
            found += [(UUID(row["driver_id"]), row["epoch"]) for row in data["drivers"]]
    return found


@asynccontextmanager
async def no_barrier(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
    """Read the gates in the very same way, but hold nothing."""
    async with db.tenant(pool, company_id) as conn:
        yield conn


def clock() -> datetime:
    return NOW + SPEED * timedelta(seconds=monotonic() - _START)


async def _worker(
    place: Place,
    companies: Sequence[UUID],
    history: History,
    barrier: Barrier,
    hold: Hold | None,
    stop: threading.Event,
) -> None:
    encoder = StallingStream() if hold is None else HoldingStream(hold)
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(stage_on(place, pool_max=4))
        hub = Hub(at.pool, at.vault, clock, encoder, tick_s=0.0, barrier=barrier)
        channels = [
            await stack.enter_async_context(hub.joined(company_id)) for company_id in companies
        ]
        while not stop.is_set():
            # A screen that was too slow for the lease was cut off, and comes back.
            for channel in channels:
                if not channel.watchers:
                    screen = await stack.enter_async_context(_drained_screen())
                    looks = looking(at.pool, channel.company_id, clock)
                    hub.admit(channel, Tap(screen, history), looks=looks, last_event_id=None)
            await asyncio.sleep(0.02)
        await hub.close()


@asynccontextmanager
async def _drained_screen() -> AsyncIterator[Screen]:
    """Give a screen whose other end reads everything."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=ours)
    reader, writer = await asyncio.open_unix_connection(sock=theirs)

    async def drain() -> None:
        while await reader.read(1 << 16):
            pass

    draining = asyncio.create_task(drain())
    try:
        yield Screen(transport, chunked=False)
    finally:
        transport.abort()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        writer.close()


class Race:
    """Drivers that move, stop sharing and share again, all at once."""

    def __init__(self, pool: Pool, uploads: Uploads, history: History, hold: Hold | None) -> None:
        self._pool = pool
        self._uploads = uploads
        self._history = history
        self._hold = hold

    async def driver(self, company_id: UUID, driver: Driver, *, rounds: int) -> None:
        await self._shared(company_id, driver, GateItem.LOCATION, GateItem.PLAN_FACT)
        await self._shared(company_id, driver, GateItem.DISPATCH_TRACKING)
        async with db.tenant(self._pool, company_id) as conn:
            await shifts.start(conn, company_id, driver.member_id, now=clock())
        moving = asyncio.create_task(self._move(driver))
        try:
            for number in range(rounds):
                await self._round(company_id, driver, withdraws=number % 2 == 0)
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)

    async def _shared(self, company_id: UUID, driver: Driver, *items: GateItem) -> None:
        async with db.tenant(self._pool, company_id) as conn:
            await consents.give(conn, company_id, driver.member_id, *items, now=clock())

    async def _move(self, driver: Driver) -> None:
        token = tokens.parse(driver.device_token)
        assert token is not None
        while True:
            now = clock()
            values = np.array([[43.2], [76.9], *[[np.nan]] * 5])
            flags = np.zeros(1, np.uint8)
            time_ms = np.array([to_ms(now)], np.int64)
            positions = Positions(time_ms=time_ms, values=values, flags=flags)
            with suppress(GateBusy, UploadsBusy):  # while the gate closes: move on
                await self._uploads.take(token, Upload(positions=positions), now=now)
            await asyncio.sleep(0.002)

    async def _round(self, company_id: UUID, driver: Driver, *, withdraws: bool) -> None:
        driver_id = driver.member_id
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            epoch = (await screen_epochs(conn, company_id, clock()))[driver_id]
        async with asyncio.timeout(SEEN_S_MAX):
            while not self._history.seen_since(driver_id, epoch):  # noqa: ASYNC110 - other threads
                await asyncio.sleep(0.001)
        if self._hold is None:
            await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - no secret
        else:
            await self._hold.a_frame_of(driver_id)
        began = monotonic()
        async with gate.stopping(self._pool, company_id, driver_id, now=clock()) as conn:
            if withdraws:
                item = GateItem.DISPATCH_TRACKING
                await consents.withdraw(conn, company_id, driver_id, item, now=clock())
            else:
                await shifts.pause(conn, company_id, driver_id, now=clock())
            after = (await screen_epochs(conn, company_id, clock()))[driver_id]
        answered = monotonic()
        self._history.stops[driver_id].append((after, answered))
        self._history.took_s.append(answered - began)
        if self._hold is not None:
            self._hold.let_go(driver_id)
        await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311 - no secret
        if withdraws:
            await self._shared(company_id, driver, GateItem.DISPATCH_TRACKING)
        else:
            async with db.tenant(self._pool, company_id) as conn:
                await shifts.resume(conn, company_id, driver_id, now=clock())


async def race(
    place: Place, variant: str, *, rounds: int, barrier: Barrier, run: Callable[[Any], Any]
) -> Outcome:
    """Run so many stops in all; ``run`` runs a worker's coroutine on the loop to prove."""
    history, stop = History(), threading.Event()
    hold = Hold() if barrier is no_barrier else None
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(stage_on(place))
        stores = await stack.enter_async_context(committer.running(at.main, at.pool))
        drivers = await _drivers(at)
        companies = sorted({company_id for company_id, _ in drivers})
        workers = [
            asyncio.create_task(
                asyncio.to_thread(run, _worker(place, companies, history, barrier, hold, stop))
            )
            for _ in range(WORKERS)
        ]
        racing = Race(at.pool, Uploads(at.pool, at.vault, stores), history, hold)
        try:
            async with asyncio.TaskGroup() as group:
                for company_id, driver in drivers:
                    group.create_task(
                        racing.driver(company_id, driver, rounds=rounds // len(drivers))
                    )
        finally:
            stop.set()
            await asyncio.gather(*workers)
    took_ms = sorted(1000 * took for took in history.took_s)
    return Outcome(
        variant=variant,
        stops=len(took_ms),
        frames=history.frames,
        positions=sum(map(len, history.sent.values())),
        late=history.late(),
        stop_ms_p50=took_ms[len(took_ms) // 2],
        stop_ms_max=took_ms[-1],
    )


async def _drivers(at: Stage) -> list[tuple[UUID, Driver]]:
    drivers = []
    for _ in range(COMPANIES):
        company_id = await add_company(at.vault, at.owner)
        await at.owner.execute("UPDATE company SET shift_max_s = 86400")  # the clock is fast
        for _ in range(DRIVERS // COMPANIES):
            driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
            drivers.append((company_id, driver))
    return drivers


async def prove(place: Place, rounds: int) -> Report:
    """Run both proofs and the control; every row that may fail says whether it is met."""
    report = Report(name="frames")
    for variant, stops, barrier, run in (
        ("uvloop", rounds // 2, gate.frames, uvloop.run),
        ("asyncio", rounds // 2, gate.frames, asyncio.run),
        ("control: no barrier", min(rounds, CONTROL_ROUNDS), no_barrier, uvloop.run),
    ):
        found = await race(place, variant, rounds=stops, barrier=barrier, run=run)
        control = barrier is no_barrier
        report.add(
            Row(
                figure=f"late frames, {variant}",
                value=found.late,
                target="> 0" if control else "= 0",
                met=(found.late > 0) is control,
                control=found.late if control else None,
                note=f"{found.stops} stops, {found.positions} positions in {found.frames} frames",
            )
        )
        if not control:
            report.add(
                Row(figure=f"stop p50, {variant}", value=round(found.stop_ms_p50, 1), unit="ms")
            )
            report.add(
                Row(figure=f"stop max, {variant}", value=round(found.stop_ms_max, 1), unit="ms")
            )
    return report


if __name__ == "__main__":
    sys.exit(ended(on_a_stage(lambda at: prove(at, ROUNDS[size()]))))
