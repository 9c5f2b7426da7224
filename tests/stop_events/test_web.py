from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.wire import rfc3339
from server.stop_events import service
from server.stop_events.model import KEPT, StopTaps
from tests.http import Clock
from tests.stop_events.saying import (
    COMMENT,
    PLAN,
    TODAY,
    call,
    event,
    planned,
    report,
    reported,
)
from tests.world import NOW, World, add_driver, open_session

MINUTE = timedelta(minutes=1)
UNKNOWN = "019aa7a4-8b00-7000-8000-000000000000"


async def test_a_driver_reads_the_route_of_today_with_what_they_said_of_its_stops(
    client: ClientSession, driver: str, route: Any
) -> None:
    await reported(client, driver, route, "arrived", at=rfc3339(NOW - 9 * MINUTE))
    await reported(client, driver, route, "comment", text=COMMENT)
    await reported(client, driver, route, "done", at=rfc3339(NOW - 2 * MINUTE))

    status, day = await call(client, "GET", TODAY, driver)

    assert status == 200
    assert (day["date"], day["display_time_zone"]) == ("2026-11-22", "Asia/Almaty")
    (mine,) = day["routes"]
    assert (mine["route_id"], mine["name"]) == (route["route_id"], PLAN["name"])
    first, second = mine["stops"]
    assert (first["name"], first["lat"], first["state"]) == ("Қойма", 43.238949, "done")
    assert first["arrived_at"] == rfc3339(NOW - 9 * MINUTE)
    assert (first["done_at"], first["failed_at"]) == (rfc3339(NOW - 2 * MINUTE), None)
    assert [one["type"] for one in first["events"]] == ["arrived", "comment", "done"]
    assert first["events"][1]["text"] == COMMENT
    assert (second["state"], second["events"]) == ("planned", [])


async def test_today_is_the_companys_day_and_a_route_that_still_goes_on(
    client: ClientSession, driver: str, dispatcher: str, world: World, clock: Clock
) -> None:
    clock.at = NOW + timedelta(hours=8)  # 01:00 of the 23rd in Almaty
    mine = world.driver.member_id
    stop = PLAN["stops"][0]
    over = await planned(client, dispatcher, mine, stops=[{**stop, "window_end": rfc3339(NOW)}])
    late = rfc3339(NOW + timedelta(hours=6))
    night = await planned(client, dispatcher, mine, stops=[{**stop, "window_end": late}])
    today = await planned(client, dispatcher, mine, date="2026-11-23", planned_start=None)
    await planned(client, dispatcher, mine, date="2026-11-24", planned_start=None)
    await planned(client, dispatcher, None, date="2026-11-23", planned_start=None)

    _, day = await call(client, "GET", TODAY, driver)

    assert over["route_id"] not in {one["route_id"] for one in day["routes"]}
    assert [one["route_id"] for one in day["routes"]] == [night["route_id"], today["route_id"]]


async def test_statuses_need_no_consent_to_location(
    client: ClientSession, driver: str, route: Any
) -> None:
    for item in ("location", "dispatch_tracking", "plan_fact"):
        path = f"/v1/me/consents/{item}/withdraw"
        assert (await call(client, "POST", path, driver))[0] == 200

    await reported(client, driver, route, "done")

    _, day = await call(client, "GET", TODAY, driver)
    assert day["routes"][0]["stops"][0]["state"] == "done"


async def test_the_same_event_again_is_answered_as_the_first_time_and_kept_once(
    client: ClientSession, driver: str, route: Any, world: World, clock: Clock
) -> None:
    body = event(route, "problem", text="Shut.")
    first = await report(client, driver, route, body)
    # Days later, when it could not be reported any more: the answer had been lost.
    clock.at = NOW + timedelta(days=9)
    ids = (world.company_id, world.driver.member_id)
    later = await open_session(world.pool, *ids, at=clock.at)

    again = await report(client, later, route, body)

    assert first[0] == 201
    assert again == first
    assert await world.owner.fetchval("SELECT count(*) FROM stop_event") == 1


@pytest.mark.parametrize(
    "change", [{"type": "done"}, {"at": rfc3339(NOW)}, {"text": "Open."}, {"text": None}]
)
async def test_one_id_says_one_thing(
    client: ClientSession, driver: str, route: Any, change: dict[str, Any]
) -> None:
    body = event(route, "problem", text="Shut.")
    await report(client, driver, route, body)

    status, refused = await report(client, driver, route, {**body, **change})
    elsewhere, _ = await report(client, driver, route, body, stop=1)

    assert (status, refused["code"], elsewhere) == (409, "stop-event-differs", 409)


async def test_an_id_is_of_its_driver_alone(
    client: ClientSession, driver: str, route: Any, dispatcher: str, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    theirs = await planned(client, dispatcher, other.member_id)
    body = event(route)
    await report(client, driver, route, body)

    status, _ = await report(
        client,
        await world.driver_session(other),
        theirs,
        {**body, "route_id": theirs["route_id"]},
    )

    assert status == 201


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "comment"}, "stop-event-blank"),
        ({"type": "comment", "text": "  "}, "stop-event-blank"),
        ({"at": rfc3339(NOW + timedelta(hours=1))}, "stop-event-time-invalid"),
        ({"at": rfc3339(NOW - timedelta(days=4))}, "stop-event-time-invalid"),
        ({"text": "x" * 501}, "fields-invalid"),
        ({"text": "a\u202eb"}, "fields-invalid"),
        ({"text": "His IIN is 900101300017"}, "fields-invalid"),
        ({"type": "stolen"}, "fields-invalid"),
        ({"lat": 43.2}, "fields-invalid"),
        ({"event_id": "1"}, "fields-invalid"),
    ],
)
async def test_what_cannot_be_said_is_refused_and_not_kept(
    client: ClientSession,
    driver: str,
    route: Any,
    world: World,
    changes: dict[str, Any],
    code: str,
) -> None:
    status, refused = await report(client, driver, route, event(route, **changes))

    assert (status, refused["code"]) == (422, code)
    assert await world.owner.fetchval("SELECT count(*) FROM stop_event") == 0


async def test_of_a_route_that_is_not_theirs_a_driver_says_and_learns_nothing(
    client: ClientSession, driver: str, route: Any, dispatcher: str, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    theirs = await planned(client, dispatcher, other.member_id)

    status, refused = await report(client, driver, theirs, event(theirs))
    unknown = await report(client, driver, theirs, event({"route_id": UNKNOWN}))
    mixed, stop = await report(client, driver, theirs, event(route))

    assert (status, refused["code"]) == (404, "route-not-found")
    assert unknown == (status, refused)
    assert (mixed, stop["code"]) == (404, "stop-of-route-not-found")


async def test_whose_account_is_blocked_neither_reads_addresses_nor_reports(
    client: ClientSession, driver: str, route: Any, world: World
) -> None:
    await world.owner.execute(
        "UPDATE member SET state = 'blocked' WHERE member_id = $1", world.driver.member_id
    )
    await world.owner.execute("UPDATE gate SET account_active = false")

    today, refused = await call(client, "GET", TODAY, driver)
    said, also = await report(client, driver, route, event(route))

    assert (today, refused["code"]) == (409, "account-not-active")
    assert (said, also["code"]) == (409, "account-not-active")


async def test_staff_read_what_was_said_page_by_page(
    client: ClientSession, driver: str, dispatcher: str, route: Any, world: World
) -> None:
    for kind in ("arrived", "problem", "done"):
        await reported(client, driver, route, kind, stop=1)
    path = f"/v1/routes/{route['route_id']}/stop-events"

    _, first = await call(client, "GET", f"{path}?limit=2", dispatcher)
    _, rest = await call(client, "GET", f"{path}?limit=2&cursor={first['next_cursor']}", dispatcher)

    found = [*first["items"], *rest["items"]]
    assert [one["type"] for one in found] == ["arrived", "problem", "done"]
    assert {one["driver_id"] for one in found} == {str(world.driver.member_id)}
    assert {one["stop_id"] for one in found} == {route["stops"][1]["stop_id"]}
    assert rest["next_cursor"] is None
    assert (await call(client, "GET", f"/v1/routes/{UNKNOWN}/stop-events", dispatcher))[0] == 404
    assert (await call(client, "GET", path, driver))[0] == 403


async def test_nothing_that_was_said_is_stored_in_clear(
    client: ClientSession, driver: str, route: Any, world: World
) -> None:
    await reported(client, driver, route, "problem", text=COMMENT)

    row = await world.owner.fetchval("SELECT e::text FROM stop_event e")

    assert not any(secret in row for secret in ("gate", "problem", "43.2", rfc3339(NOW - MINUTE)))


async def test_taps_tell_each_stop_of_which_something_was_said(
    client: ClientSession, driver: str, route: Any, world: World
) -> None:
    await reported(client, driver, route, "arrived", at=rfc3339(NOW - 9 * MINUTE))
    await reported(client, driver, route, "done", at=rfc3339(NOW - 5 * MINUTE))
    await reported(client, driver, route, "comment", stop=1, text=COMMENT)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await service.taps(
            conn,
            world.vault,
            world.company_id,
            UUID(route["route_id"]),
            driver_id=world.driver.member_id,
            since=NOW - 9 * MINUTE,
        )

    assert {str(stop_id): taps for stop_id, taps in found.items()} == {
        route["stops"][0]["stop_id"]: StopTaps(
            arrived_at=NOW - 9 * MINUTE, done_at=NOW - 5 * MINUTE
        )
    }


async def test_what_several_drivers_of_a_route_said_counts(
    client: ClientSession, driver: str, dispatcher: str, route: Any, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    await reported(client, driver, route, "done", at=rfc3339(NOW - 9 * MINUTE))
    given = {"driver_id": str(other.member_id), "vehicle_id": None}
    path = f"/v1/routes/{route['route_id']}/assignment"
    assert (await call(client, "PUT", path, dispatcher, given))[0] == 200
    await reported(client, await world.driver_session(other), route, "arrived", stop=1)

    _, theirs = await call(client, "GET", TODAY, await world.driver_session(other))
    late, refused = await report(client, driver, route, event(route, "comment", text=COMMENT))

    # Who drives on sees what is done, and of what was said only what they said themself.
    stops = theirs["routes"][0]["stops"]
    assert [stop["state"] for stop in stops] == ["done", "arrived"]
    assert [len(stop["events"]) for stop in stops] == [0, 1]
    assert (late, refused["code"]) == (404, "route-not-found")


async def test_a_stop_that_the_driver_came_to_stays_in_the_plan_as_it_is(
    client: ClientSession, driver: str, dispatcher: str, route: Any
) -> None:
    await reported(client, driver, route, "arrived")
    await reported(client, driver, route, "comment", stop=1, text=COMMENT)
    path, version = f"/v1/routes/{route['route_id']}", route["plan_version"]
    first, second = (
        {**PLAN["stops"][seq], "stop_id": one["stop_id"]} for seq, one in enumerate(route["stops"])
    )

    without_first = {"plan_version": version, "stops": [second]}
    without_second = {"plan_version": version, "stops": [first]}
    refused, _ = await call(client, "PATCH", path, dispatcher, without_first)
    changed, _ = await call(client, "PATCH", path, dispatcher, without_second)
    gone, told = await report(client, driver, route, event(route, "done"), stop=1)

    assert (refused, changed) == (409, 200)
    assert (gone, told["code"]) == (404, "stop-of-route-not-found")
    assert (await report(client, driver, route, event(route, "done")))[0] == 201


async def test_what_is_a_year_old_is_forgotten(
    client: ClientSession, driver: str, route: Any, world: World
) -> None:
    await reported(client, driver, route, "done")

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        due = await service.old(conn, world.company_id, NOW + KEPT + MINUTE)
    kept = await service.forget_old(world.pool, world.company_id, NOW + KEPT)
    gone = await service.forget_old(world.pool, world.company_id, NOW + KEPT + MINUTE)

    assert (due, kept, gone) == ((1, NOW), 0, 1)
