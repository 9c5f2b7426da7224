"""However many entries follow at once, a proof of inclusion stays short enough for a receipt."""

import json
from uuid import UUID

import pytest

from server.audit.command import SOUND, verify_all
from server.consent.model import ConsentItem
from server.kit import db
from server.ledger import service
from server.ledger.service import CHECKPOINT_ENTRIES_MAX
from server.receipts import service as receipts
from server.receipts.verification import ReceiptRefused, read, verify
from tests.consent.acts import give
from tests.consent.people import new_driver
from tests.ledger.by_hand import append_in_bulk
from tests.world import NOW, World, add_company, add_driver

TOO_MANY = 16_000
"""Digests, in hexadecimal digits, of more entries than a receipt may be long."""


@pytest.fixture
async def world(world: World) -> World:
    company_id = await add_company(world.vault, world.owner)
    driver = await add_driver(world.vault, world.pool, company_id)
    return World(
        vault=world.vault,
        pool=world.pool,
        owner=world.owner,
        company_id=company_id,
        driver=driver,
    )


async def given_long_ago(world: World) -> tuple[UUID, UUID]:
    """Return a driver and the record of a consent after which very much was written."""
    driver = await new_driver(world)
    record = await give(world, driver, ConsentItem.LOCATION)
    await append_in_bulk(world.owner, world.company_id, TOO_MANY)
    return driver.member_id, record.record_id


async def receipt_of(world: World, driver_id: UUID, record_id: UUID) -> bytes:
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await receipts.receipt(
            conn, world.vault, world.company_id, driver_id, record_id, now=NOW
        )
    return json.dumps(made).encode()


async def checkpoints(world: World) -> list[int]:
    rows = await world.owner.fetch(
        "SELECT index FROM ledger_checkpoint WHERE company_id = $1 ORDER BY index",
        world.company_id,
    )
    return [row["index"] for row in rows]


@pytest.mark.parametrize("by_job", [False, True])
async def test_a_receipt_is_short_also_when_much_was_written_since(
    world: World, *, by_job: bool
) -> None:
    ids = await given_long_ago(world)
    if by_job:
        await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)

    receipt = read(await receipt_of(world, *ids))

    verify(receipt, world.vault.public_keys()[world.vault.signing_key_id])
    assert len(receipt["ledger"]["later"]) <= CHECKPOINT_ENTRIES_MAX
    signed = await checkpoints(world)
    assert signed[-1] > TOO_MANY
    gaps = [after - before for before, after in zip([0, *signed], signed, strict=False)]
    assert max(gaps) <= CHECKPOINT_ENTRIES_MAX


async def test_control_with_a_checkpoint_at_the_end_alone_it_is_too_large(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHECKPOINT_ENTRIES_MAX", 10 * TOO_MANY)
    ids = await given_long_ago(world)

    receipt = await receipt_of(world, *ids)

    assert len(await checkpoints(world)) == 1
    with pytest.raises(ReceiptRefused, match="too large"):
        read(receipt)


async def test_the_chain_with_its_checkpoints_is_sound(world: World) -> None:
    await receipt_of(world, *await given_long_ago(world))
    said: list[str] = []

    status = await verify_all(world.pool, world.vault, [world.company_id], say=said.append, now=NOW)

    assert (status, said[0].split(",")[0]) == (SOUND, f"{world.company_id}: sound")
