"""A dispute, and an erasure near its end, are done again after a backup of before was restored."""

from functools import partial

import asyncpg
import pytest

from server.attestations import service as attestations
from server.consent.model import ConsentItem, ConsentState
from server.erasure import saga
from server.erasure import service as erasure
from server.erasure.model import Reason, Step
from server.gate import service as gate
from server.journal import service as journal
from server.kit.db import Connection
from tests.attestations.test_attestations import attest
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import MAIN_USER, gone_through, nothing, rows_of, state_of
from tests.backups.test_reconcile import Crash
from tests.retention.rows import keep
from tests.world import NOW, World


async def dispute(world: World, conn: Connection) -> None:
    await attestations.dispute(conn, world.company_id, world.driver.member_id, now=NOW)


async def seen_by_the_company(restored: Restored) -> bool:
    """Tell whether nothing hides from the company what was collected."""
    return bool(await restored.owner.fetchval("SELECT NOT EXISTS (SELECT FROM set_apart)"))


async def test_what_a_dispute_set_apart_is_not_seen_again(backups: Backups) -> None:
    world = backups.world
    await keep(world, NOW)
    await attest(world)

    act = partial(dispute, world)
    assert not await gone_through(backups, act, seen_by_the_company, nothing)


async def test_control_a_dispute_that_is_not_journalled(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = backups.world
    await keep(world, NOW)
    await attest(world)

    async def forget() -> None:
        await keys_owner.execute("DELETE FROM negative_act WHERE act = 'attestation_disputed'")

    assert await gone_through(backups, partial(dispute, world), seen_by_the_company, forget)


async def test_a_dispute_of_what_was_attested_after_the_backup_still_hides_what_was_collected(
    backups: Backups,
) -> None:
    world = backups.world
    await keep(world, NOW)
    folder = await backups.take()
    await attest(world)
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        await dispute(world, conn)
    await backups.journal()

    async with backups.restored(folder) as restored:
        assert await seen_by_the_company(restored)
        await restored.reconcile()

        assert not await seen_by_the_company(restored)
        assert await state_of(restored, ConsentItem.LOCATION) is not ConsentState.GIVEN
        await restored.refuse_behind()


async def erase_until(world: World, place: str) -> None:
    """Erase the driver, and let the process die at a place."""
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        asked = await erasure.ask(
            conn,
            world.company_id,
            world.driver.member_id,
            by=MAIN_USER,
            reason=Reason.LEFT_COMPANY,
            now=NOW,
        )

    def crash(here: str) -> None:
        if here == place:
            raise Crash

    request = (world.pool, world.vault, world.company_id, asked.request_id, NOW)
    with pytest.raises(Crash):
        await saga.run(*request, failpoint=crash)


async def test_an_erasure_that_was_lost_just_before_the_keys_were_destroyed(
    backups: Backups,
) -> None:
    world = backups.world
    folder = await backups.take()
    await erase_until(world, f"{Step.DESTROY_KEYS}.begun")
    await backups.journal()
    assert await journal.destroyed(world.keys_pool, world.company_id) == {}

    async with backups.restored(folder) as restored:
        assert await rows_of(restored, world.driver.member_id) > 0
        await restored.reconcile(dry_run=True)
        assert "erase 1 person again" in restored.said[-1]
        await restored.reconcile()
        await restored.refuse_behind()

        assert await rows_of(restored, world.driver.member_id) == 0
        assert (await restored.verdict()).startswith("sound")
    destroyed = await journal.destroyed(world.keys_pool, world.company_id)
    assert destroyed == {world.driver.member_id: NOW}


async def test_control_without_its_entry_it_is_a_wish_that_waits(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = backups.world
    folder = await backups.take()
    await erase_until(world, f"{Step.DESTROY_KEYS}.begun")
    await backups.journal()
    await keys_owner.execute("DELETE FROM negative_act WHERE act = 'member_erased'")

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        assert await rows_of(restored, world.driver.member_id) > 0
        asked = "SELECT state FROM erasure_request WHERE driver_id = $1"
        assert await restored.owner.fetchval(asked, world.driver.member_id) == "open"
