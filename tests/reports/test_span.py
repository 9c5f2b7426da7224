"""A report is of the time of its route, and of what its driver said and shared in it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from server.kit import db
from server.routes import service as routes
from server.routes.model import RouteHead, Stop
from server.stop_events import service as stop_events
from server.stop_events.model import EventKind, Said
from server.tracking import service as tracking
from server.tracking.model import Positions, to_ms
from tests.reports.days import (
    CLIENT,
    DAY,
    HOUR,
    MINUTE,
    STARTED,
    STOPS,
    Office,
    drive,
    finish,
    give_again,
    keep_reports,
    plan,
    rows,
    share,
    store_positions,
    withdraw,
)
from tests.world import NOW, Driver, World, add_driver

FAR = replace(
    STOPS[1],
    name="Far of Aral",
    lat=43.3,
    lon=77.05,
    planned_arrival=None,
    window_start=None,
    window_end=None,
)
ALL_DAY = replace(FAR, window_start=STARTED, window_end=STARTED + 7 * HOUR)
ARRIVED = STARTED + 4 * MINUTE
NEXT_ROUTE = STARTED + 10 * MINUTE
"""Between the two stops of the drive."""


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    return world


async def standing(world: World, since: datetime, hours: int) -> None:
    """Store that the driver stands at the client's for so long."""
    count = hours * 720
    values = np.full((7, count), np.nan)
    values[:3] = np.array([[CLIENT[1]], [CLIENT[0]], [5.0]])
    positions = Positions(
        time_ms=to_ms(since) + np.arange(count) * 5_000,
        values=values,
        flags=np.full(count, 1, np.uint8),
    )
    await store_positions(world, world.driver, positions)


async def tap(
    world: World, head: RouteHead, at: datetime, *, driver: Driver | None = None, stop: int = 0
) -> None:
    """Let the driver say that a stop is done."""
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await routes.find(conn, world.vault, world.company_id, head.route_id)
        said = Said(
            event_id=uuid4(),
            route_id=head.route_id,
            stop_id=routes.opened(found).plan.stops[stop].stop_id,
            kind=EventKind.DONE,
            at=at,
            text=None,
        )
        driver_id = (driver or world.driver).member_id
        await stop_events.report(conn, world.vault, world.company_id, driver_id, said, now=NOW)


async def give_to(world: World, head: RouteHead, driver_id: UUID) -> None:
    await world.owner.execute(
        "UPDATE route SET driver_id = $2 WHERE route_id = $1", head.route_id, driver_id
    )


def statuses(report: Any) -> list[str]:
    return [stop["status"] for stop in report["stops"]]


def begin_of(report: Any) -> Any:
    """Return when what is told of the track begins."""
    return report["fact"]["segments"][0]["from"]


async def looks(world: World) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM location_read")
    return count


@pytest.mark.parametrize(
    ("ends", "reason"), [("by_the_next_route", "not_recorded"), ("by_being_cancelled", "cancelled")]
)
async def test_nothing_of_a_route_that_is_over_is_to_come_though_the_shift_goes_on(
    world: World, office: Office, ends: str, reason: str
) -> None:
    """The next route may begin before the last stop of this one is served."""
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver, stops=[*STOPS, FAR])
    if ends == "by_the_next_route":
        await plan(world, world.driver, began=STARTED + 3 * HOUR)
    else:
        await world.owner.execute("UPDATE route SET cancelled_at = $1", STARTED + 3 * HOUR)
    await store_positions(world, world.driver, drive(STARTED))
    await standing(world, STARTED + timedelta(seconds=1_105), 4)

    report = await office.report(head)

    assert report["state"] == "final"
    assert report["until"] == "2026-11-22T07:00:00Z"
    assert statuses(report) == ["visited", "visited", "unknown"]
    assert report["stops"][2]["unknown_reason"] == reason
    assert report["totals"]["completion"] == 1.0
    assert report["live"]["eta"] == []


@pytest.mark.parametrize("stops", [STOPS, (*STOPS, ALL_DAY)], ids=["two", "with one for all day"])
@pytest.mark.parametrize("ends", ["by_time", "by_the_next_route", "by_being_cancelled"])
async def test_in_a_final_report_nothing_is_pending(
    world: World, office: Office, ends: str, stops: tuple[Stop, ...]
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver, stops=stops)
    if ends == "by_the_next_route":
        await plan(world, world.driver, began=NEXT_ROUTE)
    elif ends == "by_being_cancelled":
        await world.owner.execute("UPDATE route SET cancelled_at = $1", NEXT_ROUTE)
    await store_positions(world, world.driver, drive(STARTED))
    office.clock.at = NOW + 4 * HOUR

    report = await office.report(head)

    assert report["state"] == "final"
    assert statuses(report)[0] == "visited"
    assert "pending" not in statuses(report)
    assert report["live"]["eta"] == []


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "unknown"),
        (timedelta(minutes=18), "visited"),
        (timedelta(hours=4, minutes=34), "visited"),
        (timedelta(hours=4, minutes=36), "unknown"),
    ],
)
@pytest.mark.parametrize("asked_at", [STARTED + 11 * MINUTE, NOW])
async def test_of_a_stop_served_after_the_next_route_began_the_drivers_word_counts(
    world: World, office: Office, asked_at: datetime, said: timedelta | None, found: str
) -> None:
    """Nothing was recorded of it; the words count until four hours after the plan."""
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await plan(world, world.driver, began=NEXT_ROUTE)
    await store_positions(world, world.driver, drive(STARTED, to_s=660))
    if said is not None:
        await tap(world, head, STARTED + said, stop=1)
    office.clock.at = asked_at

    report = await office.report(head)

    assert (report["state"], report["until"]) == ("final", "2026-11-22T04:10:00Z")
    assert statuses(report) == ["visited", found]
    assert report["stops"][1]["evidence"] == ("driver_tap" if found == "visited" else None)
    assert report["unplanned"] == []


async def test_what_is_recorded_on_the_next_route_shows_a_stop_served_and_nothing_else(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await plan(world, world.driver, began=NEXT_ROUTE)
    await store_positions(world, world.driver, drive(STARTED, to_s=601))
    before = await office.report(head)
    await store_positions(world, world.driver, drive(STARTED, from_s=601))
    await standing(world, STARTED + timedelta(seconds=1_105), 1)

    report = await office.report(head)

    assert statuses(before) == ["visited", "unknown"]
    assert statuses(report) == ["visited", "visited"]
    assert report["stops"][1]["evidence"] not in {None, "driver_tap"}
    assert report["stops"][1]["arrived_at"] > report["until"] == before["until"]
    of_stops = {"completion": None, "on_time_rate": None}
    assert report["totals"] | of_stops == before["totals"] | of_stops
    for member in report.keys() - {"stops", "totals", "computed_at"}:
        assert report[member] == before[member], member


async def test_control_a_stop_that_was_left_out_before_the_next_route_is_missed(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED)
    between = replace(FAR, planned_arrival=STARTED + 8 * MINUTE)
    head = await plan(world, world.driver, stops=[STOPS[0], between, STOPS[1]])
    await plan(world, world.driver, began=STARTED + 18 * MINUTE)
    await store_positions(world, world.driver, drive(STARTED))
    await standing(world, STARTED + timedelta(seconds=1_105), 5)

    assert statuses(await office.report(head)) == ["visited", "missed", "visited"]


async def test_how_long_a_driver_was_recorded_before_a_route_says_nothing_of_it(
    world: World, office: Office
) -> None:
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED))

    found = []
    for hours in (2, 6):
        await share(world, world.driver, STARTED - hours * HOUR)
        found.append((await office.report(head))["quality"])

    assert found[0]["coverage"] > 0.0
    assert found[0] == found[1]


async def test_where_positions_are_missing_the_drivers_word_counts(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED, to_s=400))
    await tap(world, head, STARTED + 15 * MINUTE, stop=1)

    second = (await office.report(head))["stops"][1]

    assert (second["status"], second["evidence"]) == ("visited", "driver_tap")


async def test_what_a_former_driver_of_the_route_said_is_not_in_the_report_of_the_present_one(
    world: World, office: Office
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id)
    for driver in (world.driver, other):
        await share(world, driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await tap(world, head, ARRIVED)
    await give_to(world, head, other.member_id)
    await store_positions(world, other, drive(STARTED, from_s=600))
    await finish(world, now=NOW + 3 * DAY)
    office.clock.at = NOW + 3 * DAY

    report = await office.report(head)

    assert len(await rows(world)) == 1
    assert report["availability"] == "full"
    assert statuses(report) == ["unknown", "visited"]
    assert report["stops"][0]["tapped_at"] is None


async def test_what_was_said_before_the_present_consent_stays_hidden(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await tap(world, head, ARRIVED)
    await store_positions(world, world.driver, drive(STARTED, to_s=360))
    shared = await office.report(head)
    await withdraw(world, at=STARTED + 6 * MINUTE)
    await give_again(world, at=STARTED + 10 * MINUTE)
    await world.owner.execute("UPDATE recording_window SET closed_at = NULL")
    await store_positions(world, world.driver, drive(STARTED, from_s=700))

    given_again = await office.report(head)

    assert statuses(shared)[0] == "visited"
    assert shared["stops"][0]["tapped_at"] is not None
    assert given_again["availability"] == "full"
    assert statuses(given_again) == ["unknown", "visited"]
    assert given_again["stops"][0]["tapped_at"] is None


async def test_without_positions_there_is_no_fact_whatever_was_said(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await tap(world, head, ARRIVED)

    report = await office.report(head)

    assert report["availability"] == "no_positions"
    assert statuses(report) == ["unknown", "unknown"]
    assert report["totals"]["completion"] in {0.0, None}
    assert await looks(world) == 0


async def test_what_was_said_before_the_past_was_set_apart_stays_hidden(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await tap(world, head, ARRIVED)
    await store_positions(world, world.driver, drive(STARTED))
    shared = await office.report(head)
    await world.owner.execute(
        "INSERT INTO set_apart (company_id, driver_id, before, positions) VALUES ($1, $2, $3, 0)",
        world.company_id,
        world.driver.member_id,
        ARRIVED + MINUTE,
    )

    apart = await office.report(head)

    assert shared["stops"][0]["tapped_at"] is not None
    assert apart["stops"][0]["tapped_at"] is None
    assert begin_of(apart) == "2026-11-22T04:05:00Z"


async def test_a_plan_that_is_put_off_is_not_its_own_next_route(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED))
    office.clock.at = STARTED - 30 * MINUTE
    body = {"plan_version": 1, "planned_start": "2026-11-22T04:10:00Z"}
    path = f"/v1/routes/{head.route_id}"
    async with office.client.patch(path, json=body, headers=office.headers) as answer:
        assert answer.status == 200, await answer.text()
    office.clock.at = NOW

    assert statuses(await office.report(head, plan_version=1)) == ["visited", "visited"]


async def test_who_serves_the_second_route_early_is_seen(world: World, office: Office) -> None:
    """What was recorded before it begins is of the route before, and tells it all the same."""
    await share(world, world.driver, STARTED - 6 * HOUR)
    await plan(world, world.driver, began=STARTED - 3 * HOUR)
    first = replace(STOPS[0], planned_arrival=STARTED + 2 * MINUTE)
    head = await plan(world, world.driver, began=NEXT_ROUTE, stops=[first, STOPS[1]])
    await store_positions(world, world.driver, drive(STARTED))
    await standing(world, STARTED + timedelta(seconds=1_105), 5)

    report = await office.report(head)

    assert begin_of(report) == "2026-11-22T04:10:00Z"
    assert statuses(report) == ["visited"] * 2
    assert report["stops"][0]["evidence"] != "driver_tap"
    assert report["stops"][0]["departed_at"] < begin_of(report)


@pytest.mark.parametrize("said", [True, False])
async def test_who_serves_the_second_route_early_unseen_may_say_so(
    world: World, office: Office, *, said: bool
) -> None:
    await share(world, world.driver, STARTED - 6 * HOUR)
    await plan(world, world.driver, began=STARTED - 3 * HOUR)
    first = replace(STOPS[0], planned_arrival=STARTED + 2 * MINUTE)
    head = await plan(world, world.driver, began=NEXT_ROUTE, stops=[first, STOPS[1]])
    await store_positions(world, world.driver, drive(STARTED, from_s=601))
    await standing(world, STARTED + timedelta(seconds=1_105), 5)
    if said:
        await tap(world, head, ARRIVED)

    report = await office.report(head)

    assert statuses(report) == ["visited" if said else "unknown", "visited"]
    assert report["stops"][0]["evidence"] == ("driver_tap" if said else None)


@pytest.mark.parametrize(
    ("most", "found"),
    [(221, ["visited", "visited"]), (220, ["visited", "unknown"]), (119, "track-too-long")],
)
async def test_so_many_positions_are_looked_at_those_of_the_next_route_among_them_or_without(
    world: World, office: Office, monkeypatch: pytest.MonkeyPatch, most: int, found: object
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await plan(world, world.driver, began=NEXT_ROUTE)
    for part in (drive(STARTED, to_s=600), drive(STARTED, from_s=600)):
        await store_positions(world, world.driver, part)
    monkeypatch.setattr(tracking, "TRACK_POSITIONS_MAX", most)

    status, report = await office.get(f"/v1/routes/{head.route_id}/plan-fact")

    assert (statuses(report) if status == 200 else report["code"]) == found
