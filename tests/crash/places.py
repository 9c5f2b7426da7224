"""What can be killed: PostgreSQL, the server with its children, and a process that tidies up.

Each is started as it is run, found by its pid, and started again where nobody else does that. All
of them end with this process, however it ends.
"""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import psutil

from server.kit import localpg
from server.kit.migrate import migrate
from tests.crash import keeper
from tests.crash.hours import Hours
from tests.proofs import ROOT
from tests.stage import Place

WORKERS: Final = 2
STARTED_S_MAX: Final = 60.0
ASKED_EVERY_S: Final = 0.02
STORAGE_COUNTRY: Final = "KZ"


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to each that is still there."""
    _signal(pids, signal.SIGKILL)


@asynccontextmanager
async def frozen(pids: Sequence[int]) -> AsyncGenerator[None]:
    """Stop them (SIGSTOP) for as long as the block lasts."""
    # Should this process be killed meanwhile, its end of the pipe closes, and they go on and end.
    watch = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", 'read -r _; kill -CONT "$@"', "sh", *map(str, pids)),
        stdin=PIPE,
        stderr=DEVNULL,
    )
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)
        await watch.communicate(b"")


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


class Postgres:
    """A durable PostgreSQL whose address stays the same however often it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = AsyncExitStack()
        self._server: localpg.Server | None = None

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def dsn(self, database: str) -> str:
        return f"postgresql://{localpg.SUPERUSER}@/{database}?host={self.socket}"

    @property
    def socket(self) -> Path:
        """The folder of its sockets."""
        return self._folder / "socket"

    async def start(self) -> None:
        """Start it on the data that is there; return when it answers."""
        run = localpg.run(self._folder / "postgres", say=lambda _sentence: None)
        self._server = await self._running.enter_async_context(run)
        # Its sockets lie in a new folder each time; who connects goes by one name.
        new = self._folder / "socket.new"
        new.symlink_to(self._server.socket)
        new.rename(self.socket)

    def everybody(self) -> list[int]:
        """Return the postmaster's pid and those of its children."""
        return [self.pid, *(one.pid for one in children(self.pid))]

    async def backends(self, role: str) -> list[int]:
        """Return the pids of the sessions of this role on ``main``."""
        conn = await asyncpg.connect(self.dsn("main"))
        try:
            rows = await conn.fetch(
                "SELECT pid FROM pg_stat_activity WHERE application_name = $1", role
            )
        finally:
            await conn.close()
        return [row["pid"] for row in rows]

    async def kill(self) -> None:
        """Kill all of it, and wait until it is gone."""
        kill(self.everybody())
        await self.stop()

    async def stop(self) -> None:
        await self._running.aclose()


class Servers:
    """The product as it is run: one command, and the processes that it starts."""

    def __init__(
        self,
        place: Place,
        *,
        module: str = "server",
        main: str | None = None,
        workers: int = WORKERS,
    ) -> None:
        self._place = place
        self._module = module
        self._workers = workers
        self._main = main or place.main
        self._process: Process | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def supervisor(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def workers(self) -> list[int]:
        """Return who answers requests: the children of that kind, or else the one process."""
        return self._children("worker") or [self.supervisor]

    def jobs(self) -> list[int]:
        """Return who runs the jobs."""
        return self._children("jobs") or [self.supervisor]

    def everybody(self) -> list[int]:
        return [self.supervisor, *(one.pid for one in children(self.supervisor))]

    def _children(self, command: str) -> list[int]:
        found = []
        for one in children(self.supervisor):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if command in one.cmdline():
                    found.append(one.pid)
        return found

    async def start(self) -> None:
        """Start it; return when it takes connections."""
        await self.begin()
        await self.ready()

    async def begin(self) -> None:
        with (self._place.kek.parent / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "serve"),
                cwd=ROOT,
                env=os.environ | self._environment(),
                stdout=log,
                stderr=log,
            )

    def _environment(self) -> Mapping[str, str]:
        return {
            "DATABASE_URL": self._main,
            "KEYS_DATABASE_URL": self._place.keys,
            "JOLDA_STORAGE_COUNTRY": STORAGE_COUNTRY,
            "JOLDA_KEK_FILE": str(self._place.kek),
            "JOLDA_HOME": str(self._place.kek.parent / "home"),
            "JOLDA_PORT": str(self.port),
            "JOLDA_OPS_PORT": "0",
            "JOLDA_WORKERS": str(self._workers),
            "JOLDA_CONNECTIONS_PER_ADDRESS_MAX": "10000",
            "JOLDA_STOP_WITH_PARENT": "1",
        }

    async def ready(self) -> None:
        async with asyncio.timeout(STARTED_S_MAX):
            while not await _answers(self.port):
                assert self._process is not None
                if self._process.returncode is not None:
                    raise RuntimeError("the server did not start")
                await asyncio.sleep(ASKED_EVERY_S)

    async def kill(self, pids: Sequence[int]) -> None:
        """Kill these of its processes; of the one that we started wait until it is gone."""
        kill(pids)
        assert self._process is not None
        if self._process.pid in pids:
            await self._process.wait()

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STARTED_S_MAX):
                await self._process.wait()
        except TimeoutError:
            await self.kill(self.everybody())


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class Done(NamedTuple):
    """What was tidied up."""

    merged: int
    """Hours."""
    forgotten: int
    """Positions."""


NOTHING_DONE: Final = Done(0, 0)


class Keeper:
    """The process that compacts and forgets without pause; see keeper.py."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: Process | None = None
        self._counting: asyncio.Task[None] | None = None
        self._hours = Hours(datetime.now(UTC))
        self._done = NOTHING_DONE

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, hours: Hours | None = None) -> None:
        """Start it, by the clock of these hours, or of those of the last time."""
        self._hours = hours or self._hours
        told = (
            *(self._place.main, self._place.keys, str(self._place.kek)),
            self._hours.began.isoformat(),
        )
        with (self._place.kek.parent / "keeper.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", keeper.__name__, *told),
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
            )
        self._counting = asyncio.create_task(self._count(self._process))

    async def _count(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            merged, forgotten = map(int, line.split())
            self._done = Done(self._done.merged + merged, self._done.forgotten + forgotten)

    def done(self) -> Done:
        """Return what it did since this was asked last."""
        done, self._done = self._done, NOTHING_DONE
        return done

    async def kill(self) -> None:
        assert self._process is not None
        assert self._counting is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._counting

    async def stop(self) -> None:
        if self._process is not None:
            await self.kill()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


@asynccontextmanager
async def postgres(folder: Path) -> AsyncGenerator[Postgres]:
    """Run PostgreSQL with both databases migrated, until the block ends."""
    running = Postgres(folder)
    try:
        await running.start()
        admin = await asyncpg.connect(running.dsn("postgres"))
        for schema in ("main", "keys"):
            await admin.execute(f"CREATE DATABASE {schema}")
        await admin.close()
        await migrate(running.dsn("main"), "main")
        await migrate(running.dsn("keys"), "keys")
        yield running
    finally:
        await running.stop()
