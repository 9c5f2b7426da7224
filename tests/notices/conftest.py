"""A company with one driver and no consents: telling people needs none."""

from typing import TYPE_CHECKING

import pytest

from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault.service import Vault
from tests.world import Driver, World, add_company, add_member

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]") -> World:
    company_id = await add_company(vault, owner)
    member_id = await add_member(vault, app_pool, company_id, role="driver", name="Aidos Testov")
    return World(
        vault=vault,
        pool=app_pool,
        owner=owner,
        company_id=company_id,
        driver=Driver(member_id=member_id, device_id=uuid7(), device_token=""),
    )
