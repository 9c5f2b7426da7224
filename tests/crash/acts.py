"""What a driver does meanwhile: pause and resume, end and start, withdraw and give again.

A request whose answer was lost is made again, until it is known that the act is done.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from aiohttp import ClientError, ClientSession

from tests import consents
from tests.crash.history import Life, Stop, StopKind
from tests.crash.people import Person
from tests.crash.reading import NotRead, read_back

FIRST_AFTER_S: Final = (0.2, 2.0)
STOPPED_S: Final = (0.1, 1.5)
SHARED_S: Final = (0.5, 4.0)
SEEN_S_MAX: Final = 5.0
AGAIN_AFTER_S: Final = 0.1
KINDS: Final = (StopKind.PAUSE,) * 4 + (StopKind.END,) * 3 + (StopKind.WITHDRAW,)
DONE: Final = frozenset({200, 201})
TRY_AGAIN: Final = frozenset({429, 503})
NOT_YET: Final = frozenset({"consent-needed"})
"""A consent that was taken away and is given again counts after half a minute."""

STOP_PATHS: Final = {
    StopKind.PAUSE: "/v1/me/shift/pause",
    StopKind.END: "/v1/me/shift/end",
    StopKind.WITHDRAW: "/v1/me/consents/location/withdraw",
}
Request = tuple[str, Any]
AGAIN: Final[dict[StopKind, Sequence[Request]]] = {
    StopKind.PAUSE: [("/v1/me/shift/resume", None)],
    StopKind.END: [("/v1/me/shift/start", None)],
    StopKind.WITHDRAW: [
        ("/v1/me/consents", consents.body("location")),
        ("/v1/me/shift/start", None),
    ],
}


class Clock(Protocol):
    def now_ms(self) -> float: ...


class Surroundings(Protocol):
    """What an act needs of the fleet."""

    @property
    def http(self) -> ClientSession: ...
    @property
    def url(self) -> str: ...
    @property
    def timeline(self) -> Clock: ...
    @property
    def unexpected(self) -> list[str]: ...


class Acts:
    """The acts of one driver."""

    def __init__(self, around: Surroundings, life: Life, person: Person, seed: int) -> None:
        self._around = around
        self._life = life
        self._headers = person.headers
        self._person = person
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self.answers: list[tuple[float, int]] = []
        """When each request of a stop was made, and its status; 0 where no answer came."""

    async def run(self, over: asyncio.Event) -> None:
        await self._wait(over, self._dice.uniform(*FIRST_AFTER_S))
        while not over.is_set():
            kind = self._dice.choice(KINDS)
            asked_ms = self._now_ms()
            answered_ms = await self._ask(STOP_PATHS[kind], None, noted=True)
            seen_ms = await self._seen() if kind is StopKind.WITHDRAW else None
            await self._wait(over, self._dice.uniform(*STOPPED_S))
            until_ms = self._now_ms()
            stop = Stop(kind, asked_ms, answered_ms, until_ms, math.inf, seen_ms)
            self._life.stops.append(stop)
            for path, body in AGAIN[kind]:
                await self._ask(path, body)
            self._life.stops[-1] = replace(stop, again_ms=self._now_ms())
            await self._wait(over, self._dice.uniform(*SHARED_S))

    async def _seen(self) -> frozenset[int] | None:
        """Return the times of all that is kept of this run by now; None if it cannot be read."""
        around, person = self._around, self._person
        try:
            async with asyncio.timeout(SEEN_S_MAX):
                track = await read_back(around.http, around.url, person, person.hours.began)
        except (NotRead, ClientError, OSError, TimeoutError):
            return None
        return frozenset(track.time_ms.tolist())

    def _now_ms(self) -> float:
        return self._around.timeline.now_ms()

    async def _wait(self, over: asyncio.Event, for_s: float) -> None:
        try:
            async with asyncio.timeout(for_s):
                await over.wait()
        except TimeoutError:
            pass

    async def _ask(self, path: str, body: Any, *, noted: bool = False) -> float:
        """Ask until it is done; return when that was known."""
        was_lost = False
        while True:
            began_ms = self._now_ms()
            status, code = await self._answer(path, body)
            if noted:
                self.answers.append((began_ms, status))
            if status in DONE or (was_lost and status == 409 and code not in NOT_YET):
                return self._now_ms()
            if status in TRY_AGAIN or status == 0:
                was_lost = True
            elif code not in NOT_YET:
                self._around.unexpected.append(f"POST {path}: {status} {code}")
                return self._now_ms()
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _answer(self, path: str, body: Any) -> tuple[int, str]:
        try:
            async with self._around.http.post(
                self._around.url + path, headers=self._headers, json=body
            ) as answer:
                told = await answer.json(content_type=None)
                return answer.status, str((told or {}).get("code", ""))
        except (ClientError, OSError, TimeoutError):
            return 0, ""
