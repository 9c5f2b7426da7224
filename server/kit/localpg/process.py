"""PostgreSQL's process: started, watched, started again after it ended, stopped."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from server.kit.localpg.claim import end_orphans
from server.kit.localpg.place import (
    SUPERUSER,
    LocalPostgresError,
    Place,
    Say,
    disk_is_full,
    environment,
    launch,
    logs_of,
)

log = structlog.get_logger(__name__)

LOG_BYTES_MAX: Final = 10 * 1024 * 1024
POLL_S: Final = 0.02
WATCH_EVERY_S: Final = 0.2
START_S_MAX: Final = 600.0  # after a crash it first replays what the last checkpoint did not hold
START_S_SILENT: Final = 10.0
FIRST_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 1.0
"""Before it is started again: doubled each time up to this, as long as it cannot be."""
STOP_S_MAX: Final = 60.0  # the last checkpoint, on a slow disk
NO_SPACE: Final = "No space left on device"


class Server:
    """A PostgreSQL on a folder of its own, behind a socket that stays while its process changes."""

    def __init__(self, place: Place, socket: Path, settings: Mapping[str, str]) -> None:
        self.data = place.data
        self.socket = socket
        self.log, self._old_log = logs_of(place.asked)
        self._place = place
        self._settings = {**settings, "unix_socket_directories": str(socket)}
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        folder = quote(str(self.socket), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={folder}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest one; another after it had to be started again."""
        if self._process is None:
            raise LocalPostgresError("PostgreSQL was not started.")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def launch(self) -> None:
        """Start the process: call this from the thread whose end shall be PostgreSQL's.

        Raises
        ------
        OSError
            Its log cannot be opened.
        """
        command = [
            str(self._place.programs / "postgres"),
            "-D",
            str(self.data),
            *(word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")),
        ]
        output = self._opened_log()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own words)
                launch(self._place.account, command, end=signal.SIGINT),
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for us, who then stop it
            )
        finally:
            os.close(output)

    def _opened_log(self) -> int:
        with suppress(FileNotFoundError):
            if self.log.lstat().st_size > LOG_BYTES_MAX:
                self.log.replace(self._old_log)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.log, flags, 0o600)

    @property
    def answers(self) -> bool:
        # What pg_ctl does: its lock file tells its state in line 8.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        state_line = 7
        return (
            len(lines) > state_line
            and lines[0] == str(self.pid)
            and lines[state_line].strip() == "ready"
        )


async def exit_status(process: subprocess.Popen[bytes], *, every_s: float = POLL_S) -> int:
    """Return how the process ended once it has."""
    # Not asyncio's own subprocess: uvloop's cannot be tied to our death, and a watcher thread would
    # outlive its loop.
    while (status := process.poll()) is None:  # noqa: ASYNC110  (a process sets no Event)
        await asyncio.sleep(every_s)
    return status


async def ready(server: Server, say: Say) -> None:
    """Return when it answers for the first time.

    Raises
    ------
    LocalPostgresError
        It ended, or took too long.
    """
    started = asyncio.get_running_loop().time()
    said = False
    while not server.answers:
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


def _failed(server: Server) -> LocalPostgresError:
    with server.log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    if any(NO_SPACE in line for line in lines[-5:]):
        return disk_is_full(server.data)
    reason = next((line for line in reversed(lines) if "FATAL" in line or "PANIC" in line), "")
    return LocalPostgresError(
        f"PostgreSQL on {server.data} did not start: {reason or 'it gave no reason'} "
        f"(see {server.log})."
    )


@asynccontextmanager
async def kept_running(server: Server) -> AsyncGenerator[None]:
    """Start it again whenever it ends, for as long as the block lasts.

    It ends by itself where its disk is full or cannot be written, and not only there: without a
    new process nothing would work again before a person came, though the disk long does.
    """
    keeping = asyncio.create_task(_keep(server))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep(server: Server) -> None:
    while True:
        status = await exit_status(server.process, every_s=WATCH_EVERY_S)
        log.error("postgres_ended", status=status)
        attempts = await _started_again(server)
        log.warning("postgres_started_again", attempt=attempts)


async def _started_again(server: Server) -> int:
    """Return, when it answers again, how often it was tried."""
    attempt = 0
    while True:
        # Bounded before it is doubled: it may be tried all night, and 2.0**1024 is no number.
        await asyncio.sleep(min(FIRST_PAUSE_S * 2.0 ** min(attempt, 10), PAUSE_S_MAX))
        attempt += 1
        try:
            await _orphans_ended(server.data)
            server.launch()
        except (OSError, LocalPostgresError):
            continue
        # To repair itself may take it minutes: whatever it does, there is but one of it.
        while server.process.poll() is None:
            if server.answers:
                return attempt
            await asyncio.sleep(POLL_S)


async def _orphans_ended(data: Path) -> None:
    # Not left behind when we are told to stop: it would end the next owner's PostgreSQL.
    ending = asyncio.ensure_future(asyncio.to_thread(end_orphans, data))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait([ending])
        raise


async def stop(server: Server) -> None:
    """Stop it: sessions are ended, what is committed is kept. Then without the last checkpoint."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            server.process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await exit_status(server.process)
                return
