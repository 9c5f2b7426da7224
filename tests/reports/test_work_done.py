"""A driver who ends the shift is done with the route; pauses and withdrawals accuse nobody."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.gate import service as gates
from server.kit import db
from server.kit.ids import uuid7
from server.routes import editing
from server.routes import service as routes
from server.routes.model import NewRoute, RouteHead, Stop
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from tests.reports.days import (
    DAY,
    HOUR,
    MINUTE,
    STARTED,
    STOPS,
    Office,
    drive,
    finish,
    keep_reports,
    plan,
    rows,
    share,
    store_positions,
)
from tests.reports.test_span import FAR, statuses, tap
from tests.world import NOW, World

ENDED = STARTED + 20 * MINUTE
"""The drive ends at 18:20 of it; the plan goes on."""
BETWEEN = replace(FAR, planned_arrival=STARTED + 8 * MINUTE)
LAST = replace(FAR, planned_arrival=STARTED + 60 * MINUTE)
WITH_TWO_LEFT_OUT: tuple[Stop, ...] = (STOPS[0], BETWEEN, STOPS[1], LAST)
"""The driver serves the first and the third."""
MISSED = ["visited", "missed", "visited", "missed"]
UNKNOWN = ["visited", "unknown", "visited", "unknown"]


@pytest.fixture
async def world(world: World) -> World:
    """Return a company that keeps reports, whose driver's shift began before the day."""
    await keep_reports(world)
    await share(world, world.driver, STARTED)
    await world.owner.execute(
        "UPDATE shift SET started_at = $1, ends_by = $2", STARTED, STARTED + 12 * HOUR
    )
    await world.owner.execute("UPDATE gate SET acted_at = $1", STARTED)
    return world


async def ends(world: World, at: datetime, by: ShiftEnd = ShiftEnd.DRIVER) -> None:
    place = (world.company_id, world.driver.member_id)
    async with gates.stopping(world.pool, *place, now=at) as conn:
        await shifts.end(conn, *place, by=by, now=at)


async def pauses(world: World, at: datetime) -> None:
    place = (world.company_id, world.driver.member_id)
    async with gates.stopping(world.pool, *place, now=at) as conn:
        await shifts.pause(conn, *place, now=at)


async def starts(world: World, at: datetime) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.start(conn, world.company_id, world.driver.member_id, now=at)


async def given(world: World, head: RouteHead, at: datetime) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.assign(
            conn,
            world.company_id,
            head.route_id,
            driver_id=world.driver.member_id,
            vehicle_id=None,
            now=at,
        )


async def day(world: World) -> RouteHead:
    head = await plan(world, world.driver, stops=WITH_TWO_LEFT_OUT)
    await store_positions(world, world.driver, drive(STARTED))
    return head


async def test_what_was_left_out_is_missed_once_the_driver_ended_the_shift(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)

    report = await office.report(head)

    assert report["state"] == "final"
    assert report["algorithm_version"] == "2.4"
    assert statuses(report) == MISSED
    assert report["totals"]["completion"] == 0.5


@pytest.mark.parametrize("by", [end for end in ShiftEnd if end is not ShiftEnd.DRIVER])
async def test_a_shift_that_anything_else_ended_accuses_nobody(
    world: World, office: Office, by: ShiftEnd
) -> None:
    head = await day(world)
    await ends(world, ENDED, by)

    assert statuses(await office.report(head)) == UNKNOWN


async def test_a_pause_accuses_nobody_while_it_lasts_nor_if_the_shift_runs_out(
    world: World, office: Office
) -> None:
    head = await day(world)
    await pauses(world, ENDED)
    paused = await office.report(head)
    await world.owner.execute("UPDATE shift SET ends_by = $1", STARTED + 3 * HOUR)
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.end_forgotten(conn, world.company_id, NOW)

    forgotten = await office.report(head)

    assert statuses(paused) == statuses(forgotten) == UNKNOWN


async def test_who_pauses_before_they_end_the_shift_may_have_gone_there_meanwhile(
    world: World, office: Office
) -> None:
    head = await day(world)
    await pauses(world, ENDED)
    await ends(world, ENDED + 2 * HOUR)

    assert statuses(await office.report(head)) == UNKNOWN


async def test_what_the_driver_did_after_the_shift_they_may_say(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)
    await tap(world, head, ENDED + HOUR, stop=3)

    report = await office.report(head)

    assert statuses(report) == ["visited", "missed", "visited", "visited"]
    assert report["stops"][3]["evidence"] == "driver_tap"


@pytest.mark.parametrize("ends_again", [True, False])
async def test_of_two_shifts_the_later_one_counts(
    world: World, office: Office, *, ends_again: bool
) -> None:
    """Between them the driver may have worked; after the second one nobody does."""
    head = await day(world)
    await ends(world, ENDED)
    await starts(world, ENDED + MINUTE)
    if ends_again:
        await ends(world, ENDED + 2 * MINUTE)

    assert statuses(await office.report(head)) == (MISSED if ends_again else UNKNOWN)


async def recorded(world: World, begin: datetime, end: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO recording_window (company_id, driver_id, window_id, opened_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        world.company_id,
        world.driver.member_id,
        uuid7(),
        begin,
        end,
    )


async def test_with_consent_to_always_the_end_of_a_shift_ends_no_recording(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)
    await recorded(world, ENDED, ENDED + 2 * MINUTE)

    assert statuses(await office.report(head)) == UNKNOWN


async def test_the_end_of_a_shift_of_the_day_before_says_nothing_of_this_one(
    world: World, office: Office
) -> None:
    head = await day(world)
    await world.owner.execute(
        "UPDATE shift SET started_at = $1, ended_at = $2, ended_by = 'driver'",
        STARTED - DAY,
        STARTED - 2 * HOUR,
    )
    await world.owner.execute("UPDATE recording_window SET closed_at = $1", ENDED)

    assert statuses(await office.report(head)) == UNKNOWN


@pytest.mark.parametrize(
    ("starts_in", "of_it"),
    [(-MINUTE, MISSED), (timedelta(0), UNKNOWN), (20 * MINUTE, UNKNOWN)],
)
async def test_who_ends_the_shift_before_the_route_is_to_begin_is_not_done_with_it(
    world: World, office: Office, starts_in: timedelta, of_it: list[str]
) -> None:
    """From an hour before its start positions are of the route: two stops were served early."""
    head = await plan(world, world.driver, began=ENDED + starts_in, stops=WITH_TWO_LEFT_OUT)
    await world.owner.execute("UPDATE route SET planned_at = $1", STARTED)
    await store_positions(world, world.driver, drive(STARTED))
    await ends(world, ENDED)
    office.clock.at = ENDED + 30 * MINUTE
    live = await office.report(head)
    office.clock.at = NOW

    final = await office.report(head)

    assert (live["state"], final["state"]) == ("live", "final")
    assert statuses(final) == of_it
    assert ("missed" in statuses(live)) is (of_it == MISSED)


async def planned_anew(office: Office, head: RouteHead, at: datetime) -> None:
    """Let the office change the plan then; its stops stay."""
    office.clock.at = at
    path, body = f"/v1/routes/{head.route_id}", {"plan_version": 1, "name": "South of Aral"}
    async with office.client.patch(path, json=body, headers=office.headers) as answer:
        assert answer.status == 200, await answer.text()
    office.clock.at = NOW


@pytest.mark.parametrize(("after", "of_it"), [(-MINUTE, MISSED), (MINUTE, UNKNOWN)])
async def test_who_ended_the_shift_is_not_done_with_what_is_planned_later(
    world: World, office: Office, after: timedelta, of_it: list[str]
) -> None:
    """Which stops were added is sealed; of the plan that was in force the word still counts."""
    head = await day(world)
    await ends(world, ENDED)
    await planned_anew(office, head, ENDED + after)

    assert statuses(await office.report(head)) == of_it
    assert statuses(await office.report(head, plan_version=1)) == MISSED


async def test_who_did_nothing_of_their_route_missed_all_of_it(
    world: World, office: Office
) -> None:
    head = await plan(world, world.driver, stops=[BETWEEN, LAST])
    await store_positions(world, world.driver, drive(STARTED))
    await ends(world, ENDED)

    assert statuses(await office.report(head)) == ["missed"] * 2


@pytest.mark.parametrize(
    ("after", "of_it"), [(-MINUTE, MISSED), (MINUTE, UNKNOWN)], ids=["before", "after"]
)
async def test_nobody_ended_the_work_on_a_route_that_they_were_given_later(
    world: World, office: Office, after: timedelta, of_it: list[str]
) -> None:
    """Though the drive touched its stops: it was planned for them when the day was over."""
    head = await day(world)
    await ends(world, ENDED)
    await world.owner.execute("UPDATE route SET created_at = $1, assigned_at = $1", ENDED + after)
    await given(world, head, ENDED + HOUR)  # again changes nothing

    assert statuses(await office.report(head)) == of_it


async def test_who_is_given_a_route_in_the_middle_is_done_with_it_when_they_end_the_shift(
    world: World, office: Office
) -> None:
    """What was to be served before they had it another may have served."""
    head = await plan(world, None, stops=WITH_TWO_LEFT_OUT)
    await store_positions(world, world.driver, drive(STARTED))
    await given(world, head, STARTED + 10 * MINUTE)
    await ends(world, ENDED)

    report = await office.report(head)

    assert statuses(report) == ["unknown", "unknown", "visited", "missed"]
    assert [stop["unknown_reason"] for stop in report["stops"][:2]] == ["before_recording"] * 2


async def test_of_a_route_that_was_given_before_the_time_was_stored_it_is_not_known(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)
    await world.owner.execute("UPDATE route SET assigned_at = NULL")

    assert statuses(await office.report(head)) == UNKNOWN


async def test_while_the_route_goes_on_what_is_due_later_is_still_to_come(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)
    office.clock.at = ENDED + 10 * MINUTE
    early = await office.report(head)
    office.clock.at = STARTED + 2 * HOUR
    late = await office.report(head)

    assert early["state"] == late["state"] == "live"
    assert statuses(early) == ["visited", "missed", "visited", "pending"]
    assert statuses(late) == MISSED


NEXT_ROUTE = STARTED + 18 * MINUTE + timedelta(seconds=20)
"""When the positions of the drive end."""


@pytest.mark.parametrize(
    ("worked", "recorded_on", "last"),
    [
        (timedelta(seconds=10), False, "missed"),
        (timedelta(seconds=10), True, "unknown"),
        (HOUR, False, "unknown"),
    ],
)
async def test_on_the_next_route_the_driver_may_serve_the_last_stop_until_the_shift_ends(
    world: World, office: Office, worked: timedelta, last: str, *, recorded_on: bool
) -> None:
    """The positions from then on are the next route's: of this one nobody looks at them."""
    near = replace(LAST, lat=STOPS[1].lat + 0.01, lon=STOPS[1].lon)
    head = await plan(world, world.driver, stops=[*STOPS, near])
    await plan(world, world.driver, began=NEXT_ROUTE)
    await store_positions(world, world.driver, drive(STARTED))
    await ends(world, NEXT_ROUTE + worked)
    if recorded_on:
        await recorded(world, NEXT_ROUTE + worked, NEXT_ROUTE + HOUR)

    report = await office.report(head)

    assert report["state"] == "final"
    assert statuses(report) == ["visited", "visited", last]


@pytest.mark.parametrize(
    ("began", "of_it"),
    [(-MINUTE, UNKNOWN), (MINUTE, MISSED)],
    ids=["the day before", "on its day"],
)
async def test_who_ends_a_night_shift_is_not_done_with_the_day_that_begins(
    world: World, office: Office, began: timedelta, of_it: list[str]
) -> None:
    """A plan that tells no times begins at midnight."""
    timeless = [
        replace(stop, planned_arrival=None, window_start=None, window_end=None)
        for stop in WITH_TWO_LEFT_OUT
    ]
    draft = await routes.drafted(
        NewRoute(
            name="South of Aral",
            day=NOW.date(),
            driver_id=world.driver.member_id,
            vehicle_id=None,
            planned_start=None,
            stops=[replace(stop, stop_id=uuid7()) for stop in timeless],
            line=None,
        )
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await routes.create(conn, world.vault, world.company_id, draft, now=NOW - 2 * DAY)
    begins = made.head.starts_at + began
    await share(world, world.driver, begins)
    await world.owner.execute("UPDATE gate SET acted_at = $1", begins)
    await store_positions(world, world.driver, drive(begins))
    await ends(world, begins + 20 * MINUTE)

    assert begins < NOW < made.head.ends_at
    assert statuses(await office.report(made.head)) == of_it


async def test_a_report_is_made_anew_with_the_end_of_the_shift(
    world: World, office: Office
) -> None:
    head = await day(world)
    await ends(world, ENDED)
    await finish(world)
    await world.owner.execute("UPDATE plan_fact_report SET algorithm_version = '2.1'")

    status, made = await office.recompute(head)

    assert (status, made["algorithm_version"], made["is_kept"]) == (200, "2.4", True)
    office.clock.at = NOW + 4 * DAY
    assert statuses(await office.report(head)) == MISSED
    assert len(await rows(world)) == 1
