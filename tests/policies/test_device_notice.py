"""Publishing a device notice keeps no driver waiting, and still every process asks for it in time.

It notices every member, which takes seconds in a large company: whoever withdraws then, or uploads,
must not wait for it.
"""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import SYSTEM
from server.policies import service
from server.policies.model import (
    NOTICE_PERIOD,
    PREVAILING,
    ChangeClass,
    Document,
    Draft,
    Edition,
)
from server.uploads.beliefs import BELIEVED_S_MAX
from server.vault.service import Vault
from tests.world import NOW, World

TEXT = "# Notice\n\nAnother one.\n"
WAITED_S = 5.0
"""Longer than a publishing takes here, also on a busy machine."""
documents = pytest.mark.parametrize("document", list(Document))


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]") -> World:
    """Return a company whose documents are in force, with a driver on shift."""
    return await World.make(vault=vault, pool=app_pool, owner=owner)


async def publish(world: World, document: Document) -> Edition:
    draft = Draft(document=document, change_class=ChangeClass.MATERIAL, texts={PREVAILING: TEXT})
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.publish(conn, world.company_id, draft, actor=SYSTEM, now=NOW)


@documents
async def test_publishing_waits_for_no_driver_s_gate_and_so_holds_none(
    world: World, document: Document
) -> None:
    key = (world.company_id, world.driver.member_id)

    async def lock() -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await gate.lock(conn, *key)

    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.lock(conn, *key)
        await asyncio.wait_for(publish(world, document), WAITED_S)
        # The control: the gate really is held, and whoever asks for it waits.
        waiting = asyncio.create_task(lock())
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done

    await waiting


@documents
async def test_publishing_leaves_every_counter_of_the_gate_as_it_is(
    world: World, document: Document
) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        before = await gate.read(conn, world.company_id, world.driver.member_id)

    await publish(world, document)

    async with db.tenant(world.pool, world.company_id) as conn:
        assert await gate.read(conn, world.company_id, world.driver.member_id) == before


def test_what_a_process_believes_of_a_device_is_over_long_before_an_edition_is_in_force() -> None:
    """So nobody has to be told: whoever takes uploads on that day has read of the edition."""
    assert timedelta(seconds=BELIEVED_S_MAX) < NOTICE_PERIOD / 100
