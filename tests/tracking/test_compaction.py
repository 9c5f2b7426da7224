"""An hour's uploads become one row: nothing is lost, doubled, or brought back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest

from server import settings
from server.background import jobs_of
from server.databases import Opened
from server.gate import service as gates
from server.gate.model import LOCK_OR_SKIP, GateItem
from server.kit import db
from server.kit.db import ROLE_COMMITTER, Pool
from server.tracking import compaction, compaction_store, service
from server.tracking.compaction import HOUR, compact, compact_due
from server.tracking.compaction_store import LooseHour
from server.tracking.model import Track, TrackPurpose
from tests import consents
from tests.conftest import Databases
from tests.http import Clock
from tests.tracking.stored import share
from tests.uploading import Api, positions
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW

LATER = NOW + timedelta(hours=2)
BEGAN = NOW - HOUR


@pytest.fixture
async def committer(databases: Databases) -> AsyncIterator[db.Connection]:
    conn = await db.connect(databases.main, role=ROLE_COMMITTER)
    yield conn
    await conn.close()


async def track_of(api: Api) -> Track:
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        return await service.track(
            conn,
            api.world.vault,
            api.world.company_id,
            api.world.driver.member_id,
            NOW - timedelta(days=5),
            NOW + timedelta(days=5),
            purpose=TrackPurpose.SUBJECT_ACCESS,
            now=NOW,
        )


async def upload_minutes(api: Api, minutes: Sequence[int], **values: Any) -> None:
    """Upload ten positions of each minute after ``BEGAN``, one upload for each."""
    for minute in minutes:
        until = BEGAN + timedelta(minutes=minute, seconds=50)
        await api.upload(positions(10, until=until, step_s=5, **values))


async def run(api: Api, databases: Databases, now: datetime = LATER) -> int:
    world = api.world
    return await compact_due(databases.main, world.pool, world.vault, world.company_id, now)


def same(one: Track, other: Track) -> bool:
    return (
        np.array_equal(one.time_ms, other.time_ms)
        and np.array_equal(one.values, other.values, equal_nan=True)
        and np.array_equal(one.flags, other.flags)
        and np.array_equal(one.device, other.device)
    )


async def test_an_hour_becomes_one_row_that_reads_the_same(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (7, 3, 30, 5), accuracy_m=4.5, source="gps")
    before = await track_of(api)

    merged = await run(api, databases)

    assert merged == 1
    assert await api.rows() == 1
    assert same(before, await track_of(api))
    assert len(before) == 40
    assert await run(api, databases) == 0


async def test_what_came_twice_is_kept_once_and_what_comes_late_is_merged_later(
    api: Api, databases: Databases
) -> None:
    sent = positions(10, until=BEGAN + timedelta(minutes=5))
    await api.upload(sent, batch_id="a")
    await api.upload(sent, batch_id="b")
    await run(api, databases)
    counts = await api.world.owner.fetch("SELECT count FROM chunk")

    again = await api.upload(sent, batch_id="a")
    await upload_minutes(api, (40,))
    await run(api, databases)

    assert [row["count"] for row in counts] == [10]
    assert again["accepted"] == 10  # its row is merged already, so this is a new one
    assert len(await track_of(api)) == 20
    assert [row["count"] for row in await api.world.owner.fetch("SELECT count FROM chunk")] == [20]


async def hours_left(api: Api) -> int:
    count: int = await api.world.owner.fetchval(
        "SELECT count(*) FROM (SELECT FROM chunk GROUP BY date_bin('1 hour', last_at, 'epoch')"
        " HAVING count(*) > 1) AS loose"
    )
    return count


async def test_what_is_more_than_one_turn_is_merged_in_several(
    api: Api, databases: Databases, keys_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await share(api.world, NOW - timedelta(days=1))
    for hours in range(1, 6):
        await upload_minutes(api, (-60 * hours, 1 - 60 * hours))
    before = await track_of(api)
    monkeypatch.setattr(compaction, "HOURS_IN_A_TURN", 2)
    monkeypatch.setattr(compaction, "HOURS_AT_ONCE", 2)
    opened = Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=api.world.pool,
        keys_pool=keys_pool,
        vault=api.world.vault,
    )

    one_turn = await run(api, databases)
    left = await hours_left(api)
    await jobs_of(opened, settings.read({}), Clock(LATER)).every_minute["compact_tracks"]()

    assert (one_turn, left) == (2, 3)
    assert await hours_left(api) == 0
    assert same(before, await track_of(api))


async def test_of_hours_that_are_merged_together_one_that_cannot_be_holds_up_none(
    api: Api, databases: Databases
) -> None:
    await share(api.world, NOW - timedelta(days=1))
    for hours in range(3):
        await upload_minutes(api, (-60 * hours, 1 - 60 * hours))
    await api.world.owner.execute(
        "UPDATE chunk SET blob = set_byte(blob, 30, 0) WHERE last_at < $1 AND last_at > $2",
        BEGAN - timedelta(minutes=30),
        BEGAN - timedelta(minutes=90),
    )

    assert await run(api, databases) == 2
    assert await hours_left(api) == 1


async def test_an_hour_that_may_still_grow_is_left_alone(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (7, 8))

    for minutes, merged in ((20, 0), (31, 0), (40, 1)):
        assert await run(api, databases, NOW + timedelta(minutes=minutes)) == merged


async def test_each_device_has_a_row_of_its_own(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (1, 2))
    await api.world.owner.execute("UPDATE device SET number = 7")
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.bump_credentials(conn, api.world.company_id, api.world.driver.member_id)
    await upload_minutes(api, (2, 3))
    before = await track_of(api)

    assert await run(api, databases) == 1
    assert await run(api, databases) == 0

    assert await api.rows() == 2
    assert same(before, await track_of(api))
    assert set(before.device.tolist()) == {0, 7}


async def test_a_withdrawn_past_stays_hidden_and_is_the_drivers_own(
    api: Api, databases: Databases
) -> None:
    await upload_minutes(api, (1, 2))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await consents.withdraw(conn, *driver, GateItem.PLAN_FACT, now=NOW)

    assert await run(api, databases) == 1

    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        shown = await service.track(
            conn, api.world.vault, *driver, BEGAN, LATER, purpose=TrackPurpose.PLAN_FACT, now=LATER
        )
    assert len(shown) == 0
    assert len(await track_of(api)) == 20


async def exchange(api: Api, committer: db.Connection, statement: str) -> None:
    """Begin to merge the hour; leave the transaction open."""
    world = api.world
    async with db.tenant(world.pool, world.company_id) as conn:
        old = await compaction_store.sources(
            conn, world.company_id, world.driver.member_id, since=BEGAN, until=NOW
        )
    keys = await world.vault.keys(world.company_id, (one.key_id for one in old))
    [key] = keys.values()
    await db.enter(committer, world.company_id)
    await compaction_store.exchange(
        committer,
        statement,
        world.company_id,
        world.driver.member_id,
        key_epoch=0,
        old=old,
        new=compaction._merged(old, keys, key),  # noqa: SLF001 - the very rows it would write
    )


@pytest.mark.parametrize(("lock", "left"), [(LOCK_OR_SKIP, 0), ("", 1)], ids=["locked", "control"])
async def test_an_erasure_misses_no_row_that_is_just_being_merged(
    api: Api, committer: db.Connection, lock: str, left: int
) -> None:
    await upload_minutes(api, (1, 2))
    world = api.world

    async def erase() -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await gates.erase(conn, world.company_id, world.driver.member_id)
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.erase(conn, world.company_id, world.driver.member_id)

    async with asyncio.timeout(10):
        async with committer.transaction():
            await exchange(api, committer, compaction_store.build_exchange(lock))
            erasing = asyncio.create_task(erase())
            waiting = asyncio.create_task(until_somebody_waits_for(world.owner, A_ROW))
            # It waits for the gate, or, in the control, is through before the merged row is there.
            await asyncio.wait((erasing, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        await asyncio.gather(erasing, waiting, return_exceptions=True)
        erasing.result()

    assert await api.rows() == left


async def test_rows_that_went_meanwhile_are_not_brought_back(
    api: Api, committer: db.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload_minutes(api, (1, 2, 3))
    world = api.world
    first, *_ = await world.owner.fetch("SELECT upload_id FROM chunk ORDER BY last_at")
    merge = compaction._merged  # noqa: SLF001

    def after_a_deletion(*args: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(
            world.owner.execute("DELETE FROM chunk WHERE upload_id = $1", first["upload_id"]), loop
        )
        future.result()
        return merge(*args)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(compaction, "_merged", after_a_deletion)

    done = await compact(
        committer,
        world.pool,
        world.vault,
        world.company_id,
        LooseHour(world.driver.member_id, BEGAN),
    )

    assert not done
    assert await api.rows() == 2
    assert len(await track_of(api)) == 20


async def test_a_crash_before_the_commit_changes_nothing(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (1, 2))
    before = await track_of(api)
    conn = await db.connect(databases.main, role=ROLE_COMMITTER)
    transaction = conn.transaction()
    await transaction.start()
    await exchange(api, conn, compaction_store.EXCHANGE)
    conn.terminate()

    assert await api.rows() == 2
    assert same(before, await track_of(api))


async def test_a_row_that_cannot_be_opened_stays_as_it_is(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (1, 2))
    await api.world.owner.execute("UPDATE chunk SET blob = set_byte(blob, 30, 0) ")

    assert await run(api, databases) == 0
    assert await api.rows() == 2


async def test_an_erased_drivers_hour_is_not_merged(api: Api, databases: Databases) -> None:
    await upload_minutes(api, (1, 2))
    world = api.world
    await world.vault.destroy(world.company_id, world.driver.member_id, now=NOW)

    assert await run(api, databases) == 0


async def test_the_committer_exchanges_rows_but_reads_no_bytes(
    committer: db.Connection,
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await committer.fetchval("SELECT blob FROM chunk LIMIT 1")
