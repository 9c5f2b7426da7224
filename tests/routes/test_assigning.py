"""Giving routes to drivers and taking them back, cancelling them, and removing mistakes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.links.web import ENDPOINTS as LINKS
from server.routes import editing, service, store, version_store
from server.routes.web import ENDPOINTS
from server.stop_events.web import ENDPOINTS as STOP_EVENTS
from server.vehicles.web import ENDPOINTS as VEHICLES
from tests.http import Clock, bearer, serve
from tests.routes.test_editing import PLAN, ask, edit, plan
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World, add_driver

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, VEHICLES, LINKS, STOP_EVENTS, clock=clock) as opened:
        opened.headers.update(bearer(await world.session("dispatcher")))
        yield opened


async def give(
    client: ClientSession, route: dict[str, Any], driver_id: UUID | None, vehicle: str | None = None
) -> tuple[int, dict[str, Any]]:
    body = {"driver_id": None if driver_id is None else str(driver_id), "vehicle_id": vehicle}
    return await ask(client, "PUT", f"/v1/routes/{route['route_id']}/assignment", body)


async def active(world: World, at: datetime = NOW) -> list[UUID]:
    async with db.tenant(world.pool, world.company_id) as conn:
        return [one.route_id for one in await service.active(conn, world.company_id, now=at)]


async def test_a_route_is_given_and_taken_back_before_it_begins(
    client: ClientSession, world: World, clock: Clock
) -> None:
    route = await plan(client)
    _, vehicle = await ask(client, "POST", "/v1/vehicles", {"name": "Van", "plate": "123 ABC 02"})

    status, given = await give(client, route, world.driver.member_id, vehicle["vehicle_id"])
    _, read = await ask(client, "GET", f"/v1/routes/{route['route_id']}")
    now_active = await active(world)
    clock.at = NOW - timedelta(hours=2, seconds=1)
    back = await give(client, route, None)

    assert (status, given["warnings"]) == (HTTPStatus.OK, [])
    assert (read["driver_id"], read["vehicle_id"]) == (given["driver_id"], given["vehicle_id"])
    assert read["plan_version"] == 1  # the plan is the same
    assert now_active == [UUID(route["route_id"])]
    assert (back[0], back[1]["driver_id"]) == (HTTPStatus.OK, None)
    assert await active(world) == []


async def test_what_overlaps_is_told_and_not_forbidden(client: ClientSession, world: World) -> None:
    first, second = await plan(client), await plan(client)
    await give(client, first, world.driver.member_id)

    status, given = await give(client, second, world.driver.member_id)

    assert status == HTTPStatus.OK
    assert given["warnings"] == [{"code": "overlap", "route_id": first["route_id"]}]


@pytest.mark.parametrize("state", ["blocked", "offboarded", "grace", "erasing"])
async def test_a_route_is_given_only_to_who_may_drive_it(
    client: ClientSession, world: World, state: str
) -> None:
    route = await plan(client)
    await world.owner.execute(
        "UPDATE member SET state = $2 WHERE member_id = $1", world.driver.member_id, state
    )

    status, problem = await give(client, route, world.driver.member_id)

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "assignee-unknown")


async def test_nobody_and_nothing_unknown_is_given_a_route(client: ClientSession) -> None:
    route = await plan(client)

    for driver_id, vehicle_id in ((uuid7(), None), (None, str(uuid7()))):
        status, problem = await give(client, route, driver_id, vehicle_id)
        assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "assignee-unknown")


async def test_a_cancelled_route_is_driven_by_nobody_and_changed_no_more(
    client: ClientSession, world: World
) -> None:
    route = await plan(client, driver_id=str(world.driver.member_id))
    path = f"/v1/routes/{route['route_id']}"

    status, cancelled = await ask(client, "POST", f"{path}/cancel")
    again = await ask(client, "POST", f"{path}/cancel")
    async with db.tenant(world.pool, world.company_id) as conn:
        assigned = await service.assigned(conn, world.company_id, now=NOW)
        driven = await service.driven(conn, world.company_id, [world.driver.member_id], now=NOW)

    assert (status, cancelled["cancelled_at"]) == (HTTPStatus.OK, rfc3339(NOW))
    assert again == (HTTPStatus.OK, cancelled)
    assert (assigned, driven, await active(world)) == ({}, {}, [])
    assert (await ask(client, "GET", path))[1]["cancelled_at"] == rfc3339(NOW)
    for answer in (await edit(client, route, name="On"), await give(client, route, None)):
        assert (answer[0], answer[1]["code"]) == (HTTPStatus.CONFLICT, "route-cancelled")


async def test_a_route_is_active_from_an_hour_before_to_four_after(
    client: ClientSession, world: World
) -> None:
    stop = {"name": "Client", "lat": 43.25, "lon": 76.95, "planned_arrival": rfc3339(NOW)}
    route = await plan(
        client, driver_id=str(world.driver.member_id), stops=[stop], line=None,
        planned_start=rfc3339(NOW),
    )  # fmt: skip

    ids = [UUID(route["route_id"])]
    for minutes, expected in ((-61, []), (-60, ids), (0, ids), (239, ids), (240, [])):
        assert await active(world, NOW + timedelta(minutes=minutes)) == expected, minutes


async def test_of_routes_that_follow_each_other_one_is_active(
    client: ClientSession, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id)
    ids = []
    for driver_id, hours in ((world.driver.member_id, 0), (world.driver.member_id, 3),
                             (other.member_id, 0)):  # fmt: skip
        at = NOW + timedelta(hours=hours)
        stop = {"name": "S", "lat": 43.25, "lon": 76.95, "planned_arrival": rfc3339(at)}
        made = await plan(
            client, driver_id=str(driver_id), stops=[stop], line=None, planned_start=rfc3339(at)
        )
        ids.append(UUID(made["route_id"]))

    assert set(await active(world, NOW)) == {ids[0], ids[2]}
    assert set(await active(world, NOW + timedelta(hours=2, minutes=30))) == {ids[0], ids[2]}
    assert set(await active(world, NOW + timedelta(hours=3))) == {ids[1], ids[2]}


async def test_the_map_names_the_route_that_is_driven_until_the_next_one_begins(
    client: ClientSession, world: World
) -> None:
    first, second = [
        await plan(client, driver_id=str(world.driver.member_id), planned_start=start, line=None,
                   stops=[{"name": "S", "lat": 43.25, "lon": 76.95, "planned_arrival": start}])
        for start in (rfc3339(NOW - timedelta(hours=1)), rfc3339(NOW + timedelta(minutes=30)))
    ]  # fmt: skip

    for minutes, expected in ((0, first), (29, first), (30, second)):
        at = NOW + timedelta(minutes=minutes)
        async with db.tenant(world.pool, world.company_id) as conn:
            found = await service.assigned(conn, world.company_id, now=at)
        assert found[world.driver.member_id].route_id == UUID(expected["route_id"]), minutes
        assert await active(world, at) == [found[world.driver.member_id].route_id]


async def test_a_route_that_is_handed_over_is_driven_from_then_on_and_the_own_one_until_then(
    client: ClientSession, world: World, clock: Clock
) -> None:
    """By its plan it began before the own one; to another it was given at once."""
    clock.at = NOW - timedelta(days=1)
    other = await add_driver(world.vault, world.pool, world.company_id)
    late, own = [
        await plan(client, driver_id=str(driver.member_id), planned_start=start, line=None,
                   stops=[{"name": "S", "lat": 43.25, "lon": 76.95, "planned_arrival": end}])
        for driver, start, end in (
            (world.driver, rfc3339(NOW - timedelta(hours=2)), rfc3339(NOW + timedelta(hours=3))),
            (other, rfc3339(NOW - timedelta(hours=1)), rfc3339(NOW + timedelta(hours=1))),
        )
    ]  # fmt: skip
    late_id, own_id = UUID(late["route_id"]), UUID(own["route_id"])
    before = await active(world, NOW - MINUTE)
    clock.at = NOW
    await give(client, late, other.member_id)

    after = [await active(world, NOW + at) for at in (-MINUTE, 0 * MINUTE, 4 * 60 * MINUTE)]
    async with db.tenant(world.pool, world.company_id) as conn:
        driven = await service.driven(conn, world.company_id, [other.member_id], now=NOW)
        going_on = await service.going_on(conn, world.company_id, other.member_id, now=NOW)

    assert before == [late_id, own_id]
    assert after == [[own_id], [late_id], [late_id]]
    assert (driven, going_on) == ({other.member_id: late_id}, [own_id, late_id])


async def test_whatever_reads_a_route_knows_since_when_its_driver_has_it(
    client: ClientSession, world: World, clock: Clock
) -> None:
    clock.at = NOW - timedelta(hours=6)
    route = await plan(client)
    route_id, place = UUID(route["route_id"]), (world.company_id, UUID(route["route_id"]))
    clock.at = given = NOW - timedelta(hours=5)
    await give(client, route, world.driver.member_id)
    clock.at = NOW - timedelta(hours=4)
    await edit(client, route, name="Later")
    async with db.tenant(world.pool, world.company_id) as conn:
        stored = await store.get(conn, *place)
        before = await version_store.version(conn, *place, 1)
        locked = await version_store.lock(conn, *place)
        [(listed, _)] = await store.page(
            conn, world.company_id, day=None, driver_id=None, after=None, limit=5
        )
        [under_way] = await store.under_way(
            conn, world.company_id, started_before=NOW, ending_after=NOW
        )
        nearby = await store.near(conn, world.company_id, replace(listed, route_id=uuid7()))

    assert stored is not None
    assert before is not None
    assert locked is not None
    for head in (stored.head, before.head, locked[0], listed, under_way, *nearby):
        assert (head.route_id, head.assigned_at) == (route_id, given)
        assert head.created_at == NOW - timedelta(hours=6)
    assert len(nearby) == 1


async def test_a_driver_sees_yesterdays_route_that_goes_on_beside_todays(
    client: ClientSession, world: World
) -> None:
    """NOW is 17:00 in Almaty: a route from 22:00 to 14:00 may be driven for an hour yet."""
    night, morning = [
        await plan(client, driver_id=str(world.driver.member_id), date=day, planned_start=start,
                   line=None, stops=[{"name": "S", "lat": 43.25, "lon": 76.95,
                                      "planned_arrival": end}])
        for day, start, end in (
            ("2026-11-21", rfc3339(NOW - timedelta(hours=19)), rfc3339(NOW - timedelta(hours=3))),
            ("2026-11-22", rfc3339(NOW - timedelta(minutes=30)), rfc3339(NOW)),
        )
    ]  # fmt: skip

    headers = bearer(await world.driver_session())
    async with client.get("/v1/me/today", headers=headers) as answer:
        today = await answer.json()

    ids = [night["route_id"], morning["route_id"]]
    assert [one["route_id"] for one in today["routes"]] == ids


async def test_a_mistake_is_removed_with_all_its_versions(
    client: ClientSession, world: World
) -> None:
    route = await plan(client)
    await edit(client, route, name="Still wrong")

    status, _ = await ask(client, "DELETE", f"/v1/routes/{route['route_id']}")

    assert status == HTTPStatus.NO_CONTENT
    assert (await ask(client, "GET", f"/v1/routes/{route['route_id']}"))[0] == HTTPStatus.NOT_FOUND
    for table in ("route", "route_version"):
        count = f"SELECT count(*) FROM {table}"  # noqa: S608 - our own words
        assert await world.owner.fetchval(count) == 0


async def test_what_has_begun_is_not_taken_back_but_given_to_another(
    client: ClientSession, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id)
    route = await plan(client, driver_id=str(world.driver.member_id))
    path = f"/v1/routes/{route['route_id']}"

    back = await give(client, route, None)
    removed = await ask(client, "DELETE", path)
    handed_on = await give(client, route, other.member_id)

    for answer in (back, removed):
        assert (answer[0], answer[1]["code"]) == (HTTPStatus.CONFLICT, "route-begun")
    assert handed_on[0] == HTTPStatus.OK
    assert (await ask(client, "GET", path))[1]["driver_id"] == str(other.member_id)


async def test_what_has_begun_has_begun_though_it_is_planned_for_later(
    client: ClientSession, world: World, clock: Clock
) -> None:
    begun, ahead = [await plan(client, driver_id=str(world.driver.member_id)) for _ in range(2)]
    later = rfc3339(NOW + timedelta(hours=4))
    clock.at = NOW - timedelta(hours=3)
    await edit(client, ahead, planned_start=later)
    clock.at = NOW
    await edit(client, begun, planned_start=later)

    answers = [
        await ask(client, "DELETE", f"/v1/routes/{route['route_id']}") for route in (begun, ahead)
    ]

    assert [status for status, _ in answers] == [HTTPStatus.CONFLICT, HTTPStatus.NO_CONTENT]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/cancel", None), ("PUT", "/assignment", {"driver_id": None, "vehicle_id": None})],
)
async def test_what_is_removed_meanwhile_is_not_found(
    client: ClientSession, world: World, method: str, path: str, body: Any
) -> None:
    route = await plan(client)
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.delete(conn, world.company_id, route["route_id"], now=NOW)
        waiting = asyncio.create_task(
            ask(client, method, f"/v1/routes/{route['route_id']}{path}", body)
        )
        await until_somebody_waits_for(world.owner, A_ROW)

    status, problem = await waiting

    assert (status, problem["code"]) == (HTTPStatus.NOT_FOUND, "route-not-found")


async def test_what_has_begun_is_not_removed(
    client: ClientSession, world: World, clock: Clock
) -> None:
    route = await plan(client, driver_id=str(world.driver.member_id))
    path = f"/v1/routes/{route['route_id']}"

    begun = await ask(client, "DELETE", path)
    clock.at = NOW - timedelta(hours=3)
    ahead = await ask(client, "DELETE", path)

    assert (begun[0], begun[1]["code"]) == (HTTPStatus.CONFLICT, "route-begun")
    assert ahead[0] == HTTPStatus.NO_CONTENT


async def test_what_a_customer_was_given_a_link_to_is_not_removed(
    client: ClientSession, world: World, clock: Clock
) -> None:
    clock.at = NOW - timedelta(hours=3)
    route = await plan(client, driver_id=str(world.driver.member_id))
    path = f"/v1/routes/{route['route_id']}"
    linked = await ask(client, "POST", f"{path}/stops/{route['stops'][1]['stop_id']}/links", {})
    assert linked[0] == HTTPStatus.CREATED

    status, problem = await ask(client, "DELETE", path)

    assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "route-in-use")
    assert (await ask(client, "GET", path))[0] == HTTPStatus.OK


async def test_a_stop_names_whom_to_ask_for(client: ClientSession, world: World) -> None:
    contact = {"name": "Айгүл", "phone": "8 (701) 123-45-67"}
    stops = [{**PLAN["stops"][0], "contact": contact}, {**PLAN["stops"][1], "contact": {}}]

    route = await plan(client, stops=stops, line=None)

    assert route["stops"][0]["contact"] == {"name": "Айгүл", "phone": "+77011234567"}
    assert route["stops"][1]["contact"] is None
    row = await world.owner.fetchval("SELECT r::text FROM route r")
    assert not any(secret in row for secret in ("Айгүл", "7011234567"))


@pytest.mark.parametrize(
    ("stops", "path"),
    [
        ([{"contact": {"phone": "ask Dana"}}], "/stops/0/contact/phone"),
        ([{"contact": {"name": "901301300007"}}], "/stops/0/contact/name"),
        ([{"reference": "A"}, {}, {"reference": "A"}], "/stops/2/reference"),
        ([{}, {"lat": None}], "/stops/1/lat"),
        ([{}] * 501, "/stops"),
    ],
)
async def test_the_place_that_does_not_fit_is_named(
    client: ClientSession, stops: list[dict[str, Any]], path: str
) -> None:
    told = [{"name": "Same name", "lat": 43.2, "lon": 76.9, **stop} for stop in stops]

    status, problem = await ask(client, "POST", "/v1/routes", PLAN | {"stops": told, "line": None})

    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert path in [one["path"] for one in problem["fields"]]


async def test_a_plan_has_five_hundred_stops_of_one_name(client: ClientSession) -> None:
    stops = [
        {"name": "Shop", "lat": 43.2 + place / 10_000, "lon": 76.9, "reference": f"{place}"}
        for place in range(500)
    ]

    route = await plan(client, stops=stops, line=None)
    _, read = await ask(client, "GET", f"/v1/routes/{route['route_id']}")

    assert read == route
    assert len({stop["stop_id"] for stop in read["stops"]}) == 500
