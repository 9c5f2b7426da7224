"""Sums over many reports: of what is shared now, and outside the company of ten at least."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.kit.ids import uuid7
from server.reports.model import SUMMARY_DAYS_MAX, Contribution, Sums, grouped
from tests.http import bearer
from tests.reports.days import (
    DRIVE_S,
    STARTED,
    STOPS,
    Office,
    drive,
    driven,
    finish,
    keep_reports,
    plan,
    share,
    store_positions,
    withdraw,
)
from tests.world import NOW, World, add_company, add_driver, add_member, open_session

TODAY = NOW.date().isoformat()


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    return world


async def fleet(world: World, count: int) -> None:
    for _ in range(count):
        await driven(world, await add_driver(world.vault, world.pool, world.company_id))
    while await finish(world):
        pass


async def summed(office: Office, **query: object) -> Any:
    status, found = await office.summary(**query)
    assert status == 200, found
    return found


async def test_routes_are_added_up_by_day_driver_and_vehicle(world: World, office: Office) -> None:
    await fleet(world, 2)

    by_day, by_driver, by_vehicle = [
        (await summed(office, by=by))["items"] for by in ("day", "driver", "vehicle")
    ]

    [day] = by_day
    assert (day["key"], day["routes"], day["drivers"], day["suppressed"]) == (TODAY, 2, 2, False)
    assert (day["on_time_rate"], day["completion"]) == (1.0, 1.0)
    assert (day["stops_due"], day["stops_visited"], day["stops_windowed"]) == (4, 4, 2)
    assert day["planned_m"] == pytest.approx(2 * 5_050, rel=0.02)
    assert day["actual_m"] == pytest.approx(2 * 5_050, rel=0.05)
    assert day["planned_s"] == 2 * 1_200
    # The way alone: nobody saw when the halt at the depot began, and the other one end.
    assert day["actual_s"] == pytest.approx(2 * DRIVE_S, rel=0.05)
    assert [(one["routes"], one["drivers"]) for one in by_driver] == [(1, 1), (1, 1)]
    assert [(one["key"], one["routes"]) for one in by_vehicle] == [(None, 2)]


async def test_a_route_without_a_report_is_counted_as_missing(world: World, office: Office) -> None:
    await fleet(world, 1)
    await share(world, world.driver, NOW - timedelta(hours=10))
    await plan(world, world.driver)

    found = await summed(office)

    assert (found["routes"], found["reported"]) == (2, 1)


async def test_whoever_withdraws_is_in_no_sum_any_more(world: World, office: Office) -> None:
    await driven(world)
    await fleet(world, 1)
    before = await summed(office)

    await withdraw(world)

    after = await summed(office)
    assert (before["reported"], after["reported"]) == (2, 1)
    assert [one["drivers"] for one in after["items"]] == [1]


async def test_sums_that_leave_the_company_are_of_ten_drivers_at_least(
    world: World, office: Office
) -> None:
    await fleet(world, 9)
    of_nine = (await summed(office, aggregate=True))["items"]
    seen_inside = (await summed(office))["items"]
    await fleet(world, 1)
    of_ten = (await summed(office, aggregate=True))["items"]

    [group] = of_nine
    assert (group["key"], group["suppressed"]) == (TODAY, True)
    assert {name for name, value in group.items() if value is not None} == {"key", "suppressed"}
    assert seen_inside[0]["drivers"] == 9
    assert (of_ten[0]["suppressed"], of_ten[0]["drivers"]) == (False, 10)
    assert [name for name, value in of_ten[0].items() if value is None] == []
    # Nobody drove across a gap.
    assert (of_ten[0]["gap_m"], of_ten[0]["on_time_rate"]) == (0.0, 1.0)


async def test_a_figure_of_few_drivers_does_not_leave_the_company(
    world: World, office: Office
) -> None:
    await fleet(world, 9)
    driver = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, driver, STARTED - timedelta(hours=2))
    untimed = [replace(stop, planned_arrival=None, window_start=None) for stop in STOPS]
    await plan(world, driver, stops=[replace(stop, window_end=None) for stop in untimed])
    await store_positions(world, driver, drive(STARTED))
    # It goes on until the end of the day.
    office.clock.at = NOW + timedelta(days=1)
    await finish(world, now=office.clock.at)

    [inside] = (await summed(office))["items"]
    [outside] = (await summed(office, aggregate=True))["items"]

    assert (inside["drivers"], inside["stops_windowed"]) == (10, 9)
    assert inside["timed_actual_s"] == pytest.approx(0.9 * inside["actual_s"], rel=0.01)
    missing = {"stops_windowed", "stops_on_time", "on_time_rate", "planned_s", "timed_actual_s"}
    assert {name for name in outside if outside[name] is None} == missing
    assert outside["actual_s"] == inside["actual_s"]


async def test_a_route_that_was_cancelled_before_it_began_is_not_missing(
    world: World, office: Office
) -> None:
    await fleet(world, 2)
    cancelled = await driven(world)
    await world.owner.execute(
        "UPDATE route SET cancelled_at = starts_at WHERE route_id = $1", cancelled.route_id
    )

    found = await summed(office)

    assert (found["routes"], found["reported"]) == (2, 2)


async def test_a_driver_who_drove_ten_routes_is_still_one() -> None:
    sums = Sums(
        stops_due=1,
        stops_visited=1,
        stops_windowed=0,
        stops_on_time=0,
        planned_m=1.0,
        actual_m=1.0,
        gap_m=0.0,
        planned_s=None,
        actual_s=1.0,
    )
    driver = uuid7()

    [group] = grouped([Contribution(driver_id=driver, group="day", sums=sums)] * 10)

    assert (group.routes, group.contributors, group.tells_of_few) == (10, 1, True)
    assert (group.sums.on_time_rate, group.sums.completion, group.sums.planned_s) == (
        None,
        1.0,
        None,
    )


async def test_each_driver_in_a_sum_is_written_down_as_looked_at(
    world: World, office: Office
) -> None:
    await fleet(world, 2)
    await world.owner.execute("DELETE FROM location_read")

    await summed(office)

    looks = await world.owner.fetch(
        "SELECT viewer_kind, purpose, screen, cardinality(drivers) AS drivers"
        " FROM location_read JOIN location_read_set USING (company_id, set_hash)"
    )
    assert [tuple(row) for row in looks] == [("api_token", "plan_fact", "report_summary", 2)]


@pytest.mark.parametrize(
    "span",
    [
        {"from": TODAY, "to": (NOW - timedelta(days=1)).date().isoformat()},
        {"from": (NOW - timedelta(days=SUMMARY_DAYS_MAX)).date().isoformat(), "to": TODAY},
    ],
)
async def test_a_span_that_cannot_be_summed_up_is_refused(
    office: Office, span: dict[str, str]
) -> None:
    status, problem = await office.summary(**span)

    assert (status, problem["code"]) == (422, "summary-span-invalid")


async def test_another_company_has_sums_of_its_own(world: World, office: Office) -> None:
    await fleet(world, 1)
    other = await add_company(world.vault, world.owner)
    await keep_reports(world)
    stranger = await add_member(world.vault, world.pool, other, role="dispatcher")
    headers = bearer(await open_session(world.pool, other, stranger))

    async with office.client.get(
        "/v1/reports/summary", params={"from": TODAY, "to": TODAY}, headers=headers
    ) as answer:
        found = await answer.json()

    assert (found["routes"], found["items"]) == (0, [])
