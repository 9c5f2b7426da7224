"""Reconciling goes on wherever it was broken off, and may be done again with another backup."""

from pathlib import Path

import pytest

from server.backups.model import Behind
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.gate import service as gate
from server.journal import service as journal
from server.kit import db
from server.ledger import service as ledger
from tests.backups.conftest import Backups, Restored
from tests.backups.test_fence import act
from tests.backups.test_not_undone import erase, rows_of
from tests.world import NOW, Driver, add_driver

PLACES = (
    *("keys", "begun", "resumed", "voided", "driver", "stopped", "person", "erased", "indexed"),
    "followed",
)


class Crash(Exception):
    """The process died here."""


async def busy_day(backups: Backups) -> tuple[Path, Driver]:
    """Back up; then let one driver withdraw and the other be erased. Return who withdrew."""
    world = backups.world
    withdrawn = await add_driver(world.vault, world.pool, world.company_id, name="Bolat")
    folder = await backups.take()
    driver = world.company_id, withdrawn.member_id
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await consent.withdraw(conn, *driver, ConsentItem.LOCATION, now=NOW)
    await erase(world)
    await backups.journal()
    return folder, withdrawn


async def refuse_undone(restored: Restored, withdrawn: Driver) -> None:
    """Look whether all is as it was when the backup was made, but for what was taken away."""
    world = restored.world
    await restored.refuse_behind()
    assert await rows_of(restored, world.driver.member_id) == 0
    async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
        found = await consent.states(conn, world.company_id, [withdrawn.member_id])
        names = await conn.fetchval("SELECT count(*) FROM member")
    assert found[withdrawn.member_id].consents[ConsentItem.LOCATION] is ConsentState.REQUESTED
    assert names == 1
    assert (await restored.verdict()).startswith("sound")


async def test_after_a_crash_anywhere_it_goes_on(backups: Backups) -> None:
    folder, withdrawn = await busy_day(backups)

    async with backups.restored_often(folder) as again:
        for place in PLACES:

            def crash(here: str, place: str = place) -> None:
                if here == place:
                    raise Crash

            async with again() as restored:
                assert await rows_of(restored, backups.world.driver.member_id) > 0
                with pytest.raises(Crash):
                    await restored.reconcile(failpoint=crash)
                with pytest.raises(Behind):
                    await restored.refuse_behind()

                assert await restored.reconcile() == 1, place

                await refuse_undone(restored, withdrawn)
                entries = "SELECT count(*) FROM ledger_entry WHERE act = 'restored'"
                assert await restored.owner.fetchval(entries) == 1, place
                assert await restored.reconcile() == 0, place


async def test_an_older_backup_after_a_newer_one_that_was_half_reconciled(
    backups: Backups,
) -> None:
    older, withdrawn = await busy_day(backups)
    newer = await backups.take("newer")
    await act_of(backups, withdrawn)

    def crash(here: str) -> None:
        if here == "begun":
            raise Crash

    async with backups.restored(newer) as restored:
        with pytest.raises(Crash):
            await restored.reconcile(failpoint=crash)
    async with backups.restored(older) as restored:
        await restored.reconcile()

        await refuse_undone(restored, withdrawn)


async def act_of(backups: Backups, driver: Driver) -> None:
    """Let something more be taken away, of a driver who is there."""
    world = backups.world
    key = world.company_id, driver.member_id
    async with gate.stopping(world.pool, *key, now=NOW) as conn:
        await consent.withdraw(conn, *key, ConsentItem.PLAN_FACT, now=NOW)
    await backups.journal()


async def test_a_backup_of_before_is_restored_twice(backups: Backups) -> None:
    folder, withdrawn = await busy_day(backups)
    for times in (1, 2):
        async with backups.restored(folder) as restored:
            await restored.reconcile()
            await refuse_undone(restored, withdrawn)
        found = await journal.restorations(backups.world.keys_pool, backups.world.company_id)
        assert len(found) == times


async def test_what_was_signed_before_can_be_shown_after(backups: Backups) -> None:
    world = backups.world
    folder = await backups.take()
    await act(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()
        async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
            head = await ledger.head(conn, world.company_id)
            assert head is not None
            for index in (1, head.index):
                shown = await ledger.place_of(conn, world.company_id, index)
                assert shown is not None
                assert shown.holds(world.vault.public_keys())
