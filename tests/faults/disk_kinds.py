"""Disks that can be made to fail, and mended again. Mounting them needs root."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg

FAILS_S_MAX: Final = 30.0
PAUSE_S: Final = 0.02
DATA_MB: Final = 160
WAL_MB: Final = 100
IMAGE_MB: Final = 200


class NoDisk(Exception):
    """No such disk can be had here. ``str`` says why."""


def refuse_without_root() -> None:
    """Raise where no disk can be mounted.

    Raises
    ------
    NoDisk
    """
    if os.geteuid() != 0:
        raise NoDisk("only root can mount a disk")


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603 - our own words
    if done.returncode:
        raise NoDisk(f"{words[0]}: {done.stderr.strip().splitlines()[-1:]}")


class Full:
    """A disk in memory that somebody else's file fills."""

    name = "disk full"

    def __init__(self, folder: Path, megabytes: int = DATA_MB) -> None:
        self.path = folder / "disk"
        self._megabytes = megabytes

    @contextmanager
    def mounted(self) -> Iterator[None]:
        self.path.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m,mode=755", "disk", self._where)
        try:
            yield
        finally:
            _run("umount", "--lazy", self._where)

    @property
    def _where(self) -> str:
        return str(self.path)

    def prepare(self, data: Path) -> None:
        """Lie under the whole of ``data`` already."""

    async def fail(self, _dsn: str) -> None:
        self._fill()

    def _fill(self) -> None:
        with (self.path / "ballast").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))

    async def mend(self) -> None:
        (self.path / "ballast").unlink()


class WalFull(Full):
    """The disk of the write-ahead log alone is full: PostgreSQL gives up, and cannot start."""

    name = "disk of the log full"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, WAL_MB)

    def prepare(self, data: Path) -> None:
        of = data.stat()
        shutil.move(data / "pg_wal", self.path / "pg_wal")
        for path in (self.path / "pg_wal", *(self.path / "pg_wal").rglob("*")):
            os.chown(path, of.st_uid, of.st_gid)
        (data / "pg_wal").symlink_to(self.path / "pg_wal")

    async def fail(self, dsn: str) -> None:
        """Fill it until PostgreSQL has given up: what a failed write leaves, it clears away."""
        until = time.monotonic() + FAILS_S_MAX
        while time.monotonic() < until:
            self._fill()
            try:
                await _use_up_segments(dsn)
            except (FileNotFoundError, ConnectionRefusedError):
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(PAUSE_S)
        raise TimeoutError


async def _use_up_segments(dsn: str) -> None:
    """Use up the segments of the log that are there: a busy server does that by itself."""
    conn = await asyncpg.connect(dsn)
    while True:
        await conn.execute("SELECT pg_switch_wal()")


class ReadOnly:
    """A disk that Linux stops writing to, as after a fault of the device, until it is repaired."""

    name = "disk read-only"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(IMAGE_MB * 1024 * 1024)
        if shutil.which("mkfs.ext4") is None:
            raise NoDisk("there is no mkfs.ext4")
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()
        try:
            yield
        finally:
            _run("umount", "--lazy", str(self.path))

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))
        self.path.chmod(0o755)

    def prepare(self, data: Path) -> None:
        """Lie under the whole of ``data`` already."""

    async def fail(self, _dsn: str) -> None:
        _run("mount", "-o", "remount,abort", str(self.path))

    async def mend(self) -> None:
        """Do what a person does: unmount, repair, mount. PostgreSQL is not touched."""
        while self.path.is_mount():
            with suppress(NoDisk):
                _run("umount", str(self.path))
            await asyncio.sleep(PAUSE_S)
        subprocess.run(["e2fsck", "-fy", str(self._image)], check=False, capture_output=True)  # noqa: S603, S607, ASYNC221 - nothing else goes on
        self._mount()


Disk = Full | WalFull | ReadOnly
DISKS: Final = (Full, WalFull, ReadOnly)
