"""Proof: after a stop is answered, no answer and no frame carries the driver's position.

Black boxes: two servers in processes of their own are asked over sockets, without pause, by every
way there is to a location. Drivers are stopped in every way there is, and share again. An answer is
late when it was asked for after the answer to the stop and shows the position, or when a byte of
the position was not in our kernel yet when that answer came.

Stops meet answers at every point: servers stall at random; or every answer stands still once its
positions are read, or once they are judged, until the stop is answered; or a server is frozen
(SIGSTOP) in the midst and goes on later. The driver's own access goes on all along.

Two controls hold every answer up in the same way, and must find late ones by each of the ways, or
the proof proves nothing: one without the barrier, and one that judges by what was read before (as
a cache would). ``SIZE=smoke python -m tests.races.readers`` for a short run.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg
from aiohttp import ClientSession

from server.attestations import service as attestations
from server.attestations.model import How, Told
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import Actor, ActorKind
from server.policies.model import Document
from tests.proofs import Progress, Report, Row, ended, size
from tests.races.reader_driver import FILES, HIDES, ITEMS, WAYS, ReadDriver, Stop
from tests.races.reader_looks import Looks, looking
from tests.races.reader_server import Point, RunningClock, Variant
from tests.races.reader_servers import Servers, servers
from tests.stage import Place, on_a_stage, stage_on
from tests.world import CONSENTED, add_company, add_driver, add_member, open_session

DRIVERS: Final = 5
UNTIL_S_MAX: Final = 60.0
FROZEN_S_MAX: Final = 1.5
AFTER_S: Final = 0.15
"""A few ticks of the stream."""
ASKED_LATE: Final = 2
ROUNDS: Final = {"smoke": 26, "full": 468}
CONTROL_ROUNDS: Final = 39


class Meets(StrEnum):
    """How the answers stand when the stop comes."""

    STALLS = "stalls"
    READ = "read"
    JUDGED = "judged"
    FROZEN = "frozen"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What was found of a variant."""

    stops: Counter[Meets] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    """Answers and streams with the position, by way."""
    late: Counter[str] = field(default_factory=Counter)
    late_at: Counter[tuple[Stop, Meets, str]] = field(default_factory=Counter)
    seen_in_parts: Counter[str] = field(default_factory=Counter)
    """Those of ``seen`` of which a part was drawn after another had left, by way."""
    late_in_parts: Counter[str] = field(default_factory=Counter)
    own: int = 0
    """Answers to the driver themself with their positions, asked for after a stop."""
    took_s: list[float] = field(default_factory=list)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(UNTIL_S_MAX):
        while not holds():  # noqa: ASYNC110 - told by many sockets
            await asyncio.sleep(0.005)


class Race:
    """Stops of one driver, one after the other, while everybody looks."""

    def __init__(
        self, driver: ReadDriver, at: Servers, outcome: Outcome, races: "count[int]"
    ) -> None:
        self._driver = driver
        self._servers = at
        self._outcome = outcome
        self._races = races

    async def stopped(self, stop: Stop, meets: Meets) -> None:
        driver = self._driver
        paths = await driver.paths()
        async with looking(paths, self._servers.urls, driver.mark) as looks:
            await until(lambda: looks.shown_by() == paths.keys())
            await until(lambda: looks.seen_in_parts().keys() == FILES)
            took_s = await self._meet(stop, meets, looks, {paths[way][0] for way in HIDES[stop]})
            own = await driver.sees_themself()
            await until(lambda: looks.answered_late(ASKED_LATE))
            await asyncio.sleep(AFTER_S)
        self._outcome.stops[meets] += 1
        self._outcome.own += own
        self._outcome.took_s.append(took_s)
        self._outcome.seen += looks.seen()
        self._outcome.seen_in_parts += looks.seen_in_parts()
        late_in_parts = looks.late_in_parts()
        for way, late in looks.late().items():
            if late and way in HIDES[stop]:
                self._outcome.late[way] += late
                self._outcome.late_at[stop, meets, way] += late
                self._outcome.late_in_parts += Counter({way: late_in_parts[way]})
        await driver.share_again(stop)

    async def _meet(
        self, stop: Stop, meets: Meets, looks: Looks, hidden: AbstractSet[str]
    ) -> float:
        """Stop while the answers stand so; return how long it took."""

        async def timed_stop(urls: Sequence[str]) -> float:
            began = monotonic()
            await self._driver.stop(stop, urls)
            looks.stop_answered()
            return monotonic() - began

        at, company_id = self._servers, self._driver.company_id
        match meets:
            case Meets.STALLS:
                await asyncio.sleep(random.uniform(0, 0.3))  # noqa: S311 - no secret
                return await timed_stop(at.urls)
            case Meets.READ | Meets.JUDGED:
                race = next(self._races)
                at.hold(company_id, Point(meets), race)
                try:
                    await until(lambda: at.held[race] >= hidden)
                    return await timed_stop(at.urls)
                finally:
                    at.go_on(company_id)
            case Meets.FROZEN:
                await asyncio.sleep(random.uniform(0, 0.3))  # noqa: S311 - no secret
                async with at.frozen() as others:
                    stopping = asyncio.create_task(timed_stop(others))
                    # It may have stopped in the midst of an upload, which a stop waits for.
                    await asyncio.wait((stopping,), timeout=FROZEN_S_MAX)
                return await stopping


async def race(place: Place, variant: Variant, stops: Sequence[tuple[Stop, Meets]]) -> Outcome:
    """Run the stops, with several drivers at once."""
    outcome, races = Outcome(), count()
    clock = RunningClock(monotonic())
    progress = Progress(f"readers, {variant}", len(stops))
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(stage_on(place, pool_max=4))
        running = await stack.enter_async_context(servers(place, variant, clock.began_s))
        http = await stack.enter_async_context(ClientSession())

        async def one_driver(number: int) -> None:
            owner = await asyncpg.connect(place.main)
            stack.push_async_callback(owner.close)
            company_id = await add_company(at.vault, owner, grace_s=3_600)
            await owner.execute("UPDATE company SET shift_max_s = 86400")  # the clock is fast
            made = await add_driver(at.vault, at.pool, company_id, consents=ITEMS, on_shift=False)  # type: ignore[arg-type]  # items that bind no position too
            staff_id = await add_member(at.vault, at.pool, company_id, role="main_user")
            await _attest(at.pool, company_id, made.member_id, staff_id)
            driver = ReadDriver(
                number=number,
                company_id=company_id,
                made=made,
                person=await open_session(at.pool, company_id, made.member_id),
                staff=await open_session(at.pool, company_id, staff_id),
                http=http,
                urls=running.urls,
                owner=owner,
                clock=clock,
            )
            racing = Race(driver, running, outcome, races)
            async with driver.moving():
                for stop, meets in stops[number::DRIVERS]:
                    await racing.stopped(stop, meets)
                    progress.step()

        async with asyncio.TaskGroup() as group:
            for number in range(DRIVERS):
                group.create_task(one_driver(number))
    return outcome


async def _attest(pool: Pool, company_id: UUID, driver_id: UUID, staff_id: UUID) -> None:
    async with db.tenant(pool, company_id) as conn:
        await attestations.attest(
            conn,
            company_id,
            driver_id,
            Told(at=CONSENTED, how=How.BY_PHONE, editions=((Document.DRIVER_NOTICE, 1),)),
            by=Actor(kind=ActorKind.MAIN_USER, member_id=staff_id),
            by_member=staff_id,
            now=CONSENTED,
        )


def mixed(rounds: int) -> list[tuple[Stop, Meets]]:
    """Return so many, every stop in turn; after 52 of them each has met everything once."""
    stops, meets = list(Stop), list(Meets)  # 13 and 4 have no divisor in common
    return [(stops[one % len(stops)], meets[one % len(meets)]) for one in range(rounds)]


def held_up(rounds: int, at: Meets) -> list[tuple[Stop, Meets]]:
    stops = list(Stop)
    return [(stops[one % len(stops)], at) for one in range(rounds)]


async def prove(place: Place, rounds: int) -> Report:
    """Run the proof and its controls; every row that may fail says whether it is met."""
    report = Report(name="readers")
    found = await race(place, Variant.FENCE, mixed(rounds))
    _say(report, found)
    controls = min(rounds, CONTROL_ROUNDS)
    for variant, name, meets in (
        (Variant.NO_BARRIER, "no barrier", Meets.JUDGED),
        (Variant.REMEMBERS, "what was read once is sent", Meets.READ),
    ):
        control = await race(place, variant, held_up(controls, meets))
        fewest = min(control.late[way] for way in WAYS)
        report.add(
            Row(
                figure=f"late answers, control: {name}",
                value=control.late.total(),
                target="> 0 by each way",
                met=fewest > 0,
                control=control.late.total(),
                note=f"{control.stops.total()} stops; {_listed(control.late)}",
            )
        )
        report.add(_in_parts(f"late files in parts, control: {name}", control.late_in_parts))
    return report


def _say(report: Report, found: Outcome) -> None:
    stops, late = found.stops.total(), found.late.total()
    report.add(
        Row(
            figure="late answers",
            value=late,
            target="= 0",
            met=late == 0,
            note=f"{stops} stops: {_listed(found.stops)}; shown before: {_listed(found.seen)}"
            + "".join(f"; {' / '.join(where)} {times}" for where, times in found.late_at.items()),
        )
    )
    report.add(_in_parts("files that came in parts", found.seen_in_parts))
    report.add(
        Row(
            figure="stops after which the driver still saw themself",
            value=found.own,
            target=f"= {stops}",
            met=found.own == stops,
        )
    )
    took_ms = sorted(1000 * took_s for took_s in found.took_s)
    report.add(Row(figure="stop p50", value=round(took_ms[len(took_ms) // 2], 1), unit="ms"))
    report.add(Row(figure="stop max", value=round(took_ms[-1], 1), unit="ms"))


def _in_parts(figure: str, files: Counter[str]) -> Row:
    return Row(
        figure=figure,
        value=files.total(),
        target="> 0 in each format",
        met=min(files[way] for way in FILES) > 0,
        note=_listed(files),
    )


def _listed(counts: Counter[str] | Counter[Meets]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(ended(on_a_stage(lambda at: prove(at, ROUNDS[size()]))))
