from collections.abc import AsyncIterator

import pytest

from tests.conftest import Databases
from tests.fleet_tracks.fleet import Fleet
from tests.uploading import uploading
from tests.world import World


@pytest.fixture
async def fleet(world: World, databases: Databases) -> AsyncIterator[Fleet]:
    async with uploading(world, databases) as api:
        yield Fleet(api=api, staff=await world.session("dispatcher"))
