"""The transaction that a handler opens for an act that stops recording."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from aiohttp import web

from server.gate import service
from server.kit.db import Connection
from server.kit.web import COMPANY, POOL


def stopping(
    request: web.Request, driver_id: UUID, at: datetime
) -> AbstractAsyncContextManager[Connection]:
    """Open the transaction of an act of the caller's company that stops a driver's recording.

    In place of ``kit.web.transaction``; see ``gate.service.stopping``, also for what it raises.
    """
    return service.stopping(request.app[POOL], request[COMPANY], driver_id, now=at)
