import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from time import monotonic

import pytest
from aiohttp import ClientSession

from server.kit import db, tokens
from server.kit.ids import uuid7
from server.live.hub import TICK_S
from server.routes import service as routes
from server.routes.model import NewRoute, Stop
from server.vehicles import service as vehicles
from tests.conftest import Databases
from tests.http import Clock, bearer
from tests.live.screens import LAT, LON, act, off_duty, screen, serve_live, snapshot, told, upload
from tests.world import NOW, World, add_company, add_member, open_session

POSITION = {"lat", "lon", "fix_at", "speed_mps", "heading_deg", "accuracy_m"}


async def test_the_snapshot_shows_who_is_where(
    client: ClientSession, world: World, dispatcher: str
) -> None:
    await upload(client, world.driver, NOW - timedelta(seconds=5), speed_mps=12.5, heading_deg=90.0)
    resting = await off_duty(world, name="Bolat Restov")

    found = await snapshot(client, dispatcher)

    assert found[str(world.driver.member_id)] == {
        "driver_id": str(world.driver.member_id),
        "name": "Aidos Testov",
        "vehicle": None,
        "link": "live",
        "work": "driving",
        "route_id": None,
        "epoch": found[str(world.driver.member_id)]["epoch"],
        "lat": LAT,
        "lon": LON,
        "fix_at": "2026-11-22T11:59:55Z",
        "speed_mps": 12.5,
        "heading_deg": 90.0,
        "accuracy_m": None,
    }
    assert found[str(resting.member_id)]["link"] == "off_shift"
    assert not POSITION & found[str(resting.member_id)].keys()


async def test_todays_route_and_its_vehicle_stand_beside_the_driver(
    client: ClientSession, world: World, dispatcher: str
) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        vehicle = await vehicles.add_vehicle(
            conn, world.company_id, name="Van 7", plate="123 ABC 02", now=NOW
        )
        stop = Stop(
            stop_id=uuid7(),
            name="Depot",
            lat=LAT,
            lon=LON,
            radius_m=50.0,
            service_s=0.0,
            planned_arrival=NOW,
            window_start=None,
            window_end=None,
        )
        route = await routes.create(
            conn,
            world.vault,
            world.company_id,
            await routes.drafted(
                NewRoute(
                    name="North",
                    day=NOW.date(),
                    driver_id=world.driver.member_id,
                    vehicle_id=vehicle.vehicle_id,
                    planned_start=None,
                    stops=[stop, replace(stop, stop_id=uuid7(), lat=LAT + 0.1)],
                    line=None,
                )
            ),
            now=NOW,
        )

    row = (await snapshot(client, dispatcher))[str(world.driver.member_id)]

    assert row["route_id"] == str(route.head.route_id)
    assert row["vehicle"] == {"name": "Van 7", "plate": "123 ABC 02"}


async def test_a_position_is_on_the_screen_within_a_second_after_its_commit(
    world: World, databases: Databases, clock: Clock, dispatcher: str
) -> None:
    async with (
        serve_live(world, databases.main, clock=clock, tick_s=TICK_S) as client,
        screen(client, dispatcher) as shown,
    ):
        for place in range(3):
            clock.at += timedelta(seconds=10)
            await upload(client, world.driver, clock.at, lat=LAT + place / 1000)
            committed = monotonic()
            event = await shown.wait_for("pos", lat=LAT + place / 1000)
            assert event.at - committed <= TICK_S + 0.5

        frames = [event.at for event in shown.events if event.name == "pos"]
        assert all(later - earlier >= TICK_S / 2 for earlier, later in itertools.pairwise(frames))


async def test_positions_have_no_id_and_everything_else_has(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await world.driver_session()
    async with screen(client, dispatcher) as shown:
        await upload(client, world.driver, clock.at)
        await told(shown, world.driver)
        await act(client, driver, "consents/dispatch_tracking/withdraw")
        await shown.wait_for("gone")

    assert shown.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert shown.answer.headers["Cache-Control"] == "no-store"
    assert "Content-Encoding" not in shown.answer.headers
    assert {(event.name, event.event_id is None) for event in shown.events} == {
        ("hello", False),
        ("state", False),
        ("pos", True),
        ("gone", False),
    }
    hello = shown.events[0].data
    assert (hello["heartbeat_s"], hello["server_now"]) == (15.0, "2026-11-22T12:00:00Z")


async def test_another_companys_screen_sees_nothing(
    client: ClientSession, world: World, clock: Clock
) -> None:
    other = await add_company(world.vault, world.owner)
    member = await add_member(world.vault, world.pool, other, role="main_user")
    stranger = await open_session(world.pool, other, member)
    async with screen(client, stranger) as shown:
        await upload(client, world.driver, clock.at)
        await act(client, await world.driver_session(), "consents/location/withdraw")
        await asyncio.sleep(0.3)

        assert await snapshot(client, stranger) == {}
        assert [event.name for event in shown.events] == ["hello"]


@pytest.mark.parametrize("path", ["/v1/live", "/v1/stream"])
async def test_only_staff_and_tokens_for_it_may_look(
    client: ClientSession, world: World, dispatcher: str, path: str
) -> None:
    statuses = {}
    for who, headers in {
        "nobody": {},
        "driver": bearer(await world.driver_session()),
        "device": bearer(world.driver.device_token),
        "other token": bearer(await api_token(world, "drivers:read")),
        "token": bearer(await api_token(world, "live:read")),
        "dispatcher": bearer(dispatcher),
        "main user": bearer(await world.session("main_user")),
    }.items():
        async with client.get(path, headers=headers) as answer:
            statuses[who] = answer.status

    assert statuses == {
        "nobody": 401,
        "driver": 403,
        "device": 403,
        "other token": 403,
        "token": 200,
        "dispatcher": 200,
        "main user": 200,
    }


async def api_token(world: World, scope: str) -> str:
    token, digest = tokens.mint("ja", world.company_id)
    await world.owner.execute(
        "INSERT INTO api_token (company_id, api_token_id, name, scopes, token_hash, created_at)"
        " VALUES ($1, $2, 'screen', ARRAY[$3], $4, $5)",
        world.company_id,
        uuid7(),
        scope,
        digest,
        NOW,
    )
    return token


@pytest.mark.parametrize(
    "end",
    [
        "DELETE FROM session WHERE member_id = $1",
        "UPDATE session SET expires_at = created_at WHERE member_id = $1",
        "UPDATE member SET role = 'driver' WHERE member_id = $1",
        "UPDATE member SET state = 'blocked' WHERE member_id = $1",
    ],
)
async def test_the_stream_ends_with_the_session_or_the_role(
    world: World, databases: Databases, clock: Clock, end: str
) -> None:
    member = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    token = await open_session(world.pool, world.company_id, member)
    async with (
        serve_live(world, databases.main, clock=clock, heartbeat_s=0.1) as client,
        screen(client, token) as shown,
    ):
        await shown.wait_for_heartbeat()
        await world.owner.execute(end, member)

        await shown.wait_for_end()


@pytest.mark.parametrize("kind", ["session", "api token", "blocked", "expired"])
async def test_no_position_comes_after_what_let_the_screen_in_has_ended(
    client: ClientSession, world: World, clock: Clock, dispatcher: str, kind: str
) -> None:
    """Every tick asks, whether or not there is something to tell."""
    member = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    token = await open_session(world.pool, world.company_id, member)
    if kind == "api token":
        token = await api_token(world, "live:read")
    async with screen(client, token) as shown, screen(client, dispatcher) as other:
        await upload(client, world.driver, clock.at)
        await told(shown, world.driver)
        match kind:
            case "session":
                answer = await client.delete("/v1/session", headers=bearer(token))
                assert answer.status == 204
            case "api token":
                made = await world.owner.fetchval(
                    "SELECT api_token_id FROM api_token WHERE company_id = $1", world.company_id
                )
                headers = bearer(await world.session("main_user"))
                answer = await client.delete(f"/v1/api-tokens/{made}", headers=headers)
                assert answer.status == 204
            case "blocked":
                await world.owner.execute(
                    "UPDATE member SET state = 'blocked' WHERE member_id = $1", member
                )
            case _:
                await world.owner.execute(
                    "UPDATE session SET expires_at = created_at WHERE member_id = $1", member
                )
        ended = len(shown.events)
        for place in range(1, 4):
            clock.at += timedelta(seconds=1)
            await upload(client, world.driver, clock.at, lat=LAT + place / 1000)
            await other.wait_for("pos", lat=LAT + place / 1000)

        await shown.wait_for_end()
        assert len(shown.events) == ended


async def test_missed_events_come_again_and_positions_never(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await world.driver_session()
    async with screen(client, dispatcher) as shown:
        seen = shown.events[0].event_id
    async with screen(client, dispatcher) as other:
        await upload(client, world.driver, clock.at)
        await told(other, world.driver)
        await act(client, driver, "consents/dispatch_tracking/withdraw")
        await other.wait_for("state", link="not_shared")
    async with screen(client, dispatcher, last_event_id=seen) as again:
        await again.wait_for("state", link="not_shared")
        await asyncio.sleep(0.2)

    missed = [event for event in again.events if event.name != "hello"]
    assert again.events[0].event_id == seen
    assert [(event.name, event.event_id) for event in missed] == [
        (event.name, event.event_id) for event in other.events if event.name not in ("hello", "pos")
    ]


@pytest.mark.parametrize(
    "last_event_id", ["", "nonsense", "0123456789abcdef-7", "{here}9", "{stream}--1", "{stream}-٣"]
)
async def test_an_id_that_is_not_known_means_read_the_snapshot_again(
    client: ClientSession, dispatcher: str, last_event_id: str
) -> None:
    async with screen(client, dispatcher) as shown:
        here = shown.events[0].event_id
        assert here is not None
        stream = shown.events[0].data["stream_id"]
        asked = last_event_id.format(here=here, stream=stream)
        async with screen(client, dispatcher, last_event_id=asked) as again:
            resync = await again.wait_for("resync")

    assert resync.data == {"reason": "events_lost"}
    assert resync.event_id == again.events[0].event_id == here


async def test_the_server_ends_its_streams_when_it_stops(
    world: World, databases: Databases, clock: Clock, dispatcher: str
) -> None:
    async with serve_live(world, databases.main, clock=clock) as client:
        answer = await client.get("/v1/stream", headers=bearer(dispatcher))
        assert answer.status == 200
        stopped = monotonic()
    answer.close()

    assert monotonic() - stopped < 5
