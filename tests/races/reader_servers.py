"""The servers of the readers' proof, as their parent has them: told to hold, frozen, and ended."""

import asyncio
import json
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from tests.proofs import ROOT
from tests.races import reader_server
from tests.races.reader_server import Point, Variant
from tests.stage import Place

PROCESSES: Final = 2
STARTED_S_MAX: Final = 120.0
FROZEN_S: Final = (0.0, 0.8)
"""Also longer than any act waits for a server (half a second)."""


class Servers:
    def __init__(self, running: Sequence[Process], urls: Sequence[str]) -> None:
        self.urls = urls
        self.held: defaultdict[int, set[str]] = defaultdict(set)
        """By race, the paths of which an answer stands still."""
        self._running = running
        self._freezing = asyncio.Lock()
        self._listening = [asyncio.create_task(self._listen(one)) for one in running]

    def hold(self, company_id: UUID, at: Point, race: int) -> None:
        self._order(company=str(company_id), hold=at.value, race=race)

    def go_on(self, company_id: UUID) -> None:
        self._order(company=str(company_id), hold=None)

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[list[str]]:
        """Stop one of the processes in whatever it does; give the addresses of the others.

        It goes on when the block has ended, or some time later.
        """
        async with self._freezing:
            place = random.randrange(len(self._running))  # noqa: S311 - no secret
            self._running[place].send_signal(signal.SIGSTOP)
            try:
                yield [url for number, url in enumerate(self.urls) if number != place]
                await asyncio.sleep(random.uniform(*FROZEN_S))  # noqa: S311 - no secret
            finally:
                self._running[place].send_signal(signal.SIGCONT)

    async def close(self) -> None:
        for one in self._running:
            assert one.stdin is not None
            one.stdin.close()  # its input ends, and so does it
        await asyncio.gather(*self._listening, *(one.wait() for one in self._running))
        assert all(one.returncode == 0 for one in self._running)

    def _order(self, **what: Any) -> None:
        for one in self._running:
            assert one.stdin is not None
            one.stdin.write(json.dumps(what).encode() + b"\n")

    async def _listen(self, server: Process) -> None:
        assert server.stdout is not None
        while line := await server.stdout.readline():
            told = json.loads(line)
            self.held[told["race"]].add(told["held"])


@asynccontextmanager
async def servers(place: Place, variant: Variant, began_s: float) -> AsyncGenerator[Servers]:
    """Run the servers until the block ends."""
    told = (place.main, place.keys, str(place.kek), variant.value, str(began_s))
    command = (sys.executable, "-m", reader_server.__name__, *told)
    running = [
        await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    try:
        at = Servers(running, [await _url_of(one) for one in running])
        yield at
        await at.close()
    finally:
        for one in running:
            if one.returncode is None:
                one.kill()
                await one.wait()


async def _url_of(server: Process) -> str:
    assert server.stdout is not None
    async with asyncio.timeout(STARTED_S_MAX):
        line = await server.stdout.readline()
    return str(json.loads(line)["url"]).rstrip("/")
