"""Plans that are changed during the day: each version is kept, and nobody's change is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.routes import editing, store, version_store
from server.routes.changes import VERSIONS_MAX, PlanVersionsTooMany, refuse_another_version
from server.routes.web import ENDPOINTS
from tests.http import Clock, bearer, serve
from tests.routes.test_model import HEAD
from tests.world import NOW, World

UNKNOWN = "019aa7a4-8b00-7000-8000-000000000000"
STOPS: list[dict[str, Any]] = [
    {"name": "Depot", "lat": 43.238949, "lon": 76.889709},
    {
        "name": "Client",
        "lat": 43.25,
        "lon": 76.95,
        "planned_arrival": rfc3339(NOW),
        "window_start": rfc3339(NOW - timedelta(minutes=10)),
        "window_end": rfc3339(NOW + timedelta(minutes=10)),
    },
    {"name": "Client", "lat": 43.26, "lon": 76.96, "reference": "A-17"},
]
PLAN: dict[str, Any] = {
    "name": "Morning",
    "date": "2026-11-22",
    "planned_start": rfc3339(NOW - timedelta(hours=1)),
    "stops": STOPS,
    "line": [[76.889709, 43.238949], [76.92, 43.24], [76.95, 43.25], [76.96, 43.26]],
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, clock=clock) as opened:
        opened.headers.update(bearer(await world.session("dispatcher")))
        yield opened


async def ask(
    client: ClientSession, method: str, path: str, body: Any = None
) -> tuple[int, dict[str, Any]]:
    async with client.request(method, path, json=body) as answer:
        return answer.status, {} if answer.status == HTTPStatus.NO_CONTENT else await answer.json()


async def plan(client: ClientSession, **changes: Any) -> dict[str, Any]:
    status, made = await ask(client, "POST", "/v1/routes", PLAN | changes)
    assert status == HTTPStatus.CREATED, made
    return made


async def edit(client: ClientSession, route: dict[str, Any], **changes: Any) -> Any:
    body = {"plan_version": route["plan_version"], **changes}
    return await ask(client, "PATCH", f"/v1/routes/{route['route_id']}", body)


def kept(route: dict[str, Any], *places: int, **changes: Any) -> list[dict[str, Any]]:
    """Return stops of the route as an editor sends them back."""
    without = {name: value for name, value in changes.items() if value is not None}
    return [
        {name: value for name, value in route["stops"][place].items() if name != "seq"} | without
        for place in places
    ]


async def test_each_version_reads_back_as_it_was(client: ClientSession) -> None:
    first = await plan(client)
    later = rfc3339(NOW + timedelta(hours=1))
    status, second = await edit(
        client, first, stops=[*kept(first, 0), *kept(first, 1, window_end=later), *kept(first, 2)]
    )
    _, third = await edit(client, second, name="Noon", planned_start=None)

    path = f"/v1/routes/{first['route_id']}"
    assert (status, second["plan_version"], third["plan_version"]) == (HTTPStatus.OK, 2, 3)
    assert (await ask(client, "GET", path))[1] == third
    for version, expected in ((1, first), (2, second), (3, third)):
        assert await ask(client, "GET", f"{path}/versions/{version}") == (200, expected)
    listed = (await ask(client, "GET", f"{path}/versions"))[1]["items"]
    assert [one["plan_version"] for one in listed] == [3, 2, 1]
    assert [one["replaced_at"] is None for one in listed] == [True, False, False]
    assert (await ask(client, "GET", f"{path}/versions/4"))[1]["code"] == "plan-version-not-found"


async def test_versions_are_sealed_each_for_itself(client: ClientSession, world: World) -> None:
    first = await plan(client)
    await edit(client, first, name="Noon")

    row = await world.owner.fetchval("SELECT v::text FROM route_version v")
    # One cannot be put in the place of another, not even of the same route.
    await world.owner.execute(
        "UPDATE route r SET plan_sealed = v.plan_sealed FROM route_version v"
        " WHERE v.route_id = r.route_id"
    )

    assert not any(secret in row for secret in ("Morning", "Client", "43.2", "76.8"))
    async with client.get(f"/v1/routes/{first['route_id']}") as answer:
        assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR


async def test_a_change_of_another_version_than_the_present_one_is_refused(
    client: ClientSession,
) -> None:
    first = await plan(client)
    await edit(client, first, name="Hers")

    status, problem = await edit(client, first, name="Mine")

    assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "plan-changed")
    assert problem["plan_version"] == 2
    assert (await ask(client, "GET", f"/v1/routes/{first['route_id']}"))[1]["name"] == "Hers"


async def test_of_changes_at_once_exactly_one_is_taken(client: ClientSession) -> None:
    first = await plan(client)

    answers = await asyncio.gather(*(edit(client, first, name=f"{n}") for n in range(8)))

    assert sorted(status for status, _ in answers) == [200, *[409] * 7]
    path = f"/v1/routes/{first['route_id']}/versions"
    assert [one["plan_version"] for one in (await ask(client, "GET", path))[1]["items"]] == [2, 1]


async def test_control_without_the_lock_a_change_is_lost(
    client: ClientSession, world: World
) -> None:
    first = await plan(client)
    async with db.tenant(world.pool, world.company_id) as conn:
        sealed = await store.get(conn, world.company_id, first["route_id"])
    assert sealed is not None

    async def unguarded() -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await version_store.replace_plan(conn, world.company_id, sealed, NOW)

    await asyncio.gather(unguarded(), unguarded())

    path = f"/v1/routes/{first['route_id']}/versions"
    assert len((await ask(client, "GET", path))[1]["items"]) == 1  # two changes, no version kept


async def test_a_stop_that_stays_keeps_its_id_and_others_are_new(client: ClientSession) -> None:
    first = await plan(client)
    added = {"name": "Added", "lat": 43.27, "lon": 76.97}

    _, second = await edit(client, first, stops=[*kept(first, 0), added, *kept(first, 2)])

    ids = [stop["stop_id"] for stop in first["stops"]]
    assert [stop["name"] for stop in second["stops"]] == ["Depot", "Added", "Client"]
    assert [stop["stop_id"] for stop in second["stops"]][::2] == ids[::2]
    assert second["stops"][1]["stop_id"] not in ids


@pytest.mark.parametrize(
    ("places", "own_id", "code"),
    [((0, 0), None, "stop-twice"), ((0,), UNKNOWN, "stop-not-in-plan")],
)
async def test_ids_of_stops_are_of_the_plan_and_stand_once(
    client: ClientSession, places: tuple[int, ...], own_id: str | None, code: str
) -> None:
    first = await plan(client)

    status, problem = await edit(client, first, stops=kept(first, *places, stop_id=own_id))

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, code)


async def test_a_line_goes_on_while_the_places_are_the_same(client: ClientSession) -> None:
    first = await plan(client)
    later = rfc3339(NOW + timedelta(hours=2))

    _, retimed = await edit(client, first, stops=kept(first, 0, 1, 2, planned_arrival=later))
    _, turned = await edit(client, retimed, stops=kept(retimed, 0, 2, 1))
    _, drawn = await edit(client, turned, line=[[76.9, 43.2], [76.95, 43.25]])
    _, straight = await edit(client, drawn, line=None)

    assert retimed["line"] == first["line"]
    assert turned["line"] is None
    assert drawn["line"] == [[76.9, 43.2], [76.95, 43.25]]
    assert straight["line"] is None


async def test_the_start_stays_unless_it_is_changed(client: ClientSession) -> None:
    first = await plan(client)
    later = rfc3339(NOW + timedelta(hours=2))

    _, retimed = await edit(client, first, stops=kept(first, 0, 1, 2, planned_arrival=later))
    _, freed = await edit(client, retimed, planned_start=None)

    assert retimed["starts_at"] == first["starts_at"] == PLAN["planned_start"]
    assert freed["planned_start"] is None
    assert freed["starts_at"] == STOPS[1]["window_start"]


async def test_what_the_driver_spoke_of_stays_in_the_plan(
    client: ClientSession, world: World
) -> None:
    first = await plan(client, driver_id=str(world.driver.member_id))
    for _ in range(2):  # again is as once
        async with db.tenant(world.pool, world.company_id) as conn:
            await editing.settle(
                conn, world.company_id, first["route_id"], first["stops"][1]["stop_id"]
            )
    later = rfc3339(NOW + timedelta(hours=2))

    for stops in (
        kept(first, 0, 2),
        [*kept(first, 0), *kept(first, 1, window_end=later), *kept(first, 2)],
        [*kept(first, 0), *kept(first, 1, lat=43.251), *kept(first, 2)],
    ):
        status, problem = await edit(client, first, stops=stops)
        assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "stop-settled")
        assert problem["stop_id"] == first["stops"][1]["stop_id"]
    status, second = await edit(client, first, stops=kept(first, 1, 0))

    assert status == HTTPStatus.OK
    assert [stop["name"] for stop in second["stops"]] == ["Client", "Depot"]


async def test_a_settled_stop_that_is_sent_back_as_it_was_read_is_the_same(
    client: ClientSession, world: World
) -> None:
    stops = [STOPS[0], STOPS[1] | {"planned_arrival": "2026-11-22T05:00:00.123456Z"}]
    first = await plan(client, stops=stops, line=None, driver_id=str(world.driver.member_id))
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.settle(
            conn, world.company_id, first["route_id"], first["stops"][1]["stop_id"]
        )

    status, second = await edit(client, first, stops=kept(first, 0, 1))

    assert (status, second["plan_version"]) == (HTTPStatus.OK, 2)
    assert second["stops"][1]["planned_arrival"] == "2026-11-22T05:00:00.123Z"


async def test_a_plan_is_changed_until_its_day_is_over(client: ClientSession, clock: Clock) -> None:
    first = await plan(client)
    clock.at = NOW + timedelta(hours=6)

    for method, path, body in (
        ("PATCH", "", {"plan_version": 1, "name": "Prettier"}),
        ("PUT", "/assignment", {"driver_id": None, "vehicle_id": None}),
        ("POST", "/cancel", None),
    ):
        status, problem = await ask(client, method, f"/v1/routes/{first['route_id']}{path}", body)
        assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "route-over")


def test_a_plan_has_two_hundred_versions_at_most() -> None:
    head = replace(HEAD, plan_version=VERSIONS_MAX)

    with pytest.raises(PlanVersionsTooMany):
        refuse_another_version(head, VERSIONS_MAX)
    refuse_another_version(replace(head, plan_version=VERSIONS_MAX - 1), VERSIONS_MAX - 1)


async def test_a_route_that_is_not_there_is_not_found(client: ClientSession) -> None:
    for method, path, body in (
        ("PATCH", "", {"plan_version": 1, "name": "Mine"}),
        ("PUT", "/assignment", {"driver_id": None, "vehicle_id": None}),
        ("POST", "/cancel", None),
        ("DELETE", "", None),
        ("GET", "/versions", None),
        ("GET", "/versions/1", None),
    ):
        answer = await ask(client, method, f"/v1/routes/{uuid7()}{path}", body)
        assert answer[0] == HTTPStatus.NOT_FOUND
        assert answer[1]["code"] == "route-not-found", path
