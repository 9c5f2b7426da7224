"""The topic ``routes`` of the stream: that a route was changed, and not how."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.live.hub import COMMITS_WITHIN
from server.live.service import PLANS_BACK, route_news
from server.routes import editing
from server.routes.changes import PlanMark
from tests.alerts.seen import planned
from tests.live.screens import screen
from tests.world import NOW, World, add_driver

ROUTES: Final = "/v1/stream?topics=routes"
SOME_TICKS_S: Final = 0.3
SINCE: Final = NOW - COMMITS_WITHIN
ROUTE: Final = UUID(int=1)
MARK: Final = PlanMark(
    plan_version=3,
    driver_id=UUID(int=2),
    vehicle_id=None,
    cancelled_at=None,
    ends_at=NOW,
    changed_at=SINCE - timedelta(hours=1),
)


async def test_a_screen_hears_of_each_change_of_a_route_once_and_not_what_it_was(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    place = (world.company_id, route.head.route_id)
    async with (
        screen(client, dispatcher) as usual,
        screen(client, dispatcher, path=ROUTES) as shown,
    ):
        async with db.tenant(world.pool, world.company_id) as conn:
            given_to = other.member_id
            await editing.assign(conn, *place, driver_id=given_to, vehicle_id=None, now=NOW)
        given = await shown.wait_for("route")
        async with db.tenant(world.pool, world.company_id) as conn:
            await editing.cancel(conn, *place, now=NOW)
        await shown.wait_for("route", after=2)
        await world.owner.execute("DELETE FROM route")
        gone = await shown.wait_for("route", after=3)
        await asyncio.sleep(SOME_TICKS_S)

    assert given.event_id is not None
    assert given.data == {"route_id": str(route.head.route_id), "plan_version": 1}
    assert gone.data == {"route_id": str(route.head.route_id), "plan_version": None}
    assert [one.name for one in shown.events] == ["hello", "route", "route", "route"]
    assert "route" not in {one.name for one in usual.events}
    # It is no position, and comes of none.
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0


@pytest.mark.parametrize(("changed_at", "told"), [(SINCE, [3]), (SINCE - timedelta(seconds=1), [])])
def test_a_route_is_new_when_it_was_planned_and_not_when_its_time_comes_near(
    changed_at: datetime, told: list[int]
) -> None:
    now = {ROUTE: replace(MARK, changed_at=changed_at)}

    found = route_news({}, now, since=SINCE, now=NOW)

    assert [one.plan_version for one in found] == told


@pytest.mark.parametrize(("over", "told"), [(timedelta(0), [None]), (PLANS_BACK, [None])])
def test_a_route_that_is_there_no_more_was_removed(over: timedelta, told: list[int | None]) -> None:
    found = route_news({ROUTE: replace(MARK, ends_at=NOW - over)}, {}, since=SINCE, now=NOW)

    assert [one.plan_version for one in found] == told


def test_but_not_if_its_time_is_long_over() -> None:
    over = replace(MARK, ends_at=NOW - PLANS_BACK - timedelta(seconds=1))

    assert route_news({ROUTE: over}, {}, since=SINCE, now=NOW) == []
    assert route_news({ROUTE: MARK}, {ROUTE: MARK}, since=SINCE, now=NOW) == []
