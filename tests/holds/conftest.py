"""Holds, requests and decisions on a real socket, with an hour of grace."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import ClientSession

from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions.web import ENDPOINTS as DECISIONS
from server.holds.web import ENDPOINTS as HOLDS
from tests.erasure.calls import set_grace
from tests.http import Clock, serve
from tests.world import World

HOUR_S: Final = 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    await set_grace(world, HOUR_S)
    async with serve(world, HOLDS, ERASURE, DECISIONS, clock=clock) as opened:
        yield opened
