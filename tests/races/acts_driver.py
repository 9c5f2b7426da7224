"""One driver of the acts' proof: uploads without pause, stops by one of the acts, shares again.

Everything goes over HTTP to any of the server processes. A request whose answer was lost is made
again at another, as a phone would.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientError, ClientSession

from server.tracking.model import to_ms
from tests import consents
from tests.http import bearer
from tests.races.acts_history import Became, Stop, Try
from tests.races.acts_workers import PROCESSES, Workers
from tests.stage import Stage
from tests.world import Driver as Made
from tests.world import add_driver, open_session

WRITERS: Final = 3
"""Of each driver, usually."""
ACT_SPREAD_S: Final = 0.02
PHONE_AHEAD_MS: Final = 20_000
"""The phones' clocks are fast, within what is taken: so all that is under way when a shift ends was
recorded after that, and none of it may be stored. What was recorded before may: the tail of a shift
may still arrive."""
AGAIN_AFTER_S: Final = 0.02
TRIES_MAX: Final = 500
NOTHING: Final[Mapping[str, Any]] = {}

HoldingUp = Callable[[], AbstractAsyncContextManager[None]]
"""What holds the uploads up while the act is under way; usually nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all drivers share."""

    at: Stage
    http: ClientSession
    running: Workers
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    company_id: UUID
    staff: Mapping[str, str]
    """A dispatcher's headers."""


class Driver:
    """A driver with everything given, on shift. Make it with :meth:`begun`."""

    _made: Made
    _token: str
    _device_id: str
    _person: Mapping[str, str]

    def __init__(self, around: Surroundings, company: Company) -> None:
        self._around = around
        self._company = company
        self._last_ms = 0
        self._became: dict[int, Became] = {}
        self._stored = asyncio.Condition()
        self._is_done = False
        """Another driver takes over after this race."""

    @classmethod
    async def begun(cls, around: Surroundings, company: Company) -> "Driver":
        driver = cls(around, company)
        await driver._renew()
        return driver

    async def _renew(self) -> None:
        """Be another driver."""
        at, company_id = self._around.at, self._company.company_id
        self._made = await add_driver(at.vault, at.pool, company_id)
        self._token, self._device_id = self._made.device_token, str(self._made.device_id)
        self._person = bearer(await open_session(at.pool, company_id, self._made.member_id))
        self._is_done = False

    async def race(
        self, stop: Stop, *, writers: int = WRITERS, holding_up: HoldingUp = nullcontext
    ) -> Try:
        """Stop in the midst of uploads at every process; then share again."""
        self._became, over = {}, asyncio.Event()
        writing = [asyncio.create_task(self._write(turn, over)) for turn in range(writers)]
        try:
            await self._is_believed()
            await asyncio.sleep(random.uniform(0, ACT_SPREAD_S))  # noqa: S311 - no secret
            async with holding_up():
                met = {at_ms for at_ms, told in self._became.items() if told is Became.LOST}
                before, began = len(self._became), monotonic()
                await self._stop(stop)
                took_ms = (monotonic() - began) * 1000
                met.update(islice(self._became, before, None))
                sent, snapshot = len(self._became), await self._snapshot()
        finally:
            over.set()
            await asyncio.gather(*writing)
        tried = Try(
            stop=stop,
            company_id=self._company.company_id,
            driver_id=self._made.member_id,
            snapshot=snapshot,
            became=self._became,
            met=met,
            after=len(self._became) - sent,
            took_ms=took_ms,
        )
        await self._share_again(stop)
        return tried

    async def _is_believed(self) -> None:
        """Wait until some uploads are stored: then the processes believe that sharing is on."""

        def some() -> bool:
            return list(self._became.values()).count(Became.STORED) >= PROCESSES

        async with self._stored:
            await self._stored.wait_for(some)

    async def _write(self, turn: int, over: asyncio.Event) -> None:
        """Upload without pause, at one process after the other; once more when it is over."""
        goes_on = True
        while goes_on:
            goes_on = not over.is_set()
            turn += 1
            alive = self._around.running.alive
            url = alive[turn % len(alive)].url
            # No two uploads of a driver have the same time: it tells them apart.
            now_ms = to_ms(self._around.clock()) + PHONE_AHEAD_MS
            self._last_ms = at_ms = max(self._last_ms + 1, now_ms)
            self._became[at_ms] = Became.LOST
            self._became[at_ms] = became = await self._upload(url, at_ms)
            if became is Became.STORED:
                async with self._stored:
                    self._stored.notify_all()
            elif became is Became.LOST:
                # It may still be under way, and must not be covered by what is given next.
                self._is_done = True
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _upload(self, url: str, at_ms: int) -> Became:
        headers = {**bearer(self._token), "Content-Type": "application/json"}
        body = b'{"columns":{"recorded_at_ms":[%d],"lat":[43.2381],"lon":[76.9452]}}' % at_ms
        try:
            async with self._around.http.post(
                f"{url}/v1/positions", data=body, headers=headers
            ) as answer:
                told = json.loads(await answer.read())
        except (ClientError, OSError):
            return Became.LOST
        match answer.status, told.get("code"):
            case 200, _:
                is_stored = told["accepted"] or told["duplicate"]
                return Became.STORED if is_stored else Became.REFUSED
            case 401, "not-authenticated":
                return Became.REFUSED
            case 503, "gate-busy":
                return Became.BUSY
            case 503, "uploads-busy" | "unavailable":
                return Became.UNKNOWN
        return Became.FAILED

    async def _snapshot(self) -> str:
        async with self._around.at.pool.acquire() as conn:
            snapshot: str = await conn.fetchval(
                "SELECT snapshot::text FROM act_snapshot WHERE driver_id = $1",
                self._made.member_id,
            )
            return snapshot

    async def _stop(self, stop: Stop) -> None:
        """Return when the act was answered."""
        of_driver = f"/v1/drivers/{self._made.member_id}"
        match stop:
            case Stop.WITHDRAW:
                await self._ask("/v1/me/consents/location/withdraw")
            case Stop.PAUSE:
                await self._ask("/v1/me/shift/pause")
            case Stop.END:
                await self._ask("/v1/me/shift/end")
            case Stop.BLOCK:
                body = {"reason_code": "other"}
                await self._ask(f"{of_driver}/block", body, by=self._company.staff)
            case Stop.LOG_OUT:
                await self._ask(f"/v1/me/devices/{self._device_id}", method="DELETE")
            case Stop.ERASE:
                body = {"driver_id": str(self._made.member_id)}
                await self._ask("/v1/erasure-requests", body)

    async def _share_again(self, stop: Stop) -> None:
        """Undo the stop, or be another driver.

        Whoever took their consent back and gives it again is believed only what the fastest phone
        cannot have recorded before. And a process that dies in an act leaves the gate closed until
        the sweep comes, a minute later.
        """
        of_driver = f"/v1/drivers/{self._made.member_id}"
        match stop:
            case _ if self._is_done:
                pass
            case Stop.WITHDRAW | Stop.ERASE:
                self._is_done = True
            case Stop.PAUSE:
                await self._ask("/v1/me/shift/resume")
            case Stop.END:
                await self._ask("/v1/me/shift/start")
            case Stop.BLOCK:
                await self._ask(f"{of_driver}/unblock", by=self._company.staff)
                await self._ask("/v1/me/shift/start")
            case Stop.LOG_OUT:
                await self._log_in()
        if self._is_done:
            await self._renew()

    async def _log_in(self) -> None:
        added = await self._ask("/v1/me/devices", {"name": "Pixel"})
        self._token, self._device_id = added["token"], added["device_id"]
        path = f"/v1/me/devices/{self._device_id}/notice"
        await self._ask(path, consents.DEVICE_NOTICE_BODY)

    async def _ask(
        self,
        path: str,
        body: Any = None,
        *,
        by: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Mapping[str, Any]:
        """Ask any process, and another one if no answer came; return what was answered.

        That is nothing where only the first answer, which was lost, would have said it.
        """
        was_lost = False
        for _ in range(TRIES_MAX):
            url = self._around.running.any().url + path
            try:
                async with self._around.http.request(
                    method, url, headers=by or self._person, json=body
                ) as answer:
                    text = await answer.read()
            except (ClientError, OSError):
                was_lost = self._is_done = True
                await asyncio.sleep(AGAIN_AFTER_S)
                continue
            if answer.status < 300:
                told: Mapping[str, Any] = json.loads(text) if text else NOTHING
                return told
            if answer.status == 503:
                was_lost = self._is_done = True
                await asyncio.sleep(AGAIN_AFTER_S)
            elif was_lost and answer.status in (404, 409):
                return NOTHING  # it was done already
            else:
                raise AssertionError(f"{method} {path}: {answer.status} {text.decode()}")
        raise AssertionError(f"{method} {path}: no answer")
