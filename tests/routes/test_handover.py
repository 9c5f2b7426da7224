"""After the answer to a withdrawal no position leaves in a track or a report."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import gpxpy
import pytest
from aiohttp import ClientError, ClientSession

from server.gate import handover
from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.wire import rfc3339
from server.reports import web as reports
from server.routes import web as routes
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.http import bearer, serve
from tests.world import NOW, Driver, World, add_driver

ROUNDS: Final = 8
POSITIONS: Final = 4_000
STALL_S_MAX: Final = 0.3
"""A server that is held up right after it judged: within its lease."""
LATE_S: Final = 0.03
"""What one event loop may need to hand a test two things that came together."""
COORDINATE: Final = re.compile(rb"43\.2\d|76\.8\d")


@pytest.fixture
async def client(world: World, databases: Databases) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        CONSENT,
        TRACKING,
        routes.ENDPOINTS,
        reports.ENDPOINTS,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as opened:
        yield opened


@asynccontextmanager
async def no_barrier(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
    async with db.tenant(pool, company_id) as conn:
        yield conn


async def stalling(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Gate]:
    found = await gate.read_some(conn, company_id, driver_ids)
    await asyncio.sleep(random.uniform(0, STALL_S_MAX))  # noqa: S311 - no secret
    return found


async def drive(
    client: ClientSession, driver: Driver, count: int = POSITIONS, *, ago_ms: int = 0
) -> None:
    last_ms = round(NOW.timestamp() * 1000) - ago_ms
    columns = {
        "recorded_at_ms": [last_ms - 500 * place for place in range(count)],
        "lat": [43.2 + place / 1e6 for place in range(count)],
        "lon": [76.8 + place / 1e6 for place in range(count)],
    }
    async with client.post(
        "/v1/positions", json={"columns": columns}, headers=bearer(driver.device_token)
    ) as answer:
        assert (await answer.json())["accepted"] == count


async def plan(client: ClientSession, driver: Driver, headers: dict[str, str]) -> str:
    body = {
        "name": "North",
        "date": "2026-11-22",
        "driver_id": str(driver.member_id),
        "planned_start": rfc3339(NOW - timedelta(hours=2)),
        "stops": [{"name": "a", "lat": 43.3, "lon": 76.9}, {"name": "b", "lat": 43.4, "lon": 76.9}],
    }
    async with client.post("/v1/routes", json=body, headers=headers) as answer:
        route: dict[str, Any] = await answer.json()
        return f"/v1/routes/{route['route_id']}/plan-fact"


def track_of(driver: Driver, media: str) -> str:
    since, until = rfc3339(NOW - timedelta(hours=3)), rfc3339(NOW + timedelta(hours=1))
    return f"/v1/drivers/{driver.member_id}/track?from={since}&to={until}&format={media}"


async def arrivals(client: ClientSession, path: str, headers: dict[str, str]) -> list[float]:
    """Return when positions came."""
    came: list[float] = []
    try:
        async with client.get(path, headers=headers) as answer:
            async for chunk in answer.content.iter_any():
                came += [monotonic()] if COORDINATE.search(chunk) else []
    except ClientError:
        pass  # cut off, as it should be
    return came


async def late_and_all(client: ClientSession, world: World) -> tuple[int, int]:
    """Withdraw while tracks and a report are read; count the arrivals after its answer."""
    staff = bearer(await world.session("dispatcher"))
    late = total = 0
    for _ in range(ROUNDS):
        driver = await add_driver(world.vault, world.pool, world.company_id)
        person = bearer(await world.driver_session(driver))
        await drive(client, driver)
        paths = [
            track_of(driver, "gpx"),
            track_of(driver, "json"),
            await plan(client, driver, staff),
        ]
        reading = [asyncio.create_task(arrivals(client, path, staff)) for path in paths]
        await asyncio.sleep(random.uniform(0, 0.8))  # noqa: S311 - no secret
        async with client.post("/v1/me/consents/plan_fact/withdraw", headers=person) as answer:
            answered = monotonic()
            assert answer.status == 200
        for came in await asyncio.gather(*reading):
            total += len(came)
            late += sum(at > answered + LATE_S for at in came)
    return late, total


async def test_after_a_withdrawal_is_answered_no_position_of_the_past_arrives(
    client: ClientSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "read_some", stalling)

    late, total = await late_and_all(client, world)

    assert total > 0
    assert late == 0


async def test_without_the_barrier_late_positions_are_found(
    client: ClientSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "read_some", stalling)
    monkeypatch.setattr(handover, "frames", no_barrier)

    late, _ = await late_and_all(client, world)

    assert late > 0


async def test_a_caller_who_reads_slowly_gets_all_of_a_long_track(
    client: ClientSession, world: World
) -> None:
    await drive(client, world.driver, 10_000)
    await drive(client, world.driver, 4_000, ago_ms=10_000 * 500)
    headers = bearer(await world.session("dispatcher"))
    body = b""
    async with client.get(track_of(world.driver, "gpx"), headers=headers) as answer:
        async for chunk in answer.content.iter_chunked(64 * 1024):
            body += chunk
            await asyncio.sleep(0.05)

    assert len(body) > 8 * handover.PIECE_BYTES
    assert gpxpy.parse(body.decode()).get_points_no() == 14_000


async def test_what_changed_while_it_was_drawn_is_drawn_again(
    client: ClientSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drive(client, world.driver, 10)
    headers = bearer(await world.session("dispatcher"))
    person = bearer(await world.driver_session())
    reads = 0

    @asynccontextmanager
    async def after_a_withdrawal(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
        nonlocal reads
        reads += 1
        path = "/v1/me/consents/plan_fact/withdraw"
        async with client.post(path, headers=person) as withdrawn:
            assert withdrawn.status == 200
        async with gate.frames(pool, company_id) as conn:
            yield conn

    monkeypatch.setattr(handover, "frames", after_a_withdrawal)
    async with client.get(track_of(world.driver, "json"), headers=headers) as answer:
        found = await answer.json()

    assert (answer.status, found["availability"], found["count"]) == (200, "not_shared", 0)
    assert reads == 1


async def test_beyond_a_short_queue_readers_are_sent_away() -> None:
    turns = handover.Turns(1, waiting_max=1)

    async def take() -> None:
        async with turns.one():
            pass

    async with turns.one():
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0)
        with pytest.raises(handover.ReadsBusy):
            await take()
    await waiting
    await take()
