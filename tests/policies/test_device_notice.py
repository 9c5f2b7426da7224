"""A device notice that is published is asked for from the moment it is in force, by every process.

An upload rests on what its process believes of the device. What was read before the publishing
does not know of it, and is believed for up to a minute.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from server.policies import service, store
from server.policies.model import (
    PREVAILING,
    ChangeClass,
    Document,
    Draft,
    Text,
    next_edition,
    sha256_of,
)
from server.uploads import web as uploads
from server.vault.service import Vault
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import Clock, bearer, serve
from tests.uploading import positions
from tests.world import NOW, World, add_driver

INSTANT = timedelta(microseconds=1)
NOTICED = NOW - timedelta(days=30)
"""Of an edition that is in force now: dated back, for no shift is 30 days long."""
TEXT = "# Notice\n\nAnother one.\n"


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]") -> World:
    """Return a company whose driver is on shift, with a device that showed the first notice."""
    return await World.make(vault=vault, pool=app_pool, owner=owner)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - INSTANT)


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    def prepare(app: Any) -> None:
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(world, TRACKING, clock=clock, prepare=prepare) as opened:
        yield opened


async def upload(client: ClientSession, world: World) -> int:
    body = {"positions": positions(3, until=NOW - timedelta(seconds=1))}
    headers = bearer(world.driver.device_token)
    async with client.post("/v1/positions", json=body, headers=headers) as answer:
        return answer.status


def draft(document: Document = Document.DEVICE_NOTICE) -> Draft:
    return Draft(document=document, change_class=ChangeClass.PROTECTIVE, texts={PREVAILING: TEXT})


async def publish(world: World, document: Document = Document.DEVICE_NOTICE) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await service.publish(
            conn, world.company_id, draft(document), actor=SYSTEM, now=NOTICED
        )
    assert made.effective_at == NOW


async def publish_unnoticed(world: World) -> None:
    """Write the edition, and leave out that processes look their devices up again."""
    async with db.tenant(world.pool, world.company_id) as conn:
        document = Document.DEVICE_NOTICE
        editions = await store.editions(conn, world.company_id, document)
        made = next_edition(editions[-1], draft(), NOTICED)
        await store.insert_edition(conn, world.company_id, made)
        text = Text(language=PREVAILING, text=TEXT, sha256=sha256_of(TEXT))
        await store.insert_text(conn, world.company_id, document, made.edition, text)


async def test_a_process_that_read_the_device_before_asks_for_the_notice_at_once(
    client: ClientSession, world: World, clock: Clock
) -> None:
    before = await upload(client, world)
    await publish(world)
    waiting = await upload(client, world)
    clock.at = NOW

    assert (before, waiting, await upload(client, world)) == (200, 200, 403)


async def test_it_knows_of_it_also_if_it_hears_nothing_of_the_device_until_then(
    client: ClientSession, world: World, clock: Clock
) -> None:
    before = await upload(client, world)
    await publish(world)
    clock.at = NOW

    assert (before, await upload(client, world)) == (200, 403)


async def test_a_process_that_is_told_nothing_takes_positions_without_the_notice(
    client: ClientSession, world: World, clock: Clock
) -> None:
    """The control: without the count the belief from before goes on."""
    before = await upload(client, world)
    await publish_unnoticed(world)
    clock.at = NOW

    assert (before, await upload(client, world)) == (200, 200)


async def test_every_device_of_the_company_is_looked_up_again_and_of_no_other(
    world: World, vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    other = await World.make(vault=vault, pool=app_pool, owner=owner)
    second = await add_driver(vault, app_pool, world.company_id)
    drivers = {
        world.driver.member_id: world,
        second.member_id: world,
        other.driver.member_id: other,
    }

    async def counts() -> list[int]:
        found = []
        for driver_id, where in drivers.items():
            async with db.tenant(where.pool, where.company_id, readonly=True) as conn:
                read = await gate.read(conn, where.company_id, driver_id)
                found.append(read.credential_epoch)
        return found

    before = await counts()
    await publish(world, Document.DRIVER_NOTICE)
    unmoved = await counts()
    await publish(world)
    after = await counts()

    assert unmoved == before
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 0]


async def test_publishing_waits_for_an_act_on_a_driver_and_not_with_the_ledger_in_its_hands(
    world: World,
) -> None:
    """Else the two would wait for each other: an act holds its driver's gate, then the ledger."""
    driver_id = world.driver.member_id
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.lock(conn, world.company_id, driver_id)
        publishing = asyncio.create_task(publish(world))
        done, _ = await asyncio.wait({publishing}, timeout=0.5)
        await ledger.append(
            conn,
            world.company_id,
            Act.PERMISSION_DENIED,
            actor=SYSTEM,
            subject_id=driver_id,
            now=NOW,
        )

    await publishing
    assert not done
