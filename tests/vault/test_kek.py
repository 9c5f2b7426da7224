"""The KEK file: made once, durably, and never beside a key database that was made with another."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from server import databases as databases_of
from server.kit.db import Pool
from server.settings import Settings
from server.vault import kek
from server.vault.kek import KekUnusable, _sync, load
from server.vault.service import Vault, was_opened
from tests.conftest import Databases
from tests.world import NOW

Disk: TypeAlias = dict[Path, set[str] | bytes]


def test_it_is_the_same_at_the_second_start_and_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "kek"

    assert load(path).kek_id == load(path).kek_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["kek"]


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """What a loss of power leaves: folders and files as they were when they were last synced."""
    synced: Disk = {}
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        if place.is_dir():
            synced[place] = {one.name for one in place.iterdir()}
        else:
            synced[place] = place.read_bytes()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return synced


def lost_with_the_power(path: Path, on_disk: Disk, below: Path) -> set[str]:
    """Return which names on the way from ``below`` to ``path`` no folder on the disk knows."""
    way = [path, *path.parents]
    return {
        one.name for one in way[: way.index(below)] if one.name not in on_disk.get(one.parent, ())
    }


def test_its_name_is_on_the_disk_before_it_is_used(tmp_path: Path, on_disk: Disk) -> None:
    path = tmp_path / "new" / "folder" / "kek"

    load(path)

    assert lost_with_the_power(path, on_disk, below=tmp_path) == set()
    assert path.read_bytes() in on_disk.values()


def nothing(_folder: Path) -> None:
    """Sync no folder."""


def the_innermost(folder: Path) -> None:
    """Sync the KEK's own folder, and none that had to be made for it."""
    if folder.name == "folder":
        _sync(folder)


@pytest.mark.parametrize(
    ("sync", "lost"),
    [(nothing, {"kek", "folder", "new"}), (the_innermost, {"folder", "new"})],
)
def test_control_without_its_folders_synced_it_is_lost_with_the_power(
    tmp_path: Path,
    on_disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    sync: Callable[[Path], None],
    lost: set[str],
) -> None:
    monkeypatch.setattr(kek, "_sync", sync)
    path = tmp_path / "new" / "folder" / "kek"

    load(path)

    assert lost_with_the_power(path, on_disk, below=tmp_path) == lost


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
