"""The transaction that a handler opens for an act that stops recording."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from aiohttp import web

from server.gate import service
from server.journal.web import confirm
from server.kit.db import Connection
from server.kit.web import COMPANY, POOL


@asynccontextmanager
async def stopping(
    request: web.Request, driver_id: UUID, at: datetime
) -> AsyncGenerator[Connection]:
    """Open the transaction of an act of the caller's company that stops a driver's recording.

    In place of ``kit.web.transaction``; see ``gate.service.stopping``. When the block is over, no
    backup undoes the act either.

    Raises
    ------
    GateMissing
    StopUnconfirmed
        The act is done, but a backup of before would undo it until the key database answers.
    """
    async with service.stopping(request.app[POOL], request[COMPANY], driver_id, now=at) as conn:
        yield conn
    await confirm(request)
