"""Uploads over HTTP, to a committer of the production role."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from server.kit.http_connection import Limits
from server.kit.http_server import Address
from server.kit.wire import rfc3339
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import Clock, bearer, serve
from tests.world import NOW, Driver, World


def positions(
    count: int, *, until: datetime = NOW, step_s: float = 10, **values: Any
) -> list[dict[str, Any]]:
    """Return positions that end at ``until``, oldest first."""
    return [
        {
            "recorded_at": rfc3339(until - timedelta(seconds=step_s * (count - 1 - place))),
            "lat": round(51.1 + place / 10_000, 7),
            "lon": round(71.4 - place / 10_000, 7),
            **values,
        }
        for place in range(count)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The endpoints of positions on a real socket."""

    client: ClientSession
    world: World
    clock: Clock

    @property
    def address(self) -> Address:
        """Where the server really is: for who speaks to it without a client."""
        url = self.client._base_url  # noqa: SLF001 - aiohttp has no other name for it
        if url is None or url.host is None or url.port is None:
            raise RuntimeError("the client knows no server")
        return Address(url.host, url.port)

    async def post(
        self, body: Any, *, driver: Driver | None = None, token: str | None = None
    ) -> tuple[int, Any]:
        secret = token or (driver or self.world.driver).device_token
        async with self.client.post("/v1/positions", json=body, headers=bearer(secret)) as answer:
            return answer.status, await answer.json(content_type=None)

    async def upload(self, sent: list[dict[str, Any]], **members: Any) -> Any:
        driver = members.pop("driver", None)
        status, answer = await self.post({"positions": sent, **members}, driver=driver)
        assert status == 200, answer
        return answer

    async def rows(self) -> int:
        count: int = await self.world.owner.fetchval("SELECT count(*) FROM chunk")
        return count


@asynccontextmanager
async def uploading(
    world: World, databases: Databases, *, limits: Limits | None = None
) -> AsyncGenerator[Api]:
    """Serve the endpoints of positions for as long as the block lasts."""
    clock = Clock()
    async with serve(
        world,
        TRACKING,
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
        limits=limits,
    ) as client:
        yield Api(client=client, world=world, clock=clock)
