"""Planning routes, and comparing a plan with what happened. The caller owns the transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from geo.lines import driven_lines
from geo.plan_fact import plan_versus_fact
from geo.plane import Plane, segment_lengths_m
from geo.types import Floats
from geo.values import Plan as GeoPlan
from geo.values import Track
from server.accounts import service as accounts
from server.credentials.model import MemberMissing, MemberState
from server.gate.model import GateMissing
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.routes import store
from server.routes.model import (
    LEAD,
    TAIL,
    AssigneeUnknown,
    Assignment,
    Availability,
    NamedRoute,
    Plan,
    PlanFactReport,
    PlanUnmeasurable,
    Route,
    RouteHead,
    RouteNotFound,
    SealedRoute,
    Stop,
    fact_span,
    from_bytes,
    refuse_backward_windows,
    span_of,
    to_bytes,
)
from server.tracking import service as tracking
from server.tracking.model import TrackPurpose
from server.tracking.service import SealedTrack
from server.vault.model import Category, DataKey, key_id_of
from server.vault.service import Vault
from server.vehicles import service as vehicles

PLAN_SCHEMA: Final = "route.plan"
NAME_SCHEMA: Final = "route.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoute:
    """A plan as it was asked for. ``line`` is [lon, lat]; None means straight legs."""

    name: str
    day: date
    driver_id: UUID | None
    vehicle_id: UUID | None
    planned_start: datetime | None
    stops: Sequence[Stop]
    line: Sequence[tuple[float, float]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan that was found to be one, before anything is stored."""

    new: NewRoute
    plan: Plan
    plan_bytes: bytes
    planned_m: float


async def drafted(new: NewRoute) -> Draft:
    """Measure a plan, in a thread: a long line takes a second, and uploads must not wait.

    Raises
    ------
    WindowBackwards, PlanUnmeasurable
    """
    return await asyncio.to_thread(_drafted, new)


def _drafted(new: NewRoute) -> Draft:
    refuse_backward_windows(new.stops)
    plan = Plan(stops=tuple(new.stops), line=None if new.line is None else tuple(new.line))
    return Draft(new=new, plan=plan, plan_bytes=to_bytes(plan), planned_m=_planned_m(plan))


async def create(
    conn: Connection, vault: Vault, company_id: UUID, draft: Draft, *, now: datetime
) -> Route:
    """Plan a route; it is version 1 of its plan.

    Raises
    ------
    PlanTooLong, AssigneeUnknown
    """
    new = draft.new
    company = await accounts.company(conn, company_id)
    starts_at, ends_at = span_of(
        new.stops,
        day=new.day,
        planned_start=new.planned_start,
        zone=ZoneInfo(company.time_zone),
    )
    await _refuse_unknown_assignees(conn, company_id, new)
    head = RouteHead(
        route_id=uuid7(),
        date=new.day,
        starts_at=starts_at,
        ends_at=ends_at,
        driver_id=new.driver_id,
        vehicle_id=new.vehicle_id,
        plan_version=1,
        stop_count=len(draft.plan.stops),
        planned_m=draft.planned_m,
    )
    key = await vault.key(company_id, company_id, Category.PLAN, at=now)
    row_id = head.route_id.bytes
    sealed = SealedRoute(
        head=head,
        name_sealed=key.seal(new.name.encode(), row_id=row_id, schema=NAME_SCHEMA),
        plan_sealed=key.seal(draft.plan_bytes, row_id=row_id, schema=PLAN_SCHEMA),
    )
    await store.insert(conn, company_id, sealed, now=now)
    return Route(head=head, name=new.name, plan=draft.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRoute:
    """A route that was read, and what opens it: that needs no database."""

    sealed: SealedRoute
    keys: Mapping[UUID, DataKey] = field(repr=False)


async def find(conn: Connection, vault: Vault, company_id: UUID, route_id: UUID) -> FoundRoute:
    """Read a route; :func:`opened` opens it.

    Raises
    ------
    RouteNotFound
    """
    sealed = there(await store.get(conn, company_id, route_id), RouteNotFound)
    key_ids = {key_id_of(sealed.name_sealed), key_id_of(sealed.plan_sealed)}
    return FoundRoute(sealed=sealed, keys=await vault.keys(company_id, key_ids))


def opened(found: FoundRoute) -> Route:
    """Open a route. A long line takes its time: it belongs in a thread."""
    head, sealed = found.sealed.head, found.sealed.plan_sealed
    key = found.keys[key_id_of(sealed)]
    return Route(
        head=head,
        name=_name(found.keys, head, found.sealed.name_sealed),
        plan=from_bytes(key.open(sealed, row_id=head.route_id.bytes, schema=PLAN_SCHEMA)),
    )


async def page(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    day: date | None,
    driver_id: UUID | None,
    after: UUID | None,
    limit: int,
) -> list[NamedRoute]:
    """Return up to ``limit`` routes, newest first, beginning after the one named."""
    found = await store.page(
        conn, company_id, day=day, driver_id=driver_id, after=after, limit=limit
    )
    keys = await vault.keys(company_id, (key_id_of(sealed) for _, sealed in found))
    return [NamedRoute(head=head, name=_name(keys, head, sealed)) for head, sealed in found]


async def assigned(conn: Connection, company_id: UUID, *, now: datetime) -> dict[UUID, Assignment]:
    """Return what each driver has to drive now; of several, the one that began last."""
    heads = await store.under_way(
        conn, company_id, started_before=now + LEAD, ending_after=now - TAIL
    )
    return {
        head.driver_id: Assignment(route_id=head.route_id, vehicle_id=head.vehicle_id)
        for head in heads
        if head.driver_id is not None
    }


async def driven(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID], *, now: datetime
) -> dict[UUID, UUID]:
    """Return by driver the route they have to drive now: of those that started, the last."""
    return await store.driven(
        conn, company_id, driver_ids, started_before=now, ending_after=now - TAIL
    )


starts = store.starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that a report is made of: comparing needs no database."""

    route: FoundRoute
    time_zone: str
    computed_at: datetime
    until: datetime
    availability: Availability
    """Of the fact, as far as it is known before the track is opened."""
    track: SealedTrack | None
    """None: the route has no driver, or no time of it has passed."""


async def gather(
    conn: Connection, vault: Vault, company_id: UUID, route_id: UUID, *, now: datetime
) -> Gathered:
    """Read what is known of a route at ``now``, for the company's staff.

    Raises
    ------
    RouteNotFound, TrackTooLong
    """
    route = await find(conn, vault, company_id, route_id)
    head = route.sealed.head
    company = await accounts.company(conn, company_id)
    begin, end = fact_span(
        head,
        previous=await store.previous(conn, company_id, head),
        following=await store.following(conn, company_id, head),
    )
    until = min(end, now)
    availability, track = Availability.NO_POSITIONS, None
    if head.driver_id is None:
        availability = Availability.NO_DRIVER
    elif begin < until:
        try:
            track = await tracking.gather(
                conn,
                vault,
                company_id,
                head.driver_id,
                begin,
                until,
                purpose=TrackPurpose.PLAN_FACT,
                now=now,
            )
        except GateMissing:  # erased just now
            availability = Availability.NO_DRIVER
    return Gathered(
        route=route,
        time_zone=company.time_zone,
        computed_at=now,
        until=until,
        availability=availability,
        track=track,
    )


def compared(found: Gathered) -> PlanFactReport:
    """Compare the plan with what was gathered. Numbers only, and many: it belongs in a thread."""
    route = opened(found.route)
    availability, track, shared_s = found.availability, _no_track(), np.zeros((0, 2))
    if found.track is not None:
        fixes = tracking.opened(found.track)
        availability = Availability(fixes.availability.value)
        track = Track(time_s=fixes.time_s, lon_lat=fixes.lon_lat, accuracy_m=fixes.accuracy_m)
        shared_s = np.array(
            [(window.opened_at.timestamp(), window.end.timestamp()) for window in fixes.windows],
            dtype=np.float64,
        ).reshape(-1, 2)
    geo_plan, until_s = _geo_plan(route.plan), found.until.timestamp()
    return PlanFactReport(
        route=route,
        availability=availability,
        computed_at=found.computed_at,
        time_zone=found.time_zone,
        fact=plan_versus_fact(track, geo_plan, shared_s=shared_s, until_s=until_s),
        driven=tuple(
            driven_lines(track, Plane.around(geo_plan.lon_lat), shared_s=shared_s, until_s=until_s)
        ),
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Take the driver off every route; the routes themselves go on. Return how many."""
    return await store.unassign_driver(conn, company_id, member_id)


def _geo_plan(plan: Plan) -> GeoPlan:
    def seconds(moments: list[datetime | None]) -> Floats:
        return np.array([np.nan if at is None else at.timestamp() for at in moments])

    return GeoPlan(
        lon_lat=np.array([(stop.lon, stop.lat) for stop in plan.stops]),
        radius_m=np.array([stop.radius_m for stop in plan.stops]),
        service_s=np.array([stop.service_s for stop in plan.stops]),
        planned_arrival_s=seconds([stop.planned_arrival for stop in plan.stops]),
        window_from_s=seconds([stop.window_start for stop in plan.stops]),
        window_to_s=seconds([stop.window_end for stop in plan.stops]),
        line=None if plan.line is None else np.array(plan.line),
    )


def _planned_m(plan: Plan) -> float:
    """Return the plan's length, by letting geo judge the plan before it is stored."""
    try:
        plan_versus_fact(_no_track(), _geo_plan(plan), shared_s=np.zeros((0, 2)), until_s=0.0)
    except ValueError:
        raise PlanUnmeasurable from None
    points = plan.line or tuple((stop.lon, stop.lat) for stop in plan.stops)
    return float(segment_lengths_m(np.array(points)).sum())


async def _refuse_unknown_assignees(conn: Connection, company_id: UUID, new: NewRoute) -> None:
    if new.driver_id is not None and not await _may_drive(conn, company_id, new.driver_id):
        raise AssigneeUnknown("driver_id")
    if new.vehicle_id is not None and not await vehicles.is_vehicle(
        conn, company_id, new.vehicle_id
    ):
        raise AssigneeUnknown("vehicle_id")


async def _may_drive(conn: Connection, company_id: UUID, driver_id: UUID) -> bool:
    try:
        # Locked: an erasure that begins now waits, and then finds this route.
        state = await accounts.state_of(conn, company_id, driver_id)
    except MemberMissing:
        return False
    may = state in (MemberState.ACTIVE, MemberState.INVITED)
    return may and await accounts.is_driver(conn, company_id, driver_id)


def _name(keys: Mapping[UUID, DataKey], head: RouteHead, sealed: bytes) -> str:
    key = keys[key_id_of(sealed)]
    return key.open(sealed, row_id=head.route_id.bytes, schema=NAME_SCHEMA).decode()


def _no_track() -> Track:
    return Track(time_s=np.zeros(0), lon_lat=np.zeros((0, 2)), accuracy_m=np.zeros(0))
