"""Waits for what PostgreSQL knows and tells nobody. To sleep instead would be to assume a time."""

import asyncio
from typing import Final

from server.kit.db import Connection

WAITED_S_MAX: Final = 60.0
ASKED_EVERY_S: Final = 0.005
A_LOCK: Final = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = $1
    )
"""
A_ROW: Final = "transactionid"
"""What whoever wants a locked row waits for: the end of the transaction that holds it."""
THE_BARRIER: Final = "advisory"
LEASE_WITHOUT_END_MS: Final = 60_000
"""In place of the barrier's lease, where a test is about the order and not about the time."""


async def until(conn: Connection, question: str, *args: object) -> None:
    """Return when the answer is true."""
    async with asyncio.timeout(WAITED_S_MAX):
        while not await conn.fetchval(question, *args):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(ASKED_EVERY_S)


async def until_somebody_waits_for(conn: Connection, what: str) -> None:
    """Return when a session of this database waits for a lock of that kind."""
    await until(conn, A_LOCK, what)
