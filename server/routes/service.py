"""Planning routes. The caller owns the transaction."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from geo.plan_fact import refuse_plan
from geo.plane import segment_lengths_m
from geo.types import Floats
from geo.values import Plan as GeoPlan
from server.accounts import service as accounts
from server.credentials.model import MemberMissing, MemberState
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.roads.service import Roads
from server.routes import store, version_store
from server.routes.model import (
    LEAD,
    TAIL,
    AssigneeUnknown,
    Assignment,
    NamedRoute,
    NewRoute,
    Plan,
    PlanUnmeasurable,
    PlanVersionNotFound,
    Route,
    RouteHead,
    RouteNotFound,
    SealedRoute,
    fact_span,
    from_bytes,
    in_turn,
    neighbours,
    refuse_backward_windows,
    refuse_repeated_references,
    span_of,
    to_bytes,
)
from server.vault.model import Category, DataKey, key_id_of
from server.vault.service import Vault
from server.vehicles import service as vehicles

PLAN_SCHEMA: Final = "route.plan"
NAME_SCHEMA: Final = "route.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan that was found to be one, before anything is stored."""

    new: NewRoute
    plan: Plan
    plan_bytes: bytes
    planned_m: float


async def drafted(new: NewRoute) -> Draft:
    """Measure a plan, in a thread: a long line takes its time, and uploads must not wait.

    Raises
    ------
    WindowBackwards, StopReferenceTwice, PlanUnmeasurable
    """
    return await asyncio.to_thread(draft_of, new)


def draft_of(new: NewRoute) -> Draft:
    """Measure a plan. A long line takes its time: it belongs in a thread.

    Raises
    ------
    WindowBackwards, StopReferenceTwice, PlanUnmeasurable
    """
    refuse_backward_windows(new.stops)
    refuse_repeated_references(new.stops)
    plan = Plan(
        stops=tuple(new.stops),
        line=None if new.line is None else tuple(new.line),
        planned_start=new.planned_start,
        by_roads=new.by_roads,
    )
    return Draft(new=new, plan=plan, plan_bytes=to_bytes(plan), planned_m=_planned_m(plan))


async def on_roads(company_id: UUID, draft: Draft, roads: Roads) -> Draft:
    """Give a draft without a line the one of the roads, if a router knows it."""
    if draft.plan.line is not None:
        return draft
    line = await roads.line(company_id, [(stop.lon, stop.lat) for stop in draft.plan.stops])
    if line is None:
        return draft
    try:
        return await drafted(replace(draft.new, line=line, by_roads=True))
    except PlanUnmeasurable:  # the router's line is, not what was asked for
        return draft


async def create(
    conn: Connection, vault: Vault, company_id: UUID, draft: Draft, *, now: datetime
) -> Route:
    """Plan a route; it is version 1 of its plan.

    Raises
    ------
    PlanTooLong, AssigneeUnknown
    """
    made = await outlined(conn, company_id, draft)
    return await store_new(conn, vault, company_id, made, draft, now=now)


async def outlined(conn: Connection, company_id: UUID, draft: Draft) -> RouteHead:
    """Return what a plan would be stored as. Its driver is locked until the transaction ends.

    Raises
    ------
    PlanTooLong, AssigneeUnknown
    """
    new = draft.new
    starts_at, ends_at = await span_planned(conn, company_id, new)
    await refuse_unknown_assignees(
        conn, company_id, driver_id=new.driver_id, vehicle_id=new.vehicle_id
    )
    return RouteHead(
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


async def store_new(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    head: RouteHead,
    draft: Draft,
    *,
    now: datetime,
    import_id: UUID | None = None,
) -> Route:
    """Store what was outlined; ``import_id`` says with which others it came."""
    found = await sealed(vault, company_id, head, draft, now=now)
    await store.insert(conn, company_id, found, now=now, import_id=import_id)
    return Route(head=head, name=draft.new.name, plan=draft.plan)


async def sealed(
    vault: Vault, company_id: UUID, head: RouteHead, draft: Draft, *, now: datetime
) -> SealedRoute:
    """Seal a plan for the version that its head names: it opens as that one only."""
    key = await vault.key(company_id, company_id, Category.PLAN, at=now)
    row_id = head.seal_id
    return SealedRoute(
        head=head,
        name_sealed=key.seal(draft.new.name.encode(), row_id=row_id, schema=NAME_SCHEMA),
        plan_sealed=key.seal(draft.plan_bytes, row_id=row_id, schema=PLAN_SCHEMA),
    )


async def span_planned(
    conn: Connection, company_id: UUID, new: NewRoute
) -> tuple[datetime, datetime]:
    """Return when a plan starts and ends, by the company's clock.

    Raises
    ------
    PlanTooLong
    """
    company = await accounts.company(conn, company_id)
    return span_of(
        new.stops,
        day=new.day,
        planned_start=new.planned_start,
        zone=ZoneInfo(company.time_zone),
    )


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
    found = there(await store.get(conn, company_id, route_id), RouteNotFound)
    return await _found(vault, company_id, found)


async def version(
    conn: Connection, vault: Vault, company_id: UUID, route_id: UUID, plan_version: int
) -> FoundRoute:
    """Read a route as one version of its plan had it; :func:`opened` opens it.

    Raises
    ------
    RouteNotFound, PlanVersionNotFound
    """
    current = there(await store.get(conn, company_id, route_id), RouteNotFound)
    if current.head.plan_version != plan_version:
        before = await version_store.version(conn, company_id, route_id, plan_version)
        current = there(before, PlanVersionNotFound)
    return await _found(vault, company_id, current)


async def _found(vault: Vault, company_id: UUID, found: SealedRoute) -> FoundRoute:
    key_ids = {key_id_of(found.name_sealed), key_id_of(found.plan_sealed)}
    return FoundRoute(sealed=found, keys=await vault.keys(company_id, key_ids))


async def head(conn: Connection, company_id: UUID, route_id: UUID) -> RouteHead:
    """Return what of a route is not sealed.

    Raises
    ------
    RouteNotFound
    """
    return there(await store.get(conn, company_id, route_id), RouteNotFound).head


def opened(found: FoundRoute) -> Route:
    """Open a route. A long line takes its time: it belongs in a thread."""
    of, plan_sealed = found.sealed.head, found.sealed.plan_sealed
    key = found.keys[key_id_of(plan_sealed)]
    return Route(
        head=of,
        name=_name(found.keys, of, found.sealed.name_sealed),
        plan=from_bytes(key.open(plan_sealed, row_id=of.seal_id, schema=PLAN_SCHEMA)),
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
    keys = await vault.keys(company_id, (key_id_of(sealed_name) for _, sealed_name in found))
    return [NamedRoute(head=of, name=_name(keys, of, sealed_name)) for of, sealed_name in found]


async def assigned(conn: Connection, company_id: UUID, *, now: datetime) -> dict[UUID, Assignment]:
    """Return what each driver has to drive now: the :func:`active` routes by driver."""
    return {
        head.driver_id: Assignment(route_id=head.route_id, vehicle_id=head.vehicle_id)
        for head in await active(conn, company_id, now=now)
        if head.driver_id is not None
    }


async def driven(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID], *, now: datetime
) -> dict[UUID, UUID]:
    """Return by driver the route they have to drive now: of those that began, the last."""
    return dict(
        await store.driven(
            conn, company_id, driver_ids, started_before=now, ending_after=now - TAIL
        )
    )


async def going_on(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> list[UUID]:
    """Return all routes of a driver that began and may be driven yet, as they began."""
    found = await store.driven(
        conn, company_id, [driver_id], started_before=now, ending_after=now - TAIL
    )
    return [route_id for _, route_id in found]


async def active(conn: Connection, company_id: UUID, *, now: datetime) -> list[RouteHead]:
    """Return the assigned routes to which a position of now would belong, by start.

    Of each driver at most one.
    """
    heads = await store.under_way(
        conn, company_id, started_before=now + LEAD, ending_after=now - TAIL - LEAD
    )
    days: dict[UUID | None, list[RouteHead]] = defaultdict(list)
    for one in heads:
        days[one.driver_id].append(one)
    found = []
    for day in map(in_turn, days.values()):
        for previous, one, following in zip([None, *day], day, [*day[1:], None], strict=False):
            begin, end = fact_span(one, previous=previous, following=following)
            if begin <= now < end:
                found.append(one)
    return sorted(found, key=lambda one: (one.starts_at, one.route_id))


async def span(conn: Connection, company_id: UUID, of: RouteHead) -> tuple[datetime, datetime]:
    """Return the time whose positions belong to a route; for one without a driver, its own.

    Those that begin at one moment, as without any times all do, are driven together.
    """
    if of.driver_id is None:
        return fact_span(of, previous=None, following=None)
    near = await store.near(conn, company_id, of)
    previous, following = neighbours(of, (one for one in near if one.begins_at != of.begins_at))
    return fact_span(of, previous=previous, following=following)


starts = store.starts
of_import = store.of_import
marks = store.marks


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Take the driver off every route; the routes themselves go on. Return how many."""
    return await store.unassign_driver(conn, company_id, member_id)


def geo_plan(plan: Plan) -> GeoPlan:
    """Return the plan as ``geo`` takes it."""

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
    """Return the plan's length, once geo says that it can be compared with anything."""
    try:
        refuse_plan(geo_plan(plan))
    except ValueError:
        raise PlanUnmeasurable from None
    points = plan.line or tuple((stop.lon, stop.lat) for stop in plan.stops)
    length_m = float(segment_lengths_m(np.array(points)).sum())
    if plan.line is not None and length_m == 0.0:
        raise PlanUnmeasurable
    return length_m


async def refuse_unknown_assignees(
    conn: Connection, company_id: UUID, *, driver_id: UUID | None, vehicle_id: UUID | None
) -> None:
    """Check whom a route is to be given to; the driver is locked until the transaction ends.

    Raises
    ------
    AssigneeUnknown
    """
    if driver_id is not None and not await _may_drive(conn, company_id, driver_id):
        raise AssigneeUnknown("driver_id")
    if vehicle_id is not None and not await vehicles.is_vehicle(conn, company_id, vehicle_id):
        raise AssigneeUnknown("vehicle_id")


async def _may_drive(conn: Connection, company_id: UUID, driver_id: UUID) -> bool:
    try:
        # Locked: an erasure that begins now waits, and then finds this route.
        state = await accounts.state_of(conn, company_id, driver_id)
    except MemberMissing:
        return False
    may = state in (MemberState.ACTIVE, MemberState.INVITED)
    return may and await accounts.is_driver(conn, company_id, driver_id)


def _name(keys: Mapping[UUID, DataKey], of: RouteHead, sealed_name: bytes) -> str:
    key = keys[key_id_of(sealed_name)]
    return key.open(sealed_name, row_id=of.seal_id, schema=NAME_SCHEMA).decode()
