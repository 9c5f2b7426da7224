"""Routes over HTTP: planning, reading, plan versus fact."""

import asyncio
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import VAULT, staff
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.drawing import in_thread
from server.gate.handover import Drawn, ReadsBusy
from server.kit.api import endpoint
from server.kit.ids import uuid7
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Latitude, Longitude, Page, Text, Wire
from server.reads.model import ReadPurpose, Screen
from server.routes import service
from server.routes.model import (
    LINE_POINTS_MAX,
    STOPS_MAX,
    AssigneeUnknown,
    Availability,
    NamedRoute,
    PlanTooLong,
    PlanUnmeasurable,
    Route,
    RouteNotFound,
    Stop,
    WindowBackwards,
)
from server.routes.report import PlanFactView, rendered
from server.routes.service import Gathered, NewRoute
from server.tracking.model import TrackTooLong

ROUTE_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
Point = Annotated[tuple[Longitude, Latitude], Field(description="[longitude, latitude]")]
Line = Annotated[list[Point], Field(min_length=2, max_length=LINE_POINTS_MAX)]
# Bounded so that arithmetic on a day near it stays in range.
Day = Annotated[date, Field(ge=date(2000, 1, 2), le=date(2099, 12, 30), strict=False)]


class NewStop(Wire):
    name: Annotated[str, Text(200)]
    lat: Latitude
    lon: Longitude
    radius_m: float = Field(50, ge=5, le=5000)
    service_s: float = Field(0, ge=0, le=86_400)
    planned_arrival: Instant | None = None
    window_start: Instant | None = None
    window_end: Instant | None = None


class RoutePlan(Wire):
    name: Annotated[str, Text(200)]
    date: Day
    driver_id: UUID | None = None
    vehicle_id: UUID | None = None
    planned_start: Instant | None = None
    stops: list[NewStop] = Field(min_length=1, max_length=STOPS_MAX)
    line: Line | None = Field(None, description="The planned road; without it legs are straight.")


class StopView(Wire):
    stop_id: UUID
    seq: int
    name: str
    lat: float
    lon: float
    radius_m: float
    service_s: float
    planned_arrival: Instant | None
    window_start: Instant | None
    window_end: Instant | None


class RouteSummary(Wire):
    route_id: UUID
    name: str
    date: date
    starts_at: Instant
    ends_at: Instant
    driver_id: UUID | None
    vehicle_id: UUID | None
    stop_count: int
    planned_m: float
    plan_version: int


class RouteView(RouteSummary):
    stops: list[StopView]
    line: list[tuple[float, float]] | None


class RouteQuery(Wire):
    date: Day | None = None
    driver_id: UUID | None = None
    cursor: UUID | None = Field(None, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=200)


@endpoint(
    "POST",
    "/v1/routes",
    access=staff(Scope.ROUTES_WRITE),
    status=HTTPStatus.CREATED,
    raises=(WindowBackwards, PlanTooLong, PlanUnmeasurable, AssigneeUnknown),
    body_bytes_max=ROUTE_BODY_BYTES_MAX,
)
async def create_route(request: web.Request, body: RoutePlan) -> RouteView:
    """Plan a route.

    Stops stand in the order in which they are to be driven to. The plan is sealed; only its
    times, its length and whom it is assigned to are stored in clear.
    """
    new = NewRoute(
        name=body.name,
        day=body.date,
        driver_id=body.driver_id,
        vehicle_id=body.vehicle_id,
        planned_start=body.planned_start,
        stops=[Stop(stop_id=uuid7(), **dict(stop)) for stop in body.stops],
        line=body.line,
    )
    draft = await service.drafted(new)
    async with transaction(request) as conn:
        route = await service.create(
            conn, request.app[VAULT], request[COMPANY], draft, now=now(request)
        )
    return await asyncio.to_thread(_view, route)


@endpoint("GET", "/v1/routes", access=staff(Scope.ROUTES_READ))
async def list_routes(request: web.Request, query: RouteQuery) -> Page[RouteSummary]:
    """List routes, newest first, of a day or a driver."""
    async with transaction(request, readonly=True) as conn:
        routes = await service.page(
            conn,
            request.app[VAULT],
            request[COMPANY],
            day=query.date,
            driver_id=query.driver_id,
            after=query.cursor,
            limit=query.limit,
        )
    full = len(routes) == query.limit
    return Page[RouteSummary](
        items=[_summary(route) for route in routes],
        next_cursor=str(routes[-1].head.route_id) if full else None,
    )


@endpoint("GET", "/v1/routes/{route_id}", access=staff(Scope.ROUTES_READ), raises=(RouteNotFound,))
async def get_route(request: web.Request, route_id: UUID) -> RouteView:
    """Read a route with its stops and its line."""
    async with transaction(request, readonly=True) as conn:
        found = await service.find(conn, request.app[VAULT], request[COMPANY], route_id)
    return await asyncio.to_thread(lambda: _view(service.opened(found)))


@endpoint(
    "GET",
    "/v1/routes/{route_id}/plan-fact",
    access=staff(Scope.TRACKS_READ),
    answer=PlanFactView,
    raises=(RouteNotFound, TrackTooLong, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def get_plan_fact(request: web.Request, route_id: UUID) -> web.StreamResponse:
    """Compare a route's plan with what happened, as far as it is known now.

    Positions are read for the purpose `plan_fact`: without the driver's consent to it the
    report has no fact, and never says why.
    """

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.gather(
                conn, request.app[VAULT], request[COMPANY], route_id, now=now(request)
            )
        # The connection is back by here: uploads and withdrawals wait for no report.
        return await in_thread(_drawn, found)

    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.ROUTE_REPORT)
    return await handover.answer(request, seen, draw)


def _drawn(found: Gathered) -> Drawn:
    report = service.compared(found)
    gate = None if found.track is None else found.track.gate
    refused = gate if report.availability is Availability.NOT_SHARED else None
    return Drawn(
        body=rendered(report).model_dump_json().encode(),
        gate=gate if report.availability is Availability.FULL else None,
        refused=None if refused is None else refused.driver_id,
    )


def _summary(route: NamedRoute) -> RouteSummary:
    head = route.head
    return RouteSummary(
        route_id=head.route_id,
        name=route.name,
        date=head.date,
        starts_at=head.starts_at,
        ends_at=head.ends_at,
        driver_id=head.driver_id,
        vehicle_id=head.vehicle_id,
        stop_count=head.stop_count,
        planned_m=head.planned_m,
        plan_version=head.plan_version,
    )


def _view(route: Route) -> RouteView:
    return RouteView(
        **dict(_summary(route)),
        stops=[StopView(seq=seq, **asdict(stop)) for seq, stop in enumerate(route.plan.stops)],
        line=None if route.plan.line is None else list(route.plan.line),
    )


ENDPOINTS: Final = (create_route, list_routes, get_route, get_plan_fact)
