"""Who looked is kept for a year, and then goes whole; the ledger still says that somebody did."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from server.audit.command import SOUND, verify_all
from server.background import jobs_of
from server.databases import Opened
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.ledger.verify import Reason, Verdict, verify
from server.reads import service as reads
from server.reads import store
from server.reads.closed import ClosedReads
from server.reads.model import ReadPurpose, Screen
from server.reads.retention import forget_old_reads, reads_kept_since
from server.reads.service import Reads, close_buckets
from server.settings import read
from tests.conftest import Databases
from tests.http import Clock
from tests.ledger.chains import enrolled
from tests.world import NOW, World

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
THEN = NOW - 800 * DAY
"""The looks of these tests. Long ago by every clock: the database goes by its own."""
PURPOSE = ReadPurpose.DISPATCH_TRACKING
SCREEN = Screen.LIVE_MAP


async def look(
    looking: Reads, world: World, viewer: Actor, drivers: Sequence[UUID], day: int = 0
) -> None:
    """Look, and let the five minutes be closed into the ledger."""
    at = THEN + day * DAY
    await looking.record(world.company_id, viewer, PURPOSE, SCREEN, drivers, at)
    await close(world, day)


async def close(world: World, day: int) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await close_buckets(conn, world.company_id, THEN + day * DAY + 6 * MINUTE)


async def forget(world: World, databases: Databases, day: int) -> int:
    return await forget_old_reads(databases.main, world.company_id, THEN + day * DAY)


async def left(world: World) -> tuple[int, int, int]:
    """Return how many reads, buckets and sets there are."""
    row = await world.owner.fetchrow(
        "SELECT (SELECT count(*) FROM location_read), (SELECT count(*) FROM location_read_bucket),"
        " (SELECT count(*) FROM location_read_set)"
    )
    assert row is not None
    return row[0], row[1], row[2]


async def verdict(world: World, day: int | None) -> Verdict:
    since = None if day is None else reads_kept_since(THEN + day * DAY)
    reads_of = [ClosedReads(kept_since=since)]
    return await verify(world.owner, world.company_id, public_keys={}, counterparts=reads_of)


@pytest.mark.proves("cargotechservice:3.3")
async def test_on_day_364_a_look_is_there_and_on_day_366_it_is_gone(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await look(looking, world, dispatcher, drivers)
    entries = await world.owner.fetch("SELECT * FROM ledger_entry")

    assert await forget(world, databases, 364) == 0
    assert await left(world) == (1, 1, 1)

    assert await forget(world, databases, 366) == 1
    assert await left(world) == (0, 0, 0)
    # That there were looks, and their hash, stays.
    assert await world.owner.fetch("SELECT * FROM ledger_entry") == entries


async def test_the_daily_job_forgets_by_the_clock(
    world: World,
    databases: Databases,
    keys_pool: Pool,
    looking: Reads,
    dispatcher: Actor,
    drivers: list[UUID],
) -> None:
    clock = Clock(THEN + 364 * DAY)
    opened = Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=world.pool,
        keys_pool=keys_pool,
        vault=world.vault,
    )
    forget_all = jobs_of(opened, read({}), clock).every_day["forget_old_reads"]
    await look(looking, world, dispatcher, drivers)

    await forget_all()
    early = await left(world)
    clock.at += 2 * DAY
    await forget_all()

    assert (early, await left(world)) == ((1, 1, 1), (0, 0, 0))


async def test_verifying_says_pruned_and_not_broken(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await look(looking, world, dispatcher, drivers)
    await look(looking, world, dispatcher, drivers, day=300)
    await forget(world, databases, 366)

    found = await verdict(world, 366)

    assert (found.entries, found.remarks) == (2, ("reads of 1 pruned by age",))
    assert found.sound
    said: list[str] = []
    status = await verify_all(
        world.pool,
        world.keys_pool,
        world.vault,
        [world.company_id],
        say=said.append,
        now=THEN + 366 * DAY,
    )
    assert status == SOUND
    assert said == [
        f"{world.company_id}: sound, 2 entries, nothing signed, reads of 1 pruned by age."
    ]
    # The control: of a year that is not over yet, the same is a ledger that was tampered with.
    for day in (None, 364):
        broken = await verdict(world, day)
        assert (broken.first_bad_index, broken.reason) == (1, Reason.READS)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM location_read WHERE purpose = 'plan_fact'",
        "UPDATE location_read SET screen = 'link'",
        "UPDATE location_read_set SET drivers = drivers[2:]",
    ],
)
async def test_age_excuses_no_change_of_what_is_still_there(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], change: str
) -> None:
    plan_fact = (ReadPurpose.PLAN_FACT, Screen.TRACK)
    await looking.record(world.company_id, dispatcher, *plan_fact, drivers, THEN)
    await look(looking, world, dispatcher, drivers)
    before = await verdict(world, 800)

    await world.owner.execute(change)

    after = await verdict(world, 800)
    assert (before.remarks, before.sound) == ((), True)
    assert (after.first_bad_index, after.reason) == (1, Reason.READS)


async def test_a_list_of_drivers_stays_as_long_as_a_look_names_it(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await look(looking, world, dispatcher, drivers[:1])
    await look(looking, world, dispatcher, drivers, day=1)
    await look(looking, world, dispatcher, drivers, day=300)

    await forget(world, databases, 367)

    assert await left(world) == (1, 1, 1)
    assert (await verdict(world, 367)).sound


async def test_what_is_not_in_the_ledger_yet_stays(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, THEN)

    assert await forget(world, databases, 400) == 0
    assert await left(world) == (1, 1, 1)

    await close(world, 400)
    assert await forget(world, databases, 400) == 1


async def test_more_than_a_page_goes_in_one_run(
    world: World,
    databases: Databases,
    looking: Reads,
    dispatcher: Actor,
    drivers: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for day in range(5):
        await look(looking, world, dispatcher, drivers[: 1 + day % 4], day=day)
    monkeypatch.setattr("server.reads.retention.BUCKETS_PAGE", 2)
    monkeypatch.setattr("server.reads.retention.SETS_PAGE", 2)

    assert await forget(world, databases, 400) == 5
    assert await left(world) == (0, 0, 0)


async def test_nothing_of_another_company_goes(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await look(looking, world, dispatcher, drivers)

    assert await forget_old_reads(databases.main, uuid7(), NOW) == 0

    assert await left(world) == (1, 1, 1)


async def test_a_clock_that_runs_ahead_forgets_nothing_that_is_not_old_for_the_database(
    world: World, databases: Databases, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    ahead = 60 * 365
    await look(looking, world, dispatcher, drivers, day=ahead)

    assert await forget(world, databases, ahead + 400) == 0

    assert await left(world) == (1, 1, 1)


async def test_the_application_still_cannot_remove_a_look_and_the_job_cannot_see_who_looked(
    world: World, databases: Databases
) -> None:
    async with world.pool.acquire() as conn:
        for table in ("location_read", "location_read_set", "location_read_bucket"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this test
    jobs = await db.connect(databases.main, role=db.ROLE_JOBS)
    try:
        for column in ("location_read.viewer_id", "location_read_set.drivers"):
            table = column.partition(".")[0]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await jobs.execute(f"SELECT {column} FROM {table}")  # noqa: S608 - as above
    finally:
        await jobs.close()


# ---- a look while its list of drivers is being removed


async def look_while_its_set_goes(
    world: World,
    databases: Databases,
    looking: Reads,
    viewer: Actor,
    drivers: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Look at the same drivers again; between the list and the row, the job removes the list."""
    await look(looking, world, viewer, drivers)
    other = Actor(kind=ActorKind.DISPATCHER, member_id=await enrolled(world, "dispatcher"))
    insert_set = store.insert_set
    forgotten: list[int] = []

    async def slowly(
        conn: db.Connection, company_id: UUID, name: bytes, members: Sequence[UUID]
    ) -> None:
        await insert_set(conn, company_id, name, members)
        if not forgotten:
            forgotten.append(await forget(world, databases, 366))

    monkeypatch.setattr(store, "insert_set", slowly)
    at = THEN + 366 * DAY
    await looking.record(world.company_id, other, PURPOSE, SCREEN, drivers, at)
    assert forgotten == [1]


async def test_a_look_whose_list_of_drivers_is_removed_just_then_is_written_all_the_same(
    world: World,
    databases: Databases,
    looking: Reads,
    dispatcher: Actor,
    drivers: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await look_while_its_set_goes(world, databases, looking, dispatcher, drivers, monkeypatch)

    assert await left(world) == (1, 1, 1)


async def test_control_without_a_second_try_that_look_is_refused(
    world: World,
    databases: Databases,
    looking: Reads,
    dispatcher: Actor,
    drivers: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reads, "INSERT_TRIES_MAX", 1)

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await look_while_its_set_goes(world, databases, looking, dispatcher, drivers, monkeypatch)


async def test_the_job_leaves_a_list_that_somebody_is_just_naming(
    world: World,
    databases: Databases,
    looking: Reads,
    dispatcher: Actor,
    drivers: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await look(looking, world, dispatcher, drivers)
    insert_rows = store.insert_rows
    forgetting: list[asyncio.Task[int]] = []

    async def slowly(*args: object) -> None:
        await insert_rows(*args)  # type: ignore[arg-type]
        forgetting.append(asyncio.create_task(forget(world, databases, 366)))
        await asyncio.wait(forgetting, timeout=0.5)

    monkeypatch.setattr(store, "insert_rows", slowly)
    at = THEN + 366 * DAY
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, at)

    assert await forgetting[0] == 1
    assert await left(world) == (1, 1, 1)
