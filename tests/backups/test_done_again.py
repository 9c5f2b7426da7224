"""A dispute, and an erasure near its end, are done again after a backup of before was restored."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from server.attestations import service as attestations
from server.backups import store
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.erasure import saga
from server.erasure import service as erasure
from server.erasure.model import Reason, Step
from server.gate import service as gate
from server.journal import service as journal
from server.kit import db
from server.kit.db import Connection
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from server.standing.model import BlockReason
from tests.attestations.test_attestations import attest
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import MAIN_USER, gone_through, nothing, rows_of, state_of
from tests.backups.test_reconcile import Crash
from tests.retention.rows import keep
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)


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


async def asked_and_blocked(backups: Backups) -> Path:
    """Back up in the grace of an erasure; then let it be called off, and the driver be blocked."""
    world = backups.world
    driver = world.company_id, world.driver.member_id
    await world.owner.execute("UPDATE company SET erasure_grace_s = 86400")
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        left = Reason.LEFT_COMPANY
        asked = await erasure.ask(conn, *driver, by=MAIN_USER, reason=left, now=NOW)
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await erasure.cancel(conn, world.company_id, asked.request_id, by=MAIN_USER, now=NOW)
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await consent.block(conn, *driver, BlockReason.OTHER, by=MAIN_USER, now=NOW)
    await backups.journal()
    return folder


async def called_off(restored: Restored) -> str:
    """Call the erasure off once more; return what the account is then."""
    company_id = restored.world.company_id
    async with db.tenant(restored.pool, company_id) as conn:
        request_id = await conn.fetchval("SELECT request_id FROM erasure_request")
        await erasure.cancel(conn, company_id, request_id, by=MAIN_USER, now=NOW)
    return str(await restored.owner.fetchval("SELECT state FROM member WHERE role = 'driver'"))


async def test_a_block_after_an_erasure_that_was_called_off(backups: Backups) -> None:
    folder = await asked_and_blocked(backups)

    async with backups.restored(folder) as restored:
        await restored.reconcile()
        await restored.refuse_behind()

        assert await called_off(restored) == "blocked"


async def test_control_that_block_where_it_is_not_journalled(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    folder = await asked_and_blocked(backups)
    await keys_owner.execute("DELETE FROM negative_act WHERE act = 'member_blocked'")

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        assert await called_off(restored) == "active"


async def held_back(backups: Backups, at: datetime) -> tuple[bool, bool]:
    """Back up, let the driver end the shift, restore, reconcile five minutes later.

    Return whether the position of before, and one of in between that a phone held back, lie where
    positions may be recorded.
    """
    world = backups.world
    await keep(world, NOW - MINUTE)
    folder = await backups.take()
    driver = world.company_id, world.driver.member_id
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await shifts.end(conn, *driver, by=ShiftEnd.DRIVER, now=NOW)
    async with backups.restored(folder) as restored:
        await restored.reconcile(every=True, now=NOW + 5 * MINUTE)
        async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
            found = await gate.windows(conn, *driver, since=NOW - 2 * MINUTE, until=at)
    return any(one.contains(NOW - MINUTE) for one in found), any(one.contains(at) for one in found)


async def test_what_a_phone_held_back_after_the_shift_is_not_taken(backups: Backups) -> None:
    assert await held_back(backups, NOW + MINUTE) == (True, False)


async def test_control_where_windows_close_as_they_are_reconciled_it_is(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def now(*_args: object, **_named: object) -> datetime:
        return NOW + 5 * MINUTE

    monkeypatch.setattr(store, "seen_until", now)

    assert await held_back(backups, NOW + MINUTE) == (True, True)
