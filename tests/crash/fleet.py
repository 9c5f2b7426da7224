"""Phones that upload without pause, through every fault, and note what they were told.

Most drain a buffer of hours, as after an outage; the others record now while their drivers pause,
end the shift, withdraw and share again. A phone sends what was not acknowledged again, the same
bytes under the same batch id; now and then it forgets, or sends again what it need not.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic, time
from typing import Any, Final

import numpy as np
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from bench.bodies import drive
from server.tracking.model import from_ms
from tests.crash.acts import Acts
from tests.crash.history import COLUMNS, Fixes, Life, Told, Try, Upload
from tests.crash.hours import BUFFERED
from tests.crash.people import Person
from tests.http import bearer

SECOND: Final = timedelta(seconds=1)
ACTORS: Final = 3
"""One of so many drivers acts; the others drain their buffers."""
SIZE_MAX: Final = 30
LIVE_SIZE_MAX: Final = 10
PAUSE_S_MAX: Final = 0.1
ANSWERED_S_MAX: Final = 3.0
AGAIN_AFTER_S: Final = (0.03, 0.3)
FORGETS: Final = 0.1
SENDS_TWICE: Final = 0.03
LAP_MS: Final = 130
"""When all that is in a buffer was sent, it begins again, so much later."""
NONE: Final[frozenset[int]] = frozenset()
NOTHING_STORED: Final = frozenset({"gate-busy", "too-many-requests", "not-authenticated"})
MAYBE_STORED: Final = frozenset({"uploads-busy", "unavailable"})


class Timeline:
    """The one clock of the run: the time of day as it began, and evenly on from there."""

    def __init__(self) -> None:
        self._ahead_s = time() - monotonic()

    def now_ms(self) -> float:
        return 1000 * (self._ahead_s + monotonic())


class Buffer:
    """What the phone recorded while nobody could be reached: hours of driving, second by second."""

    def __init__(self, person: Person, seed: int) -> None:
        self._began = person.hours.buffer_begins
        self._seed = seed
        self._lap = -1
        self._taken = 0
        self._fixes = Fixes(np.empty(0, np.int64), np.empty((len(COLUMNS), 0)))

    def take(self, count: int) -> Fixes:
        if self._taken >= len(self._fixes):
            self._lap += 1
            self._taken = 0
            whole = drive(self._seed + self._lap, BUFFERED // SECOND, began=self._began, step_s=1)
            self._fixes = Fixes(whole.time_ms + LAP_MS * self._lap, whole.values)
        mine = slice(self._taken, self._taken + count)
        self._taken += count
        return Fixes(self._fixes.time_ms[mine], self._fixes.values[:, mine])


class Now:
    """What a phone records just now; also while it may not."""

    def __init__(self, seed: int, timeline: Timeline) -> None:
        self._timeline = timeline
        self._last_ms = int(timeline.now_ms())
        self._values = drive(seed, 3_600, began=from_ms(self._last_ms), step_s=1).values
        self._taken = 0

    def take(self, count: int) -> Fixes:
        now_ms = int(self._timeline.now_ms())
        count = min(count, now_ms - self._last_ms)
        time_ms = np.linspace(now_ms, self._last_ms, max(count, 1), endpoint=False)[::-1]
        places = np.arange(self._taken, self._taken + time_ms.size) % self._values.shape[1]
        self._taken += time_ms.size
        self._last_ms = max(now_ms, self._last_ms + 1)
        whole_ms = time_ms.astype(np.int64) if count > 0 else np.array([self._last_ms])
        return Fixes(whole_ms, self._values[:, places])


class Phone:
    """One phone; :meth:`run` until it is over."""

    def __init__(self, person: Person, source: Buffer | Now, fleet: "Fleet", seed: int) -> None:
        self.life = Life(person.made.member_id)
        self.person = person
        self._source = source
        self._size_max = SIZE_MAX if isinstance(source, Buffer) else LIVE_SIZE_MAX
        self._fleet = fleet
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._headers = bearer(person.made.device_token) | {"Content-Type": "application/json"}

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            upload = Upload(self._source.take(self._dice.randint(1, self._size_max)))
            self.life.uploads.append(upload)
            await self._deliver(upload, over)
            await asyncio.sleep(self._dice.uniform(0, PAUSE_S_MAX))

    async def _deliver(self, upload: Upload, over: asyncio.Event) -> None:
        """Send it until it was answered for; forget it now and then, or send it once too often."""
        body = _body(upload.fixes, str(len(self.life.uploads)))
        forgets = self._dice.random() < FORGETS
        while True:
            one = await self._send(body)
            upload.tries.append(one)
            if one.told in (Told.OK, Told.NOTHING):
                if self._dice.random() < SENDS_TWICE:
                    upload.tries.append(await self._send(body))
                return
            if over.is_set() or forgets:
                return
            await asyncio.sleep(self._dice.uniform(*AGAIN_AFTER_S))

    async def _send(self, body: bytes) -> Try:
        now_ms = self._fleet.timeline.now_ms
        began_ms = now_ms()
        told, refused, was_there = await self._answer(body)
        one = Try(began_ms, now_ms(), told, refused, was_there)
        self._fleet.note(one)
        return one

    async def _answer(self, body: bytes) -> tuple[Told, frozenset[int], bool]:
        try:
            async with self._fleet.http.post(
                f"{self._fleet.url}/v1/positions", data=body, headers=self._headers
            ) as answer:
                status, said = answer.status, json.loads(await answer.read())
        except (ClientError, OSError, TimeoutError):
            return Told.UNKNOWN, NONE, False
        if status == 200:
            refused = frozenset(one["index"] for one in said["refused"])
            return Told.OK, refused, said["duplicate"] > 0
        code = said.get("code")
        if code in NOTHING_STORED:
            return Told.NOTHING, NONE, False
        if code in MAYBE_STORED:
            return Told.UNKNOWN, NONE, False
        self._fleet.unexpected.append(f"POST /v1/positions: {status} {code}")
        return Told.FAILED, NONE, False


def _body(fixes: Fixes, batch_id: str) -> bytes:
    columns: dict[str, Any] = {"recorded_at_ms": fixes.time_ms.tolist()}
    columns |= {name: row.tolist() for name, row in zip(COLUMNS, fixes.values, strict=True)}
    columns["battery_pct"] = [int(one) for one in columns["battery_pct"]]
    return json.dumps({"batch_id": batch_id, "columns": columns}).encode()


class Fleet:
    """All phones, and what came back from the server as a whole."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.timeline = Timeline()
        self.unexpected: list[str] = []
        self.phones: list[Phone] = []
        self.acting: list[Acts] = []
        self.acknowledged = 0
        """Uploads."""
        self._waiting: list[tuple[float, asyncio.Future[float]]] = []

    def note(self, one: Try) -> None:
        if one.told is not Told.OK:
            return
        self.acknowledged += 1
        for began_ms, first in self._waiting:
            if one.began_ms >= began_ms and not first.done():
                first.set_result(one.ended_ms - began_ms)
        self._waiting = [(began, first) for began, first in self._waiting if not first.done()]

    async def acknowledged_again(self, limit_s: float) -> float:
        """Return how many seconds it takes from now until an upload sent from now on is answered.

        Raises
        ------
        TimeoutError
        """
        first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.timeline.now_ms(), first))
        async with asyncio.timeout(limit_s):
            return await first / 1000

    @property
    def lives(self) -> Sequence[Life]:
        return [phone.life for phone in self.phones]


@asynccontextmanager
async def fleet(url: str, people: Sequence[Person], seed: int) -> AsyncGenerator[Fleet]:
    """Let the phones upload until the block ends; then each ends what it has in hand."""
    over = asyncio.Event()
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=ANSWERED_S_MAX)
    ) as http:
        running = Fleet(http, url)
        async with asyncio.TaskGroup() as group:
            for number, person in enumerate(people):
                own_seed = seed * 1_000 + number
                acts = number % ACTORS == ACTORS - 1
                source = Now(own_seed, running.timeline) if acts else Buffer(person, own_seed)
                phone = Phone(person, source, running, own_seed)
                running.phones.append(phone)
                group.create_task(phone.run(over))
                if acts:
                    acting = Acts(running, phone.life, person, own_seed)
                    running.acting.append(acting)
                    group.create_task(acting.run(over))
            try:
                yield running
            finally:
                over.set()
