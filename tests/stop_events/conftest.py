from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from server.routes.web import ENDPOINTS as ROUTES
from server.stop_events.web import ENDPOINTS as STOP_EVENTS
from tests.endpoints import CONSENT
from tests.http import Clock, serve
from tests.stop_events.saying import planned
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ROUTES, STOP_EVENTS, CONSENT, clock=clock) as opened:
        yield opened


@pytest.fixture
async def dispatcher(world: World) -> str:
    return await world.session("dispatcher")


@pytest.fixture
async def driver(world: World) -> str:
    return await world.driver_session()


@pytest.fixture
async def route(client: ClientSession, dispatcher: str, world: World) -> Any:
    """The driver's route of today."""
    return await planned(client, dispatcher, world.driver.member_id)
