"""Two routes of one driver on one day: whose time it is, and when a report can be final."""

import pytest

from tests.reports.days import (
    HOUR,
    MINUTE,
    STARTED,
    STOPS,
    Office,
    drive,
    keep_reports,
    plan,
    share,
    store_positions,
)
from tests.reports.test_span import NEXT_ROUTE, statuses
from tests.world import World


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    return world


async def test_routes_whose_plans_begin_at_one_moment_are_driven_together(
    world: World, office: Office
) -> None:
    """As all begin whose plans tell no times: with the day."""
    await share(world, world.driver, STARTED - 2 * HOUR)
    heads = [await plan(world, world.driver, stops=[stop]) for stop in STOPS]
    await store_positions(world, world.driver, drive(STARTED))

    reports = [await office.report(head) for head in heads]

    assert [statuses(report) for report in reports] == [["visited"]] * 2
    driven_m = {report["totals"]["actual_m"] for report in reports}
    assert min(driven_m) > 3_000
    assert max(driven_m) == pytest.approx(min(driven_m), rel=0.05)


async def test_a_report_is_final_once_nothing_of_the_route_can_be_served_any_more(
    world: World, office: Office
) -> None:
    """Not by the next route: a stop that is left may be served on it, until four hours later."""
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await plan(world, world.driver, began=NEXT_ROUTE)
    await store_positions(world, world.driver, drive(STARTED))
    made = []
    for at in (head.ends_at + 4 * HOUR - MINUTE, head.ends_at + 4 * HOUR + MINUTE):
        office.clock.at = at
        made.append((await office.recompute(head))[0])

    assert made == [409, 200]
