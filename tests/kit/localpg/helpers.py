"""What the tests of the embedded PostgreSQL share."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from server.kit import localpg
from server.kit.localpg import Server

ROOT = os.geteuid() == 0
TOP = Path(__file__).parents[3]
as_root_only = pytest.mark.skipif(not ROOT, reason="only root gives the database to another user")

# A parent to be killed. It says its PostgreSQL's pid, then leads the life of a server.
PARENT = """
import asyncio, sys
from pathlib import Path
from server.kit import localpg

async def main():
    async with localpg.run(Path(sys.argv[1]), say=lambda _: None) as server:
        print(server.pid, server.socket, flush=True)
        await asyncio.sleep(120)

asyncio.run(main())
"""


@asynccontextmanager
async def quick(data: Path) -> AsyncIterator[Server]:
    async with localpg.run(data, unsafe_for_tests=True, say=lambda _: None) as server:
        yield server


async def ask(server: Server, *statements: str) -> object:
    """Run the statements and return the last one's value."""
    connection = await asyncpg.connect(server.dsn())
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


@contextmanager
def parent(data: Path, *, path: str = "") -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    with subprocess.Popen(  # noqa: S603  (our own words)
        [sys.executable, "-c", PARENT, str(data)],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": f"{path}:{TOP}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            pid, socket = process.stdout.readline().split()
            yield process, int(pid), Path(socket)
        finally:
            process.kill()


def gone_within_s(pid: int, seconds: float) -> bool:
    return eventually(lambda: not psutil.pid_exists(pid), seconds)


def eventually(true: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()
