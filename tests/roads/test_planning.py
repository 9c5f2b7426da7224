"""A plan without a line is laid on roads, where a router is set up; it is a plan all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from aiohttp import ClientSession

import server
from server.kit.wire import rfc3339
from server.roads.asking import Router
from server.roads.model import RouterKind
from server.roads.service import OF_COMPANY_MAX, Roads, roads_of
from server.roads.valhalla import Valhalla
from server.roads.web import ROADS
from server.route_imports import service as imports
from server.route_imports.web import ENDPOINTS as IMPORTS
from server.routes.web import ENDPOINTS
from tests.http import bearer, serve
from tests.roads.router_server import Place, Roadside, bent, router_server
from tests.world import NOW, World

SERVER: Final = Path(server.__file__).parent
DEPOT, SHOP, SCHOOL = (76.88, 43.23), (76.9, 43.25), (76.95, 43.24)


def stop(place: Place) -> dict[str, Any]:
    return {"name": "S", "lon": place[0], "lat": place[1]}


PLAN: dict[str, Any] = {
    "name": "North",
    "date": "2026-11-22",
    "planned_start": rfc3339(NOW - timedelta(hours=1)),
    "stops": [stop(DEPOT), stop(SHOP)],
}


@pytest.fixture
async def roads(roadside: Roadside) -> AsyncIterator[Roads]:
    async with router_server(roadside, RouterKind.VALHALLA) as at:
        yield roads_of(at)


@pytest.fixture
async def client(world: World, roads: Roads) -> AsyncIterator[ClientSession]:
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            serve(world, ENDPOINTS, IMPORTS, prepare=lambda app: app.update({ROADS: roads}))
        )
        opened.headers.update(bearer(await world.session("dispatcher")))
        yield opened


async def sent(client: ClientSession, method: str, path: str, body: Any) -> dict[str, Any]:
    async with client.request(method, path, json=body) as answer:
        assert answer.status in (HTTPStatus.OK, HTTPStatus.CREATED), await answer.text()
        found: dict[str, Any] = await answer.json()
    return found


async def read(client: ClientSession, route_id: str, version: int | None = None) -> dict[str, Any]:
    path = f"/v1/routes/{route_id}" + ("" if version is None else f"/versions/{version}")
    return await sent(client, "GET", path, None)


def rounded(line: list[list[float]]) -> list[Place]:
    return [(round(lon, 5), round(lat, 5)) for lon, lat in line]


async def test_a_plan_without_a_line_is_laid_on_roads(
    client: ClientSession, roadside: Roadside
) -> None:
    made = await sent(client, "POST", "/v1/routes", PLAN)

    assert made["line_source"] == "roads"
    assert rounded(made["line"]) == bent([DEPOT, SHOP])
    assert 3_700 < made["planned_m"] < 4_000  # along the roads; straight it is 2,750 m
    assert await read(client, made["route_id"]) == made
    assert roadside.places == [[DEPOT, SHOP]]


async def test_a_line_that_was_given_is_asked_of_nobody(
    client: ClientSession, roadside: Roadside
) -> None:
    made = await sent(client, "POST", "/v1/routes", PLAN | {"line": [DEPOT, SCHOOL, SHOP]})

    assert made["line_source"] == "given"
    assert rounded(made["line"]) == [DEPOT, SCHOOL, SHOP]
    assert roadside.asked == []


async def test_without_a_router_legs_are_straight(world: World) -> None:
    async with serve(world, ENDPOINTS) as client:
        client.headers.update(bearer(await world.session("dispatcher")))
        made = await sent(client, "POST", "/v1/routes", PLAN)

    assert (made["line"], made["line_source"]) == (None, "straight")


@pytest.mark.parametrize(
    "trouble", [{"status": 500}, {"body": b"{}"}, {"shift": 1.0}, {"status": 400}]
)
async def test_a_router_in_trouble_is_no_error_of_the_plan(
    client: ClientSession, roadside: Roadside, trouble: dict[str, Any]
) -> None:
    for name, value in trouble.items():
        setattr(roadside, name, value)

    made = await sent(client, "POST", "/v1/routes", PLAN)

    assert (made["line"], made["line_source"]) == (None, "straight")
    assert 2_700 < made["planned_m"] < 2_800


async def test_a_changed_order_is_laid_on_roads_anew_and_the_old_line_is_kept(
    client: ClientSession, roadside: Roadside
) -> None:
    made = await sent(client, "POST", "/v1/routes", PLAN)
    path = f"/v1/routes/{made['route_id']}"

    renamed = await sent(client, "PATCH", path, {"plan_version": 1, "name": "South"})
    asked = len(roadside.asked)
    turned = await sent(
        client, "PATCH", path, {"plan_version": 2, "stops": [stop(SHOP), stop(SCHOOL)]}
    )

    assert asked == 1
    assert (renamed["line"], renamed["line_source"]) == (made["line"], "roads")
    assert (rounded(turned["line"]), turned["line_source"]) == (bent([SHOP, SCHOOL]), "roads")
    assert (await read(client, made["route_id"], 1))["line"] == made["line"]


async def test_a_line_that_is_taken_back_is_drawn_by_the_router(client: ClientSession) -> None:
    made = await sent(client, "POST", "/v1/routes", PLAN | {"line": [DEPOT, SCHOOL, SHOP]})
    path = f"/v1/routes/{made['route_id']}"

    found = await sent(client, "PATCH", path, {"plan_version": 1, "line": None})
    given = await sent(client, "PATCH", path, {"plan_version": 2, "line": [DEPOT, SHOP]})

    assert (rounded(found["line"]), found["line_source"]) == (bent([DEPOT, SHOP]), "roads")
    assert given["line_source"] == "given"


async def test_straight_legs_become_roads_once_the_router_answers(
    client: ClientSession, roadside: Roadside
) -> None:
    roadside.status = 503
    made = await sent(client, "POST", "/v1/routes", PLAN)
    roadside.status = 200

    path = f"/v1/routes/{made['route_id']}"
    again = await sent(client, "PATCH", path, {"plan_version": 1})

    assert (made["line_source"], again["line_source"]) == ("straight", "roads")


async def test_imported_routes_are_laid_on_roads(client: ClientSession, roadside: Roadside) -> None:
    routes = [PLAN | {"name": str(seq)} for seq in range(9)]
    routes[4] = routes[4] | {"line": [DEPOT, SHOP]}

    made = await sent(client, "POST", "/v1/route-imports", {"routes": routes})

    found = [await read(client, one["route_id"]) for one in made["routes"]]
    assert [one["line_source"] for one in found] == [one["line_source"] for one in made["routes"]]
    assert sorted(one["line_source"] for one in found) == ["given", *["roads"] * 8]
    assert len(roadside.asked) == 8
    assert {round(one["planned_m"]) for one in made["routes"]} == {
        round(one["planned_m"]) for one in found
    }


async def test_each_route_of_an_import_has_its_own_time_with_the_router(
    world: World, roadside: Roadside
) -> None:
    roadside.delay_s = 0.1
    routes = {"routes": [PLAN | {"name": str(seq)} for seq in range(60)]}

    async with router_server(roadside, RouterKind.VALHALLA) as at:
        roads = Roads(Valhalla(Router(at.url)), plan_s_max=1.2)  # all take longer, one does not
        async with serve(world, IMPORTS, prepare=lambda app: app.update({ROADS: roads})) as client:
            client.headers.update(bearer(await world.session("dispatcher")))
            made = await sent(client, "POST", "/v1/route-imports?dry_run=true", routes)

    assert {one["line_source"] for one in made["routes"]} == {"roads"}
    assert roadside.at_once_max == OF_COMPANY_MAX


async def test_an_import_says_which_routes_the_router_had_no_time_for(
    client: ClientSession, roadside: Roadside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ROADS_S_MAX", 0.3)
    roadside.delay_s = 0.1
    routes = {"routes": [PLAN | {"name": str(seq)} for seq in range(12)]}
    path = f"/v1/route-imports?import_id={uuid4()}"

    made = await sent(client, "POST", path, routes)
    again = await sent(client, "POST", path, routes)

    told = [one["line_source"] for one in made["routes"]]
    assert set(told) == {"roads", "straight"}
    assert [(await read(client, one["route_id"]))["line_source"] for one in made["routes"]] == told
    assert again == made | {"repeated": True}


async def test_an_import_with_a_fault_asks_nobody(
    client: ClientSession, roadside: Roadside
) -> None:
    late = stop(SHOP) | {"window_start": rfc3339(NOW), "window_end": rfc3339(NOW - timedelta(1))}
    routes = [PLAN, PLAN | {"stops": [stop(DEPOT), late]}]

    async with client.post("/v1/route-imports", json={"routes": routes}) as answer:
        status = answer.status

    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert roadside.asked == []


async def test_no_connection_is_held_while_the_router_thinks(
    world: World, client: ClientSession, roadside: Roadside
) -> None:
    made = await sent(client, "POST", "/v1/routes", PLAN)
    edit = {"plan_version": 1, "stops": [stop(SHOP), stop(SCHOOL)]}
    path = f"/v1/routes/{made['route_id']}"
    roadside.delay_s = 0.4

    for method, to, body in (
        ("POST", "/v1/routes", PLAN),
        ("PATCH", path, edit),
        ("POST", "/v1/route-imports", {"routes": [PLAN]}),
    ):
        roadside.thinking.clear()
        waiting = asyncio.create_task(sent(client, method, to, body))
        await asyncio.wait_for(roadside.thinking.wait(), timeout=5.0)
        assert roadside.at_once == 1
        assert world.pool.get_idle_size() == world.pool.get_size()
        async with world.pool.acquire():  # the control
            assert world.pool.get_idle_size() < world.pool.get_size()
        await waiting


def test_only_planning_knows_the_router() -> None:
    """No position of a driver goes there: whoever reads tracks does not even import it."""
    knowing = {
        file.relative_to(SERVER).parts[0]
        for file in SERVER.rglob("*.py")
        if "server.roads" in file.read_text("utf-8")
    }

    assert knowing == {"roads", "routes", "route_imports", "app.py", "settings.py"}
