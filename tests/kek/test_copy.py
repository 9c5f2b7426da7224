"""The copy of the KEK on another disk: exchanged with it, and never left behind with an old one."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from server.kek import disk
from server.kek.disk import next_of
from server.kek.key_file import KeyFile, lies_at, load
from server.kek.model import KekUnusable
from tests.kek.files import bytes_below


class Crash(Exception):
    """The process died here."""


async def test_the_copy_is_always_the_one_in_force(places: KeyFile) -> None:
    assert places.copy is not None
    assert places.copy.read_bytes() == places.path.read_bytes()
    assert stat.S_IMODE(places.copy.stat().st_mode) == 0o600
    for _ in range(2):
        new = await places.follow()
        # Should this disk be lost as soon as everything is wrapped anew, the copy opens it.
        assert next_of(places.copy).read_bytes() == next_of(places.path).read_bytes()
        await places.end_others(new.kek_id)
        assert places.copy.read_bytes() == places.path.read_bytes()


async def test_a_copy_that_was_lost_is_made_again_at_the_start(places: KeyFile) -> None:
    assert places.copy is not None
    new = await places.follow()
    await places.end_others(new.kek_id)
    places.copy.unlink()
    with pytest.raises(KekUnusable, match="is away"):
        await places.follow()

    again = load(places.path, copy=places.copy)

    await again.end_others((await again.follow()).kek_id)
    assert places.copy.read_bytes() == places.path.read_bytes()


@pytest.fixture(params=["mount point", "nothing"])
def unplug(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path]:
    """Take the disk of the copy away; it is found where this returns."""

    def take() -> Path:
        away = (tmp_path / "other").rename(tmp_path / "unplugged")
        if request.param == "mount point":
            (tmp_path / "other").mkdir()
        return away

    return take


async def test_while_the_copy_is_away_no_other_kek_is_made(
    places: KeyFile, tmp_path: Path, unplug: Callable[[], Path]
) -> None:
    old = places.path.read_bytes()
    away = unplug()

    with pytest.raises(KekUnusable, match=r"copy of the KEK at .*/other/kek is away"):
        await places.follow()

    assert bytes_below(tmp_path) == old * 2
    shutil.rmtree(tmp_path / "other", ignore_errors=True)
    away.rename(tmp_path / "other")
    await places.end_others((await places.follow()).kek_id)
    assert old not in bytes_below(tmp_path)


async def test_while_the_copy_is_away_the_old_kek_is_not_said_to_be_gone(
    places: KeyFile, tmp_path: Path, unplug: Callable[[], Path]
) -> None:
    old = places.path.read_bytes()
    new = await places.follow()
    away = unplug()

    with pytest.raises(KekUnusable, match="is away"):
        await places.end_others(new.kek_id)
    with pytest.raises(KekUnusable, match="is away"):
        await places.end_all()

    assert (await places.in_force(new.kek_id)).kek_id == new.kek_id
    assert places.path.read_bytes() == old
    shutil.rmtree(tmp_path / "other", ignore_errors=True)
    away.rename(tmp_path / "other")
    assert await places.end_others(new.kek_id)
    assert old not in bytes_below(tmp_path)


@pytest.mark.parametrize("crash_at", range(6))
async def test_a_crash_while_it_is_moved_away_leaves_what_goes_on(
    places: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    """Four files are there; until the last is gone, one of them tells that there is more to do."""
    old = places.path.read_bytes()
    await places.follow()
    writes = 0

    def crash(path: Path) -> None:
        nonlocal writes
        if writes == crash_at:
            raise Crash
        writes += 1
        overwrite(path)

    overwrite = disk.overwrite
    with monkeypatch.context() as patch:
        patch.setattr(disk, "overwrite", crash)
        with pytest.raises(Crash):
            await places.end_all()
    assert lies_at(places.path, places.copy)

    assert await KeyFile(path=places.path, copy=places.copy).end_all()

    assert old not in bytes_below(tmp_path)
    assert bytes_below(tmp_path) == b""
    assert not lies_at(places.path, places.copy)


async def test_an_old_copy_that_came_back_is_no_key_and_goes_with_the_next_exchange(
    places: KeyFile,
) -> None:
    assert places.copy is not None
    old = places.copy.read_bytes()
    await places.end_others((await places.follow()).kek_id)
    places.copy.write_bytes(old)  # its disk was away meanwhile

    again = load(places.path, copy=places.copy)
    await again.end_others((await again.follow()).kek_id)

    assert places.copy.read_bytes() == places.path.read_bytes() != old


def test_a_disk_for_the_copy_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(KekUnusable, match="/other for the copy of the KEK is not there"):
        load(tmp_path / "kek", copy=tmp_path / "other" / "kek")


def test_a_copy_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    # A file system that takes no files, also from root.
    with pytest.raises(KekUnusable, match="No copy of the KEK can be made at /proc/kek: "):
        load(tmp_path / "kek", copy=Path("/proc/kek"))


async def test_one_that_is_kept_elsewhere_now_is_gone_with_its_copy(
    places: KeyFile, tmp_path: Path
) -> None:
    old = places.path.read_bytes()
    await places.follow()

    assert await places.end_all()

    assert old not in bytes_below(tmp_path)
    assert bytes_below(tmp_path) == b""
    assert not await places.end_all()
