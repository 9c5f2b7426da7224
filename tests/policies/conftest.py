"""A company that has not published anything, and one in which our own texts are in force."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp import ClientSession, web

from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.policies import service
from server.policies.web import page_routes
from server.vault.service import Vault
from tests.endpoints import POLICIES
from tests.http import Clock, serve
from tests.policies.acts import bare_company
from tests.world import CONSENTED, Driver, World, add_member


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]") -> World:
    company_id = await bare_company(vault, owner)
    member_id = await add_member(vault, app_pool, company_id, role="driver")
    return World(
        vault=vault,
        pool=app_pool,
        owner=owner,
        company_id=company_id,
        driver=Driver(member_id=member_id, device_id=uuid7(), device_token=""),
    )


@pytest.fixture
async def shipped(world: World) -> World:
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.ship(conn, world.company_id, CONSENTED)
    return world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    def with_pages(app: web.Application) -> None:
        app.router.add_routes(page_routes())

    async with serve(world, POLICIES, clock=clock, prepare=with_pages) as opened:
        yield opened
