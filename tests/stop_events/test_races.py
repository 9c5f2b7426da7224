"""Two at once: one event of one id, and no more of a route than may be."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from server.accounts import service as accounts
from server.kit import db
from server.kit.ids import uuid7
from server.shifts.model import AccountNotActive
from server.stop_events import store
from server.stop_events.model import EVENTS_OF_ROUTE_MAX, SealedEvent, StopEventsTooMany
from tests.stop_events.saying import said, say
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World

ROUNDS = 10
LEFT = 3


async def count(world: World) -> int:
    found: int = await world.owner.fetchval("SELECT count(*) FROM stop_event")
    return found


async def test_of_one_event_sent_twice_at_once_one_is_kept_and_both_are_answered_alike(
    world: World, route: Any
) -> None:
    for _ in range(ROUNDS):
        what = said(route)

        both = await asyncio.gather(say(world, what), say(world, what))

        assert both[0] == both[1]
    assert await count(world) == ROUNDS


async def test_of_two_that_say_different_things_under_one_id_at_once_one_is_refused(
    world: World, route: Any
) -> None:
    for _ in range(ROUNDS):
        first = said(route, text="One.")
        second = said(route, text="Two.", event_id=first.event_id)

        both = await asyncio.gather(say(world, first), say(world, second), return_exceptions=True)

        assert sorted(type(one).__name__ for one in both) == ["StopEvent", "StopEventDiffers"]
    assert await count(world) == ROUNDS


async def test_control_without_the_constraint_looking_before_keeps_both(
    world: World, route: Any
) -> None:
    event_id = uuid4()
    both_looked = asyncio.Barrier(2)

    async def unguarded() -> None:
        what = sealed(world, route, event_id)
        async with db.tenant(world.pool, world.company_id) as conn:
            ids = (world.company_id, world.driver.member_id, event_id)
            assert await store.get(conn, *ids) is None
            await both_looked.wait()
            # As the table would hold it without the constraint: under an id of its own.
            await store.insert(conn, world.company_id, replace(what, event_id=uuid4()))

    await asyncio.gather(unguarded(), unguarded())

    assert await count(world) == 2


def sealed(world: World, route: Any, event_id: UUID) -> SealedEvent:
    what = said(route, event_id=event_id)
    return SealedEvent(
        stop_event_id=uuid7(),
        driver_id=world.driver.member_id,
        event_id=event_id,
        route_id=what.route_id,
        stop_id=what.stop_id,
        received_at=NOW,
        event_sealed=b"sealed",
    )


async def fill(world: World, route: Any, events: int) -> None:
    """Let so many events of the route be there."""
    what = sealed(world, route, uuid4())
    await world.owner.execute(
        "INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id, route_id, stop_id,"
        " received_at, event_sealed)"
        " SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), $3, $4, $5, ''"
        " FROM generate_series(1, $6)",
        world.company_id,
        what.driver_id,
        what.route_id,
        what.stop_id,
        what.received_at,
        events,
    )


async def test_no_more_is_kept_of_a_route_than_may_be_however_many_say_it_at_once(
    world: World, route: Any
) -> None:
    await fill(world, route, EVENTS_OF_ROUTE_MAX - LEFT)

    all_at_once = (say(world, said(route)) for _ in range(3 * LEFT))
    told = await asyncio.gather(*all_at_once, return_exceptions=True)

    assert sum(isinstance(one, StopEventsTooMany) for one in told) == 2 * LEFT
    assert await count(world) == EVENTS_OF_ROUTE_MAX


async def test_control_without_the_lock_more_are_kept_than_may_be(world: World, route: Any) -> None:
    both_counted = asyncio.Barrier(2)
    await say(world, said(route))

    async def unguarded() -> None:
        what = sealed(world, route, uuid4())
        async with db.tenant(world.pool, world.company_id) as conn:
            ids = (what.route_id, world.driver.member_id)
            assert await store.count(conn, world.company_id, *ids) == 1
            await both_counted.wait()
            await store.insert(conn, world.company_id, what)

    await asyncio.gather(unguarded(), unguarded())

    assert await count(world) == 3  # two may be, and each of both found one


async def test_a_report_that_waits_for_a_block_is_refused(world: World, route: Any) -> None:
    ids = (world.company_id, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await accounts.state_of(conn, *ids)
        waiting = asyncio.create_task(say(world, said(route)))
        await until_somebody_waits_for(world.owner, A_ROW)
        await conn.execute(
            "UPDATE member SET state = 'blocked' WHERE company_id = $1 AND member_id = $2", *ids
        )

    with pytest.raises(AccountNotActive):
        await waiting

    assert await count(world) == 0
