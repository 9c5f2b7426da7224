"""An edition that adds a purpose, and the consents that drivers had given before it."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from server.consent import service as consent
from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.policies import service
from server.policies.model import AddedItem, ChangeClass, Edition
from server.vault.service import Vault
from tests.policies.acts import publish
from tests.world import NOW, World


@pytest.mark.proves("relog-driver-manager-apps:7.3", "gocargo:terms-acceptance")
async def test_the_added_purpose_alone_is_suspended_when_the_edition_is_in_force(
    vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = await World.make(vault=vault, pool=app_pool, owner=owner)

    async def supersede(company_id: UUID, driver_id: UUID, edition: Edition, now: datetime) -> None:
        async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
            await consent.supersede(conn, company_id, driver_id, edition, now=now)

    async def states() -> dict[str, str]:
        async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
            found = await consent.consents(conn, world.company_id, world.driver.member_id)
        return {cell.item.value: cell.state.value for cell in found.items}

    before = await states()
    made = await publish(
        world,
        ChangeClass.ADDS_PURPOSE,
        purpose=AddedItem.PLAN_FACT,
        now=NOW - timedelta(days=30) + timedelta(hours=1),
    )
    await service.apply_editions(world.pool, world.company_id, made.effective_at, supersede)

    assert before["plan_fact"] == "given"
    assert await states() == {**before, "plan_fact": "superseded"}
