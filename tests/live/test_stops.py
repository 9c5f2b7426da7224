"""The topic ``routes`` of the stream: that a driver said something of a stop, and not what."""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import pytest
from aiohttp import ClientSession, ClientTimeout

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db
from server.live.hub import COMMITS_WITHIN
from server.stop_events import service
from server.stop_events.model import EventKind, Said
from tests.alerts.seen import OnTheWay, planned
from tests.http import Clock, bearer
from tests.live.screens import screen
from tests.world import NOW, World

ROUTES: Final = "/v1/stream?topics=routes"
SOME_TICKS_S: Final = 0.3
WORDS: Final = "The gate is shut."


async def say(world: World, route: OnTheWay, stop: int, *, at: datetime = NOW) -> str:
    """Let the driver say something of a stop; return the event's id."""
    said = Said(
        event_id=uuid4(),
        route_id=route.head.route_id,
        stop_id=route.stop_ids[stop],
        kind=EventKind.COMMENT,
        at=at,
        text=WORDS,
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.report(
            conn, world.vault, world.company_id, world.driver.member_id, said, now=at
        )
    return str(found.stop_event_id)


async def test_a_screen_hears_of_which_stop_something_was_said_and_not_what_or_by_whom(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    await say(world, route, 0)
    async with (
        screen(client, dispatcher) as usual,
        screen(client, dispatcher, path=ROUTES) as shown,
    ):
        said = await say(world, route, 1)
        told = await shown.wait_for("stop")
        await asyncio.sleep(SOME_TICKS_S)

    assert told.event_id is not None
    assert told.data == {
        "stop_event_id": said,
        "route_id": str(route.head.route_id),
        "stop_id": str(route.stop_ids[1]),
    }
    assert [one.name for one in shown.events] == ["hello", "stop"]
    assert "stop" not in {one.name for one in usual.events}
    # It is no position, and comes of none.
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0


async def test_who_comes_back_hears_what_was_said_meanwhile_once(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ROUTES) as staying:
        greeting = staying.events[0].event_id
        await say(world, route, 0)
        last = (await staying.wait_for("stop")).event_id
        async with screen(client, dispatcher, path=ROUTES, last_event_id=greeting) as back:
            await back.wait_for("stop")
            await asyncio.sleep(SOME_TICKS_S)
        async with screen(client, dispatcher, path=ROUTES, last_event_id=last) as again:
            await asyncio.sleep(SOME_TICKS_S)

    assert [one.name for one in back.events] == ["hello", "stop"]
    assert [one.name for one in again.events] == ["hello"]


async def test_what_is_stored_later_than_it_was_received_is_told_nevertheless(
    client: ClientSession, dispatcher: str, world: World, clock: Clock
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ROUTES) as shown:
        clock.at += COMMITS_WITHIN - timedelta(seconds=1)
        await asyncio.sleep(SOME_TICKS_S)
        said = await say(world, route, 0)
        await shown.wait_for("stop", stop_event_id=said)
        clock.at += timedelta(minutes=10)
        await asyncio.sleep(SOME_TICKS_S)

    assert [one.name for one in shown.events] == ["hello", "stop"]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [([Scope.LIVE_READ], 403), ([Scope.LIVE_READ, Scope.ROUTES_READ], 200)],
)
async def test_an_integration_hears_of_stops_if_it_may_read_routes(
    client: ClientSession, world: World, scopes: list[Scope], status: int
) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        _, token = await credentials.add_api_token(
            conn, world.company_id, name="Display", scopes=scopes, expires_at=None, now=NOW
        )

    async with client.get(ROUTES, headers=bearer(token), timeout=ClientTimeout()) as answer:
        assert answer.status == status
