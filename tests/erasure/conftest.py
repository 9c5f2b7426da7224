"""Erasure and consents on a real socket, with an hour of grace, and a driver who is tracked."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import ClientSession

from server.erasure.web import ENDPOINTS
from server.erasure_decisions.web import ENDPOINTS as DECISIONS
from tests.consent.people import ALL, new_driver
from tests.endpoints import CONSENT
from tests.erasure.calls import set_grace
from tests.http import Clock, serve
from tests.world import Driver, World

HOUR_S: Final = 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    await set_grace(world, HOUR_S)
    async with serve(world, ENDPOINTS, DECISIONS, CONSENT, clock=clock) as opened:
        yield opened


@pytest.fixture
async def driver(world: World) -> Driver:
    return await new_driver(world, *ALL, on_shift=True)
