"""A driver who uploads, deletes and looks, over HTTP, and how the rows are merged meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, web

from server.kit import db
from server.kit.db import Pool
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.track_deletion import service
from server.track_deletion.model import Deleted, Span
from server.track_deletion.web import COMMITTER_DSN
from server.track_deletion.web import ENDPOINTS as DELETING
from server.tracking import codec
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.uploading import positions
from tests.world import NOW, World, step_up

MINUTE = timedelta(minutes=1)


@dataclass
class Stage:
    world: World
    dsn: str
    clock: Clock
    client: ClientSession
    session: str = field(repr=False)

    async def upload(self, sent: list[dict[str, Any]]) -> Any:
        token = bearer(self.world.driver.device_token)
        async with self.client.post(
            "/v1/positions", json={"positions": sent}, headers=token
        ) as answer:
            return await answer.json(content_type=None)

    async def drive(self, since: datetime, until: datetime, step_s: int = 10) -> Any:
        count = int((until - since).total_seconds()) // step_s + 1
        return await self.upload(positions(count, until=until, step_s=step_s))

    async def delete(self, since: datetime, until: datetime) -> tuple[int, Any]:
        params = {"from": rfc3339(since), "to": rfc3339(until)}
        async with self.client.delete(
            "/v1/me/track", params=params, headers=bearer(self.session)
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def deletions(self) -> Any:
        async with self.client.get(
            "/v1/me/track/deletions", headers=bearer(self.session)
        ) as answer:
            return (await answer.json())["items"]

    async def call(self, path: str) -> Any:
        async with self.client.get(path, headers=bearer(self.session)) as answer:
            return await answer.json()

    async def times(self) -> list[datetime]:
        """Return when each position was recorded that is stored, whoever may see it."""
        return await stored(self.world)

    async def between(self, since: datetime, until: datetime) -> int:
        return sum(since <= at < until for at in await self.times())


async def stored(world: World, pool: "Pool | None" = None) -> list[datetime]:
    async with db.tenant(pool or world.pool, world.company_id, readonly=True) as conn:
        rows = await conn.fetch(
            "SELECT upload_id, key_id, blob FROM chunk WHERE company_id = $1 AND driver_id = $2",
            world.company_id,
            world.driver.member_id,
        )
    keys = await world.vault.keys(world.company_id, {row["key_id"] for row in rows})
    opened = [
        codec.open_chunk(keys[row["key_id"]], row["blob"], row["upload_id"]).positions.time_ms
        for row in rows
    ]
    found = np.concatenate(opened) if opened else np.empty(0, np.int64)
    epoch = datetime.fromtimestamp(0, NOW.tzinfo)
    return sorted(epoch + timedelta(milliseconds=int(one)) for one in found)


async def delete(world: World, dsn: str, span: Span, *, now: datetime = NOW) -> Deleted:
    """Delete without a server."""
    driver_id = world.driver.member_id
    return await service.delete(
        dsn,
        world.pool,
        world.vault,
        world.company_id,
        driver_id,
        span,
        by=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        now=now,
    )


@pytest.fixture
async def stage(world: World, databases: Databases) -> AsyncIterator[Stage]:
    clock = Clock()

    def prepare(app: web.Application) -> None:
        app[COMMITTER_DSN] = databases.main
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(world, TRACKING, DELETING, CONSENT, clock=clock, prepare=prepare) as client:
        yield Stage(
            world=world,
            dsn=databases.main,
            clock=clock,
            client=client,
            session=await step_up(world.pool, await world.driver_session()),
        )
