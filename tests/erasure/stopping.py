"""``python -m tests.erasure.stopping``: from a request for erasure until nothing is taken any more.

A server of two workers, 200 drivers who upload each second, a dispatcher's screen. One driver after
another asks to be erased while their phone sends without a pause. SIZE=smoke for a short one.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Final
from uuid import UUID

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from bench.fleet import FleetDriver, log_in, make_fleet
from server.kit.wire import rfc3339
from tests.conftest import Databases
from tests.http import bearer
from tests.proofs import size
from tests.stage import Stage, on_a_stage
from tests.workers import serving
from tests.world import add_member, open_session

DRIVERS: Final = 200
ASKED: Final = {"smoke": 10, "full": 200}
STEP_S: Final = 1.0
"""Between two uploads of a driver who goes on."""
LIMIT_S: Final = 1.0
WAIT_S_MAX: Final = 10.0
REFUSED_IN_A_ROW: Final = 3
"""So many uploads that were refused after the answer: then nothing more is taken."""


@dataclass(slots=True, kw_only=True)
class Screen:
    """What a dispatcher sees: when each driver was last shown, and when their dot went."""

    shown: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self, http: ClientSession, token: str, opened: asyncio.Event) -> None:
        name = ""
        timeout = ClientTimeout(total=None)
        async with http.get("/v1/stream", headers=bearer(token), timeout=timeout) as answer:
            opened.set()
            async for raw in answer.content:
                key, _, said = raw.decode().rstrip("\n").partition(": ")
                if key == "event":
                    name = said
                elif key == "data" and name in {"pos", "gone"}:
                    await self._take(name, said)

    async def _take(self, name: str, said: str) -> None:
        told = json.loads(said)
        seen = self.shown if name == "pos" else self.gone
        async with self.more:
            for one in told.get("drivers", [told]):
                seen[one["driver_id"]] = monotonic()
            self.more.notify_all()

    async def until(self, seen: dict[str, float], driver_id: UUID) -> float:
        async with asyncio.timeout(WAIT_S_MAX), self.more:
            await self.more.wait_for(lambda: str(driver_id) in seen)
        return seen[str(driver_id)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Seconds after the request was sent."""

    answered_s: float
    last_s: float
    """When the answer to the last upload came that was taken; 0: none was any more."""
    gone_s: float
    shown_s: float
    """When the driver was last shown to the dispatcher; 0: not any more."""
    late: int
    """Uploads that were sent after the answer and taken all the same."""
    stored: int
    """Rows of theirs that came to be after the answer."""


async def upload(http: ClientSession, driver: FleetDriver) -> bool:
    """Send a position of this moment; tell whether it was taken."""
    position = {"recorded_at": rfc3339(datetime.now(UTC)), "lat": 43.238, "lon": 76.889}
    body = {"positions": [position]}
    async with http.post("/v1/positions", json=body, headers=bearer(driver.token)) as answer:
        told = await answer.json(content_type=None)
        return answer.status == 200 and told["accepted"] == 1


async def go_on(http: ClientSession, driver: FleetDriver, place: int) -> None:
    """Upload each second, at a moment of one's own."""
    due = monotonic() + STEP_S * place / DRIVERS
    while True:
        await asyncio.sleep(max(0.0, due - monotonic()))
        await upload(http, driver)
        due += STEP_S


async def rows_of(at: Stage, driver: FleetDriver) -> int:
    count: int = await at.owner.fetchval(
        "SELECT count(*) FROM chunk WHERE driver_id = $1", driver.driver_id
    )
    return count


async def stop(at: Stage, http: ClientSession, driver: FleetDriver, screen: Screen) -> Stopped:
    """Let one driver ask to be erased while their phone sends on; tell what was when."""
    session = await log_in(at, driver)
    taken: list[tuple[float, float]] = []
    """When it was sent, and when its answer came."""
    answered = asyncio.Event()

    async def send_on() -> None:
        refused = 0
        while refused < REFUSED_IN_A_ROW:
            sent, was_answered = monotonic(), answered.is_set()
            if await upload(http, driver):
                taken.append((sent, monotonic()))
                refused = 0
            elif was_answered:
                refused += 1

    phone = asyncio.create_task(send_on())
    screen.shown.pop(str(driver.driver_id), None)
    await screen.until(screen.shown, driver.driver_id)
    body = {"driver_id": str(driver.driver_id)}
    asked = monotonic()
    async with http.post("/v1/erasure-requests", json=body, headers=bearer(session)) as answer:
        assert answer.status == 201, await answer.text()
        told = monotonic()
    rows = await rows_of(at, driver)
    answered.set()
    gone = await screen.until(screen.gone, driver.driver_id)
    async with asyncio.timeout(WAIT_S_MAX):
        await phone
    return Stopped(
        answered_s=told - asked,
        last_s=max(0.0, max(came for _, came in taken) - asked),
        gone_s=gone - asked,
        shown_s=max(0.0, screen.shown[str(driver.driver_id)] - asked),
        late=sum(sent > told for sent, _ in taken),
        stored=await rows_of(at, driver) - rows,
    )


@asynccontextmanager
async def watching(at: Stage, http: ClientSession, company_id: UUID) -> AsyncGenerator[Screen]:
    member_id = await add_member(at.vault, at.pool, company_id, role="dispatcher")
    token = await open_session(at.pool, company_id, member_id, at=datetime.now(UTC))
    screen, opened = Screen(), asyncio.Event()
    reading = asyncio.create_task(screen.read(http, token, opened))
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            await opened.wait()
        yield screen
    finally:
        await _end(reading)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


def line(of: str, seconds: list[float]) -> str:
    found = sorted(seconds)
    p50, p99 = statistics.median(found), found[min(len(found) - 1, int(len(found) * 0.99))]
    return f"| {of} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | {found[-1] * 1e3:.1f} |\n"


def tell(found: list[Stopped]) -> int:
    """Print the table; return 1 where anything came later than it may."""
    late, stored = sum(one.late for one in found), sum(one.stored for one in found)
    sys.stdout.write(
        f"{len(found)} of {DRIVERS} drivers asked to be erased, one after another.\n"
        "| from the request's sending until | p50 ms | p99 ms | max ms |\n|---|---|---|---|\n"
        + line("its answer", [one.answered_s for one in found])
        + line("the last upload that was taken", [one.last_s for one in found])
        + line("the last position on the screen", [one.shown_s for one in found])
        + line("the dot is gone", [one.gone_s for one in found])
        + f"Uploads sent after the answer and taken: {late}. Rows written after it: {stored}.\n"
    )
    slowest = max(max(one.last_s, one.shown_s, one.gone_s) for one in found)
    return 0 if slowest <= LIMIT_S and not late and not stored else 1


async def measure(at: Stage) -> int:
    drivers = await make_fleet(at, DRIVERS, companies=1)
    databases = Databases(main=at.main, keys=at.keys, admin=at.main)
    async with (
        serving(at.kek.parent, databases) as installation,
        ClientSession(installation.url, connector=TCPConnector(limit=0)) as http,
        watching(at, http, drivers[0].company_id) as screen,
    ):
        fleet = {
            one.driver_id: asyncio.create_task(go_on(http, one, place))
            for place, one in enumerate(drivers)
        }
        try:
            found = []
            for driver in drivers[: ASKED[size()]]:
                await _end(fleet.pop(driver.driver_id))
                found.append(await stop(at, http, driver, screen))
        finally:
            await _end(*fleet.values())
    return tell(found)


if __name__ == "__main__":
    sys.exit(on_a_stage(measure))
