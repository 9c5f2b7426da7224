"""Counting what was refused, so that a phone that floods holds one connection at most."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Final, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from server.kit import db
from server.kit.db import Pool
from server.tracking import store
from server.tracking.acceptance import count_by_reason
from server.tracking.model import Refusal

log = structlog.get_logger(__name__)

STATEMENTS_MAX: Final = 4

_Place: TypeAlias = tuple[UUID, UUID, date]


class RefusalCounts:
    """The counters of one process: a driver has at most one statement in flight.

    What is refused meanwhile goes together in the next one.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[_Place, Counter[str]] = {}
        self._turns: WeakValueDictionary[_Place, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(STATEMENTS_MAX)

    async def add(
        self, company_id: UUID, driver_id: UUID, day: date, refused: Sequence[Refusal]
    ) -> None:
        """Count the refusals; return when they are stored, or failed to be (which is logged)."""
        place = (company_id, driver_id, day)
        counts = {reason.value: count for reason, count in count_by_reason(refused).items()}
        self._pending.setdefault(place, Counter()).update(counts)
        async with self._turns.setdefault(place, asyncio.Lock()):
            if place not in self._pending:  # who had the turn before took ours along
                return
            async with self._slots:
                await self._write(place, self._pending.pop(place))

    async def _write(self, place: _Place, counts: Counter[str]) -> None:
        company_id, driver_id, day = place
        try:
            async with db.tenant(self._pool, company_id) as conn:
                await store.count_refusals(conn, company_id, driver_id, day, counts)
        except Exception as error:  # noqa: BLE001 - a counter must not undo what was acknowledged
            log.warning("refusals_not_counted", error=type(error).__name__)
