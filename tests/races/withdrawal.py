"""Proof: after a withdrawal is answered, no position of that driver is stored.

One try: 32 writers upload for the same driver through four committers (as many processes would),
with the production roles and statement; in the midst of it the driver withdraws, by the very path
of the endpoint. When that returned the driver's rows are counted; when every upload is answered
they are counted again. A row more is late. An upload that was acknowledged and is not there, or is
there and was not acknowledged, is a mismatch.

A part of the tries holds the statement up for some milliseconds after it read the gate, which
makes races likely. The controls do the same with the lock left out, or too weak, and must find
late rows, or the proof proves nothing.

How long a withdrawal takes is measured under two floods of that very driver: uploads that are
stored, and uploads of which nothing may be stored. ``SIZE=smoke`` for a short run.
"""

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import numpy as np

from server.deposits import committer, store
from server.deposits.committer import Committer
from server.deposits.model import Deposit, UploadsBusy
from server.gate import service as gates
from server.gate.model import LOCK, Gate, GateBusy, GateItem
from server.kit import db, tokens
from server.tracking.model import Positions, to_ms
from server.uploads.model import Upload
from server.uploads.service import Uploads
from tests import consents
from tests.deposits import deposit, row
from tests.proofs import Progress, Report, Row, at_most, ended, size
from tests.stage import Stage, on_a_stage
from tests.world import NOW, add_company, add_driver
from tests.world import Driver as MadeDriver

WRITERS: Final = 32
COMMITTERS: Final = 4
DRIVERS: Final = 4
SPREAD_S: Final = 0.006
HELD_UP_S_MAX: Final = 0.03
LATENCY_TARGET_MS: Final = 50
LONG_AGO: Final = NOW - timedelta(days=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    tries: int
    held_up: int
    control: int
    withdrawals: int


SIZES: Final = {
    "smoke": Sizes(tries=60, held_up=20, control=30, withdrawals=10),
    "full": Sizes(tries=9_000, held_up=1_200, control=200, withdrawals=400),
}


@dataclass(slots=True, kw_only=True)
class Found:
    tries: int = 0
    interleaved: int = 0
    """Tries of which some uploads were stored and some were not."""
    late: int = 0
    mismatched: int = 0
    took_ms: list[float] = field(default_factory=list)


def statements(lock: str, *, held_up_s: float = 0) -> tuple[str, str]:
    """Return the storing statement, skipping and waiting, with this lock ("" for none)."""
    pair = (f"{lock} SKIP LOCKED" if lock else "", lock)
    built = [store.build_statement(one) for one in pair]
    if held_up_s:
        # Evaluated last: the gate was read, the rows are written, the commit is still to come.
        last = "AS kept_at"
        assert all(one.count(last) == 1 for one in built)
        built = [one.replace(last, f"{last}, pg_sleep({held_up_s} * random())") for one in built]
    return built[0], built[1]


@asynccontextmanager
async def committers(
    at: Stage, lock: str, *, held_up_s: float = 0
) -> AsyncGenerator[list[Committer]]:
    or_skip, or_wait = statements(lock, held_up_s=held_up_s)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                committer.running(at.main, at.pool, or_skip=or_skip, or_wait=or_wait)
            )
            for _ in range(COMMITTERS)
        ]


class Driver:
    """One driver who gives and withdraws, and whose phone has 32 writers."""

    def __init__(self, at: Stage, company_id: UUID, made: MadeDriver) -> None:
        self._at = at
        self._key = (company_id, made.member_id)
        self.token = made.device_token
        self._moment = NOW

    async def give(self, *items: GateItem) -> Gate:
        async with db.tenant(self._at.pool, self._key[0]) as conn:
            given = items or (GateItem.LOCATION,)
            await consents.give(conn, *self._key, *given, now=self._moment)
            return await gates.read(conn, *self._key)

    async def withdraw(self) -> float:
        """Withdraw as the endpoint does; return how many milliseconds that took."""
        began = monotonic()
        async with gates.stopping(self._at.pool, *self._key, now=self._moment) as conn:
            await consents.withdraw(conn, *self._key, GateItem.LOCATION, now=self._moment)
        return (monotonic() - began) * 1000

    async def stored(self, at: datetime) -> set[UUID]:
        async with db.tenant(self._at.pool, self._key[0]) as conn:
            rows = await conn.fetch(
                "SELECT upload_id FROM chunk"
                " WHERE company_id = $1 AND driver_id = $2 AND last_at = $3",
                *self._key,
                at,
            )
        return {row["upload_id"] for row in rows}

    async def race(self, stores: Sequence[Committer], found: Found) -> None:
        """Try once."""
        self._moment += timedelta(seconds=1)
        at = self._moment
        gate = await self.give()
        deposits = [deposit(gate, row(at=at)) for _ in range(WRITERS)]
        uploads = [
            asyncio.create_task(_upload(stores[place % len(stores)], one))
            for place, one in enumerate(deposits)
        ]
        await asyncio.sleep(random.uniform(0, SPREAD_S))  # noqa: S311 - no secret
        found.took_ms.append(await self.withdraw())
        before = await self.stored(at)
        answered = {one for one in await asyncio.gather(*uploads) if one is not None}
        after = await self.stored(at)
        found.tries += 1
        found.late += len(after - before)
        found.mismatched += len(after ^ answered)
        found.interleaved += 0 < len(after) < WRITERS


async def _upload(stores: Committer, one: Deposit) -> UUID | None:
    """Upload at some moment; return the upload's id if it was acknowledged."""
    await asyncio.sleep(random.uniform(0, SPREAD_S))  # noqa: S311 - no secret
    try:
        receipt = await stores.store(one)
    except UploadsBusy:
        return None
    return one.rows[0].upload_id if receipt.allowed else None


async def new_driver(at: Stage) -> Driver:
    company_id = await add_company(at.vault, at.owner)
    made = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
    driver = Driver(at, company_id, made)
    await driver.give(GateItem.DISPATCH_TRACKING, GateItem.PLAN_FACT)
    return driver


async def races(at: Stage, what: str, lock: str, *, tries: int, held_up_s: float = 0) -> Found:
    """Try so often, with several drivers at once."""
    found, progress = Found(), Progress(what, tries)
    left = iter(range(tries))

    async def one_driver(driver: Driver, stores: Sequence[Committer]) -> None:
        for _ in left:
            await driver.race(stores, found)
            progress.step()

    drivers = [await new_driver(at) for _ in range(DRIVERS)]
    async with committers(at, lock, held_up_s=held_up_s) as stores, asyncio.TaskGroup() as group:
        for driver in drivers:
            group.create_task(one_driver(driver, stores))
    return found


Flood = Callable[[int, Gate, asyncio.Event], Awaitable[None]]
"""One uploader: its number, the gate as it is now, and when to end."""


async def latencies_ms(driver: Driver, what: str, withdrawals: int, flood: Flood) -> list[float]:
    """Withdraw again and again while 32 uploaders saturate that very driver."""
    took_ms, progress = [], Progress(what, withdrawals)
    for number in range(withdrawals):
        gate, over = await driver.give(), asyncio.Event()
        uploaders = [asyncio.ensure_future(flood(place, gate, over)) for place in range(WRITERS)]
        await asyncio.sleep(0.02 + 0.0001 * (number % 50))
        took_ms.append(await driver.withdraw())
        over.set()
        await asyncio.gather(*uploaders)
        progress.step()
    return took_ms


async def latencies_stored_ms(at: Stage, withdrawals: int) -> list[float]:
    driver = await new_driver(at)
    async with committers(at, LOCK) as stores:

        async def flood(place: int, gate: Gate, over: asyncio.Event) -> None:
            while not over.is_set():
                one = deposit(gate, row(at=NOW + timedelta(seconds=place)))
                try:
                    receipt = await stores[place % len(stores)].store(one)
                except UploadsBusy:
                    continue
                if not receipt.allowed:
                    return

        return await latencies_ms(driver, "withdrawals under load", withdrawals, flood)


async def latencies_refused_ms(at: Stage, withdrawals: int) -> list[float]:
    """All that is uploaded is too old: nothing is stored, but the gate is asked, and it counts."""
    driver = await new_driver(at)
    token = tokens.parse(driver.token)
    assert token is not None
    upload = Upload(
        positions=Positions(
            time_ms=np.array([to_ms(LONG_AGO)]),
            values=np.full((7, 1), 51.0),
            flags=np.zeros(1, np.uint8),
        )
    )
    async with committer.running(at.main, at.pool) as stores:
        uploads = Uploads(at.pool, at.vault, stores)

        async def flood(_place: int, _gate: Gate, over: asyncio.Event) -> None:
            while not over.is_set():
                try:
                    await uploads.take(token, upload, now=NOW)
                except GateBusy:
                    continue

        return await latencies_ms(driver, "withdrawals under refusals", withdrawals, flood)


async def prove(at: Stage, sizes: Sizes) -> Report:
    report = Report(name="withdrawal")
    real = await races(at, "races", LOCK, tries=sizes.tries)
    held_up = await races(
        at,
        "races, statement held up",
        LOCK,
        tries=sizes.held_up,
        held_up_s=HELD_UP_S_MAX,
    )
    controls = {
        name: await races(
            at, f"control, {name}", lock, tries=sizes.control, held_up_s=HELD_UP_S_MAX
        )
        for name, lock in (("no lock", ""), ("FOR KEY SHARE", "FOR KEY SHARE OF g"))
    }
    _say_races(report, {"": real, ", statement held up": held_up}, controls)
    _say_latencies(report, "", await latencies_stored_ms(at, sizes.withdrawals))
    refused_ms = await latencies_refused_ms(at, sizes.withdrawals)
    _say_latencies(report, ", uploads refused", refused_ms)
    return report


def _say_races(report: Report, proved: dict[str, Found], controls: dict[str, Found]) -> None:
    for name, found in proved.items():
        note = f"{found.tries} tries x {WRITERS} writers, {found.interleaved} interleaved"
        for figure, value in (
            ("late rows", found.late),
            ("acknowledged or stored, not both", found.mismatched),
        ):
            report.add(
                Row(figure=figure + name, value=value, target="= 0", met=value == 0, note=note)
            )
    for name, found in controls.items():
        report.add(
            Row(
                figure=f"late rows, control: {name}",
                value=found.late,
                target="> 0",
                met=found.late > 0,
                control=found.late,
                note=f"{found.tries} tries, statement held up",
            )
        )


def _say_latencies(report: Report, which: str, took_ms: list[float]) -> None:
    p50, p99 = (float(one) for one in np.percentile(took_ms, (50, 99)))
    note = f"{len(took_ms)} withdrawals, {WRITERS} uploaders of that driver"
    longest = round(max(took_ms), 1)
    report.add(Row(figure=f"withdrawal p50{which}", value=round(p50, 1), unit="ms", note=note))
    report.add(at_most(f"withdrawal p99{which}", p99, LATENCY_TARGET_MS, unit="ms", note=note))
    report.add(Row(figure=f"withdrawal max{which}", value=longest, unit="ms", note=note))


if __name__ == "__main__":
    sys.exit(ended(on_a_stage(lambda at: prove(at, SIZES[size()]))))
