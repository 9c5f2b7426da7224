from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.reads.service import Reads
from server.rights.service import tell_of_alert
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


@pytest.fixture
async def looks(world: World) -> AsyncIterator[Reads]:
    """Where the job runner writes down what it looks at."""
    opened = Reads(world.pool, tell_of_alert)
    yield opened
    await opened.close()
