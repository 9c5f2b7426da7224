"""Everything at work at once: PostgreSQL, the servers, the housekeeping, the phones."""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
from aiohttp import ClientSession

from server.tracking.model import to_ms
from tests.crash.fleet import Fleet, fleet
from tests.crash.history import Fixes, Life, Verdict, judge
from tests.crash.hours import Hours, surely_gone_before
from tests.crash.keeper import compacted, forgotten
from tests.crash.people import Person, make_people
from tests.crash.places import Keeper, Postgres, Servers, postgres
from tests.crash.reading import read_back
from tests.stage import Place, stage_on

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
READERS: Final = 4
WARM: Final = 20
"""Uploads that are acknowledged before anything is done to the servers."""
WARM_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the rounds act on."""

    place: Place
    postgres: Postgres
    servers: Servers
    keeper: Keeper
    dice: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run under faults left behind."""

    verdict: Verdict
    fleet: Fleet
    rows_doubled: int
    """Positions that lie in more rows than one after the last compaction."""


@asynccontextmanager
async def stand() -> AsyncGenerator[tuple[Postgres, Place]]:
    """Run a PostgreSQL of the proof's own, fsync on, and remove everything at the end."""
    with tempfile.TemporaryDirectory(prefix="jolda-crash-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the database's user has to get in
        async with postgres(folder) as running:
            place = Place(main=running.dsn("main"), keys=running.dsn("keys"), kek=folder / "kek")
            async with stage_on(place):
                pass  # makes the key file, so that several processes may begin at once
            yield running, place


@asynccontextmanager
async def scene(running: Postgres, place: Place, seed: int) -> AsyncGenerator[Scene]:
    """Serve the databases as in production, and keep house, until the block ends."""
    async with AsyncExitStack() as stack:
        servers, keeper = Servers(place), Keeper(place)
        stack.push_async_callback(servers.stop)
        stack.push_async_callback(keeper.stop)
        await servers.start()
        dice = random.Random(seed)  # noqa: S311 - no secret
        yield Scene(place=place, postgres=running, servers=servers, keeper=keeper, dice=dice)


async def run(
    at: Scene, drivers: int, seed: int, faults: Callable[[Scene, Fleet], Awaitable[None]]
) -> Outcome:
    """Let new drivers upload while the faults happen; then compare what can be read."""
    hours = Hours(datetime.now(UTC))
    async with stage_on(at.place) as stage:
        people = await make_people(stage, drivers, hours)
    await at.keeper.start(hours)
    async with fleet(at.servers.url, people, seed) as phones:
        await warm(phones)
        await faults(at, phones)
    await at.keeper.stop()
    verdict, doubled = await compare(at.place, at.servers.url, people, phones.lives, hours)
    return Outcome(verdict=verdict, fleet=phones, rows_doubled=doubled)


async def warm(phones: Fleet) -> None:
    async with asyncio.timeout(WARM_S_MAX):
        for _ in range(WARM):
            await phones.acknowledged_again(WARM_S_MAX)


async def compare(
    place: Place,
    url: str,
    people: Sequence[Person],
    lives: Sequence[Life],
    hours: Hours | None = None,
) -> tuple[Verdict, int]:
    """Compact what is left, read everything back, and judge it.

    With ``hours`` what was kept long enough is forgotten before.
    """
    line = LONG_AGO if hours is None else hours.kept_since(datetime.now(UTC))
    async with stage_on(place) as stage:
        while await compacted(stage) or await forgotten(stage, line):
            pass
        in_rows = await _positions_in_rows(stage.owner, [one.driver_id for one in lives])
    tracks = await _read_all(url, people)
    doubled = sum(
        in_rows[life.driver_id] - len(track)
        for life, track in zip(lives, tracks, strict=True)
        if life.driver_id in in_rows
    )
    verdict = judge(
        zip(lives, tracks, strict=True),
        forgotten_before_ms=to_ms(line),
        gone_before_ms=to_ms(surely_gone_before(line)),
    )
    return verdict, doubled


async def _read_all(url: str, people: Sequence[Person]) -> list[Fixes]:
    few = asyncio.Semaphore(READERS)
    async with ClientSession() as http:

        async def read(person: Person) -> Fixes:
            async with few:
                return await read_back(http, url, person)

        return await asyncio.gather(*(read(one) for one in people))


async def _positions_in_rows(
    owner: "asyncpg.Connection[asyncpg.Record]", driver_ids: Sequence[UUID]
) -> dict[UUID, int]:
    """Return how many positions the rows of each driver hold.

    An act that died with its server keeps the driver's rows from being compacted until it is swept
    up: those drivers are left out.
    """
    rows = await owner.fetch(
        """
        SELECT c.driver_id, sum(c.count)::bigint AS positions
          FROM chunk c
         WHERE c.driver_id = ANY($1::uuid[])
           AND NOT EXISTS (SELECT FROM gate_closing g WHERE g.driver_id = c.driver_id)
         GROUP BY 1
        """,
        driver_ids,
    )
    return {row["driver_id"]: row["positions"] for row in rows}
