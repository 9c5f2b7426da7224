"""What a handler does after an act that took something away, and before its answer."""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from server.journal.model import StopUnconfirmed
from server.journal.service import Journal
from server.kit.problem import where
from server.kit.web import COMPANY, now

log = structlog.get_logger(__name__)

JOURNAL: web.AppKey[Journal] = web.AppKey("JOURNAL")
CONFIRM_S_MAX: Final = 2.0
"""How long an answer waits for the key database."""


async def confirm(request: web.Request) -> None:
    """Return once what the caller's company took away stands in the key database as well.

    After the commit, for it changes nothing of that.

    Raises
    ------
    StopUnconfirmed
        The key database did not answer. A job copies it as soon as it does.
    """
    try:
        async with asyncio.timeout(CONFIRM_S_MAX):
            await request.app[JOURNAL].copy(request[COMPANY], now(request))
    except Exception as error:  # noqa: BLE001 - whatever it was, the act stands
        # Only whether a backup could undo it is open.
        log.warning("stop_unconfirmed", **where(error))
        raise StopUnconfirmed from None
