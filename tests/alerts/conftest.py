from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.alerts.web import ENDPOINTS as ALERTS
from server.notices.web import ENDPOINTS as NOTICES
from tests.endpoints import CONSENT
from tests.http import Clock, serve
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ALERTS, NOTICES, CONSENT, clock=clock) as opened:
        yield opened


@pytest.fixture
async def dispatcher(world: World) -> str:
    return await world.session("dispatcher")
