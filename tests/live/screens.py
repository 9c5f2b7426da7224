"""A dispatcher's screen for tests: reads the stream, remembers what came and when."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web

from server.gate.model import GateItem
from server.kit.wire import rfc3339
from server.live import web as live
from server.uploads import web as uploads
from tests import consents
from tests.endpoints import ACCOUNTS, CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.world import Driver, World, add_driver

LAT, LON = 43.238, 76.889
EVENT_S_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    name: str
    event_id: str | None
    data: dict[str, Any]
    at: float
    """Of :func:`time.monotonic`, when it was read."""


@dataclass(slots=True, kw_only=True)
class Screen:
    answer: ClientResponse
    events: list[Event] = field(default_factory=list)
    heartbeats: int = 0
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)
    ended: bool = False

    async def read(self) -> None:
        lines: list[str] = []
        with suppress(ClientError):  # a screen may be cut off
            async for raw in self.answer.content:
                line = raw.decode().rstrip("\n")
                if line:
                    lines.append(line)
                    continue
                await self._take(lines)
                lines = []
        async with self._more:
            self.ended = True
            self._more.notify_all()

    async def _take(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        async with self._more:
            self.heartbeats += lines == [": hb"]
            if fields:
                self.events.append(
                    Event(
                        name=fields["event"],
                        event_id=fields.get("id"),
                        data=json.loads(fields["data"]),
                        at=monotonic(),
                    )
                )
            self._more.notify_all()

    async def wait_for(self, name: str, *, after: int = 0, **members: Any) -> Event:
        """Return the first such event from the ``after``-th on."""

        def found() -> Event | None:
            for event in self.events[after:]:
                rows = event.data.get("drivers", [event.data])
                if event.name == name and any(members.items() <= row.items() for row in rows):
                    return event
            return None

        async with self._more, asyncio.timeout(EVENT_S_MAX):
            await self._more.wait_for(lambda: found() is not None)
        event = found()
        assert event is not None
        return event

    async def wait_for_end(self) -> None:
        async with self._more, asyncio.timeout(EVENT_S_MAX):
            await self._more.wait_for(lambda: self.ended)

    async def wait_for_heartbeat(self) -> None:
        before = self.heartbeats
        async with self._more, asyncio.timeout(EVENT_S_MAX):
            await self._more.wait_for(lambda: self.heartbeats > before)

    def of(self, driver: Driver, name: str) -> list[dict[str, Any]]:
        """Return everything of that name that was told of the driver."""
        return [
            row
            for event in self.events
            if event.name == name
            for row in event.data.get("drivers", [event.data])
            if row.get("driver_id") == str(driver.member_id)
        ]


@asynccontextmanager
async def screen(
    client: ClientSession,
    token: str,
    *,
    last_event_id: str | None = None,
    path: str = "/v1/stream",
) -> AsyncGenerator[Screen]:
    """Open a stream; the greeting has come when the block begins."""
    headers = bearer(token)
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    # As long as the screen is open, whatever the session allows an answer.
    async with client.get(path, headers=headers, timeout=ClientTimeout()) as answer:
        assert answer.status == 200, await answer.text()
        shown = Screen(answer=answer)
        reading = asyncio.create_task(shown.read())
        try:
            await shown.wait_for("hello")
            yield shown
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            answer.close()


@asynccontextmanager
async def serve_live(
    world: World,
    dsn: str,
    *,
    clock: Clock,
    tick_s: float = 0.05,
    heartbeat_s: float = 15.0,
    started: Callable[[web.Application], None] = lambda _app: None,
) -> AsyncGenerator[ClientSession]:
    """Serve live, consents and uploads, ticking fast."""

    async def is_up(app: web.Application) -> None:
        started(app)

    def prepare(app: web.Application) -> None:
        app.on_startup.append(is_up)
        app.cleanup_ctx.append(uploads.uploading(dsn))
        live.install(app, tick_s=tick_s, heartbeat_s=heartbeat_s)

    async with serve(
        world,
        live.ENDPOINTS,
        CONSENT,
        TRACKING,
        ACCOUNTS,
        clock=clock,
        prepare=prepare,
    ) as client:
        yield client


async def upload(
    client: ClientSession, driver: Driver, at: datetime, *, lat: float = LAT, **members: Any
) -> dict[str, Any]:
    position = {"recorded_at": rfc3339(at), "lat": lat, "lon": LON, **members}
    async with client.post(
        "/v1/positions", json={"positions": [position]}, headers=bearer(driver.device_token)
    ) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def act(client: ClientSession, token: str, path: str, **body: Any) -> dict[str, Any]:
    """Do something as the driver, and expect that it is done."""
    async with client.post(f"/v1/me/{path}", headers=bearer(token), json=body or None) as answer:
        assert answer.status in (200, 201), await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def snapshot(client: ClientSession, token: str) -> dict[str, dict[str, Any]]:
    """Return what GET /v1/live says, by driver."""
    async with client.get("/v1/live", headers=bearer(token)) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
        return {row["driver_id"]: row for row in found["drivers"]}


async def agree(client: ClientSession, world: World, driver: Driver, *items: GateItem) -> str:
    """Let the driver give these consents (all, if none is named); return their session."""
    token = await world.driver_session(driver)
    for item in items or GateItem:
        await act(client, token, "consents", **consents.body(item))
    return token


async def go_to_work(client: ClientSession, clock: Clock, driver: Driver, token: str) -> None:
    """Start a shift and upload a position a minute later."""
    await act(client, token, "shift/start")
    clock.at += timedelta(minutes=1)
    await upload(client, driver, clock.at, speed_mps=10.0, heading_deg=90.0, accuracy_m=5.0)


async def off_duty(world: World, **options: Any) -> Driver:
    return await add_driver(
        world.vault, world.pool, world.company_id, consents=(), on_shift=False, **options
    )


async def told(shown: Screen, driver: Driver) -> None:
    await shown.wait_for("pos", driver_id=str(driver.member_id))
