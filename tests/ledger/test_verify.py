"""What was done to a ledger is found, and the first bad entry named."""

from dataclasses import replace
from uuid import UUID

import pytest

from server.kit.db import Connection
from server.ledger import store
from server.ledger import verify as verifier
from server.ledger.model import Place
from server.ledger.verify import Verdict, verify
from tests.ledger.chains import append_some, build
from tests.ledger.mutations import KINDS, SIZES, prove
from tests.world import World


@pytest.mark.proves("qoldau:9")
@pytest.mark.parametrize("page", [7, 2_000])
async def test_every_change_is_found_and_the_first_bad_entry_named(
    world: World, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(verifier, "PAGE", page)

    report = await prove(world, SIZES["smoke"])

    assert [(row.figure, row.note) for row in report.unmet] == []
    assert len(report.rows) == len(KINDS) + 3


async def test_an_empty_ledger_is_sound(world: World) -> None:
    verdict = await verify(world.owner, world.company_id, public_keys={})

    assert verdict == Verdict(entries=0, signed_until=0)


async def test_a_signature_counts_only_with_the_key_that_is_known(world: World) -> None:
    chain = await build(world)

    verdict = await verify(world.owner, chain.company_id, public_keys={})

    assert verdict.first_bad_index == chain.checkpoints[0]
    assert verdict.reason is verifier.Reason.CHECKPOINT


@pytest.mark.proves("qoldau:9")
async def test_the_witness_finds_what_was_cut_with_its_checkpoints(world: World) -> None:
    chain = await build(world)
    for table in ("ledger_entry", "ledger_checkpoint"):
        await world.owner.execute(
            f"DELETE FROM {table} WHERE company_id = $1 AND index > 30",  # noqa: S608 - our own names
            chain.company_id,
        )
    await world.owner.execute(
        "UPDATE ledger_head h SET index = 30, hash = e.hash FROM ledger_entry e"
        " WHERE h.company_id = $1 AND e.company_id = $1 AND e.index = 30",
        chain.company_id,
    )

    seen = await chain.verdict(world.owner)
    unseen = await replace(chain, compared=False).verdict(world.owner, witnessed=False)
    recorded = await chain.verdict(world.owner, witnessed=False)

    assert (seen.first_bad_index, seen.reason) == (31, verifier.Reason.TRUNCATED)
    assert unseen.sound  # without it only receipts outside still know
    assert unseen.signed_until == 21
    # or the consents whose entries were cut
    assert (recorded.first_bad_index, recorded.reason) == (32, verifier.Reason.CONSENT)


async def test_the_chain_may_grow_while_it_is_verified(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = await build(world)
    ends = store.ends

    async def grown(conn: Connection, company_id: UUID) -> tuple[Place | None, int]:
        found = await ends(conn, company_id)
        await append_some(
            world.pool,
            chain.company_id,
            driver_id=chain.driver_id,
            dispatcher_id=chain.dispatcher_id,
            number=0,
        )
        return found

    monkeypatch.setattr(store, "ends", grown)

    assert (await chain.verdict(world.owner)).sound
