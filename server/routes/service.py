"""Planning routes, and comparing a plan with what happened. The caller owns the transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from geo.lines import DrivenLine, driven_lines
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.plane import Plane, segment_lengths_m
from geo.types import Floats
from geo.values import Plan as GeoPlan
from geo.values import Track
from server.accounts import service as accounts
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.routes import store
from server.routes.model import (
    LEAD,
    TAIL,
    AssigneeUnknown,
    Assignment,
    Availability,
    Plan,
    PlanFactReport,
    PlanUnmeasurable,
    Route,
    RouteHead,
    RouteNotFound,
    Stop,
    fact_span,
    from_bytes,
    refuse_backward_windows,
    span_of,
    to_bytes,
)
from server.tracking import service as tracking
from server.tracking.model import ACCURACY_M, ReadPurpose
from server.vault.model import Category, DataKey, key_id_of
from server.vault.service import Vault

PLAN_SCHEMA: Final = "route.plan"


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


async def create(
    conn: Connection, vault: Vault, company_id: UUID, new: NewRoute, *, now: datetime
) -> Route:
    """Plan a route; it is version 1 of its plan.

    Raises
    ------
    WindowBackwards, PlanTooLong, PlanUnmeasurable, AssigneeUnknown
    """
    refuse_backward_windows(new.stops)
    company = await accounts.company(conn, company_id)
    starts_at, ends_at = span_of(
        new.stops,
        day=new.day,
        planned_start=new.planned_start,
        zone=ZoneInfo(company.time_zone),
    )
    await _refuse_unknown_assignees(conn, company_id, new)
    plan = Plan(
        name=new.name,
        stops=tuple(new.stops),
        line=None if new.line is None else tuple(new.line),
    )
    head = RouteHead(
        route_id=uuid7(),
        date=new.day,
        starts_at=starts_at,
        ends_at=ends_at,
        driver_id=new.driver_id,
        vehicle_id=new.vehicle_id,
        plan_version=1,
        stop_count=len(plan.stops),
        planned_m=_planned_m(plan),
    )
    key = await vault.key(company_id, company_id, Category.PLAN, at=now)
    sealed = key.seal(to_bytes(plan), row_id=head.route_id.bytes, schema=PLAN_SCHEMA)
    await store.insert(conn, company_id, head, plan_sealed=sealed, now=now)
    return Route(head=head, plan=plan)


async def get(conn: Connection, vault: Vault, company_id: UUID, route_id: UUID) -> Route:
    """Return a route with its plan.

    Raises
    ------
    RouteNotFound
    """
    found = await store.get(conn, company_id, route_id)
    if found is None:
        raise RouteNotFound
    return (await _opened(vault, company_id, [found]))[0]


async def page(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    day: date | None,
    driver_id: UUID | None,
    after: UUID | None,
    limit: int,
) -> list[Route]:
    """Return up to ``limit`` routes, newest first, beginning after the one named."""
    found = await store.page(
        conn, company_id, day=day, driver_id=driver_id, after=after, limit=limit
    )
    return await _opened(vault, company_id, found)


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


async def plan_fact(
    conn: Connection, vault: Vault, company_id: UUID, route_id: UUID, *, now: datetime
) -> PlanFactReport:
    """Compare a route's plan with what is known of it at ``now``, for the company's staff.

    Raises
    ------
    RouteNotFound
    """
    route = await get(conn, vault, company_id, route_id)
    company = await accounts.company(conn, company_id)
    availability, track, shared_s, until = await _fact(conn, vault, company_id, route, now=now)
    # Numbers only from here on: another thread keeps the loop free for uploads.
    fact, driven = await asyncio.to_thread(_compare, route.plan, track, shared_s, until)
    return PlanFactReport(
        route=route,
        availability=availability,
        computed_at=now,
        time_zone=company.time_zone,
        fact=fact,
        driven=tuple(driven),
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Take the driver off every route; the routes themselves go on. Return how many."""
    return await store.unassign_driver(conn, company_id, member_id)


async def _fact(
    conn: Connection, vault: Vault, company_id: UUID, route: Route, *, now: datetime
) -> tuple[Availability, Track, Floats, datetime]:
    head = route.head
    begin, end = fact_span(
        head,
        previous=await store.previous(conn, company_id, head),
        following=await store.following(conn, company_id, head),
    )
    until = min(end, now)
    if head.driver_id is None:
        return Availability.NO_DRIVER, _no_track(), np.zeros((0, 2)), until
    if not begin < until:
        return Availability.NO_POSITIONS, _no_track(), np.zeros((0, 2)), until
    found = await tracking.track(
        conn, vault, company_id, head.driver_id, begin, until, purpose=ReadPurpose.PLAN_FACT
    )
    shared_s = np.array(
        [(window.opened_at.timestamp(), window.end.timestamp()) for window in found.windows],
        dtype=np.float64,
    ).reshape(-1, 2)
    track = Track(
        time_s=found.time_s,
        lon_lat=found.lon_lat,
        accuracy_m=found.values[ACCURACY_M],
    )
    return Availability(found.availability.value), track, shared_s, until


def _compare(
    plan: Plan, track: Track, shared_s: Floats, until: datetime
) -> tuple[PlanFact, list[DrivenLine]]:
    geo_plan = _geo_plan(plan)
    until_s = until.timestamp()
    fact = plan_versus_fact(track, geo_plan, shared_s=shared_s, until_s=until_s)
    plane = Plane.around(geo_plan.lon_lat)
    return fact, driven_lines(track, plane, shared_s=shared_s, until_s=until_s)


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
    if new.driver_id is not None and not await accounts.is_driver(conn, company_id, new.driver_id):
        raise AssigneeUnknown("driver_id")
    if new.vehicle_id is not None and not await accounts.is_vehicle(
        conn, company_id, new.vehicle_id
    ):
        raise AssigneeUnknown("vehicle_id")


async def _opened(
    vault: Vault, company_id: UUID, found: Sequence[tuple[RouteHead, bytes]]
) -> list[Route]:
    keys = await vault.keys(company_id, (key_id_of(sealed) for _, sealed in found))
    return [
        Route(head=head, plan=_plan(keys[key_id_of(sealed)], head, sealed))
        for head, sealed in found
    ]


def _plan(key: DataKey, head: RouteHead, sealed: bytes) -> Plan:
    return from_bytes(key.open(sealed, row_id=head.route_id.bytes, schema=PLAN_SCHEMA))


def _no_track() -> Track:
    return Track(time_s=np.zeros(0), lon_lat=np.zeros((0, 2)), accuracy_m=np.zeros(0))
