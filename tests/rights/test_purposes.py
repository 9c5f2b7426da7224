"""No endpoint answers a person's location without saying what for, and nobody looks unseen."""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web

import server
from server.credentials import service as credentials
from server.credentials.access import DRIVER, STAFF
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate import service as gate
from server.gate.handover import Drawn
from server.kit import db, openapi
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, transaction
from server.kit.wire import rfc3339
from server.links.web import showing
from server.live import web as live
from server.log_in.web import logging_in
from server.reads.model import ReadPurpose, Screen
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.http import bearer, serve
from tests.links.deliveries import FAR_LAT, FAR_LON, Delivery, delivery
from tests.world import NOW, World, add_driver

LOCATION: Final = re.compile(rb"43\.23[789]\d*|76\.8(8[89]|90)\d*")
"""Where the driver is: exactly, or rounded for a customer. No plan leads there."""
NAME: Final = re.compile(rb"Aidos|Dana|Driverov")
STREAMED: Final = "stream_live"
SEARCHED: Final = "search_area"
"""Asked by a body, and answered without a position: tests/fleet_tracks/test_area.py."""
SUMMED: Final = "read_summary"
"""Sums over many, and no position: tests/reports/test_summary.py."""
ALERTED: Final = "list_alerts"
"""What comes of positions, and none of them: tests/alerts/test_web.py."""
DISCLOSED: Final = "read_disclosure_file"
"""What was released to somebody outside: tests/disclosures/test_web.py."""


def every_endpoint() -> tuple[Endpoint, ...]:
    """Return every endpoint of every feature, also of those that no application serves yet."""
    found: dict[tuple[str, str], Endpoint] = {}
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if module.name.endswith("__main__"):
            continue
        for one in getattr(importlib.import_module(module.name), "ENDPOINTS", ()):
            if isinstance(one, Endpoint):
                found[one.method, one.path] = one
    return tuple(found.values())


ENDPOINTS: Final = every_endpoint()
LOCATING: Final = {one.name: {str(purpose) for purpose in one.purposes} for one in ENDPOINTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Somebody's question, and whether the answer holds a location."""

    endpoint: str
    caller: str
    status: int
    locates: bool
    names: bool
    """Whether it holds a person's name."""


@pytest.fixture
async def client(world: World, databases: Databases) -> AsyncIterator[ClientSession]:
    def prepare(app: web.Application) -> None:
        for running in (uploads.uploading(databases.main), showing, logging_in):
            app.cleanup_ctx.append(running)
        live.install(app, tick_s=0.05)

    async with serve(world, ENDPOINTS, prepare=prepare) as opened:
        yield opened


async def callers_of(world: World) -> dict[str, str | None]:
    """Return a caller of every kind; the integration may do everything that one can."""
    async with db.tenant(world.pool, world.company_id) as conn:
        _, integration = await credentials.add_api_token(
            conn, world.company_id, name="All", scopes=list(Scope), expires_at=None, now=NOW
        )
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    return {
        "nobody": None,
        "dispatcher": await world.session("dispatcher"),
        "main_user": await world.session("main_user"),
        "integration": integration,
        "other driver": await world.driver_session(other),
        "device": world.driver.device_token,
        "the driver": await world.driver_session(),
    }


def question(one: Endpoint, things: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the path with ids of things that are there, and the parameters that have to be."""
    names = re.findall(r"{(\w+)}", one.path)
    path = one.path.format_map({name: things.get(name, str(uuid4())) for name in names})
    required = [] if one.query is None else one.query.json_schema().get("required", [])
    return path, {name: things.get(name, "x") for name in required}


async def ask_everything(client: ClientSession, world: World) -> list[Asked]:
    link = await delivery(client, world)
    await drive(link)
    things = {
        "driver_id": str(world.driver.member_id),
        "device_id": str(world.driver.device_id),
        "route_id": link.route_id,
        "stop_id": link.stop_id,
        "link_id": link.link_id,
        "token": link.url_token,
        "company_id": str(world.company_id),
        "from": rfc3339(NOW - timedelta(hours=1)),
        "to": rfc3339(NOW + timedelta(hours=1)),
    }
    asked = []
    for caller, token in (await callers_of(world)).items():
        for one in ENDPOINTS:
            if one.method != "GET" or one.name == STREAMED:
                continue
            path, query = question(one, things)
            headers = {} if token is None else bearer(token)
            async with client.get(path, params=query, headers=headers) as answer:
                body = await answer.read()
            asked.append(
                Asked(
                    endpoint=one.name,
                    caller=caller,
                    status=answer.status,
                    locates=LOCATION.search(body) is not None,
                    names=NAME.search(body) is not None,
                )
            )
    return asked


async def drive(link: Delivery) -> None:
    """Drive along a little, up to now."""
    for seconds in (90, 60, 30, 0):
        lat = FAR_LAT + (90 - seconds) / 1e6
        at = NOW - timedelta(seconds=seconds)
        await link.drive(lat, FAR_LON, at, speed_mps=9.0, accuracy_m=5.0)


@pytest.mark.proves(
    "relog-service:3.2",
    "relog-driver-manager-apps:6.4",
    "gocargo:use-of-the-site-other-users",
    "cargotechservice:3.2",
)
async def test_every_endpoint_that_answers_a_location_says_what_for_and_is_written_down(
    client: ClientSession, world: World
) -> None:
    asked = await ask_everything(client, world)

    assert [one for one in asked if one.status >= 500] == []
    locating = {one.endpoint for one in asked if one.locates}
    assert locating == {
        "read_live",
        "read_track",
        "read_tracks",
        "get_plan_fact",
        "get_plan_fact_file",
        "read_tracked",
    }
    asked_elsewhere = {STREAMED, SEARCHED, SUMMED, ALERTED, DISCLOSED}
    assert {name for name, purposes in LOCATING.items() if purposes} == locating | asked_elsewhere

    rows = await world.owner.fetch("SELECT viewer_kind, purpose, screen FROM location_read")
    staff = ("dispatcher", "main_user", "api_token")
    assert {tuple(row) for row in rows} == {
        *((kind, "dispatch_tracking", "live_map") for kind in staff),
        *((kind, "plan_fact", "track") for kind in staff),
        *((kind, "plan_fact", "route_report") for kind in staff),
        *((kind, "plan_fact", "export") for kind in staff),
        ("customer", "customer_link", "link"),
    }
    assert {one.endpoint for one in asked if one.locates and one.caller == "nobody"} == {
        "read_tracked"
    }
    assert [one for one in asked if one.names and one.caller == "nobody"] == []
    assert {one.endpoint for one in asked if one.names} >= {"read_live"}
    # Of themself the driver sees everything, and it is nobody's look at them.
    assert {one.endpoint for one in asked if one.locates and one.caller == "the driver"} == {
        "read_track",
        "read_tracked",
    }
    assert {one.endpoint for one in asked if one.locates and one.caller == "other driver"} == {
        "read_tracked"
    }


@pytest.mark.proves("relog-service:3.2", "relog-driver-app:3.2-show-goods")
@pytest.mark.parametrize(
    ("item", "endpoint_name"),
    [
        ("dispatch_tracking", "read_live"),
        ("plan_fact", "read_track"),
        ("plan_fact", "read_tracks"),
        ("plan_fact", "get_plan_fact"),
        ("plan_fact", "get_plan_fact_file"),
        ("customer_link", "read_tracked"),
    ],
)
async def test_each_endpoint_needs_the_consent_of_its_own_purpose_and_no_other(
    client: ClientSession, world: World, item: str, endpoint_name: str
) -> None:
    person = bearer(await world.driver_session())
    others = {"dispatch_tracking", "plan_fact", "customer_link"} - {item}
    link = await delivery(client, world)
    await drive(link)
    for other in others:
        if item != "customer_link" or other != "plan_fact":  # else nothing could be recorded
            async with client.post(f"/v1/me/consents/{other}/withdraw", headers=person) as answer:
                assert answer.status == 200
    assert await locates(client, world, endpoint_name, link.url_token)

    async with client.post(f"/v1/me/consents/{item}/withdraw", headers=person) as answer:
        assert answer.status == 200

    assert not await locates(client, world, endpoint_name, link.url_token)
    assert LOCATING[endpoint_name] - {"subject_access"} == {item}


async def locates(client: ClientSession, world: World, name: str, token: str) -> bool:
    """Look with the one endpoint."""
    staff = bearer(await world.session("dispatcher"))
    async with client.get("/v1/routes", headers=staff) as answer:
        route_id = (await answer.json())["items"][0]["route_id"]
    one = next(one for one in ENDPOINTS if one.name == name)
    things = {
        "driver_id": str(world.driver.member_id),
        "route_id": route_id,
        "token": token,
        "from": rfc3339(NOW - timedelta(hours=1)),
        "to": rfc3339(NOW + timedelta(hours=1)),
    }
    path, query = question(one, things)
    async with client.get(path, params=query, headers=staff) as answer:
        assert answer.status == 200
        return LOCATION.search(await answer.read()) is not None


def test_the_document_names_the_purposes() -> None:
    document: dict[str, Any] = openapi.document(ENDPOINTS, title="t", version="1", security={})
    named = {
        operation["operationId"]: operation["x-purpose"]
        for path in document["paths"].values()
        for operation in path.values()
        if "x-purpose" in operation
    }

    assert named == {
        "read_live": ["dispatch_tracking"],
        STREAMED: ["dispatch_tracking", "plan_fact"],
        "read_track": ["plan_fact", "subject_access"],
        "read_tracks": ["plan_fact"],
        SEARCHED: ["plan_fact"],
        "get_plan_fact": ["plan_fact"],
        SUMMED: ["plan_fact"],
        ALERTED: ["plan_fact"],
        DISCLOSED: ["disclosure"],
        "get_plan_fact_file": ["plan_fact"],
        "read_tracked": ["customer_link"],
    }


# ---- endpoints that a careless engineer might write


async def _drawn(request: web.Request) -> Drawn:
    async with transaction(request, readonly=True) as conn:
        gates = await gate.read_all(conn, request[COMPANY])
    return Drawn(body=b'{"lat":43.2381}', gate=gates[0])


@endpoint("GET", "/v1/careless/undeclared", access=STAFF)
async def undeclared(request: web.Request) -> web.StreamResponse:
    """Answer a location and declare nothing."""
    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.TRACK)
    return await handover.answer(request, seen, lambda: _drawn(request))


@endpoint("GET", "/v1/careless/other", access=STAFF, purposes=(ReadPurpose.DISPATCH_TRACKING,))
async def other(request: web.Request) -> web.StreamResponse:
    """Declare one purpose and use another."""
    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.TRACK)
    return await handover.answer(request, seen, lambda: _drawn(request))


@endpoint("GET", "/v1/careless/unseen", access=DRIVER, purposes=(ReadPurpose.PLAN_FACT,))
async def unseen(request: web.Request) -> web.StreamResponse:
    """Take for the person's own access what is fenced."""
    return await handover.answer(request, None, lambda: _drawn(request))


@pytest.mark.proves("relog-service:3.2")
@pytest.mark.parametrize(
    ("path", "role"),
    [("undeclared", "dispatcher"), ("other", "dispatcher"), ("unseen", "driver")],
)
async def test_without_a_declared_purpose_nothing_gets_past_the_fence(
    world: World, path: str, role: str
) -> None:
    token = await world.session(role) if role != "driver" else await world.driver_session()
    async with (
        serve(world, (undeclared, other, unseen)) as client,
        client.get(f"/v1/careless/{path}", headers=bearer(token)) as answer,
    ):
        assert answer.status == 500
        assert b"43.2" not in await answer.read()
