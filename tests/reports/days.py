"""A day for tests: a plan of two stops, a drive that serves both, and when that was."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.ids import uuid7
from server.reads.service import Reads
from server.reports import final
from server.reports import web as reports
from server.rights.service import tell_of_alert
from server.routes import service as routes
from server.routes import web as routes_web
from server.routes.model import NewRoute, RouteHead, Stop
from server.tracking import codec
from server.tracking.model import Positions, from_ms, to_ms
from server.vault.model import Category
from tests.http import Clock, bearer, serve
from tests.world import NOW, Driver, World

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
STARTED: Final = NOW - 8 * HOUR
"""When the drive of the day begins; five and a half hours after its end nothing of it is live."""
DEPOT: Final = (76.889709, 43.238949)
CLIENT: Final = (76.95, 43.25)
AT_STOP_S: Final = 300
DRIVE_S: Final = 500
STEP_S: Final = 5
STOPS: Final = (
    Stop(
        stop_id=uuid7(),
        name="Depot of Aral",
        lat=DEPOT[1],
        lon=DEPOT[0],
        radius_m=60.0,
        service_s=300.0,
        planned_arrival=STARTED,
        window_start=None,
        window_end=None,
    ),
    Stop(
        stop_id=uuid7(),
        name="Client of Aral",
        lat=CLIENT[1],
        lon=CLIENT[0],
        radius_m=60.0,
        service_s=300.0,
        planned_arrival=STARTED + 15 * MINUTE,
        window_start=STARTED + 5 * MINUTE,
        window_end=STARTED + 30 * MINUTE,
    ),
)


def drive(began: datetime, *, from_s: float = 0.0, to_s: float = 1e9) -> Positions:
    """Return the positions of the day's drive: five minutes at each stop, and the way between."""
    seconds = np.arange(0, 2 * AT_STOP_S + DRIVE_S + 1, STEP_S, dtype=np.float64)
    share = np.clip((seconds - AT_STOP_S) / DRIVE_S, 0.0, 1.0)
    kept = (seconds >= from_s) & (seconds < to_s)
    share, seconds = share[kept], seconds[kept]
    values = np.full((7, len(seconds)), np.nan)
    values[0] = np.round(DEPOT[1] + share * (CLIENT[1] - DEPOT[1]), 7)
    values[1] = np.round(DEPOT[0] + share * (CLIENT[0] - DEPOT[0]), 7)
    values[2] = 5.0
    return Positions(
        time_ms=to_ms(began) + (seconds * 1000).astype(np.int64),
        values=values,
        flags=np.full(len(seconds), 1, np.uint8),
    )


async def store_positions(
    world: World, driver: Driver, positions: Positions, *, stored_at: datetime | None = None
) -> None:
    """Store them as one upload, past the gate."""
    first_at, last_at = (from_ms(int(positions.time_ms[place])) for place in (0, -1))
    key = await world.vault.key(world.company_id, driver.member_id, Category.TRACK, at=first_at)
    upload_id = uuid7()
    packed = codec.pack(positions, 0)
    await world.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,"
        " count, key_id, blob) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        world.company_id,
        driver.member_id,
        last_at,
        upload_id,
        first_at,
        stored_at or last_at,
        len(positions),
        key.key_id,
        codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA),
    )


async def share(world: World, driver: Driver, since: datetime) -> None:
    """Let the driver have agreed, and be on shift and recorded, from then on until now."""
    await world.owner.execute(
        "UPDATE gate SET location_since = $2, dispatch_since = $2, plan_fact_since = $2"
        " WHERE driver_id = $1",
        driver.member_id,
        since,
    )
    await world.owner.execute(
        "UPDATE recording_window SET opened_at = $2 WHERE driver_id = $1", driver.member_id, since
    )
    await world.owner.execute(
        "UPDATE shift SET started_at = $2 WHERE driver_id = $1", driver.member_id, since
    )


async def plan(
    world: World,
    driver: Driver | None,
    *,
    began: datetime = STARTED,
    vehicle_id: UUID | None = None,
    stops: Sequence[Stop] = STOPS,
) -> RouteHead:
    """Plan the day's two stops, or others, from then on."""
    later = began - STARTED
    planned = [
        replace(
            stop,
            stop_id=uuid7(),
            planned_arrival=stop.planned_arrival and stop.planned_arrival + later,
            window_start=stop.window_start and stop.window_start + later,
            window_end=stop.window_end and stop.window_end + later,
        )
        for stop in stops
    ]
    draft = await routes.drafted(
        NewRoute(
            name="North of Aral",
            day=began.date(),
            driver_id=None if driver is None else driver.member_id,
            vehicle_id=vehicle_id,
            planned_start=began,
            stops=planned,
            line=None,
        )
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await routes.create(conn, world.vault, world.company_id, draft, now=began)
    return made.head


async def driven(
    world: World, driver: Driver | None = None, *, began: datetime = STARTED
) -> RouteHead:
    """Plan the day, and drive it."""
    driver = driver or world.driver
    await share(world, driver, began - 2 * HOUR)
    head = await plan(world, driver, began=began)
    await store_positions(world, driver, drive(began))
    return head


async def keep_reports(world: World, days: int | None = 365) -> None:
    await world.owner.execute("UPDATE company SET report_days = $1", days)


async def withdraw(world: World, driver: Driver | None = None, *, at: datetime = NOW) -> None:
    place = (world.company_id, (driver or world.driver).member_id)
    async with gates.stopping(world.pool, *place, now=at) as conn:
        await gates.set_consent(conn, *place, GateItem.PLAN_FACT, None)


async def give_again(world: World, driver: Driver | None = None, *, at: datetime = NOW) -> None:
    place = (world.company_id, (driver or world.driver).member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await gates.lock(conn, *place)
        await gates.set_consent(conn, *place, GateItem.PLAN_FACT, at)


async def finish(world: World, *, now: datetime = NOW) -> int:
    """Do what the job does."""
    looks = Reads(world.pool, tell_of_alert)
    return await final.finish_due(world.pool, world.vault, looks, world.company_id, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """An integration that asks, at the time of the clock."""

    client: ClientSession
    headers: dict[str, str]
    clock: Clock

    async def get(self, path: str, **query: object) -> tuple[int, Any]:
        params = {name.rstrip("_"): str(value) for name, value in query.items()}
        async with self.client.get(path, params=params, headers=self.headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def report(self, head: RouteHead, **query: object) -> Any:
        status, found = await self.get(f"/v1/routes/{head.route_id}/plan-fact", **query)
        assert status == 200, found
        return found

    async def recompute(self, head: RouteHead) -> tuple[int, Any]:
        path = f"/v1/routes/{head.route_id}/plan-fact/recompute"
        async with self.client.post(path, headers=self.headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def summary(self, **query: object) -> tuple[int, Any]:
        day = NOW.date().isoformat()
        return await self.get("/v1/reports/summary", **{"from": day, "to": day, **query})


@asynccontextmanager
async def office(world: World) -> AsyncIterator[Office]:
    clock = Clock()
    async with serve(world, routes_web.ENDPOINTS, reports.ENDPOINTS, clock=clock) as client:
        async with db.tenant(world.pool, world.company_id) as conn:
            # Unlike a session it lasts as long as the clock of a test may run ahead.
            _, token = await credentials.add_api_token(
                conn,
                world.company_id,
                name="Office",
                scopes=[Scope.TRACKS_READ, Scope.ROUTES_WRITE],
                expires_at=None,
                now=NOW,
            )
        yield Office(client=client, headers=bearer(token), clock=clock)


async def rows(world: World) -> list[dict[str, Any]]:
    found = await world.owner.fetch("SELECT * FROM plan_fact_report ORDER BY route_id")
    return [dict(row) for row in found]
