"""The KEK file: made once, durably, and never beside a key database that was made with another."""

import asyncio
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from server import databases as databases_of
from server.kek import disk
from server.kek.disk import next_of
from server.kek.key_file import KeyFile, load
from server.kek.model import KekGone, KekUnusable
from server.kit.db import Pool
from server.kit.files import sync_folder
from server.settings import Settings
from server.vault.opening import was_opened
from server.vault.service import Vault
from tests.conftest import Databases
from tests.kek.files import bytes_below
from tests.world import NOW

Disk: TypeAlias = dict[Path, set[str] | bytes]


async def test_it_is_the_same_at_the_second_start_and_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "kek"

    first, again = [await load(path).in_force(None) for _ in range(2)]

    assert first.kek_id == again.kek_id
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
        sync_folder(folder)


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
    monkeypatch.setattr(disk, "sync_folder", sync)
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


@contextmanager
def mounted_by_itself(path: Path) -> Iterator[None]:
    if subprocess.run(["mount", "--bind", path, path], check=False).returncode:  # noqa: S603, S607 - a path of ours
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)  # noqa: S603, S607 - a path of ours


@contextmanager
def in_a_folder_of_others(path: Path) -> Iterator[None]:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    path.parent.chmod(0o500)
    try:
        yield
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("fixed", [mounted_by_itself, in_a_folder_of_others])
def test_one_that_could_not_be_exchanged_is_refused_at_the_start(
    tmp_path: Path, fixed: Callable[[Path], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "keys" / "kek"
    load(path)

    with fixed(path), pytest.raises(KekUnusable, match="cannot be exchanged"):
        load(path)

    load(path)
    assert [one.name for one in path.parent.iterdir()] == ["kek"]


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


async def test_the_one_that_follows_takes_its_place_and_the_old_one_is_gone(
    places: KeyFile, tmp_path: Path
) -> None:
    old = places.path.read_bytes()
    before = await places.in_force(None)
    new = await places.follow()
    # Both are there, whatever happens now.
    assert (await places.in_force(before.kek_id)).kek_id == before.kek_id
    assert (await places.in_force(new.kek_id)).kek_id == new.kek_id

    assert await places.end_others(new.kek_id)

    assert (await places.in_force(None)).kek_id == new.kek_id
    assert old not in bytes_below(tmp_path)
    assert [one.name for one in places.path.parent.iterdir()] == ["kek"]
    with pytest.raises(KekGone):
        await places.in_force(before.kek_id)
    assert not await places.end_others(new.kek_id)


async def test_one_that_was_to_follow_and_did_not_is_gone_with_the_next(
    places: KeyFile, tmp_path: Path
) -> None:
    before = await places.in_force(None)
    await places.follow()
    given_up = next_of(places.path).read_bytes()
    assert not await places.end_others(before.kek_id)
    assert (await places.in_force(None)).kek_id == before.kek_id

    await places.end_others((await places.follow()).kek_id)

    assert given_up not in bytes_below(tmp_path)


async def test_who_comes_late_ends_nothing_that_followed_meanwhile(
    places: KeyFile, tmp_path: Path
) -> None:
    late = KeyFile(path=places.path, copy=places.copy)
    first = await late.follow()
    await places.end_others(first.kek_id)
    second = await places.follow()

    await late.end_others(first.kek_id)

    assert (await places.in_force(second.kek_id)).kek_id == second.kek_id
    await places.end_others(second.kek_id)
    with pytest.raises(KekGone):
        await late.end_others(first.kek_id)
    assert bytes_below(tmp_path) == places.path.read_bytes() * 2


async def test_one_process_at_a_time_makes_and_destroys(places: KeyFile) -> None:
    other = KeyFile(path=places.path)

    async with places.alone():
        with pytest.raises(KekUnusable, match=r"\.kek\.lock of the KEK cannot be had just now"):
            async with other.alone():
                pytest.fail("both")

    async with other.alone():
        pass


async def test_who_is_cancelled_leaves_the_lock_when_the_work_is_done(
    places: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def slowly(path: Path) -> None:
        began.set()
        goes_on.wait(5.0)
        overwrite(path)

    async def end(kek_id: bytes) -> None:
        async with places.alone():
            await places.end_others(kek_id)

    overwrite = disk.overwrite
    new = await places.follow()
    monkeypatch.setattr(disk, "overwrite", slowly)
    ending = asyncio.create_task(end(new.kek_id))
    await asyncio.to_thread(began.wait)

    ending.cancel()
    await asyncio.sleep(0.05)

    with pytest.raises(KekUnusable, match="cannot be had just now"):
        async with places.alone():
            pytest.fail("both")
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert places.path.read_bytes() == bytes_below(places.path.parent)


async def test_nothing_is_destroyed_for_the_sake_of_one_that_is_not_there(places: KeyFile) -> None:
    before = await places.in_force(None)

    with pytest.raises(KekGone):
        await places.end_others(b"unknown!")

    assert (await places.in_force(before.kek_id)).kek_id == before.kek_id


async def test_the_one_that_follows_outlives_a_loss_of_power(
    on_disk: Disk, places: KeyFile, tmp_path: Path
) -> None:
    await places.follow()

    assert lost_with_the_power(next_of(places.path), on_disk, below=tmp_path) == set()
    assert next_of(places.path).read_bytes() in on_disk.values()


async def test_its_readers_find_it_while_it_is_exchanged(places: KeyFile) -> None:
    """A key database names one; whichever of the two it is, it is found at every moment."""
    found = 0

    async def look(kek_id: bytes) -> None:
        nonlocal found
        while not over:
            assert (await places.in_force(kek_id)).kek_id == kek_id
            found += 1

    for _ in range(20):
        over = False
        new = await places.follow()
        reading = asyncio.ensure_future(look(new.kek_id))
        await asyncio.sleep(0.005)
        await places.end_others(new.kek_id)
        over = True
        await reading
    assert found > 0
