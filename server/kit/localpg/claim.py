"""One owner at a time, and clearing away what an owner who was killed left behind."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from server.kit.localpg.place import (
    Account,
    LocalPostgresError,
    copied_programs,
    explained,
    half_made,
    logs_of,
)

# A socket's path may have 103 bytes (macOS), so it cannot lie beside the data.
SOCKET_FOLDER: Final = Path("/tmp")  # noqa: S108  (only the parent of a private random folder)
SOCKET_PREFIX: Final = "jolda-"
# In the command line of each of its processes: tells ours from one that a person started.
CLUSTER_NAME: Final = "jolda"
ON_LINUX: Final[bool] = sys.platform == "linux"  # a value, so that mypy checks both ways
PROC: Final = Path("/proc")

# How an orphan is asked to stop, each time more firmly: finish transactions' ends, just end, die.
REMOVE_S_MAX: Final = 10.0
ORPHAN_SIGNALS: Final = (
    (signal.SIGINT, 20.0),
    (signal.SIGQUIT, 10.0),
    (signal.SIGKILL, 5.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The lock on a data folder. It ends with this process, however that ends."""

    fd: int

    def last_socket(self) -> Path | None:
        lines = os.pread(self.fd, 4096, 0).decode().splitlines()
        return Path(lines[1]) if len(lines) > 1 else None

    def note(self, socket: Path | None) -> None:
        """Leave word for others, who holds this, and for the next start, what to clear away."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"{os.getpid()}\n{socket or ''}\n".encode(), 0)


@contextmanager
def claimed(asked: Path) -> Iterator[Claim]:
    """Hold ``asked`` for ourselves.

    PostgreSQL's own lock file names a pid, which may meanwhile be another program's; a file lock
    is let go by the kernel.

    Raises
    ------
    LocalPostgresError
        Another process holds it.
    """
    claim = Claim(fd=_locked(asked))
    try:
        last = claim.last_socket()
        claim.note(last if last and last.name else None)
        yield claim
    finally:
        os.close(claim.fd)


def lock_of(asked: Path) -> Path:
    return asked.with_name(f"{asked.name}.lock")


def _locked(asked: Path) -> int:
    path = lock_of(asked)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 20, 0).decode().partition("\n")[0]
            os.close(fd)
            raise LocalPostgresError(
                f"Another Jolda is already running on {asked} (pid {pid or 'unknown'})."
            ) from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        os.close(fd)  # the file was deleted between open and lock


# ---- sockets


def new_socket_folder(account: Account | None) -> Path:
    """Make the folder of the socket: whoever can enter it is superuser, so nobody else can."""
    folder = Path(mkdtemp(prefix=SOCKET_PREFIX, dir=SOCKET_FOLDER))  # mode 0700
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def remove_socket_folder(folder: Path | None) -> None:
    # Its name may be somebody else's by now: believe only what we could have made.
    if (
        folder is None
        or folder.parent != SOCKET_FOLDER
        or not folder.name.startswith(SOCKET_PREFIX)
    ):
        return
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and os.geteuid() in {0, found.st_uid}:
            shutil.rmtree(folder, ignore_errors=True)


# ---- processes


def end_orphans(data: Path) -> None:
    """End what still runs on ``data`` although its Jolda is gone, and forget a dead one's pid.

    Call only while holding the claim: then whatever of ours runs there has no owner.

    Raises
    ------
    LocalPostgresError
        Somebody else's PostgreSQL runs there, or ours cannot be ended.
    """
    for number, patience_s in ORPHAN_SIGNALS:
        orphans = _processes(data)
        postmaster = _noted_pid(data)
        foreign = [pid for pid in orphans if not _is_ours(pid)]
        if foreign:
            # Its children work there too, and may have smaller pids, once those began anew.
            told = postmaster if postmaster in foreign else foreign[0]
            raise LocalPostgresError(
                f"Another PostgreSQL is already running on {data} (pid {told})."
            )
        if not orphans:
            # Else PostgreSQL takes whatever program has this pid now for a server still running.
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        # Without a postmaster its backends end by themselves, unless they are busy.
        for pid in orphans if number is signal.SIGKILL else {postmaster} & set(orphans):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        _await_end(data, patience_s)
    if _processes(data):
        raise LocalPostgresError(f"A PostgreSQL left behind on {data} cannot be stopped.")
    (data / "postmaster.pid").unlink(missing_ok=True)


def remove_half_made(data: Path) -> None:
    """Delete what an interrupted initdb left, and end its helper if that still writes there."""
    for half in half_made(data):
        until = time.monotonic() + REMOVE_S_MAX
        # A helper that has only just been forked is not seen as such, and writes while we delete.
        while half.exists() and time.monotonic() < until:
            for pid in _processes(half):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _await_end(half, patience_s=5)
            shutil.rmtree(half, ignore_errors=True)


def _await_end(data: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while _processes(data) and time.monotonic() < until:
        time.sleep(0.05)


def _noted_pid(data: Path) -> int:
    try:
        return abs(int((data / "postmaster.pid").read_text().partition("\n")[0]))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0


def _processes(data: Path) -> list[int]:
    """Return the pids of PostgreSQL's processes on ``data``."""
    if ON_LINUX:
        return [int(entry.name) for entry in PROC.glob("[0-9]*") if _works_in(entry, data)]
    pid = _noted_pid(data)
    return [pid] if pid and "postgres" in _command_line(pid) else []


def _works_in(entry: Path, data: Path) -> bool:
    # Each of its processes works in the data folder; a person's shell may, too, but is no postgres.
    try:
        return (entry / "cwd").readlink() == data and "postgres" in (entry / "comm").read_text()
    except OSError:  # it ended meanwhile, or is another user's
        return False


def _is_ours(pid: int) -> bool:
    # The postmaster's line is the one we gave, its children's begins with the name of the cluster.
    line = _command_line(pid)
    return (
        line == ""  # it ended meanwhile
        or f"cluster_name={CLUSTER_NAME}" in line
        or line.startswith(f"postgres: {CLUSTER_NAME}:")
    )


def _command_line(pid: int) -> str:
    if ON_LINUX:
        try:
            return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return ""
    found = subprocess.run(  # noqa: S603  (a number)
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout


# ---- removing


def remove(data: Path) -> None:
    """Delete the database of ``data``, wherever it really lies, with its log and lock.

    Raises
    ------
    LocalPostgresError
        It is running, or is not ours to delete.
    """
    asked = data.absolute()
    if not asked.parent.is_dir():
        return
    try:
        with claimed(asked) as claim:
            real = asked.resolve()
            if real.is_dir():
                _remove_cluster(real)
            remove_half_made(real)
            if asked.is_symlink():
                asked.unlink()
            remove_socket_folder(claim.last_socket())
            for log in logs_of(asked):
                log.unlink(missing_ok=True)
            _remove_copied_programs()
            lock_of(asked).unlink()
    except OSError as error:
        raise explained(error, asked) from error


def _remove_cluster(real: Path) -> None:
    if any(real.iterdir()) and not (real / "PG_VERSION").exists():
        raise LocalPostgresError(f"The folder {real} holds other files and no database.")
    end_orphans(real)
    shutil.rmtree(real)


def _remove_copied_programs() -> None:
    copy = copied_programs()
    if ON_LINUX and copy.is_dir() and not any(_runs_from(entry, copy) for entry in PROC.iterdir()):
        shutil.rmtree(copy, ignore_errors=True)


def _runs_from(entry: Path, folder: Path) -> bool:
    try:
        return (entry / "exe").readlink().is_relative_to(folder)
    except OSError:  # no process, or it ended meanwhile
        return False
