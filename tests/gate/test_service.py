"""Closing the gate is certain: races on real connections, with the production roles."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from server.gate import service as gate
from server.gate import store
from server.gate.model import Gate, GateItem, GateMissing, Window, Windows
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from tests.world import NOW, SHIFT_STARTED, World, add_company

SETTLE_S = 0.2
"""Long enough for a task to reach its lock; a task that is not done by then waits for it."""

OPEN_GATE = """
    SELECT epoch FROM gate g
     WHERE company_id = $1 AND driver_id = $2 AND account_active AND location_since IS NOT NULL
       AND NOT EXISTS (SELECT FROM gate_closing c
                        WHERE c.company_id = g.company_id AND c.driver_id = g.driver_id)
"""


async def read(world: World) -> Gate:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.read(conn, world.company_id, world.driver.member_id)


async def closings(world: World) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM gate_closing")
    return count


@asynccontextmanager
async def upload(pool: Pool, world: World, *, lock: str) -> "AsyncIterator[Connection | None]":
    """Be an upload in flight: it has seen an open gate and not committed. None: it was refused."""
    async with pool.acquire() as conn, conn.transaction():
        seen = await conn.fetchval(OPEN_GATE + lock, world.company_id, world.driver.member_id)
        yield None if seen is None else conn


async def store_position(conn: Connection, world: World) -> None:
    await conn.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at, count,"
        " key_id, blob) VALUES ($1, $2, $3, $4, $3, $3, 1, $4, 'sealed')",
        world.company_id,
        world.driver.member_id,
        NOW,
        uuid7(),
    )


async def withdraw_location(world: World) -> int:
    driver_id = world.driver.member_id
    async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
        return await gate.set_consent(conn, world.company_id, driver_id, GateItem.LOCATION, None)


async def test_an_act_that_stops_waits_for_uploads_in_flight_and_lets_no_new_one_in(
    world: World, committer_pool: Pool
) -> None:
    async with upload(committer_pool, world, lock="FOR SHARE") as conn:
        assert conn is not None
        act = asyncio.create_task(withdraw_location(world))
        await asyncio.sleep(SETTLE_S)

        assert not act.done()
        async with upload(committer_pool, world, lock="FOR SHARE") as overtaking:
            assert overtaking is None
        await store_position(conn, world)
    await act

    async with upload(committer_pool, world, lock="FOR SHARE") as late:
        assert late is None
    assert not (await read(world)).is_open
    assert await closings(world) == 0


async def test_control_an_upload_without_the_lock_commits_after_the_act_was_answered(
    world: World, committer_pool: Pool
) -> None:
    async with upload(committer_pool, world, lock="") as conn:
        assert conn is not None
        await withdraw_location(world)

        assert not (await read(world)).is_open
        await store_position(conn, world)

    assert await world.owner.fetchval("SELECT count(*) FROM chunk") == 1


async def test_an_act_that_fails_leaves_the_gate_as_it_was(world: World) -> None:
    before = await read(world)
    driver_id = world.driver.member_id

    async def act() -> None:
        async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
            await gate.set_account_active(conn, world.company_id, driver_id, active=False)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await act()

    assert await read(world) == before
    assert before.is_open
    assert await closings(world) == 0


async def test_an_act_that_is_cancelled_leaves_the_gate_as_it_was(
    world: World, committer_pool: Pool
) -> None:
    before = await read(world)
    async with upload(committer_pool, world, lock="FOR SHARE"):
        act = asyncio.create_task(withdraw_location(world))
        await asyncio.sleep(SETTLE_S)
        assert await closings(world) == 1

        act.cancel()
        with pytest.raises(asyncio.CancelledError):
            await act

    assert await read(world) == before
    assert await closings(world) == 0


async def test_while_an_act_is_under_way_the_gate_is_closed_for_everybody(world: World) -> None:
    driver_id = world.driver.member_id
    async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW):
        assert (await read(world)).closing
        assert not (await read(world)).is_open

    assert (await read(world)).is_open


async def test_the_announcement_of_a_process_that_died_is_swept(world: World) -> None:
    company_id = world.company_id
    async with db.tenant(world.pool, company_id) as conn:
        await store.insert_closing(conn, company_id, world.driver.member_id, uuid7(), NOW)
    soon = NOW + timedelta(seconds=gate.CLOSING_S_MAX)

    async with db.tenant(world.pool, company_id) as conn:
        assert await gate.sweep_closings(conn, company_id, soon) == 0
        assert not (await read(world)).is_open
        assert await gate.sweep_closings(conn, company_id, soon + timedelta(seconds=1)) == 1

    assert (await read(world)).is_open


async def test_two_acts_on_one_driver_come_one_after_the_other(world: World) -> None:
    driver_id = world.driver.member_id
    order: list[str] = []
    first_is_in, first_may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
            first_is_in.set()
            await first_may_end.wait()
            await gate.set_consent(conn, world.company_id, driver_id, GateItem.LOCATION, None)
            order.append("first")

    async def second() -> None:
        async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
            order.append("second")
            found = await gate.read(conn, world.company_id, driver_id)
            assert found.location_since is None
            await gate.set_consent(conn, world.company_id, driver_id, GateItem.PLAN_FACT, None)

    before = await read(world)
    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await first_is_in.wait()
        group.create_task(second())
        await asyncio.sleep(SETTLE_S)
        assert order == []
        first_may_end.set()

    assert order == ["first", "second"]
    assert (await read(world)).epoch == before.epoch + 2
    assert await closings(world) == 0


async def test_the_answer_waits_for_frames_that_are_leaving(world: World) -> None:
    async with gate.frames(world.pool, world.company_id):
        act = asyncio.create_task(withdraw_location(world))
        await asyncio.sleep(SETTLE_S)

        assert not act.done()
        assert not (await read(world)).is_open

    await act


async def test_the_answer_waits_for_frames_at_most_one_lease(world: World) -> None:
    async with AsyncExitStack() as hung:
        # A process that hangs cannot end its lease itself, so it is played without gate.frames.
        conn = await hung.enter_async_context(db.tenant(world.pool, world.company_id))
        await store.share_live_barrier(conn, world.company_id)
        began = time.monotonic()

        await withdraw_location(world)

        waited_s = time.monotonic() - began
    assert gate.FRAME_LEASE_MS / 1000 <= waited_s < 2 * gate.FRAME_LEASE_MS / 1000


async def test_frames_end_by_themselves_before_an_act_stops_waiting(world: World) -> None:
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with gate.frames(world.pool, world.company_id):
            await asyncio.sleep(10)

    assert time.monotonic() - began < gate.FRAME_LEASE_MS / 1000


async def test_frames_do_not_wait_for_each_other_nor_for_other_companies(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    async with (
        gate.frames(world.pool, world.company_id),
        gate.frames(world.pool, world.company_id),
    ):
        await gate.drain_frames(world.pool, other)


async def windows(world: World) -> Windows:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.windows(
            conn, world.company_id, world.driver.member_id, since=SHIFT_STARTED, until=NOW
        )


async def close_window(world: World, *, hours: int) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.close_window(
            conn,
            world.company_id,
            world.driver.member_id,
            at=SHIFT_STARTED + timedelta(hours=hours),
        )


async def test_a_window_closes_at_the_act_but_never_after_its_own_end(world: World) -> None:
    assert [one.end for one in await windows(world)] == [SHIFT_STARTED + timedelta(hours=14)]

    await close_window(world, hours=99)
    assert [one.end for one in await windows(world)] == [SHIFT_STARTED + timedelta(hours=14)]

    await close_window(world, hours=1)  # none is open any more: nothing moves
    assert [one.end for one in await windows(world)] == [SHIFT_STARTED + timedelta(hours=14)]


async def test_the_end_of_an_open_window_moves_and_counts_and_of_a_closed_one_does_not(
    world: World,
) -> None:
    company_id, driver_id = world.company_id, world.driver.member_id
    before, end = await read(world), NOW + timedelta(hours=3)
    async with db.tenant(world.pool, company_id) as conn:
        await gate.move_window_end(conn, company_id, driver_id, expires_at=end)

    assert await windows(world) == (Window(opened_at=SHIFT_STARTED, end=end),)
    assert (await read(world)).rev == before.rev + 1

    await close_window(world, hours=1)
    async with db.tenant(world.pool, company_id) as conn:
        await gate.move_window_end(conn, company_id, driver_id, expires_at=end)
    assert [one.end for one in await windows(world)] == [SHIFT_STARTED + timedelta(hours=1)]


async def test_a_window_that_closes_before_it_opened_is_empty(world: World) -> None:
    await close_window(world, hours=-1)

    assert await windows(world) == ()


async def test_drivers_in_a_window_are_those_on_shift_now(world: World) -> None:
    company_id, driver_id = world.company_id, world.driver.member_id

    async def on_shift(hours: int) -> set[UUID]:
        async with db.tenant(world.pool, company_id) as conn:
            at = SHIFT_STARTED + timedelta(hours=hours)
            return await gate.drivers_in_a_window(conn, company_id, at)

    assert await on_shift(-1) == set()
    assert await on_shift(1) == {driver_id}
    assert await on_shift(14) == set()


async def test_every_change_counts(world: World) -> None:
    company_id, driver_id = world.company_id, world.driver.member_id
    before = await read(world)

    async with db.tenant(world.pool, company_id) as conn:
        await gate.bump_credentials(conn, company_id, driver_id)
        await gate.set_account_active(conn, company_id, driver_id, active=False)
        await gate.close_window(conn, company_id, driver_id, at=NOW)

    after = await read(world)
    assert after.credential_epoch == before.credential_epoch + 1
    assert (after.epoch, after.rev) == (before.epoch + 1, before.rev + 1)


async def test_another_company_neither_sees_nor_closes_the_gate(world: World) -> None:
    other, driver_id = await add_company(world.vault, world.owner), world.driver.member_id

    with pytest.raises(GateMissing):
        async with gate.stopping(world.pool, other, driver_id, now=NOW):
            pass
    # Even a statement that names the right company sees nothing from inside the wrong one.
    async with db.tenant(world.pool, other) as conn:
        assert await store.read(conn, world.company_id, driver_id) is None
        assert not await store.lock(conn, world.company_id, driver_id)
        active = await store.set_account_active(conn, world.company_id, driver_id, active=False)
        assert active is None
        assert await gate.erase(conn, world.company_id, driver_id) == 0
        assert await gate.drivers_in_a_window(conn, world.company_id, NOW) == set()
    assert (await read(world)).is_open


async def test_an_erased_gate_takes_its_windows_and_announcements_along(world: World) -> None:
    company_id, driver_id = world.company_id, world.driver.member_id
    async with db.tenant(world.pool, company_id) as conn:
        await store.insert_closing(conn, company_id, driver_id, uuid7(), NOW)

        assert await gate.erase(conn, company_id, driver_id) == 3

        with pytest.raises(GateMissing):
            await gate.read(conn, company_id, driver_id)
        with pytest.raises(GateMissing):
            await gate.lock(conn, company_id, driver_id)
        with pytest.raises(GateMissing):
            await gate.set_account_active(conn, company_id, driver_id, active=True)
