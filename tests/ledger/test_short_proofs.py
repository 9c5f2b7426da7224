"""However many entries follow at once, a proof of inclusion stays short enough for a receipt."""

import json
from uuid import UUID

import pytest

from server.audit.command import SOUND, verify_all
from server.consent.model import ConsentItem
from server.kit import db
from server.ledger import service
from server.ledger.documents import DocumentRefused
from server.ledger.service import CHECKPOINT_ENTRIES_MAX
from server.receipts import service as receipts
from server.receipts.verification import read, verify
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


async def sound(world: World, said: list[str]) -> bool:
    companies = [world.company_id]
    status = await verify_all(
        world.pool, world.keys_pool, world.vault, companies, say=said.append, now=NOW
    )
    return status == SOUND


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
    with pytest.raises(DocumentRefused, match="too large"):
        read(receipt)


async def sign_end_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign as releases did before every thousandth entry was signed."""
    with monkeypatch.context() as before:
        before.setattr(service, "CHECKPOINT_ENTRIES_MAX", 10 * TOO_MANY)
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.checkpoint(conn, world.vault, world.company_id, NOW)


async def test_what_an_earlier_release_left_out_is_signed_by_the_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await given_long_ago(world)
    await sign_end_alone(world, monkeypatch)
    (end,) = await checkpoints(world)
    # The control: without the job the receipt stays too large.
    with pytest.raises(DocumentRefused, match="too large"):
        read(await receipt_of(world, *ids))

    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)

    receipt = read(await receipt_of(world, *ids))
    verify(receipt, world.vault.public_keys()[world.vault.signing_key_id])
    signed = [*range(CHECKPOINT_ENTRIES_MAX, end, CHECKPOINT_ENTRIES_MAX), end]
    assert await checkpoints(world) == signed
    said: list[str] = []
    assert await sound(world, said)
    assert said[0].endswith(f"signed up to {end}.")


async def test_one_run_adds_so_many_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_in_bulk(world.owner, world.company_id, 5_500)
    await sign_end_alone(world, monkeypatch)
    monkeypatch.setattr(service, "LEFT_OUT_A_RUN", 3)

    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)
    first = await checkpoints(world)
    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)

    assert first[:-1] == [3_000, 4_000, 5_000]
    assert await checkpoints(world) == [1_000, 2_000, *first]


@pytest.mark.parametrize(("entry", "signed"), [(1_500, [2_000]), (2_600, [])])
async def test_a_history_that_was_changed_is_not_signed_behind_its_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch, entry: int, signed: list[int]
) -> None:
    await append_in_bulk(world.owner, world.company_id, 2_700)
    await sign_end_alone(world, monkeypatch)
    await world.owner.execute(
        "UPDATE ledger_entry SET facts = '{\"n\":1}' WHERE company_id = $1 AND index = $2",
        world.company_id,
        entry,
    )

    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)

    assert (await checkpoints(world))[:-1] == signed


async def test_old_entries_that_cannot_be_read_keep_no_new_ones_from_being_signed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_in_bulk(world.owner, world.company_id, 1_500)
    await sign_end_alone(world, monkeypatch)
    await world.owner.execute(
        "UPDATE ledger_entry SET recorded_at = 'infinity' WHERE company_id = $1 AND index = 1200",
        world.company_id,
    )
    await append_in_bulk(world.owner, world.company_id, 10)
    later = NOW + service.CHECKPOINT_EVERY

    with pytest.raises(AttributeError):
        await service.keep_checkpoint(world.pool, world.vault, world.company_id, later)

    signed = await checkpoints(world)
    witness = await world.vault.witness(world.company_id)
    assert len(signed) == 2
    assert witness is not None
    assert witness.index == signed[-1]


async def test_the_chain_with_its_checkpoints_is_sound(world: World) -> None:
    await receipt_of(world, *await given_long_ago(world))

    assert await sound(world, [])
