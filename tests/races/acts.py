"""Proof: after any act that stops recording is answered, no server process stores a position.

Three whole servers in processes of their own serve one database. Drivers upload without pause at
all of them; in the midst of it the driver withdraws, pauses, ends the shift, logs the phone out,
asks to be erased, or is blocked, over HTTP at any of them. A row that is committed after the act is
late, even if that is before its answer arrived. Each acknowledged upload is stored exactly once,
each refused one never, and one whose answer was lost at most once.

The races run undisturbed, with the storing statement held up after it read the gate, with processes
killed (SIGKILL) in the midst and started again, and with every pool connection taken for moments.
For each act controls run without a part of its fence and must find late rows, or the proof proves
nothing: without the lock, and where the act only counts something up, without comparing that.

How long a withdrawal takes is measured while 32 writers upload for that very driver.
``SIZE=smoke python -m tests.races.acts`` for a short run.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from time import monotonic
from typing import Final

import numpy as np
from aiohttp import ClientSession, TCPConnector

from server.deposits import store
from server.gate.model import LOCK
from server.kit import db
from tests.http import bearer
from tests.proofs import Progress, Report, Row, ended, size
from tests.races.acts_driver import WRITERS, Company, Driver, HoldingUp, Surroundings
from tests.races.acts_history import WITNESS, Became, Found, Stop, Try, judged
from tests.races.acts_server import clock
from tests.races.acts_workers import PROCESSES, Instead, Workers, workers
from tests.races.withdrawal import statements
from tests.stage import Stage, on_a_stage
from tests.waiting import until
from tests.world import add_company, add_member, open_session

DRIVERS: Final = 12
COMPANIES: Final = 2
GRACE_S: Final = 3_600
HELD_UP_S_MAX: Final = 0.03
LATCH: Final = 4_711
"""The advisory lock that the statement without a lock waits for before it commits."""
RACE_S_MAX: Final = 60.0
KILL_EVERY_S: Final = (0.2, 1.5)
EXHAUST_EVERY_S: Final = (0.05, 0.4)
EXHAUSTED_S: Final = (0.02, 0.2)
UNDISTURBED_S: Final = 0.1
FLOOD_WRITERS: Final = 32

# In so many of each hundred races. After a withdrawal or a request another driver takes over, which
# costs the most; withdrawals have a proof of their own.
SHARES: Final[Mapping[Stop, int]] = {
    Stop.WITHDRAW: 15,
    Stop.PAUSE: 26,
    Stop.END: 26,
    Stop.BLOCK: 10,
    Stop.LOG_OUT: 19,
    Stop.ERASE: 4,
}
# What these acts count up, and the storing statement compares.
COMPARED: Final[Mapping[Stop, str]] = {
    Stop.PAUSE: "rev",
    Stop.END: "rev",
    Stop.LOG_OUT: "credential_epoch",
}
UNDER_WAY: Final = "FROM gate_closing c"
NOTHING_UNDER_WAY: Final = "FROM (TABLE gate_closing LIMIT 0) c"
JOINED: Final = "(company_id, driver_id, epoch, rev, credential_epoch, key_epoch)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    undisturbed: int
    held_up: int
    killed: int
    exhausted: int
    control: int
    """Races of each act."""
    withdrawals: int
    """While one driver's writers flood."""


SIZES: Final = {
    "smoke": Sizes(undisturbed=24, held_up=12, killed=12, exhausted=12, control=2, withdrawals=4),
    "full": Sizes(
        undisturbed=5_600, held_up=1_400, killed=1_600, exhausted=1_400, control=24, withdrawals=150
    ),
}


def instead(or_skip: str, or_wait: str) -> Instead:
    """Return what runs in place of the product's two storing statements."""
    return {store.STORE_OR_SKIP: or_skip, store.STORE_OR_WAIT: or_wait}


def held_up() -> Instead:
    return instead(*statements(LOCK, held_up_s=HELD_UP_S_MAX))


def unlocked() -> Instead:
    """Return statements that do not lock the gate, and wait for the latch after they read it."""
    waits = f"AS kept_at, pg_advisory_xact_lock_shared({LATCH})"
    return instead(*(_replaced(store.build_statement(""), "AS kept_at", waits),) * 2)


@asynccontextmanager
async def latched(at: Stage) -> AsyncGenerator[None]:
    """Close the latch, and wait until a storing statement waits for it: the act overtakes that."""
    await at.owner.execute("SELECT pg_advisory_lock($1)", LATCH)
    try:
        await until(
            at.owner,
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE locktype = 'advisory' AND objid = $1 AND NOT granted)",
            LATCH,
        )
        yield
    finally:
        await at.owner.execute("SELECT pg_advisory_unlock($1)", LATCH)


def not_comparing(column: str) -> Instead:
    """Return statements that do not compare this column with the gate's.

    Nor do they see that an act is under way: that only keeps them from overtaking it, but who sees
    it asks for the gate again, and then knows.
    """
    less = _replaced(JOINED, f", {column},", ",")
    pair = (_replaced(one, JOINED, less) for one in (store.STORE_OR_SKIP, store.STORE_OR_WAIT))
    return instead(*(_replaced(one, UNDER_WAY, NOTHING_UNDER_WAY) for one in pair))


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part: the same in every phase."""

    at: Stage
    running: Workers
    drivers: Sequence[Driver]


@asynccontextmanager
async def cast_on(at: Stage) -> AsyncGenerator[Cast]:
    began_s = monotonic()
    await at.owner.execute(WITNESS)
    async with (
        workers(at, began_s) as running,
        ClientSession(connector=TCPConnector(limit=0)) as http,
    ):
        around = Surroundings(at=at, http=http, running=running, clock=clock(began_s))
        companies = [await new_company(at) for _ in range(COMPANIES)]
        drivers = [await Driver.begun(around, companies[one % COMPANIES]) for one in range(DRIVERS)]
        yield Cast(at=at, running=running, drivers=drivers)


async def new_company(at: Stage) -> Company:
    company_id = await add_company(at.vault, at.owner, grace_s=GRACE_S)
    staff_id = await add_member(at.vault, at.pool, company_id, role="dispatcher")
    token = await open_session(at.pool, company_id, staff_id)
    return Company(company_id=company_id, staff=bearer(token))


Disturbance = Callable[[Workers], Awaitable[None]]


async def nothing(_running: Workers) -> None:
    await asyncio.sleep(UNDISTURBED_S)


async def kill(running: Workers) -> None:
    await asyncio.sleep(random.uniform(*KILL_EVERY_S))  # noqa: S311 - no secret
    await running.kill_one()


async def exhaust(running: Workers) -> None:
    """Take every connection: of one server's pool, or of several at once."""
    await asyncio.sleep(random.uniform(*EXHAUST_EVERY_S))  # noqa: S311 - no secret
    for_s = random.uniform(*EXHAUSTED_S)  # noqa: S311 - no secret
    for worker in {running.any() for _ in range(PROCESSES)}:
        await worker.hold_all(for_s)


async def races(
    cast: Cast,
    what: str,
    stops: Sequence[Stop],
    storing: Instead,
    disturb: Disturbance = nothing,
    *,
    writers: int = WRITERS,
    holding_up: HoldingUp = nullcontext,
) -> Found:
    """Race each of the stops, with all drivers at once."""
    await cast.running.use(storing)
    progress, left, tries = Progress(what, len(stops)), iter(stops), list[Try]()

    async def one_driver(driver: Driver, left: Iterator[Stop]) -> None:
        for stop in left:
            async with asyncio.timeout(RACE_S_MAX):
                tries.append(await driver.race(stop, writers=writers, holding_up=holding_up))
            progress.step()

    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        disturbing = group.create_task(_until(over, disturb, cast.running))
        try:
            async with asyncio.TaskGroup() as racing:
                for driver in cast.drivers:
                    racing.create_task(one_driver(driver, left))
        finally:
            over.set()
        await disturbing
    await _settled(cast.at)
    return await judged(cast.at.owner, tries)


async def _until(over: asyncio.Event, disturb: Disturbance, running: Workers) -> None:
    """Disturb again and again; what was begun is ended, a process that was killed is replaced."""
    while not over.is_set():
        await disturb(running)


async def _settled(at: Stage) -> None:
    """Wait until the statements of processes that were killed have ended too."""
    await until(
        at.owner,
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = $1 AND state <> 'idle')",
        db.ROLE_COMMITTER,
    )


def mixed(tries: int) -> list[Stop]:
    """Return so many stops, shuffled, each with its share; however few, every act is among them."""
    hundred = [stop for stop, share in SHARES.items() for _ in range(share)]
    random.shuffle(hundred)
    return [*Stop, *islice(cycle(hundred), tries - len(Stop))]


async def prove(at: Stage, sizes: Sizes) -> Report:
    report = Report(name="acts")
    async with cast_on(at) as cast:
        found = {
            name: await races(cast, name, mixed(tries), storing, disturb)
            for name, tries, storing, disturb in (
                ("undisturbed", sizes.undisturbed, {}, nothing),
                ("statement held up", sizes.held_up, held_up(), nothing),
                ("processes killed", sizes.killed, held_up(), kill),
                ("pools exhausted", sizes.exhausted, {}, exhaust),
            )
        }
        withdrawals = [Stop.WITHDRAW] * sizes.withdrawals
        alone = Cast(at=at, running=cast.running, drivers=cast.drivers[:1])
        found["one driver floods"] = await races(
            alone, "withdrawals under load", withdrawals, {}, writers=FLOOD_WRITERS
        )
        controls = {
            "the lock": await races(
                alone,
                "control without the lock",
                tuple(Stop) * sizes.control,
                unlocked(),
                holding_up=partial(latched, at),
            )
        }
        for column in sorted(set(COMPARED.values())):
            acts = [stop for stop, compared in COMPARED.items() if compared == column]
            what, storing = f"control without {column}", not_comparing(column)
            controls[column] = await races(cast, what, acts * sizes.control, storing)
        _say_acts(report, found, controls)
        _say_phases(report, found, cast.running.killed)
        _say_latencies(report, found["one driver floods"].took_ms[Stop.WITHDRAW])
    return report


def _say_acts(report: Report, found: Mapping[str, Found], controls: Mapping[str, Found]) -> None:
    for stop in Stop:
        tries = sum(one.tries[stop] for one in found.values())
        met = sum(one.met[stop] for one in found.values())
        stored = sum(one.met_and_stored[stop] for one in found.values())
        late = sum(one.late[stop] for one in found.values())
        lacking = {what: one for what, one in controls.items() if one.tries[stop]}
        told = ", ".join(
            f"{one.late[stop]} in {one.tries[stop]} without {what}" for what, one in lacking.items()
        )
        report.add(
            Row(
                figure=f"late rows, {stop}",
                value=late,
                target="= 0, controls > 0",
                met=late == 0 and all(one.late[stop] for one in lacking.values()),
                control=sum(one.late[stop] for one in lacking.values()),
                note=f"{tries} races met {met} uploads under way, of which {stored} were stored;"
                f" controls: {told}",
            )
        )


def _say_phases(report: Report, found: Mapping[str, Found], killed: int) -> None:
    for name, one in found.items():
        uploads = ", ".join(f"{became} {count}" for became, count in sorted(one.uploads.items()))
        note = f"{one.tries.total()} races; uploads: {uploads}; {one.after} sent after the answer"
        if name == "processes killed":
            note += f"; {killed} killed"
        figure, value = f"told and stored differ, {name}", one.mismatched
        report.add(Row(figure=figure, value=value, target="= 0", met=value == 0, note=note))
    late = sum(one.late.total() for one in found.values())
    told = sum((one.told_of_late for one in found.values()), Counter[Became]())
    note = (
        f"{sum(one.tries.total() for one in found.values())} races, {PROCESSES} servers,"
        f" {DRIVERS * WRITERS} writers"
    )
    if late:
        note += "; they were told: " + ", ".join(f"{one} {count}" for one, count in told.items())
    report.add(Row(figure="late rows", value=late, target="= 0", met=late == 0, note=note))


def _say_latencies(report: Report, took_ms: Sequence[float]) -> None:
    note = f"{len(took_ms)} over HTTP, {FLOOD_WRITERS} writers of that driver at all servers"
    for name, percent in (("p50", 50), ("p99", 99), ("max", 100)):
        value = round(float(np.percentile(took_ms, percent)), 1)
        report.add(Row(figure=f"withdrawal {name}", value=value, unit="ms", note=note))


if __name__ == "__main__":
    sys.exit(ended(on_a_stage(lambda at: prove(at, SIZES[size()]))))
