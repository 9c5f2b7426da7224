"""Reading what the screens may show now. Purpose: ``dispatch_tracking``, and nothing else.

Positions are opened before the company's barrier is held, and judged again inside it, so that an
act which closes a gate never waits for decrypting.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.alerts import reading as alerts
from server.alerts.model import Standing
from server.credentials import service as credentials
from server.credentials.access import staff
from server.credentials.model import Caller, Scope
from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Connection, Pool
from server.live.model import (
    Crew,
    Fix,
    Fixes,
    RouteNews,
    Sight,
    Topic,
    may_show,
    sights_of,
    still_known,
)
from server.routes import service as routes
from server.routes.changes import PlanMark
from server.routes.model import Assignment
from server.shifts import service as shifts
from server.tracking import service as tracking
from server.tracking.model import MILLISECOND, LatestPosition
from server.vault.service import Vault
from server.vehicles import service as fleet
from server.vehicles.model import Vehicle

LIVE: Final = staff(Scope.LIVE_READ)
"""Who may look."""
PLANS_AHEAD: Final = timedelta(days=1)
PLANS_BACK: Final = timedelta(hours=4)
"""A screen hears of the routes of that time around now: positions may belong to them."""
HEARD: Final = {
    Topic.LIVE: LIVE,
    Topic.ALERTS: staff(Scope.TRACKS_READ),  # they come of tracks
    Topic.ROUTES: staff(Scope.ROUTES_READ),
    Topic.TRACKS: staff(Scope.TRACKS_READ),
}
"""Who of them may hear of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What was read before the barrier. Nothing of it may be sent as it is."""

    fixes: Fixes = field(repr=False)
    assigned: Mapping[UUID, Assignment]
    standing: Standing
    plans: Mapping[UUID, PlanMark]

    @property
    def shown(self) -> dict[Topic, frozenset[UUID]]:
        """Whom there is something to tell of."""
        return {
            Topic.LIVE: frozenset(self.fixes),
            Topic.ALERTS: frozenset(one.driver_id for one in self.standing.values()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the drivers and vehicles are called."""

    drivers: Mapping[UUID, str] = field(repr=False)
    vehicles: Mapping[UUID, Vehicle]


async def glimpse(
    pool: Pool, vault: Vault, company_id: UUID, *, now: datetime, before: Fixes | None = None
) -> Glimpse:
    """Read the newest positions of everybody who may be shown. Opens its own transaction.

    What was in the glimpse ``before`` is opened again only where something newer was stored, or
    where the driver's gate or counter is another than it was then.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        # Counters before positions: what begins or ends meanwhile makes these worthless later.
        crews = await _crews(conn, company_id, now)
        gates = await gate.read_all(conn, company_id)
        watched = [
            one
            for one in gates
            if one.driver_id in crews and may_show(one, crews[one.driver_id], now)
        ]
        found = await _newest(conn, vault, company_id, watched, crews, before or {}, now=now)
        assigned = await routes.assigned(conn, company_id, now=now)
        standing = await alerts.standing(conn, company_id, now=now)
        plans = await routes.marks(
            conn, company_id, started_before=now + PLANS_AHEAD, ending_after=now - PLANS_BACK
        )
    return Glimpse(
        fixes={
            driver_id: Fix(position=position, epoch=crews[driver_id].epoch)
            for driver_id, position in found.items()
        },
        assigned=assigned,
        standing=standing,
        plans=plans,
    )


async def _newest(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    watched: Collection[Gate],
    crews: Mapping[UUID, Crew],
    before: Fixes,
    *,
    now: datetime,
) -> dict[UUID, LatestPosition]:
    known: dict[UUID, LatestPosition] = {}
    newer: list[tuple[Gate, datetime]] = []
    others: list[Gate] = []
    for one in watched:
        fix = before.get(one.driver_id)
        if fix is None or not still_known(fix, one, crews[one.driver_id], now):
            others.append(one)
        else:
            known[one.driver_id] = fix.position
            newer.append((one, fix.position.recorded_at + MILLISECOND))
    opened = await tracking.latest_positions(conn, vault, company_id, others, now=now)
    renewed = await tracking.latest_since(conn, vault, company_id, newer, now=now)
    return {**known, **opened, **renewed}


async def judged(
    conn: Connection, company_id: UUID, glimpsed: Glimpse, *, now: datetime
) -> tuple[dict[UUID, Sight], dict[UUID, Crew]]:
    """Return what may be shown by the gates as they are now; inside :func:`gate.frames` only."""
    gates = await gate.read_all(conn, company_id)
    crews = await _crews(conn, company_id, now)
    sights = sights_of(gates, crews, glimpsed.fixes, glimpsed.assigned, now=now)
    return sights, crews


def route_news(
    before: Mapping[UUID, PlanMark],
    after: Mapping[UUID, PlanMark],
    *,
    since: datetime,
    now: datetime,
) -> list[RouteNews]:
    """Return what became of routes. ``since``: nothing that was planned earlier is new.

    That the time of a route comes near, or is long over, is no change of it.
    """
    found = []
    for route_id, mark in after.items():
        was = before.get(route_id)
        if mark.changed_at >= since if was is None else was != mark:
            found.append(RouteNews(route_id=route_id, plan_version=mark.plan_version))
    gone = [one for one in before if one not in after and before[one].ends_at >= now - PLANS_BACK]
    return [*found, *(RouteNews(route_id=route_id, plan_version=None) for route_id in gone)]


async def let_in(
    conn: Connection, company_id: UUID, digests: Collection[bytes], *, now: datetime
) -> dict[bytes, frozenset[Topic]]:
    """Return what these sessions and API tokens may hear of at this moment."""
    callers = await credentials.callers_of_screens(conn, company_id, digests, now=now)
    return {digest: topics_of(caller) for digest, caller in callers.items()}


def topics_of(caller: Caller) -> frozenset[Topic]:
    """Return what the caller may hear of."""
    if not LIVE.permits(caller):
        return frozenset()
    return frozenset(topic for topic, access in HEARD.items() if access.permits(caller))


async def names(conn: Connection, vault: Vault, company_id: UUID) -> Names:
    """Return the names of all drivers whose account is active, and of all vehicles."""
    gates = await gate.read_all(conn, company_id)
    driver_ids = [one.driver_id for one in gates if one.account_active]
    vehicles, _ = await fleet.vehicles(conn, company_id)
    return Names(
        drivers=await accounts.names(conn, vault, company_id, driver_ids),
        vehicles={one.vehicle_id: one for one in vehicles},
    )


async def _crews(conn: Connection, company_id: UUID, at: datetime) -> dict[UUID, Crew]:
    """Return every driver of the company, without any position."""
    states = await accounts.driver_states(conn, company_id)
    recording = await gate.drivers_in_a_window(conn, company_id, at)
    at_work = await shifts.drivers_at_work(conn, company_id, at)
    # Last: an act that commits in between is told at once and whole, whichever it is.
    epochs = await gate.screen_epochs(conn, company_id, at)
    return {
        driver_id: Crew(
            state=state,
            in_window=driver_id in recording,
            at_work=driver_id in at_work,
            epoch=epochs.get(driver_id, 0),
        )
        for driver_id, state in states.items()
    }
