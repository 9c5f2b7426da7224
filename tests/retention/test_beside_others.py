"""Retention beside uploads, withdrawals, merging and erasing that go on at the same moment."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.db import ROLE_COMMITTER, Connection
from server.retention import store
from server.retention.model import Gone
from server.retention.service import forget_old_tracks
from server.tracking import compaction, compaction_store
from server.tracking import service as tracking
from server.tracking.compaction_store import LooseHour
from server.vault.model import Category
from tests import consents
from tests.conftest import Databases
from tests.retention.rows import (
    AUGUST,
    HOUR,
    LIMIT,
    SECOND,
    exchange,
    keep,
    keys_left,
    left,
    sources,
)
from tests.uploading import Api, positions, uploading
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World

AUGUST_HOUR = AUGUST.replace(minute=0)


@pytest.fixture
async def committer(databases: Databases) -> AsyncIterator[Connection]:
    conn = await db.connect(databases.main, role=ROLE_COMMITTER)
    yield conn
    await conn.close()


@pytest.fixture
async def api(world: World, databases: Databases) -> AsyncIterator[Api]:
    async with uploading(world, databases) as served:
        yield served


async def forget(world: World) -> Gone:
    return await forget_old_tracks(world.pool, world.vault, world.company_id, NOW)


@asynccontextmanager
async def removing(world: World) -> AsyncIterator[Connection]:
    """Hold a batch open that has removed its rows and is not committed."""
    async with db.tenant(world.pool, world.company_id) as conn:
        removed = await store.delete_tracks(conn, world.company_id, LIMIT, limit=100)
        assert removed.rows == 2
        yield conn


@pytest.fixture
async def old_rows(world: World) -> set[Any]:
    """Two rows of one hour of August; returns the id of their key."""
    return {await keep(world, AUGUST), await keep(world, AUGUST + 60 * SECOND)}


@pytest.mark.usefixtures("old_rows")
async def test_an_upload_and_a_withdrawal_do_not_wait_for_a_batch(api: Api) -> None:
    world = api.world
    driver = (world.company_id, world.driver.member_id)

    async with removing(world), asyncio.timeout(10):
        answer = await api.upload(positions(3))
        async with gates.stopping(world.pool, *driver, now=NOW) as conn:
            await consents.withdraw(conn, *driver, GateItem.PLAN_FACT, now=NOW)

    assert answer["accepted"] == 3
    assert await left(world) == {NOW}


@pytest.mark.usefixtures("old_rows")
async def test_control_a_batch_that_locks_the_gate_holds_up_the_upload(api: Api) -> None:
    world = api.world

    async with removing(world) as conn:
        await gates.lock(conn, world.company_id, world.driver.member_id)
        status, _ = await api.post({"positions": positions(3)})

    assert status == 503


async def test_merging_brings_nothing_back_that_went_meanwhile(
    world: World, committer: Connection, old_rows: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(old_rows) == 1
    merge, loop = compaction._merged, asyncio.get_running_loop()  # noqa: SLF001 - between read and write

    def after_a_run(*args: Any) -> Any:
        asyncio.run_coroutine_threadsafe(forget(world), loop).result()
        return merge(*args)

    monkeypatch.setattr(compaction, "_merged", after_a_run)

    loose = LooseHour(world.driver.member_id, AUGUST_HOUR)
    done = await compaction.compact(committer, world.pool, world.vault, world.company_id, loose)

    assert not done
    assert await left(world) == set()
    assert await keys_left(world, *old_rows) == set()


@pytest.mark.usefixtures("old_rows")
async def test_control_an_exchange_that_counts_nothing_brings_them_back(
    world: World, committer: Connection
) -> None:
    old = await sources(world, AUGUST_HOUR)
    keys = await world.vault.keys(world.company_id, (one.key_id for one in old))
    [key] = keys.values()
    new = compaction._merged(old, keys, key)  # noqa: SLF001 - the very rows it would write
    await forget(world)

    async with committer.transaction():  # commits whatever it found
        assert await exchange(world, committer, old, new) == 0

    assert await left(world) == {AUGUST + 60 * SECOND}


async def beside_a_merge(
    world: World, committer: Connection, work: Coroutine[Any, Any, Gone]
) -> Gone:
    """Merge the hour, and do the work between the statement and its commit."""
    old = await sources(world, AUGUST_HOUR)
    keys = await world.vault.keys(world.company_id, (one.key_id for one in old))
    [key] = keys.values()
    async with committer.transaction():
        new = compaction._merged(old, keys, key)  # noqa: SLF001 - the very rows it would write
        assert await exchange(world, committer, old, new) == 2
        return await work


async def test_a_run_gives_way_to_a_merge_and_spares_its_key(
    world: World, committer: Connection, old_rows: set[Any]
) -> None:
    async with asyncio.timeout(10):
        gone = await beside_a_merge(world, committer, forget(world))

    assert gone == Gone()
    assert len(await left(world)) == 1
    assert await keys_left(world, *old_rows) == old_rows
    gone = await forget(world)
    assert (gone.track_rows, gone.months) == (1, 1)
    assert await left(world) == set()


async def test_control_a_run_that_spares_no_key_leaves_a_row_that_nothing_opens(
    world: World, committer: Connection, old_rows: set[Any]
) -> None:
    async def careless() -> Gone:
        await world.vault.destroy_before(world.company_id, Category.TRACK, LIMIT)
        return Gone()

    await beside_a_merge(world, committer, careless())

    assert len(await left(world)) == 1
    assert await keys_left(world, *old_rows) == set()


@pytest.mark.usefixtures("old_rows")
async def test_a_merge_that_commits_in_time_is_waited_for_and_then_removed(
    world: World, committer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.retention.service.LOCK_MS_MAX", 10_000)
    old = await sources(world, AUGUST_HOUR)
    keys = await world.vault.keys(world.company_id, (one.key_id for one in old))
    [key] = keys.values()

    async with asyncio.timeout(20):
        async with committer.transaction():
            new = compaction._merged(old, keys, key)  # noqa: SLF001 - as above
            await exchange(world, committer, old, new)
            running = asyncio.create_task(forget(world))
            await until_somebody_waits_for(world.owner, A_ROW)
        await running

    assert await left(world) == set()


@pytest.mark.usefixtures("old_rows")
async def test_an_erasure_waits_for_a_batch_and_misses_nothing(world: World) -> None:
    await keep(world, NOW)

    async def erase() -> int:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await tracking.erase(conn, world.company_id, world.driver.member_id)

    async with asyncio.timeout(10):
        async with removing(world):
            erasing = asyncio.create_task(erase())
            await until_somebody_waits_for(world.owner, A_ROW)
        assert await erasing == 1

    assert await left(world) == set()


@pytest.mark.usefixtures("old_rows")
async def test_a_run_gives_way_to_an_erasure(world: World) -> None:
    other = await keep(world, NOW)
    async with db.tenant(world.pool, world.company_id) as conn:
        await tracking.erase(conn, world.company_id, world.driver.member_id)
        async with asyncio.timeout(10):
            gone = await forget(world)

    assert gone == Gone()
    assert await left(world) == set()
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    assert await forget(world) == Gone()
    assert await keys_left(world, other) == set()


async def test_only_whole_hours_of_the_past_are_merged_so_the_two_meet_at_no_usual_setting(
    world: World,
) -> None:
    # Merging looks back as far as phones may hold positions, and two hours: 60 days are kept.
    await keep(world, AUGUST)
    await keep(world, AUGUST + SECOND)
    async with db.tenant(world.pool, world.company_id) as conn:
        loose = await compaction_store.loose_hours(
            conn, world.company_id, since=NOW - 74 * HOUR, until=NOW, limit=10
        )

    assert loose == []
