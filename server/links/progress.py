"""What the report of a route says of its stops, kept for half a minute: many customers ask."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Final, TypeAlias
from uuid import UUID

from server.gate.handover import Turns
from server.kit import db
from server.kit.db import Pool
from server.links.model import Progress
from server.reports import drawing
from server.reports import service as reports
from server.reports.service import Gathered
from server.routes import service as routes
from server.routes.service import FoundRoute
from server.vault.service import Vault

KEPT_S: Final = 30.0
ROUTES_MAX: Final = 2_000
AT_ONCE_MAX: Final = 1
WAITING_MAX: Final = 200

_Key: TypeAlias = tuple[UUID, UUID, bool]


class ProgressReports:
    """Makes each route's progress once, however many ask for it, and again when it is old.

    No position is kept. What was made of positions is only used while the gate is the one that it
    was made under: see ``model.tracked``.
    """

    def __init__(
        self, pool: Pool, vault: Vault, *, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._clock_s = clock_s
        self._turns = Turns(AT_ONCE_MAX, waiting_max=WAITING_MAX)
        self._made: OrderedDict[_Key, tuple[float, asyncio.Task[Progress]]] = OrderedDict()

    async def of(
        self, company_id: UUID, route_id: UUID, *, reported: bool, now: datetime
    ) -> Progress:
        """Return the route's progress, at most half a minute old.

        Unless it is ``reported``, nothing is read of where the driver is: only the plan is known.

        Raises
        ------
        ReadsBusy, RouteNotFound, TrackTooLong
        """
        key = (company_id, route_id, reported)
        made = self._made.get(key)
        if made is None or self._clock_s() - made[0] >= KEPT_S or _failed(made[1]):
            made = (self._clock_s(), asyncio.create_task(self._make(key, now)))
            self._made[key] = made
            self._made.move_to_end(key)
            while len(self._made) > ROUTES_MAX:
                self._made.popitem(last=False)
        # One who stops waiting must not take it from the others.
        return await asyncio.shield(made[1])

    async def _make(self, key: _Key, now: datetime) -> Progress:
        company_id, route_id, reported = key
        async with self._turns.one():
            if not reported:
                async with db.tenant(self._pool, company_id, readonly=True) as conn:
                    route = await routes.find(conn, self._vault, company_id, route_id)
                return await asyncio.to_thread(_planned, route)
            async with db.tenant(self._pool, company_id, readonly=True) as conn:
                found = await reports.gather(
                    conn, self._vault, company_id, route_id, anew=True, now=now
                )
            return await asyncio.to_thread(_reported, found)


def _failed(task: "asyncio.Task[Progress]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _planned(found: FoundRoute) -> Progress:
    stops = routes.opened(found).plan.stops
    return Progress(
        stops={stop.stop_id: stop for stop in stops},
        arrived=frozenset(),
        deviation_s=None,
        gate=None,
    )


def _reported(found: Gathered) -> Progress:
    report = drawing.compared(found)
    stops = report.route.plan.stops
    gate = found.fence(report.availability)
    return Progress(
        stops={stop.stop_id: stop for stop in stops},
        arrived=frozenset(
            stop.stop_id
            for stop, fact in zip(stops, report.fact.stops, strict=True)
            if gate is not None and fact.status == "visited"
        ),
        deviation_s=None if gate is None else report.fact.progress.deviation_s,
        gate=gate,
    )
