"""The API with what a change of the controller touches, and its main user."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.credentials.model import Role
from server.delivery.web import ENDPOINTS as DELIVERIES
from server.notices.web import ENDPOINTS as NOTICES
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.controllers.acts import session
from tests.endpoints import CONSENT, POLICIES, TRACKING
from tests.http import Clock, serve
from tests.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        CONSENT,
        POLICIES,
        NOTICES,
        DELIVERIES,
        TRACKING,
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as opened:
        yield opened


@pytest.fixture
async def boss(world: World) -> dict[str, str]:
    return await session(world, Role.MAIN_USER)
