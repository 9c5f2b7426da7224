"""A company with our own texts in force, its driver, and staff who may answer."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.notices.web import ENDPOINTS as NOTICES
from tests.clarifications.acts import People
from tests.endpoints import CONSENT, POLICIES
from tests.http import Clock, serve
from tests.world import World, add_member, open_session


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def people(world: World) -> People:
    company_id = world.company_id
    boss = await add_member(world.vault, world.pool, company_id, role="main_user", name="Boss")
    dispatcher = await add_member(world.vault, world.pool, company_id, role="dispatcher")
    return People(
        driver=await world.driver_session(),
        dispatcher=await open_session(world.pool, company_id, dispatcher),
        boss=await open_session(world.pool, company_id, boss),
        dispatcher_id=dispatcher,
        boss_id=boss,
    )


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, POLICIES, CONSENT, NOTICES, clock=clock) as opened:
        yield opened
