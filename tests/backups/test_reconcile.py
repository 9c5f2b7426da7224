"""Reconciling goes on wherever it was broken off, and may be done again with another backup."""

import json
from pathlib import Path

import pytest

from server.backups import marks
from server.backups.model import Behind
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.erasure import saga
from server.gate import service as gate
from server.journal import service as journal
from server.kit import db
from server.ledger import service as ledger
from tests.backups.conftest import Backups, Restored, manifest_of
from tests.backups.test_fence import act
from tests.backups.test_not_undone import erase, rows_of
from tests.world import NOW, Driver, add_company, add_driver, add_member

PLACES = (
    *("keys", "begun", "resumed", "voided", "shortened", "closed", "held", "driver", "stopped"),
    *("deleted", "person", "erased", "begun anew", "indexed", "followed"),
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


async def test_a_company_that_an_older_backup_lacked_is_there_again_in_a_newer_one(
    backups: Backups,
) -> None:
    world = backups.world
    older = await backups.take("older")
    company_id = await add_company(world.vault, world.owner)
    await journal.Journal(world.pool, world.keys_pool).copy(company_id, NOW)
    newer = await backups.take("newer")

    async with backups.restored(older) as restored:
        await restored.reconcile()
        await restored.refuse_behind()
    async with backups.restored(newer) as restored:
        heads = manifest_of(newer / "main").heads
        await marks.mark_main(world.keys_pool, (), heads, now=NOW)
        with pytest.raises(Behind):
            await restored.refuse_behind()

        assert await restored.reconcile() == 2

        await restored.refuse_behind()
        for one in (company_id, world.company_id):
            assert (await restored.verdict(one)).startswith("sound")


async def test_of_who_cannot_be_erased_again_yet_nobody_else_waits(backups: Backups) -> None:
    world = backups.world
    # Where no eraser looks.
    main_user = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    await world.owner.execute(
        "INSERT INTO notice (company_id, notice_id, member_id, kind, facts, queued_at)"
        " VALUES ($1, $2, $2, 'controller_change_announced', $3, $4)",
        world.company_id,
        main_user,
        json.dumps({"driver_id": str(world.driver.member_id)}),
        NOW,
    )
    folder = await backups.take()
    await world.owner.execute("DELETE FROM notice WHERE member_id = $1", main_user)
    await erase(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        assert await restored.reconcile() == 1

        assert any("jolda serve goes on with that" in one for one in restored.said)
        await restored.refuse_behind()
        asked = await restored.owner.fetchval("SELECT state FROM erasure_request")
        assert asked == "erasing"
        # The control: this is what it waited for.
        await restored.owner.execute("DELETE FROM notice WHERE member_id = $1", main_user)
        await saga.run_due(restored.pool, world.vault, world.company_id, NOW)
        assert await rows_of(restored, world.driver.member_id) == 0


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
