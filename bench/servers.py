"""The processes under measurement: where they listen and what they cost."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from tests.proofs import ROOT
from tests.stage import Stage

READY_S_MAX: Final = 30.0
CONNECTIONS_MAX: Final = 1_000_000
"""The load comes from one address. A real fleet does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server."""

    name: str
    port: int
    process: psutil.Process

    def workers(self) -> list[psutil.Process]:
        """Return the processes that take uploads: its children, or where it has none itself."""
        children = self.process.children()
        return [one for one in children if "worker" in one.cmdline()] or [self.process]

    def memory_mb(self) -> float:
        """Return what the largest of its workers holds."""
        return max(float(one.memory_info().rss) for one in self.workers()) / 1e6

    def files(self) -> int | None:
        """Return how many the one with most has open.

        None where only root may know: a server keeps its memory from dumps, and with it this.
        """
        try:
            return max(one.num_fds() for one in self.workers())
        except psutil.AccessDenied:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor seconds spent so far."""

    server_s: float
    postgres_s: float

    def since(self, before: "Cost") -> "Cost":
        return Cost(
            server_s=self.server_s - before.server_s,
            postgres_s=self.postgres_s - before.postgres_s,
        )


def cost(served: Served, at: Stage) -> Cost:
    return Cost(server_s=_family_s(served.process), postgres_s=postgres_s(at))


def postgres_s(at: Stage) -> float:
    """Return the processor seconds that PostgreSQL spent so far."""
    return _family_s(psutil.Process(at.postgres_pid))


def _family_s(process: psutil.Process) -> float:
    return sum(_cpu_s(one) for one in (process, *process.children(recursive=True)))


async def wal_bytes(at: Stage) -> int:
    """Return how much write-ahead log was ever written."""
    return int(await at.owner.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))


def _cpu_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Of children that ended, a postmaster's own backends count too.
    return float(used.user + used.system + used.children_user + used.children_system)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


@asynccontextmanager
async def jolda(at: Stage, *, workers: int = 1) -> AsyncGenerator[Served]:
    """Run the server as it is run in production, on the stage's databases."""
    port = free_port()
    environment = {
        "DATABASE_URL": at.main,
        "KEYS_DATABASE_URL": at.keys,
        "JOLDA_STORAGE_COUNTRY": "KZ",
        "JOLDA_KEK_FILE": str(at.kek),
        "JOLDA_HOME": str(at.kek.parent / "home"),
        "JOLDA_PORT": str(port),
        "JOLDA_OPS_PORT": str(free_port()),
        "JOLDA_WORKERS": str(workers),
        "JOLDA_STOP_WITH_PARENT": "1",
        "JOLDA_CONNECTIONS_PER_ADDRESS_MAX": str(CONNECTIONS_MAX),
    }
    async with _running("jolda", ["-m", "server", "serve"], port, environment) as served:
        yield served


@asynccontextmanager
async def baseline(at: Stage) -> AsyncGenerator[Served]:
    port = free_port()
    environment = {"BASELINE_DSN": at.main, "BASELINE_PORT": str(port)}
    async with _running("baseline", ["-m", "bench.baseline"], port, environment) as served:
        yield served


@asynccontextmanager
async def _running(
    name: str, words: list[str], port: int, environment: dict[str, str]
) -> AsyncGenerator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(READY_S_MAX):
            await _answering(process, port)
        yield Served(name=name, port=port, process=psutil.Process(process.pid))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _answering(process: asyncio.subprocess.Process, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None:
                sys.exit("The server under measurement did not start.")
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
