"""A company with a driver and two of the staff."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.conftest import Databases
from tests.disclosures.acts import People, people_of, served
from tests.http import Clock
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def people(world: World) -> People:
    return await people_of(world)


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with served(world, databases, clock) as opened:
        yield opened
