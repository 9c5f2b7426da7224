"""An installation of several processes, as an operator starts it, and how to reach each of them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psutil
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from tests.conftest import Databases, copy_databases

TOP: Final = Path(__file__).parents[1]
READY_S_MAX: Final = 60.0
STOP_S_MAX: Final = 40.0
"""The 15 seconds after which whoever has not ended is killed, on a machine that is busy."""
ANSWER_S_MAX: Final = 0.5
"""Of a worker that is not stopped; the other one never answers."""
TRIES_MAX: Final = 60


@dataclass(slots=True, kw_only=True)
class Installation:
    """A supervisor and what it started."""

    process: asyncio.subprocess.Process
    url: str = ""
    ops_url: str = ""
    lines: list[str] = field(default_factory=list)
    """What it said on its terminal."""

    @property
    def terminal(self) -> str:
        return "".join(self.lines)

    def processes(self) -> dict[str, psutil.Process]:
        """Return what the supervisor started, by name."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = child.cmdline()
            if "--name" in words:
                found[words[words.index("--name") + 1]] = child
        return found

    async def health(self) -> tuple[int, dict[str, str]]:
        async with ClientSession(self.ops_url) as http, http.get("/healthz") as answer:
            return answer.status, (await answer.json())["checks"]

    async def figures(self) -> dict[str, float]:
        """Return every sample, by its name with its labels."""
        async with ClientSession(self.ops_url) as http, http.get("/metrics") as answer:
            text = await answer.text()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    @asynccontextmanager
    async def http(self, worker: str | None = None) -> AsyncGenerator[ClientSession]:
        """Give one connection to that worker (None: to any): it stays with it."""
        for _ in range(TRIES_MAX):
            session = ClientSession(
                self.url, connector=TCPConnector(limit=1), timeout=ClientTimeout(total=10)
            )
            async with session:
                if await self._is_answered(session, worker):
                    yield session
                    return
        raise AssertionError(f"{worker} never answered")

    async def _is_answered(self, session: ClientSession, worker: str | None) -> bool:
        others = [
            process
            for name, process in self.processes().items()
            if worker is not None and name.startswith("worker") and name != worker
        ]
        with stopped(*others), suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S_MAX), session.get("/v1/session") as answer:
                await answer.read()
                return answer.status == 401
        return False

    async def until_healthy(self) -> None:
        async with asyncio.timeout(READY_S_MAX):
            while (await self.health())[0] != 200:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Let processes stand still for a while."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def environment(home: Path, databases: Databases, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "JOLDA_HOME": str(home),
        "JOLDA_PORT": "0",
        "JOLDA_OPS_PORT": "0",
        "JOLDA_WORKERS": "2",
        "JOLDA_STOP_WITH_PARENT": "1",
        "JOLDA_ALLOW_UNSAFE_POSTGRES": "for-tests-only",
        "JOLDA_STORAGE_COUNTRY": "KZ",
        "JOLDA_KEK_FILE": str(home / "kek"),
        "DATABASE_URL": databases.main,
        "KEYS_DATABASE_URL": databases.keys,
        **settings,
    }


@asynccontextmanager
async def starting(
    home: Path, databases: Databases, *, command: str = "serve", **settings: str
) -> AsyncGenerator[Installation]:
    """Start an installation; nothing of it is left when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", command),
        cwd=TOP,
        env=environment(home, databases, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    installation = Installation(process=process)
    reading = asyncio.create_task(_read(installation))
    try:
        yield installation
    finally:
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            await process.wait()
            for child in started:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        await reading


async def _read(installation: Installation) -> None:
    assert installation.process.stdout is not None
    async for line in installation.process.stdout:
        installation.lines.append(line.decode())


@asynccontextmanager
async def serving(
    home: Path, databases: Databases, **settings: str
) -> AsyncGenerator[Installation]:
    """Start an installation and wait until it says that it is ready."""
    async with starting(home, databases, **settings) as installation:
        async with asyncio.timeout(READY_S_MAX):
            while "Ready." not in installation.terminal:
                assert installation.process.returncode is None, installation.terminal
                await asyncio.sleep(0.02)
        (said,) = [line for line in installation.lines if "Serving on" in line]
        installation.url, installation.ops_url = re.findall(r"http://[0-9.:]+[0-9]", said)
        yield installation


async def fresh_databases(server_dsn: str) -> Databases:
    return await copy_databases(server_dsn, f"workers_{uuid4().hex}")


async def answer_of(http: ClientSession, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with http.request(method, path, **options) as answer:
        return answer.status, await answer.json(content_type=None)
