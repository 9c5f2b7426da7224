"""The processes under measurement: where they listen and what they cost."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import psutil

from bench.load import Outcome, Plan
from tests.proofs import ROOT
from tests.stage import Stage

READY_S_MAX = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server."""

    name: str
    port: int
    process: psutil.Process


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
    postgres = psutil.Process(at.postgres_pid)
    spent = sum(_cpu_s(one) for one in (postgres, *postgres.children(recursive=True)))
    return Cost(server_s=_cpu_s(served.process), postgres_s=spent)


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
async def jolda(at: Stage) -> AsyncGenerator[Served]:
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


@asynccontextmanager
async def loading(plan: Plan) -> AsyncGenerator["Load"]:
    """Build the bodies in a process of their own; upload when asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    load = Load(process)
    try:
        await load.ask(json.dumps(asdict(plan)))
        yield load
    except BaseException:
        process.kill()
        raise
    finally:
        await process.wait()  # having uploaded, it ends by itself


class Load:
    """A load generator whose bodies are built."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("the load generator is spoken to through pipes")
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        answer = await self._process.stdout.readline()
        if not answer:
            sys.exit("The load generator ended early.")
        return answer.decode()

    async def upload(self) -> Outcome:
        return Outcome(**json.loads(await self.ask("")))
