"""A subject that somebody holds, as an eraser that stands still does, is waited for alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.vault import making, store
from server.vault.model import DataKey, SubjectErased, WrappedKey
from tests.vault.test_many import keys_of
from tests.world import NOW, World

SHORT_MS = 300


@pytest.fixture
async def subject_ids(world: World) -> list[UUID]:
    made = [uuid7() for _ in range(8)]
    for one in made:
        await world.vault.create_subject(world.company_id, one)
    return made


@pytest.fixture
async def eraser(world: World, keys_pool: Pool) -> AsyncIterator[Connection]:
    """Return the transaction of somebody who erases."""
    async with keys_pool.acquire() as conn:
        erasing = conn.transaction()
        await erasing.start()
        await db.enter(conn, world.company_id)
        yield conn
        await erasing.rollback()


async def test_neighbours_get_their_keys_at_once_and_only_who_is_held_is_told_no(
    world: World, subject_ids: list[UUID], eraser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "LOCK_MS_MAX", SHORT_MS)
    await store.destroy_subject(eraser, world.company_id, subject_ids[3], NOW)
    others = [one for one in subject_ids if one != subject_ids[3]]
    held = asyncio.create_task(keys_of(world, world.vault, subject_ids[3:4]))
    made = await asyncio.wait_for(keys_of(world, world.vault, others), 5)

    assert {type(one) for one in made} == {DataKey}
    assert not held.done()
    (told,) = await held
    assert isinstance(told, asyncpg.LockNotAvailableError)


async def test_those_who_come_while_somebody_waits_for_one_who_is_held_do_not_wait(
    world: World, subject_ids: list[UUID], eraser: Connection
) -> None:
    await store.destroy_subject(eraser, world.company_id, subject_ids[0], NOW)
    held = asyncio.create_task(keys_of(world, world.vault, subject_ids[:1]))
    await asyncio.sleep(0.1)

    made = await keys_of(world, world.vault, subject_ids[1:])

    assert {type(one) for one in made} == {DataKey}
    assert not held.done()
    held.cancel()


async def test_many_who_are_held_leave_connections_to_the_others_and_are_told_in_time(
    world: World, subject_ids: list[UUID], eraser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "LOCK_MS_MAX", SHORT_MS)
    for one in subject_ids[:-1]:
        await store.destroy_subject(eraser, world.company_id, one, NOW)
    began = time.monotonic()
    held = asyncio.create_task(keys_of(world, world.vault, subject_ids[:-1]))
    await asyncio.sleep(0.1)

    (made,) = await keys_of(world, world.vault, subject_ids[-1:])

    assert isinstance(made, DataKey)
    assert not held.done()
    assert all(isinstance(one, db.OUTAGES) for one in await held)
    # For a turn, and for the lock; one after the other they would take seven times as long.
    assert time.monotonic() - began < 5 * SHORT_MS / 1000
    assert len(world.vault._making) == 0  # noqa: SLF001 - what lies in memory


@pytest.mark.parametrize("erased", [True, False])
async def test_who_is_held_for_a_moment_gets_what_becomes_of_them(
    world: World, subject_ids: list[UUID], keys_pool: Pool, *, erased: bool
) -> None:
    async with keys_pool.acquire() as conn:
        erasing = conn.transaction()
        await erasing.start()
        await db.enter(conn, world.company_id)
        await store.destroy_subject(conn, world.company_id, subject_ids[0], NOW)
        asking = asyncio.create_task(keys_of(world, world.vault, subject_ids[:1]))
        await asyncio.wait([asking], timeout=0.2)
        assert not asking.done()
        await (erasing.commit() if erased else erasing.rollback())
        (told,) = await asking

    assert isinstance(told, SubjectErased if erased else DataKey)


async def test_who_makes_the_same_key_and_stands_still_costs_half_of_them_their_answer_at_most(
    world: World, subject_ids: list[UUID], eraser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "LOCK_MS_MAX", SHORT_MS)
    month = f"{NOW:%Y-%m}"
    made = WrappedKey(
        key_id=uuid7(),
        subject_id=subject_ids[2],
        category="track",
        period=month,
        wrapped=b"-",
    )
    await store.insert_keys(eraser, world.company_id, [made], [NOW])

    told = await keys_of(world, world.vault, subject_ids)

    assert [type(one) for one in told[4:]] == [DataKey] * 4
    assert isinstance(told[2], asyncpg.LockNotAvailableError)
