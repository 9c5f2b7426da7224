"""The KEK file: made once, durably, and never beside a key database that was made with another."""

import os
import stat
from pathlib import Path

import pytest

from server import databases as databases_of
from server.kit.db import Pool
from server.settings import Settings
from server.vault.kek import KekUnusable, load
from server.vault.service import Vault, was_opened
from tests.conftest import Databases
from tests.world import NOW


def test_it_is_the_same_at_the_second_start_and_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "kek"

    assert load(path).kek_id == load(path).kek_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["kek"]


def test_its_name_is_on_the_disk_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((place, (tmp_path / "new" / "kek").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)

    load(tmp_path / "new" / "kek")

    assert synced[1:] == [(tmp_path / "new", True), (tmp_path, True)]


async def test_none_is_made_where_the_key_database_had_one(
    vault: Vault,  # noqa: ARG001 - makes the pepper
    databases: Databases,
    tmp_path: Path,
) -> None:
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    settings = Settings(home=tmp_path, kek_file=tmp_path / "kek")

    with pytest.raises(KekUnusable, match=r"kek is missing, but the key database was made with"):
        async with databases_of.opened(dsns, settings, now=NOW):
            pytest.fail("opened")

    assert not settings.kek_file.exists()


@pytest.mark.usefixtures("empty")
async def test_the_first_start_makes_one_and_the_next_finds_it(
    databases: Databases, keys_pool: Pool, tmp_path: Path
) -> None:
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    settings = Settings(home=tmp_path, kek_file=tmp_path / "kek")
    assert not await was_opened(keys_pool)

    async with databases_of.opened(dsns, settings, now=NOW) as opened:
        first = opened.vault.blind_index("phone", "+77010000000")
    async with databases_of.opened(dsns, settings, now=NOW) as opened:
        again = opened.vault.blind_index("phone", "+77010000000")

    assert first == again
    assert await was_opened(keys_pool)
