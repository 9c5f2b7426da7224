from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.conftest import Databases
from tests.http import Clock
from tests.links.deliveries import serve_links
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve_links(world, databases, clock=clock) as opened:
        yield opened
