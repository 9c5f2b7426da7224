"""Who looks, and at whom."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from server.kit.db import Pool
from server.ledger.model import Actor, ActorKind
from server.reads.service import Reads
from server.rights.service import tell_of_alert
from server.vault.service import Vault
from tests.ledger.chains import Owner, bare_world, enrolled
from tests.world import World


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: Owner) -> World:
    """A company whose ledger is empty."""
    return await bare_world(vault, app_pool, owner)


@pytest.fixture
async def looking(world: World) -> AsyncIterator[Reads]:
    opened = Reads(world.pool, tell_of_alert)
    yield opened
    await opened.close()


@pytest.fixture
async def dispatcher(world: World) -> Actor:
    return Actor(kind=ActorKind.DISPATCHER, member_id=await enrolled(world, "dispatcher"))


@pytest.fixture
async def drivers(world: World) -> list[UUID]:
    return [await enrolled(world) for _ in range(4)]
