"""A restored key database is another installation, so a KEK file that is in use is not its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from server import databases as databases_of
from server.backups import service
from server.kek import claim
from server.kek.claim import mark_of
from server.kek.model import KekUnusable
from server.kit import db
from server.kit.ids import uuid7
from server.settings import Settings
from server.vault.opening import installation_of
from tests.backups.conftest import Backups, unheard
from tests.backups.test_killed import found, restore
from tests.conftest import Databases
from tests.world import NOW

__all__ = ["found"]


@pytest.fixture
async def in_use(backups: Backups, found: Settings, databases: Databases) -> Path:
    """A backup, of an installation whose KEK file says whose it is."""
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    async with databases_of.opened(dsns, found, now=NOW):
        return await backups.take()


async def name_of(dsn: str) -> str | None:
    conn = await asyncpg.connect(dsn)
    try:
        named = await service.installation(conn)
    finally:
        await conn.close()
    return None if named is None else str(named)


async def test_beside_a_kek_that_somebody_uses_nothing_is_restored(
    backups: Backups,
    found: Settings,
    in_use: Path,
) -> None:
    async with backups.empty() as dsn:
        with pytest.raises(KekUnusable, match="belongs to another installation"):
            await restore(replace(found, keys_database_url=dsn), str(in_use), "--keys")

        assert await name_of(dsn) is None


async def test_who_takes_the_place_of_the_lost_one_removes_the_mark_and_goes_on(
    backups: Backups,
    found: Settings,
    in_use: Path,
    databases: Databases,
) -> None:
    mark = mark_of(found.kek_file)
    before = mark.read_text().strip()
    mark.unlink()

    async with backups.empty() as dsn:
        moved = replace(found, keys_database_url=dsn)
        await restore(moved, str(in_use), "--keys")
        assert await name_of(dsn) is None  # not that of the backup
        dsns = databases_of.Databases(main=databases.main, keys=dsn)
        async with databases_of.opened(dsns, moved, now=NOW):
            pass

        assert mark.read_text().strip() == await name_of(dsn) != before
        # The one that was lost, after all, is not: it is told, and destroys nothing.
        old = databases_of.Databases(main=databases.main, keys=databases.keys)
        with pytest.raises(KekUnusable, match="belongs to another installation"):
            async with databases_of.opened(old, found, now=NOW):
                pytest.fail("opened")
    mark.unlink()


async def test_control_a_restored_one_that_kept_its_name_is_not_told_apart(
    backups: Backups,
    found: Settings,
    in_use: Path,
    monkeypatch: pytest.MonkeyPatch,
    databases: Databases,
    nothing_noted: Callable[[pytest.MonkeyPatch], None],
) -> None:
    before = await name_of(databases.keys)
    monkeypatch.setattr(claim, "refuse_other", lambda *_: None)
    nothing_noted(monkeypatch)

    async with backups.empty() as dsn:
        await restore(replace(found, keys_database_url=dsn), str(in_use), "--keys")

        assert await name_of(dsn) == before


@pytest.fixture
def nothing_noted() -> Callable[[pytest.MonkeyPatch], None]:
    async def nothing(_conn: object) -> None:
        """Forget nothing."""

    from server.backups import keys_store  # noqa: PLC0415 - what is left out of it

    return lambda patch: patch.setattr(keys_store, "forget_installation", nothing)


async def test_a_restored_one_gets_another_name(
    backups: Backups,
    found: Settings,
    in_use: Path,
    databases: Databases,
) -> None:
    mark_of(found.kek_file).unlink()
    async with backups.empty() as dsn:
        await restore(replace(found, keys_database_url=dsn), str(in_use), "--keys", say=unheard)
        async with db.pool(dsn, role=db.ROLE_KEYS, size_max=1) as keys_pool:
            named = await installation_of(keys_pool, NOW)

    assert named != uuid7()
    assert str(named) != await name_of(databases.keys)
