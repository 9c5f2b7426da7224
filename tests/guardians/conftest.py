"""Guardians and consents on a real socket, and a driver of unknown age."""

from typing import Any

import pytest

from server.log_in.web import logging_in
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import ACCOUNTS, ATTESTATIONS, CONSENT, TRACKING
from tests.http import Clock, serve
from tests.world import Driver, World, add_driver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> Any:
    def prepare(app: Any) -> None:
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    endpoints = (ACCOUNTS, ATTESTATIONS, CONSENT, TRACKING)
    async with serve(world, *endpoints, clock=clock, prepare=prepare) as opened:
        yield opened


@pytest.fixture
async def young(world: World) -> Driver:
    """A driver of unknown age who has consented to nothing yet."""
    return await add_driver(
        world.vault, world.pool, world.company_id, name="Zhas Testov", consents=(), on_shift=False
    )
