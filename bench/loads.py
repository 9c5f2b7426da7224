"""The processes that upload: started with a plan, asked to begin, heard to their end."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from bench.load import Outcome, Plan
from bench.openload import OpenPlan
from tests.proofs import ROOT

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The whole of a long run lists every upload that got no 200."""


class LoadEnded(Exception):
    """The load generator is gone: it failed, or was given up."""


class Load:
    """A load generator that has made ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, line: str) -> None:
        if self._process.stdin is None:
            raise TypeError("the load generator is spoken to through pipes")
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> str:
        if self._process.stdout is None:
            raise TypeError("the load generator speaks through pipes")
        answer = await self._process.stdout.readline()
        if not answer:
            raise LoadEnded("the load generator ended early")
        return answer.decode()

    async def upload(self) -> Outcome:
        """Upload everything that ``Plan`` named, as fast as it is answered."""
        await self.tell("")
        return Outcome(**json.loads(await self.hear()))

    async def samples(self) -> AsyncIterator[dict[str, Any]]:
        """Upload by the schedule of ``OpenPlan``; yield each sample, and the whole at last."""
        await self.tell("")
        while True:
            told: dict[str, Any] = json.loads(await self.hear())
            if "whole" in told:
                yield told["whole"]
                return
            yield told["sample"]

    async def whole(self) -> dict[str, Any]:
        """Upload by the schedule; return what came of it all."""
        return [told async for told in self.samples()][-1]

    def give_up(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def loading(plan: Plan | OpenPlan) -> AsyncGenerator[Load]:
    """Make everything ready in a process of its own; it uploads when asked."""
    module = "bench.load" if isinstance(plan, Plan) else "bench.openload"
    async with started(module, asdict(plan)) as load:
        yield load


@asynccontextmanager
async def started(module: str, plan: dict[str, Any]) -> AsyncGenerator[Load]:
    """Start the module with its plan; it is ready when the block begins, and ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    load = Load(process)
    try:
        await load.tell(json.dumps(plan))
        await load.hear()
        yield load
    except BaseException:
        load.give_up()
        raise
    finally:
        await process.wait()
