"""Keys that are exchanged while they are dumped: the dump holds up nobody, and is made again."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from server.backups import service
from server.backups.model import BackupRefused
from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.vault.model import Category
from tests.backups.conftest import Backups, unheard
from tests.backups.test_recovery import exchange_keys
from tests.conftest import Databases
from tests.world import NOW

WAITS_S_MAX = 20.0
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


async def taken_beside_an_exchange(backups: Backups, databases: Databases, kek_file: Path) -> Path:
    """Make a backup; while the key database is dumped, a key is made and all are exchanged."""
    world = backups.world
    other = await asyncpg.connect(databases.keys)
    try:
        async with asyncio.timeout(WAITS_S_MAX):
            # Neither of the two needs that table; pg_dump waits for it, its snapshot in its hands.
            async with other.transaction():
                await other.execute("LOCK TABLE ledger_witness IN ACCESS EXCLUSIVE MODE")
                taking = asyncio.create_task(backups.take())
                while not await other.fetchval(WAITING):  # noqa: ASYNC110 - PostgreSQL tells nobody
                    await asyncio.sleep(0.05)
                await exchange_keys(world, databases, kek_file)
                place = (world.company_id, world.driver.member_id, Category.REPORT)
                await world.vault.key(*place, at=NOW)
            return await taking
    finally:
        await other.close()


async def restore(backups: Backups, kek_file: Path, folder: Path) -> None:
    async with backups.empty() as keys:
        await service.restore_keys(keys, load(kek_file), folder, say=unheard)


async def test_what_was_dumped_before_an_exchange_is_dumped_again(
    backups: Backups, databases: Databases, kek_file: Path
) -> None:
    folder = await taken_beside_an_exchange(backups, databases, kek_file)

    await restore(backups, kek_file, folder)


async def test_control_without_comparing_no_kek_opens_the_backup(
    backups: Backups, databases: Databases, kek_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unseen(*_: object) -> bool:
        return True

    monkeypatch.setattr(service, "_is_of_kek_in_force", unseen)
    folder = await taken_beside_an_exchange(backups, databases, kek_file)

    with pytest.raises(KekUnusable):
        await restore(backups, kek_file, folder)


async def test_it_is_given_up_where_the_keys_are_exchanged_again_and_again(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exchanged(*_: object) -> bool:
        return False

    monkeypatch.setattr(service, "_is_of_kek_in_force", exchanged)

    with pytest.raises(BackupRefused, match="exchanged each time while they were dumped"):
        await backups.take()
    assert list((backups.folder / "backup").iterdir()) == []
