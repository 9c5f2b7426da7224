from collections.abc import AsyncIterator

import pytest

from tests.conftest import Databases
from tests.uploading import Api, uploading
from tests.world import World


@pytest.fixture
async def api(world: World, databases: Databases) -> AsyncIterator[Api]:
    async with uploading(world, databases) as served:
        yield served
