"""Nothing is served before what was restored is reconciled; and what it is that is told."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from server import databases as databases_of
from server import running
from server.backups.model import Behind
from server.gate import service as gate
from server.journal import service as journal
from server.journal.model import RESUMES_AFTER
from server.kit import db
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from tests.backups.conftest import Backups, Restored
from tests.conftest import Databases
from tests.running import say_nothing, settings
from tests.test_commands import jolda, serving, told
from tests.world import NOW, World, add_company


async def act(world: World) -> None:
    """Write something down that takes something away."""
    driver_id = world.driver.member_id
    async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
        await ledger.append(
            conn,
            world.company_id,
            Act.PERMISSION_DENIED,
            actor=SYSTEM,
            subject_id=driver_id,
            now=NOW,
        )


async def head_of(restored: Restored) -> int:
    async with db.tenant(restored.pool, restored.world.company_id, readonly=True) as conn:
        head = await ledger.head(conn, restored.world.company_id)
    assert head is not None
    return head.index


async def test_a_main_of_today_is_served(backups: Backups) -> None:
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        await restored.refuse_behind()
        assert await restored.reconcile() == 0
        assert restored.said == ["Both databases are of one moment: there is nothing to reconcile."]


async def test_a_main_from_before_is_not_served_and_says_why(backups: Backups) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        head = await head_of(restored)
        with pytest.raises(Behind, match=f"ends at entry {head}.*knows of {head + 1}.*reconcile"):
            await restored.refuse_behind()


async def test_a_server_does_not_start_on_it(
    backups: Backups, databases: Databases, kek_file: Path, tmp_path: Path
) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        served = replace(settings(tmp_path, databases), kek_file=kek_file)
        dsns = databases_of.Databases(main=restored.dsn, keys=databases.keys)
        with pytest.raises(Behind):
            async with running.server(served, dsns, say=say_nothing):
                pytest.fail("it serves")


async def test_several_processes_do_not_start_on_it_until_it_is_reconciled(
    backups: Backups, databases: Databases, kek_file: Path, tmp_path: Path
) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        named = {
            "DATABASE_URL": restored.dsn,
            "KEYS_DATABASE_URL": databases.keys,
            "JOLDA_KEK_FILE": str(kek_file),
            "JOLDA_WORKERS": "2",
        }

        def start() -> None:
            with serving(tmp_path, "serve", **named):
                pass

        refused = await asyncio.to_thread(jolda, "serve", home=tmp_path, **named)
        assert "The database main is from before" in told(refused)
        done = await asyncio.to_thread(jolda, "restore", "reconcile", home=tmp_path, **named)
        assert (done.returncode, done.stderr) == (0, "")
        await asyncio.to_thread(start)


async def test_a_checkpoint_alone_shows_it_as_well(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = backups.world
    folder = await backups.take()
    await act(world)
    await ledger.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)
    await keys_owner.execute("DELETE FROM negative_act; DELETE FROM journal_place")
    await backups.journal()
    await keys_owner.execute("UPDATE journal_place SET index = 1")

    async with backups.restored(folder) as restored:
        with pytest.raises(Behind):
            await restored.refuse_behind()


async def test_another_history_is_neither_served_nor_reconciled(backups: Backups) -> None:
    world = backups.world
    folder = await backups.take()
    await act(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        async with db.tenant(restored.pool, world.company_id) as conn:
            for _ in range(2):
                await ledger.append(
                    conn,
                    world.company_id,
                    Act.MEMBER_UNBLOCKED,
                    actor=SYSTEM,
                    subject_id=None,
                    now=NOW,
                )
        with pytest.raises(Behind, match="another one than the key database knows"):
            await restored.refuse_behind()
        with pytest.raises(Behind):
            await restored.reconcile()


async def test_a_company_that_was_made_after_the_backup_is_told_of_and_given_up(
    backups: Backups,
) -> None:
    world = backups.world
    folder = await backups.take()
    company_id = await add_company(world.vault, world.owner)
    async with db.tenant(world.pool, company_id) as conn:
        await ledger.append(
            conn, company_id, Act.EDITION_PUBLISHED, actor=SYSTEM, subject_id=None, now=NOW
        )
    await journal.Journal(world.pool, world.keys_pool).copy(company_id, NOW)

    async with backups.restored(folder) as restored:
        with pytest.raises(Behind):
            await restored.refuse_behind()
        await restored.reconcile()
        assert restored.said == [
            f"{company_id}: made after the backup; nothing of it is left in main."
        ]
        await restored.refuse_behind()
        assert await restored.reconcile() == 0


async def test_while_it_is_reconciled_nothing_is_served(backups: Backups) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    def crash(place: str) -> None:
        if place == "resumed":
            raise RuntimeError(place)

    async with backups.restored(folder) as restored:
        with pytest.raises(RuntimeError):
            await restored.reconcile(failpoint=crash)

        # The ledger is ahead of what the key database knows by now: that alone would let it pass.
        assert await head_of(restored) > RESUMES_AFTER
        with pytest.raises(Behind, match="not all of it was reconciled"):
            await restored.refuse_behind()


async def test_keys_from_before_an_erasure_are_not_served_and_destroyed_again(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = backups.world
    erased = uuid4()
    await world.vault.create_subject(world.company_id, erased)
    await world.owner.execute(
        "INSERT INTO erasure_request (company_id, request_id, driver_id, state, requested_by_role,"
        " requested_at, erased_at) VALUES ($1, $2, $3, 'erased', 'driver', $4, $4)",
        world.company_id,
        uuid4(),
        erased,
        NOW,
    )
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        with pytest.raises(Behind, match="The key database is from before"):
            await restored.refuse_behind()
        await restored.reconcile()
        await restored.refuse_behind()
    destroyed = "SELECT destroyed_at FROM subject WHERE subject_id = $1"
    assert await keys_owner.fetchval(destroyed, erased) == NOW


async def test_the_ledger_says_what_was_lost_and_no_more(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    world = backups.world
    folder = await backups.take()
    await act(world)
    await ledger.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)
    await backups.journal()

    async with backups.restored(folder) as restored:
        head = await head_of(restored)
        before = await restored.verdict()
        await restored.reconcile()
        after = await restored.verdict()
        await keys_owner.execute("DELETE FROM restoration")
        control = await restored.verdict()
    assert before.startswith(f"BROKEN at entry {head + 1}: entries from here on are missing")
    assert after.startswith("sound")
    assert f"entries from {head + 1} on were lost to a restored backup" in after
    # The same hole, of which the key database knows nothing, is one that somebody cut.
    assert control.startswith(f"BROKEN at entry {head + 1}: the entry is missing")


async def test_a_dry_run_tells_and_does_nothing(backups: Backups) -> None:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        head = await head_of(restored)
        await restored.reconcile(dry_run=True)

        (said,) = restored.said
        assert f"entries after {head} are lost" in said
        assert "take over 1 act (permission_denied), and erase 0 persons again" in said
        assert await head_of(restored) == head
        with pytest.raises(Behind, match="from before"):
            await restored.refuse_behind()
