"""Making, starting and stopping the database cluster."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import quote

from server.kit.localpg.claim import (
    CLUSTER_NAME,
    claimed,
    end_orphans,
    new_socket_folder,
    remove_half_made,
    remove_socket_folder,
)
from server.kit.localpg.place import (
    SUPERUSER,
    LocalPostgresError,
    Place,
    Say,
    disk_is_full,
    environment,
    explained,
    find,
    launch,
    logs_of,
    major_version,
    new_of,
    with_parent,
)

LOG_BYTES_MAX: Final = 10 * 1024 * 1024
POLL_S: Final = 0.02
START_S_MAX: Final = 600.0  # after a crash it first replays what the last checkpoint did not hold
START_S_SILENT: Final = 10.0
STOP_S_MAX: Final = 60.0  # the last checkpoint, on a slow disk
NO_SPACE: Final = "No space left on device"

SETTINGS: Final = {
    "cluster_name": CLUSTER_NAME,
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    # Nothing of a row may reach the log. Terse drops DETAIL, which quotes keys and statements; an
    # ERROR itself may quote a value ("invalid input syntax for type ..."), so only the client, who
    # sent it, gets to see those: the log has what is about the server (LOG, FATAL, PANIC).
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # A small machine shared with the server itself; short statements, which JIT only slows down.
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "jit": "off",
}
# Twice as fast, and gone after a power cut.
SETTINGS_FOR_TESTS: Final = SETTINGS | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL that answers."""

    data: Path
    log: Path
    socket: Path
    process: subprocess.Popen[bytes]

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        folder = quote(str(self.socket), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={folder}"

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait(self) -> int:
        """Return the exit status once PostgreSQL has ended, which it does not by itself."""
        return await _exit_status(self.process, every_s=0.5)


async def _exit_status(process: subprocess.Popen[bytes], *, every_s: float = POLL_S) -> int:
    # Not asyncio's own subprocess: uvloop's cannot be tied to our death, and a watcher thread would
    # outlive its loop.
    while (status := process.poll()) is None:  # noqa: ASYNC110  (a process sets no Event)
        await asyncio.sleep(every_s)
    return status


def _to_stderr(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


@asynccontextmanager
async def run(
    data: Path, *, unsafe_for_tests: bool = False, say: Say = _to_stderr
) -> AsyncIterator[Server]:
    """Run PostgreSQL on the folder ``data``, made if missing, for as long as the block lasts.

    It stops with us even if we are killed. On Linux that is tied to the thread that enters the
    block: enter it from the main thread.

    Parameters
    ----------
    data
        Its parent gets the log, ``postgres.log``, and the lock file.
    unsafe_for_tests
        Fast, but a power cut loses the data.
    say
        Gets a sentence for a person where something takes long or is unexpected.

    Raises
    ------
    LocalPostgresError
        It cannot be started.
    """
    async with AsyncExitStack() as leaving:
        with _oserrors_explained(data):
            asked = with_parent(data)
            claim = leaving.enter_context(claimed(asked))
            place = find(asked, say)
            made = _is_made(place.data)
            await asyncio.to_thread(end_orphans, place.data)
            remove_half_made(place.data)
            remove_socket_folder(claim.last_socket())
            if not made:
                await _make(place, unsafe_for_tests=unsafe_for_tests, say=say)
            socket = new_socket_folder(place.account)
            leaving.callback(remove_socket_folder, socket)
            claim.note(socket)
            server = _launched(place, socket, unsafe_for_tests=unsafe_for_tests)
        leaving.push_async_callback(_stop, server)
        await _ready(server, say)
        yield server


@contextmanager
def _oserrors_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explained(error, folder) from error


# ---- making


def _is_made(data: Path) -> bool:
    """Tell whether ``data`` holds a cluster to run; whatever else is there stays as it is."""
    if not data.exists():
        return False
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if any(data.iterdir()):
            raise LocalPostgresError(
                f"The folder {data} holds other files and no database: name another folder."
            ) from None
        return False
    if version != major_version():
        raise LocalPostgresError(
            f"The database in {data} was made by PostgreSQL {version} and this Jolda brings "
            f"{major_version()}: it was left as it is, start it with the Jolda that made it "
            "or name another folder."
        )
    return True


async def _make(place: Place, *, unsafe_for_tests: bool, say: Say) -> None:
    """Make the cluster beside its folder and rename it: half a cluster is never taken for one."""
    say(f"Preparing the database in {place.data}...")
    new = new_of(place.data)
    if place.account is not None:
        os.chown(new, place.account.uid, place.account.gid)
    command = [
        str(place.programs / "initdb"),
        f"--pgdata={new}",
        f"--username={SUPERUSER}",
        "--auth=trust",  # whoever reaches the socket: its folder is ours alone
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
        *(["--no-sync"] if unsafe_for_tests else []),
    ]
    try:
        await _initdb(launch(place.account, command, end=signal.SIGKILL), place)
        new.rename(place.data)
    finally:
        remove_half_made(place.data)
    if not unsafe_for_tests:
        _flush_folder(place.data.parent)


async def _initdb(command: list[str], place: Place) -> None:
    with TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  (does not wait; our own words)
            command,
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            status = await _exit_status(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if status == 0:
        return
    if NO_SPACE in said:
        raise disk_is_full(place.data.parent)
    reason = next((line for line in said.splitlines() if "error:" in line or "FATAL" in line), said)
    raise LocalPostgresError(
        f"The database in {place.data} could not be made: {reason.strip() or status}."
    )


def _flush_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)  # else a power cut may take the rename back, and the data with it
    finally:
        os.close(fd)


# ---- running


def _launched(place: Place, socket: Path, *, unsafe_for_tests: bool) -> Server:
    settings = SETTINGS_FOR_TESTS if unsafe_for_tests else SETTINGS
    settings = settings | {"unix_socket_directories": str(socket)}
    command = [
        str(place.programs / "postgres"),
        "-D",
        str(place.data),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    ]
    log, old_log = logs_of(place.asked)
    output = _opened(log, old_log)
    try:
        process = subprocess.Popen(  # noqa: S603  (our own words)
            launch(place.account, command, end=signal.SIGINT),
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for us, who then stop it in order
        )
    finally:
        os.close(output)
    return Server(data=place.data, log=log, socket=socket, process=process)


def _opened(log: Path, old_log: Path) -> int:
    with suppress(FileNotFoundError):
        if log.lstat().st_size > LOG_BYTES_MAX:
            log.replace(old_log)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(log, flags, 0o600)


async def _ready(server: Server, say: Say) -> None:
    started = asyncio.get_running_loop().time()
    said = False
    while not _answers(server):
        if server.process.poll() is not None:
            raise _failed(server)
        waited_s = asyncio.get_running_loop().time() - started
        if waited_s > START_S_MAX:
            raise LocalPostgresError(
                f"PostgreSQL on {server.data} was not ready after {START_S_MAX:.0f} s "
                f"(see {server.log})."
            )
        if waited_s > START_S_SILENT and not said:
            say("The database is still repairing itself after a crash; this may take minutes...")
            said = True
        await asyncio.sleep(POLL_S)


def _answers(server: Server) -> bool:
    # What pg_ctl does: its lock file tells its state in line 8.
    try:
        lines = (server.data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    state_line = 7
    return (
        len(lines) > state_line
        and lines[0] == str(server.pid)
        and lines[state_line].strip() == "ready"
    )


def _failed(server: Server) -> LocalPostgresError:
    with server.log.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
        lines = log.read().decode(errors="replace").splitlines()
    if any(NO_SPACE in line for line in lines[-5:]):
        return disk_is_full(server.data)
    reason = next((line for line in reversed(lines) if "FATAL" in line or "PANIC" in line), "")
    return LocalPostgresError(
        f"PostgreSQL on {server.data} did not start: {reason or 'it gave no reason'} "
        f"(see {server.log})."
    )


async def _stop(server: Server) -> None:
    # Fast: sessions are ended, what is committed is kept. Then without the last checkpoint.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            server.process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await _exit_status(server.process)
                return
