"""A dispute waits for others before it holds the head of the ledger, which every act needs."""

import asyncio

from server.attestations import service
from server.attestations.model import Disputed
from server.consent.model import ConsentItem
from server.gate import service as gate
from server.kit import db
from tests.attestations.test_attestations import attest
from tests.consent.acts import give
from tests.guardians.minors import ADULT, state
from tests.world import NOW, World


async def dispute(world: World, *of: Disputed) -> None:
    """Dispute one after the other in one transaction."""
    ids = world.company_id, world.driver.member_id
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        for one in of:
            await service.dispute(conn, *ids, of=one, now=NOW)


async def head_is_free_while_a_dispute_waits(world: World, *of: Disputed) -> bool:
    """Tell whether the ledger's head is free while a dispute waits for a message on its way.

    Whoever sends it holds the driver's preference, and then wants the head.
    """
    ids = world.company_id, world.driver.member_id
    await attest(world)
    await state(world, world.driver.member_id, ADULT)
    await give(world, world.driver, ConsentItem.MARKETING, NOW)
    async with db.tenant(world.pool, world.company_id) as sending:
        await sending.execute(
            "SELECT FROM notice_preference WHERE company_id = $1 AND member_id = $2 FOR UPDATE",
            *ids,
        )
        waiting = asyncio.create_task(dispute(world, *of))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        head = "SELECT FROM ledger_head WHERE company_id = $1 FOR UPDATE SKIP LOCKED"
        free = len(await sending.fetch(head, world.company_id)) == 1
    await waiting
    disputed = "SELECT disputed_at FROM birth_year WHERE driver_id = $1"
    assert await world.owner.fetchval(disputed, world.driver.member_id) == NOW
    return free


async def test_a_dispute_waits_before_it_holds_the_ledger(world: World) -> None:
    assert await head_is_free_while_a_dispute_waits(world, Disputed.EVERYTHING)


async def test_control_with_the_year_first_it_would_hold_the_ledger(world: World) -> None:
    year_first = Disputed.BIRTH_YEAR, Disputed.EVERYTHING
    assert not await head_is_free_while_a_dispute_waits(world, *year_first)
