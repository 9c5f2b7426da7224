"""A restore that is killed just after the last row was read is known to be one all the same."""

import argparse
import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from server import databases as databases_of
from server import recovery, running
from server.backups import marks
from server.backups.model import BackupRefused, Behind
from server.consent.model import ConsentState
from server.settings import Settings
from tests.backups.conftest import Backups, manifest_of, unheard
from tests.backups.test_marks import (
    gone_on,
    states,
    stopped_quietly,
    withdrawn_after_the_backup,
)
from tests.conftest import Databases
from tests.running import settings
from tests.world import NOW, World, add_company

SOMEBODY_ELSES = "The keys of Aral.\nAsk Dana."


class Killed(Exception):
    """The process died here."""


@pytest.fixture
def found(
    tmp_path: Path,
    databases: Databases,
    kek_file: Path,
    world: World,  # noqa: ARG001 - has made the KEK
) -> Settings:
    """The operator's, with a copy of the KEK alone: beside one in use nothing is restored."""
    copy = tmp_path / "copied" / "kek"
    copy.parent.mkdir()
    shutil.copy(kek_file, copy)
    return replace(settings(tmp_path, databases), kek_file=copy)


async def restore(
    found: Settings, *words: str, say: Callable[[str], None] = unheard, stopped: bool = False
) -> None:
    """Do what ``jolda restore`` does."""
    parser = argparse.ArgumentParser()
    recovery.add_commands(parser.add_subparsers(), say=say)
    chosen = parser.parse_args(["restore", *words])
    stop = asyncio.Event()
    if stopped:
        stop.set()
    await chosen.command(chosen, found, stop)


async def killed(found: Settings, folder: Path, which: str) -> None:
    """Restore, and die when the last row is there."""

    def say(sentence: str) -> None:
        if ": restored" in sentence:
            raise Killed

    with pytest.raises(Killed):
        await restore(found, str(folder), which, say=say)


async def nothing(*_args: object, **_named: object) -> None:
    """Note nothing."""


async def test_of_a_quiet_main(backups: Backups, found: Settings) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.empty() as dsn:
        await killed(replace(found, database_url=dsn), folder, "--main")
        async with backups.opened(dsn) as restored:
            with pytest.raises(Behind, match="not all of it was reconciled"):
                await restored.refuse_behind()
            assert await restored.reconcile() == 1

            assert await gone_on(restored, session) == (False, False)


async def test_control_of_a_quiet_main_that_is_noted_only_after(
    backups: Backups, found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.empty() as dsn:
        with monkeypatch.context() as without:
            without.setattr(marks, "mark_main", nothing)
            await killed(replace(found, database_url=dsn), folder, "--main")
        async with backups.opened(dsn) as restored:
            await restored.refuse_behind()
            assert await restored.reconcile() == 0

            assert await gone_on(restored, session) == (True, True)


async def test_the_manifest_names_also_a_company_whose_ledger_is_empty(backups: Backups) -> None:
    world = backups.world
    company_id = await add_company(world.vault, world.owner)
    await world.owner.execute("DELETE FROM ledger_head WHERE company_id = $1", company_id)

    folder = await backups.take()

    assert manifest_of(folder / "main").heads[company_id].index == 0


async def test_what_is_no_backup_notes_nothing(backups: Backups, found: Settings) -> None:
    folder = await backups.take()
    with (folder / "main" / "dump").open("ab") as dump:
        dump.write(b"more")

    async with backups.empty() as dsn:
        with pytest.raises(BackupRefused, match="not what was signed"):
            await restore(replace(found, database_url=dsn), str(folder), "--main")
    with pytest.raises(BackupRefused, match="main is not empty"):
        await restore(found, str(await backups.take("whole")), "--main")
    async with backups.opened(backups.databases.main) as today:
        await today.refuse_behind()


async def after_the_keys_were_killed(
    backups: Backups, found: Settings, folder: Path, said: list[str]
) -> tuple[list[ConsentState], bool, str | None]:
    """Lose both, restore both, the keys first and killed; then reconcile.

    Return in which states consents are, whether the fence let it pass before, and what is said of
    the key database.
    """
    async with backups.empty() as keys, backups.empty() as dsn:
        both = replace(found, database_url=dsn, keys_database_url=keys)
        owner = await asyncpg.connect(keys)
        name = await owner.fetchval("SELECT current_database()")
        await owner.execute(f"COMMENT ON DATABASE {name} IS '{SOMEBODY_ELSES}'")
        await killed(both, folder, "--keys")
        passed = True
        dsns = databases_of.Databases(main=dsn, keys=keys)
        await restore(both, str(folder), "--main")
        try:
            async with running.opened_to_write(dsns, both, now=NOW):
                pass
        except Behind as refused:
            passed = "broken off before it was noted" not in str(refused)
        await restore(both, "reconcile", say=said.append)
        async with running.opened_to_write(dsns, both, now=NOW):
            pass
        comment = await owner.fetchval(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", name
        )
        await owner.close()
        async with backups.opened(dsn) as restored:
            return await states(restored), passed, comment


async def test_of_the_keys(backups: Backups, found: Settings) -> None:
    folder, _ = await withdrawn_after_the_backup(backups)
    said: list[str] = []

    after = await after_the_keys_were_killed(backups, found, folder, said)

    assert after == ([ConsentState.REQUESTED], False, SOMEBODY_ELSES)
    assert said[0].startswith("keys: noted that it was restored")


async def test_control_of_the_keys_that_nobody_notes_anything_on(
    backups: Backups, found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = await withdrawn_after_the_backup(backups)

    monkeypatch.setattr(marks, "intend_keys", nothing)

    after = await after_the_keys_were_killed(backups, found, folder, [])
    assert after == ([ConsentState.GIVEN], True, SOMEBODY_ELSES)


async def test_a_reconciliation_that_is_stopped_says_so_and_goes_on(
    backups: Backups, found: Settings
) -> None:
    folder, session = await stopped_quietly(backups)

    async with backups.empty() as dsn:
        on_it = replace(found, database_url=dsn)
        await restore(on_it, str(folder), "--main")
        with pytest.raises(BackupRefused, match="goes on from there"):
            await restore(on_it, "reconcile", stopped=True)
        async with backups.opened(dsn) as restored:
            with pytest.raises(Behind):
                await restored.refuse_behind()
            await restore(on_it, "reconcile")
            await restored.refuse_behind()
            assert await gone_on(restored, session) == (False, False)
