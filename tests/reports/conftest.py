from collections.abc import AsyncIterator

import pytest

from tests.reports.days import Office
from tests.reports.days import office as opened
from tests.world import World


@pytest.fixture
async def office(world: World) -> AsyncIterator[Office]:
    async with opened(world) as asking:
        yield asking
