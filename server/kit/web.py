"""The few verbs every handler uses: transaction, now; and the keys of what the app holds."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from aiohttp import web

from server.kit import db
from server.kit.db import Connection, Pool

Clock: TypeAlias = Callable[[], datetime]

POOL: web.AppKey[Pool] = web.AppKey("POOL")
CLOCK: web.AppKey[Clock] = web.AppKey("CLOCK")
COMPANY: web.RequestKey[UUID] = web.RequestKey("COMPANY")
PURPOSES: web.RequestKey[tuple[StrEnum, ...]] = web.RequestKey("PURPOSES")
"""What the endpoint declares to answer people's locations for; empty: it answers none."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def now(request: web.Request) -> datetime:
    """Read the application's clock. Only entries do; services take ``now`` as a parameter."""
    return request.app[CLOCK]()


@asynccontextmanager
async def transaction(
    request: web.Request, *, readonly: bool = False
) -> AsyncGenerator[Connection]:
    """One request, one transaction of the caller's company: committed on return."""
    pool = request.app[POOL]
    async with db.tenant(pool, request[COMPANY], readonly=readonly) as conn:
        yield conn
