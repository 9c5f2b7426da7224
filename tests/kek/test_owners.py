"""Whose the KEK file is, who may read it, and what is said where it cannot be exchanged."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from server.kek import disk
from server.kek.disk import next_of
from server.kek.key_file import KeyFile, load
from server.kek.model import KekUnusable
from tests.kek.files import bytes_below

SOMEBODY: Final = 65_534


async def exchanged(places: KeyFile) -> None:
    async with places.alone():
        await places.end_others((await places.follow()).kek_id)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_exchanges_stays_its_owners(places: KeyFile) -> None:
    assert places.copy is not None
    for one in (places.path, places.copy, places.path.parent):
        os.chown(one, SOMEBODY, SOMEBODY)

    async with places.alone():
        new = await places.follow()
        followers = [next_of(places.path), next_of(places.copy)]
        assert {one.stat().st_uid for one in followers} == {SOMEBODY}
        await places.end_others(new.kek_id)

    found = [places.copy, *places.path.parent.iterdir()]
    assert {one.name for one in found} == {"kek", ".kek.lock"}
    assert {(one.stat().st_uid, one.stat().st_mode & 0o777) for one in found} == {(SOMEBODY, 0o600)}


@contextmanager
def as_somebody() -> Iterator[Path]:
    """Be an ordinary user, and give a folder of theirs."""
    was_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if was_root:
            os.chown(folder, SOMEBODY, SOMEBODY)
            os.seteuid(SOMEBODY)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)


async def test_one_that_its_owner_may_only_read_is_exchanged_as_well() -> None:
    with as_somebody() as folder:
        places = load(folder / "kek")
        old = places.path.read_bytes()
        places.path.chmod(0o400)

        await exchanged(load(places.path))

        assert old not in bytes_below(folder)
        assert places.path.stat().st_mode & 0o777 == 0o600


async def test_one_of_somebody_elses_is_told_in_a_sentence() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes what others cannot read")
    with tempfile.TemporaryDirectory() as name:
        path = load(Path(name) / "kek").path
        path.parent.chmod(0o755)
        os.seteuid(SOMEBODY)
        try:
            with pytest.raises(KekUnusable, match=r"/kek cannot be used: Permission denied\.$"):
                load(path)
            with pytest.raises(KekUnusable, match=r"lock of the KEK cannot be had just now: Perm"):
                async with KeyFile(path=path).alone():
                    pytest.fail("alone")
            with pytest.raises(KekUnusable, match=r"cannot be exchanged, .*\(Permission denied\)"):
                await KeyFile(path=path).follow()
        finally:
            os.seteuid(0)


async def test_a_copy_that_others_may_read_is_refused(places: KeyFile) -> None:
    assert places.copy is not None
    places.copy.chmod(0o644)

    with pytest.raises(KekUnusable, match=f"{places.copy} may be read by others"):
        load(places.path, copy=places.copy)


async def test_a_link_is_refused_for_the_next_kek_would_take_its_place(tmp_path: Path) -> None:
    there = load(tmp_path / "volume" / "kek").path
    link = tmp_path / "kek"
    link.symlink_to(there)

    with pytest.raises(KekUnusable, match="is a symbolic link"):
        load(link)


class Crash(BaseException):
    """The process died here: nothing more of it is done."""


@pytest.mark.parametrize("at", ["link", "replace"])
async def test_what_a_crash_leaves_of_a_key_under_another_name_does_not_outlive_it(
    places: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """A copy that is made, or renewed, is written under a name of its own first."""
    assert places.copy is not None

    def crash(*_: object) -> None:
        raise Crash

    places.copy.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        if at == "link":
            patch.setattr(os, "link", crash)
            with pytest.raises(Crash):
                load(places.path, copy=places.copy)
        else:
            patch.setattr(Path, "replace", crash)
            places.copy.write_bytes(bytes(32))
            kek = await places.in_force(None)
            with pytest.raises(Crash):
                await places.end_others(kek.kek_id)
    old = places.path.read_bytes()
    left = [one for one in places.copy.parent.iterdir() if one != places.copy]
    assert [one.read_bytes() for one in left] == [old]
    again = load(places.path, copy=places.copy)

    await exchanged(again)

    assert old not in bytes_below(tmp_path)
    assert [one.name for one in places.copy.parent.iterdir()] == ["kek"]


async def test_another_name_of_the_one_in_force_goes_and_the_key_stays(places: KeyFile) -> None:
    """A start looks whether the file can be exchanged, and may die at it."""
    os.link(places.path, disk.probe_of(places.path))
    kek = await places.in_force(None)

    await places.end_others(kek.kek_id)

    assert (await places.in_force(None)).kek_id == kek.kek_id
    assert [one.name for one in places.path.parent.iterdir()] == ["kek"]


async def test_a_disk_that_is_full_is_told_and_leaves_nothing(
    places: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await places.in_force(None)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(KekUnusable, match=re.escape("(No space left on device)")):
            await places.follow()

    assert [one.name for one in places.path.parent.iterdir()] == ["kek"]
    assert (await places.in_force(before.kek_id)).kek_id == before.kek_id


async def test_nothing_is_wrapped_by_a_key_that_is_not_the_one_on_the_disk(
    places: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may make a follower in the same place at the same moment."""
    create_beside = disk.create_beside

    def another_is_first(path: Path, name: Path, key: bytes) -> None:
        create_beside(path, name, bytes(reversed(key)))
        create_beside(path, name, key)

    monkeypatch.setattr(disk, "create_beside", another_is_first)

    with pytest.raises(KekUnusable, match="does not hold what was written there"):
        await places.follow()


async def test_what_is_left_of_an_exchange_does_not_keep_a_new_installation_from_starting(
    tmp_path: Path,
) -> None:
    next_of(tmp_path / "kek").write_bytes(bytes(32))
    next_of(tmp_path / "kek").chmod(0o600)

    new = load(tmp_path / "kek", may_make=True)

    assert (await new.in_force(None)).kek_id
    assert (tmp_path / "kek").read_bytes() != bytes(32)
