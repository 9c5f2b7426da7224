"""What was restored is reconciled, also where neither database tells that it is from before."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from server.backups import marks, service
from server.backups.model import Behind
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.credentials import service as credentials
from server.gate import service as gate
from server.journal import service as journal
from server.kek.key_file import load
from server.kit import db, tokens
from server.kit.db import ROLE_APP, ROLE_KEYS
from server.kit.tokens import Token
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from server.vault.opening import open_vault
from tests.backups.conftest import Backups, Restored, manifest_of, unheard
from tests.backups.test_fence import act, head_of
from tests.backups.test_not_undone import may_be_stored, still_given, withdrawal
from tests.backups.test_reconcile import Crash
from tests.world import NOW, World, add_company, add_driver

LATER = NOW + timedelta(minutes=5)


async def stopped_quietly(backups: Backups) -> tuple[Path, Token]:
    """Back up; then log out, and let the driver end the shift: the ledger says none of it."""
    world = backups.world
    session = tokens.parse(await world.session("dispatcher"))
    assert session is not None
    folder = await backups.take()
    driver = world.company_id, world.driver.member_id
    async with db.tenant(world.pool, world.company_id) as conn:
        await credentials.close_session(conn, world.company_id, session.digest)
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await shifts.end(conn, *driver, by=ShiftEnd.DRIVER, now=NOW)
    await backups.journal()
    return folder, session


async def gone_on(restored: Restored, session: Token) -> tuple[bool, bool]:
    """Tell whether the session works again, and whether a position would be stored."""
    company_id = restored.world.company_id
    async with db.tenant(restored.pool, company_id, readonly=True) as conn:
        caller = await credentials.caller_of_token(conn, session, now=NOW)
    return caller is not None, await may_be_stored(restored)


async def mark_main(restored: Restored, folder: Path) -> None:
    """Do what ``jolda restore --main`` does once it has restored."""
    heads = manifest_of(folder / "main").heads
    companies = await restored.companies()
    await marks.mark_main(restored.world.keys_pool, companies, heads, now=NOW)


async def test_control_nothing_else_tells_that_a_quiet_main_was_restored(
    backups: Backups,
) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.restored(folder) as restored:
        await restored.refuse_behind()
        assert await restored.reconcile() == 0
        assert await gone_on(restored, session) == (True, True)


async def test_a_log_out_and_the_end_of_a_shift_in_a_quiet_ledger(backups: Backups) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.restored(folder) as restored:
        await mark_main(restored, folder)
        with pytest.raises(Behind, match="not all of it was reconciled"):
            await restored.refuse_behind()
        await restored.reconcile()
        await restored.refuse_behind()

        assert await gone_on(restored, session) == (False, False)
        assert await still_given(restored)
        assert (await restored.verdict()).startswith("sound")
        assert await restored.reconcile() == 0


async def test_of_a_main_that_was_brought_back_otherwise_the_operator_says_so(
    backups: Backups,
) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.restored(folder) as restored:
        assert await restored.reconcile(every=True, dry_run=True) == 1
        assert await gone_on(restored, session) == (True, True)
        assert await restored.reconcile(every=True) == 1

        assert await gone_on(restored, session) == (False, False)
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")


async def test_a_company_whose_ledger_is_empty_is_reconciled_as_well(backups: Backups) -> None:
    world = backups.world
    company_id = uuid4()
    await world.owner.execute(
        "INSERT INTO company (company_id, name, time_zone, erasure_grace_s, created_at)"
        " VALUES ($1, 'Aral Freight', 'Asia/Almaty', 0, $2)",
        company_id,
        NOW,
    )
    await world.vault.create_company(company_id, NOW)
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        await mark_main(restored, folder)
        assert await restored.reconcile() == 2
        await restored.refuse_behind()

        (begun,) = await journal.restorations(world.keys_pool, company_id)
        assert (begun.restored_from, begun.known_until) == (0, 0)


async def test_a_mark_follows_the_backup_that_is_restored_in_the_end(backups: Backups) -> None:
    world = backups.world
    older = await backups.take("older")
    await act(world)
    newer = await backups.take("newer")

    async with backups.restored(older) as restored:
        await mark_main(restored, older)
    async with backups.restored(newer) as restored:
        await mark_main(restored, newer)
        head = await head_of(restored)
        await restored.reconcile()

        (begun,) = await journal.restorations(world.keys_pool, world.company_id)
        assert (begun.restored_from, begun.known_until) == (head, head)
        assert (await restored.verdict()).startswith("sound")


@asynccontextmanager
async def both_restored(
    backups: Backups,
    folder: Path,
    kek_file: Path,
    *,
    marked: bool = True,
    main: Path | None = None,
) -> AsyncGenerator[Restored]:
    """Restore both databases, as after both were lost; ``main`` from a folder of its own."""
    world = backups.world
    main = main or folder
    keks = load(kek_file, may_make=False)
    async with backups.empty() as keys_dsn, backups.empty() as dsn:
        await service.restore_keys(keys_dsn, keks, folder, say=unheard)
        async with db.pool(keys_dsn, role=ROLE_KEYS) as keys_pool:
            if marked:
                until = manifest_of(folder / "keys").begun_at
                await marks.mark_keys(keys_pool, until=until, now=LATER)
            await service.restore_main(dsn, keys_dsn, main, say=unheard)
            owner = await asyncpg.connect(dsn)
            try:
                async with db.pool(dsn, role=ROLE_APP) as pool:
                    other = World(
                        vault=await open_vault(keys_pool, load(kek_file), NOW),
                        pool=pool,
                        owner=owner,
                        company_id=world.company_id,
                        driver=world.driver,
                    )
                    restored = Restored(world=other, dsn=dsn, pool=pool, owner=owner)
                    if marked:
                        await mark_main(restored, main)
                    yield restored
            finally:
                await owner.close()


async def withdrawn_after_the_backup(backups: Backups) -> tuple[Path, Token]:
    """Back up; then stop quietly, and withdraw, which no backup of the keys knows of."""
    folder, session = await stopped_quietly(backups)
    world = backups.world
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        await withdrawal(world)(conn)
    await backups.journal()
    return folder, session


async def test_control_both_from_before_agree_with_each_other(
    backups: Backups, kek_file: Path
) -> None:
    folder, session = await withdrawn_after_the_backup(backups)

    async with both_restored(backups, folder, kek_file, marked=False) as restored:
        await restored.refuse_behind()
        assert await restored.reconcile() == 0
        assert await still_given(restored)
        assert await gone_on(restored, session) == (True, True)


async def states(restored: Restored) -> list[ConsentState]:
    """Return in which states the consents to location are, of everybody."""
    found = []
    for row in await restored.owner.fetch("SELECT company_id, driver_id FROM gate"):
        company_id, driver_id = row
        async with db.tenant(restored.pool, company_id, readonly=True) as conn:
            of_driver = await consent.states(conn, company_id, [driver_id])
        found.append(of_driver[driver_id].consents[ConsentItem.LOCATION])
    return found


async def test_after_both_are_lost_everybody_is_asked_again(
    backups: Backups, kek_file: Path
) -> None:
    world = backups.world
    await add_driver(world.vault, world.pool, world.company_id, name="Bolat")
    folder, session = await withdrawn_after_the_backup(backups)

    async with both_restored(backups, folder, kek_file) as restored:
        assert await states(restored) == [ConsentState.GIVEN] * 2
        with pytest.raises(Behind, match="not all of it was reconciled"):
            await restored.refuse_behind()
        await restored.reconcile(dry_run=True)
        assert "would take back every consent" in restored.said[-1]
        assert await states(restored) == [ConsentState.GIVEN] * 2

        await restored.reconcile()

        await restored.refuse_behind()
        assert await states(restored) == [ConsentState.REQUESTED] * 2
        assert await gone_on(restored, session) == (False, False)
        assert (
            f"nothing after {NOW:%Y-%m-%d %H:%M:%S} UTC. Every consent was taken back"
            in (restored.said[-1])
        )
        assert (await restored.verdict()).startswith("sound")
        assert await restored.reconcile() == 0


async def test_after_a_crash_everybody_is_still_asked_again(
    backups: Backups, kek_file: Path
) -> None:
    folder, _ = await withdrawn_after_the_backup(backups)

    def crash(here: str) -> None:
        if here == "voided":
            raise Crash

    async with both_restored(backups, folder, kek_file) as restored:
        with pytest.raises(Crash):
            await restored.reconcile(failpoint=crash)
        # The backup is restored once more, by whoever thinks that it failed.
        await mark_main(restored, folder)
        await restored.reconcile()

        assert await states(restored) == [ConsentState.REQUESTED]


async def test_a_company_younger_than_the_backup_of_the_keys_is_asked_again_as_well(
    backups: Backups, kek_file: Path
) -> None:
    world = backups.world
    other = await add_company(world.vault, world.owner)
    await add_driver(world.vault, world.pool, other, name="Bolat")
    folder = await backups.take()
    # The keys' database never heard of its ledger, so nothing there marks it.

    async with both_restored(backups, folder, kek_file) as restored:
        assert await restored.reconcile() == 2

        assert await states(restored) == [ConsentState.REQUESTED] * 2


async def test_of_keys_that_were_brought_back_otherwise_the_operator_says_so(
    backups: Backups, kek_file: Path
) -> None:
    """The control is above: nothing tells of the two that they are from before."""
    world = backups.world
    younger = await add_company(world.vault, world.owner)
    await add_driver(world.vault, world.pool, younger, name="Bolat")
    folder, session = await withdrawn_after_the_backup(backups)

    async with both_restored(backups, folder, kek_file, marked=False) as restored:
        await restored.refuse_behind()
        heard_at = await journal.heard_at(restored.world.keys_pool)
        assert await restored.reconcile(every=True, keys_until=heard_at) == 2

        told = f"{world.company_id}: the key database was restored"
        (said,) = [one for one in restored.said if one.startswith(told)]
        assert f"nothing after {NOW:%Y-%m-%d %H:%M:%S} UTC" in said
        assert await states(restored) == [ConsentState.REQUESTED] * 2
        assert await gone_on(restored, session) == (False, False)
        await restored.refuse_behind()


async def test_it_is_asked_again_also_where_a_crash_came_between_the_two_companies(
    backups: Backups, kek_file: Path
) -> None:
    world = backups.world
    younger = await add_company(world.vault, world.owner)
    await add_driver(world.vault, world.pool, younger, name="Bolat")
    folder = await backups.take()
    begun = []

    def crash(place: str) -> None:
        if place == "keys":
            begun.append(place)
        if len(begun) == 2:
            raise Crash

    async with both_restored(backups, folder, kek_file) as restored:
        with pytest.raises(Crash):
            await restored.reconcile(failpoint=crash)
        # The one that the keys had heard of has ended, and with it all that told of the gap.
        (ended,) = await journal.restorations(restored.world.keys_pool, world.company_id)
        assert ended.ended_at is not None
        with pytest.raises(Behind):
            await restored.refuse_behind()
        assert await restored.reconcile() == 1

        assert await states(restored) == [ConsentState.REQUESTED] * 2


async def test_beside_keys_from_before_who_joined_since_holds_up_nobody(
    backups: Backups, kek_file: Path
) -> None:
    world = backups.world
    older = await backups.take("older")
    await add_driver(world.vault, world.pool, world.company_id, name="Bolat")
    younger = await add_company(world.vault, world.owner)
    await add_driver(world.vault, world.pool, younger, name="Gulnara")
    today = await backups.take("today")

    async with both_restored(backups, older, kek_file, main=today) as restored:
        assert await restored.reconcile() == 2

        await restored.refuse_behind()
        assert await states(restored) == [ConsentState.REQUESTED] * 3


@pytest.mark.parametrize("place", ["indexed", "followed"])
async def test_restored_once_more_after_a_crash_wherever_the_keys_had_come_to(
    backups: Backups, place: str
) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    def crash(here: str) -> None:
        if here == place:
            raise Crash

    async with backups.restored_often(folder) as again:
        async with again() as restored:
            with pytest.raises(Crash):
                await restored.reconcile(failpoint=crash)
        async with again() as restored:
            with pytest.raises(Behind):
                await restored.refuse_behind()
            assert await restored.reconcile(now=LATER) == 1
            await restored.refuse_behind()
            assert (await restored.verdict()).startswith("sound")
            assert await restored.reconcile(now=LATER) == 0


async def test_beside_keys_from_before_a_main_of_today_is_asked_again_as_well(
    backups: Backups, kek_file: Path
) -> None:
    """Nothing tells it from one that was brought back to just before it was lost."""
    world = backups.world
    older = await backups.take("older")
    await act(world)
    today = await backups.take("today")

    async with both_restored(backups, older, kek_file, main=today) as restored:
        head = await head_of(restored)
        await restored.reconcile()

        assert await states(restored) == [ConsentState.REQUESTED]
        (begun,) = await journal.restorations(restored.world.keys_pool, world.company_id)
        assert (begun.restored_from, begun.known_until) == (head, head)
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
