"""The server processes of the acts' proof, as the proof holds them: addresses, orders, kills."""

import asyncio
import json
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.proofs import ROOT
from tests.races import acts_server
from tests.stage import Stage

PROCESSES: Final = 3
ANSWERED_S_MAX: Final = 180.0
"""For a process to start, to obey, or to end by itself."""

Instead = Mapping[str, str]
"""By the product's storing statement, the one that a process runs in its place."""


class Worker:
    """One server process."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def started(cls, at: Stage, began_s: float) -> "Worker":
        told = (at.main, at.keys, str(at.kek), str(began_s))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", acts_server.__name__, *told, stdin=PIPE, stdout=PIPE, cwd=ROOT
        )
        worker = cls(process, "")
        try:
            worker.url = await worker._told()
        except BaseException:
            await worker.kill()
            raise
        return worker

    async def use(self, instead: Instead) -> None:
        """Return when it runs these statements."""
        await self._order(instead=dict(instead))
        await self._told()

    async def hold_all(self, for_s: float) -> None:
        """Let it take every connection of its own pool for a while."""
        await self._order(hold_all_s=for_s)

    async def kill(self) -> None:
        """End it with SIGKILL, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()
        # What it last said is read to the end: then its pipes are closed too.
        await self._process.communicate()

    async def close(self) -> None:
        """End its input, and so it ends."""
        try:
            async with asyncio.timeout(ANSWERED_S_MAX):
                await self._process.communicate(b"")
        finally:
            await self.kill()

    async def _order(self, **what: object) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            await self._process.stdin.drain()

    async def _told(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWERED_S_MAX):
            line = await self._process.stdout.readline()
        if not line:
            raise ConnectionError("a server process ended unasked")
        return line.decode().strip()


class Workers:
    """All of them; one that is killed is replaced."""

    def __init__(self, at: Stage, began_s: float) -> None:
        self._at = at
        self._began_s = began_s
        self._instead: Instead = {}
        self.alive: list[Worker] = []
        self.killed = 0

    async def start(self) -> None:
        async def one() -> None:
            self.alive.append(await self._started())

        async with asyncio.TaskGroup() as group:
            for _ in range(PROCESSES):
                group.create_task(one())

    async def use(self, instead: Instead) -> None:
        """Let all run these statements, and those that replace one that is killed."""
        self._instead = instead
        await asyncio.gather(*(one.use(instead) for one in self.alive))

    def any(self) -> Worker:
        return random.choice(self.alive)  # noqa: S311 - no secret

    async def kill_one(self) -> None:
        """Kill any one, and start another in its place."""
        dead = self.any()
        self.alive.remove(dead)
        await dead.kill()
        self.killed += 1
        fresh = await self._started()
        self.alive.append(fresh)
        await fresh.use(self._instead)

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self.alive))

    async def _started(self) -> Worker:
        return await Worker.started(self._at, self._began_s)


@asynccontextmanager
async def workers(at: Stage, began_s: float) -> AsyncGenerator[Workers]:
    """Run the processes for as long as the block lasts."""
    running = Workers(at, began_s)
    try:
        await running.start()
        yield running
    finally:
        await running.close()
