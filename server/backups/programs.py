"""``pg_dump`` and ``pg_restore``, as processes of ours."""

import asyncio
import shutil
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from server.backups.model import BackupRefused
from server.kit import localpg

Told = Callable[[int], None]
"""Hears how many bytes are done."""
Say = Callable[[str], None]

LOOK_EVERY_S: Final = 0.5
CHUNK_BYTES: Final = 1024 * 1024
STDERR_BYTES_MAX: Final = 64 * 1024
SAID_EVERY: Final = 0.1
SAID_EVERY_S: Final = 5.0
KIB: Final = 1024
MIB: Final = 1024 * 1024


async def dump(dsn: str, *, snapshot: str, file: Path, told: Told) -> None:
    """Write one database, as that snapshot shows it, to a file that is not there yet.

    Raises
    ------
    BackupRefused
    """
    words = ["--format=custom", "--compress=1", f"--snapshot={snapshot}", f"--file={file}"]
    process = await _start("pg_dump", dsn, words, stdin=DEVNULL)
    try:
        waiting = asyncio.create_task(_errors(process))
        while not waiting.done():
            await asyncio.wait([waiting], timeout=LOOK_EVERY_S)
            told(_size(file))
        await _refuse_failed("pg_dump", process, waiting.result())
    finally:
        await _end(process)


async def restore(dsn: str, *, file: Path, told: Told) -> None:
    """Read a file into an empty database: all of it, or nothing.

    Raises
    ------
    BackupRefused
    """
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--format=custom"]
    process = await _start("pg_restore", dsn, words, stdin=PIPE)
    try:
        waiting = asyncio.create_task(_errors(process))
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended; its words tell why
            await _feed(process, file, told)
        await _refuse_failed("pg_restore", process, await waiting)
    finally:
        await _end(process)


def program(name: str) -> Path:
    """Return a program of PostgreSQL: ours, or the one that is installed.

    Raises
    ------
    BackupRefused
    """
    with suppress(localpg.LocalPostgresError):
        return localpg.binary(name)
    found = shutil.which(name)
    if found is None:
        raise BackupRefused(f"{name} is missing: install PostgreSQL's client programs.")
    return Path(found)


async def _start(name: str, dsn: str, words: list[str], *, stdin: int) -> Process:
    # Everybody on the machine sees a command's words: the password goes another way.
    shown, password = without_password(dsn)
    environment = localpg.place.environment()
    if password is not None:
        environment["PGPASSWORD"] = password
    return await asyncio.create_subprocess_exec(
        program(name),
        *words,
        "--no-password",
        f"--dbname={shown}",
        stdin=stdin,
        stdout=DEVNULL,
        stderr=PIPE,
        env=environment,
    )


def without_password(dsn: str) -> tuple[str, str | None]:
    """Return the DSN without its password, and the password apart.

    It stands before the ``@``, or among the parameters, which win as in libpq.
    """
    parts = urlsplit(dsn)
    netloc, password, kept = parts.netloc, None, []
    if parts.password is not None:
        user, place = netloc.partition(":")[0], netloc.rpartition("@")[2]
        netloc, password = f"{user}@{place}", unquote(parts.password)
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if unquote(name) == "password":
            password = unquote(value)
        else:
            kept.append(pair)
    if password is None:
        return dsn, None
    query = "&".join(kept)
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{query}", password


async def _feed(process: Process, file: Path, told: Told) -> None:
    if process.stdin is None:
        raise RuntimeError("the process was started without a pipe")
    done = 0
    with await asyncio.to_thread(file.open, "rb") as source:
        while chunk := await asyncio.to_thread(source.read, CHUNK_BYTES):
            process.stdin.write(chunk)
            await process.stdin.drain()
            done += len(chunk)
            told(done)
    process.stdin.close()
    await process.stdin.wait_closed()


async def _errors(process: Process) -> str:
    if process.stderr is None:
        raise RuntimeError("the process was started without a pipe")
    said = b""
    while chunk := await process.stderr.read(CHUNK_BYTES):
        said = (said + chunk)[:STDERR_BYTES_MAX]
    return said.decode(errors="replace")


async def _refuse_failed(name: str, process: Process, said: str) -> None:
    status = await process.wait()
    if status == 0:
        return
    if "No space left on device" in said:
        raise BackupRefused("The disk is full: nothing was kept of it.")
    # The first line alone: those after it may quote a row.
    lines = [line for line in said.splitlines() if "error:" in line]
    why = lines[0].partition("error:")[2].strip() if lines else f"exit status {status}"
    raise BackupRefused(f"{name} failed: {why}")


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def size_of(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count / KIB:.0f} KiB"


def written(name: str, say: Say) -> Callable[[int], None]:
    """Say now and then how much was written: how much it will be, compressed, nobody knows."""
    said_at = time.monotonic()

    def told(done: int) -> None:
        nonlocal said_at
        if time.monotonic() >= said_at + SAID_EVERY_S:
            said_at = time.monotonic()
            say(f"{name}: {size_of(done)} written so far.")

    return told


def progress(name: str, whole: int, say: Say) -> Callable[[int], None]:
    """Say at each tenth how much was read."""
    said = 0.0

    def told(done: int) -> None:
        nonlocal said
        share = min(done / max(whole, 1), 1.0)
        if share >= said + SAID_EVERY:
            said = share
            say(f"{name}: {size_of(done)} read ({share:.0%}).")

    return told
