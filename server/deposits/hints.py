"""Hints to other processes that something was stored. A watcher that misses one also polls."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from server.deposits import store
from server.kit.db import Pool

log = structlog.get_logger(__name__)

HINT_EVERY_S: Final = 0.2
HINT_CHANNEL: Final = "jolda_positions"
"""PostgreSQL NOTIFY; the payload is a company's id, at most once a batch. Only a hint."""


class Hints:
    """Tells other processes which companies have new positions; at most every 200 ms."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._companies: set[UUID] = set()
        self._some = asyncio.Event()

    def add(self, company_id: UUID) -> None:
        self._companies.add(company_id)
        self._some.set()

    async def work(self) -> None:
        """Run until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(HINT_EVERY_S)
            companies, self._companies = sorted(self._companies), set()
            self._some.clear()
            try:
                async with self._pool.acquire() as conn:
                    await store.notify(conn, HINT_CHANNEL, companies)
            except Exception as error:  # noqa: BLE001 - a hint; watchers also poll
                log.warning("hint_lost", error=type(error).__name__)
