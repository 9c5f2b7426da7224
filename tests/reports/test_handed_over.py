"""A route that is given to another driver: each report is of the time its driver had the route."""

from datetime import datetime

import numpy as np
import pytest

from server.kit import db
from server.routes import editing
from server.routes.model import RouteHead
from server.tracking.model import Positions, to_ms
from tests.reports.days import (
    CLIENT,
    HOUR,
    MINUTE,
    STARTED,
    Office,
    drive,
    keep_reports,
    plan,
    share,
    store_positions,
)
from tests.reports.test_span import ARRIVED, NEXT_ROUTE, begin_of, statuses, tap
from tests.world import NOW, Driver, World, add_driver

HANDED_OVER = STARTED + 10 * MINUTE
MORNING, AFTERNOON = drive(STARTED, to_s=600), drive(STARTED, from_s=600)


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    return world


def elsewhere(begin: datetime, end: datetime) -> Positions:
    """Return positions ten kilometres to the north of the day's road."""
    count = int((end - begin).total_seconds()) // 5
    values = np.full((7, count), np.nan)
    values[:3] = np.array([[CLIENT[1] + 0.1], [CLIENT[0]], [5.0]])
    return Positions(
        time_ms=to_ms(begin) + np.arange(count) * 5_000,
        values=values,
        flags=np.full(count, 1, np.uint8),
    )


async def two_drivers(world: World) -> Driver:
    other = await add_driver(world.vault, world.pool, world.company_id)
    for driver in (world.driver, other):
        await share(world, driver, STARTED - 2 * HOUR)
    return other


async def hand_over(world: World, head: RouteHead, to: Driver, at: datetime) -> None:
    """Give the route to another, as the office does."""
    place = (world.company_id, head.route_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.assign(conn, *place, driver_id=to.member_id, vehicle_id=None, now=at)


async def test_who_is_handed_a_route_is_not_accused_of_what_another_served_before(
    world: World, office: Office
) -> None:
    """Nor is anything told of where they were before they had it."""
    other = await two_drivers(world)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, MORNING)
    await tap(world, head, ARRIVED)
    await store_positions(world, other, elsewhere(STARTED - HOUR, STARTED + 10 * MINUTE))
    await store_positions(world, other, AFTERNOON)
    await hand_over(world, head, other, HANDED_OVER)

    report = await office.report(head)

    assert report["availability"] == "full"
    assert statuses(report) == ["unknown", "visited"]
    assert report["stops"][0]["unknown_reason"] == "before_recording"
    assert report["stops"][0]["tapped_at"] is None
    assert begin_of(report) == "2026-11-22T04:10:00Z"
    assert report["totals"]["actual_m"] < 3_000  # half of the way


async def test_a_route_that_is_given_back_begins_anew_and_the_words_of_before_count(
    world: World, office: Office
) -> None:
    other = await two_drivers(world)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED))
    await tap(world, head, ARRIVED)
    await hand_over(world, head, other, HANDED_OVER - 2 * MINUTE)
    await hand_over(world, head, world.driver, HANDED_OVER)
    await hand_over(world, head, world.driver, HANDED_OVER + 5 * MINUTE)  # who has it has it

    report = await office.report(head)

    assert begin_of(report) == "2026-11-22T04:10:00Z"
    assert statuses(report) == ["visited", "visited"]
    assert report["stops"][0]["evidence"] == "driver_tap"


async def test_a_day_that_is_planned_afterwards_is_whose_it_is_planned_for(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await world.owner.execute("UPDATE route SET created_at = $1, assigned_at = $1", NOW)
    await store_positions(world, world.driver, drive(STARTED))

    assert statuses(await office.report(head)) == ["visited", "visited"]


async def test_the_earlier_route_of_who_is_handed_another_goes_on_until_then(
    world: World, office: Office
) -> None:
    """Though by its plan the other began in the middle of it."""
    other = await two_drivers(world)
    own = await plan(world, other)
    late = await plan(world, world.driver, began=NEXT_ROUTE)
    await store_positions(world, other, drive(STARTED))
    before = await office.report(own)

    await hand_over(world, late, other, STARTED + 25 * MINUTE)
    after, of_late = await office.report(own), await office.report(late)

    assert statuses(before) == statuses(after) == ["visited", "visited"]
    assert after["until"] == "2026-11-22T04:25:00Z"
    assert after["totals"]["actual_m"] == before["totals"]["actual_m"]
    assert of_late["availability"] == "no_positions"


async def test_a_route_that_is_handed_over_late_comes_after_those_that_began_before(
    world: World, office: Office
) -> None:
    other = await two_drivers(world)
    late = await plan(world, world.driver)
    own = await plan(world, other, began=STARTED + 5 * MINUTE)
    await store_positions(world, other, drive(STARTED))

    await hand_over(world, late, other, HANDED_OVER)

    assert (await office.report(own))["until"] == "2026-11-22T04:10:00Z"
    report = await office.report(late)
    assert begin_of(report) == "2026-11-22T04:10:00Z"
    assert statuses(report) == ["unknown", "visited"]
