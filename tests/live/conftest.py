from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.conftest import Databases
from tests.http import Clock
from tests.live.screens import serve_live
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve_live(world, databases.main, clock=clock) as opened:
        yield opened


@pytest.fixture
async def dispatcher(world: World) -> str:
    return await world.session("dispatcher")
