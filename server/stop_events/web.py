"""The driver's day over HTTP: its routes, and what the driver says of their stops."""

import asyncio
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import DRIVER, VAULT, me, staff
from server.credentials.model import Scope
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, PageQuery, ProfileText, Wire
from server.routes.model import RouteNotFound
from server.routes.wire import StopView
from server.shifts.model import AccountNotActive
from server.stop_events import service
from server.stop_events.model import (
    TEXT_CHARS_MAX,
    Day,
    EventKind,
    Said,
    StopEvent,
    StopEventBlank,
    StopEventDiffers,
    StopEventsTooMany,
    StopEventTimeInvalid,
    StopOfRouteMissing,
    StopState,
)
from server.stop_events.service import OwnRoute, OwnStop
from server.vault.model import SubjectErased


class NewStopEvent(Wire):
    event_id: UUID = Field(description="Made by the phone; the same event again has the same.")
    route_id: UUID
    type: EventKind
    at: Instant
    text: Annotated[str, ProfileText(TEXT_CHARS_MAX, lines=True)] | None = Field(
        None, description="A comment needs one."
    )


class OwnEventView(Wire):
    event_id: UUID
    type: EventKind
    at: Instant
    received_at: Instant
    text: str | None


class StopEventView(OwnEventView):
    stop_event_id: UUID
    driver_id: UUID
    stop_id: UUID


class OwnStopView(StopView):
    state: StopState
    arrived_at: Instant | None
    done_at: Instant | None
    failed_at: Instant | None
    events: list[OwnEventView] = Field(description="What the driver said, as it was received.")


class OwnRouteView(Wire):
    route_id: UUID
    name: str
    date: date
    starts_at: Instant
    ends_at: Instant
    cancelled_at: Instant | None = Field(description="From then on it is not to be driven.")
    vehicle_id: UUID | None
    plan_version: int
    stops: list[OwnStopView]


class DayView(Wire):
    """The driver's day."""

    server_now: Instant
    date: date
    display_time_zone: str
    routes: list[OwnRouteView]


@endpoint("GET", "/v1/me/today", access=DRIVER, raises=(AccountNotActive,))
async def read_today(request: web.Request) -> DayView:
    """Read one's routes of today with their stops, and what one said of them.

    Of the company's day, by its time zone; and a route of the day before that still goes on. What
    another driver of the route was done with before shows as done, and not who said it.
    """
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found = await service.today(conn, request.app[VAULT], request[COMPANY], me(request), now=at)
    routes = await asyncio.to_thread(service.opened, found)
    return _day(found.day, routes, at)


@endpoint(
    "POST",
    "/v1/me/stops/{stop_id}/events",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(
        RouteNotFound,
        StopOfRouteMissing,
        StopEventBlank,
        StopEventTimeInvalid,
        StopEventDiffers,
        StopEventsTooMany,
        AccountNotActive,
        SubjectErased,
    ),
)
async def report_stop_event(
    request: web.Request, *, stop_id: UUID, body: NewStopEvent
) -> OwnEventView:
    """Say that one arrived at a stop, is done or could not be; or comment on it.

    Needs no consent to location, and holds no place but the stop's. The same event sent again is
    answered as the first time.
    """
    at = now(request)
    said = Said(
        event_id=body.event_id,
        route_id=body.route_id,
        stop_id=stop_id,
        kind=body.type,
        at=body.at,
        text=body.text,
    )
    async with transaction(request) as conn:
        event = await service.report(
            conn, request.app[VAULT], request[COMPANY], me(request), said, now=at
        )
    return _own_event(event)


@endpoint(
    "GET",
    "/v1/routes/{route_id}/stop-events",
    access=staff(Scope.ROUTES_READ),
    raises=(RouteNotFound, CursorInvalid),
)
async def list_stop_events(
    request: web.Request, *, route_id: UUID, query: PageQuery
) -> Page[StopEventView]:
    """List what drivers said of the stops of a route, as it was received."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.of_route(
            conn,
            request.app[VAULT],
            request[COMPANY],
            route_id,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[_event(one) for one in found], next_cursor=following)


def _day(day: Day, routes: list[OwnRoute], at: Instant) -> DayView:
    return DayView(
        server_now=at,
        date=day.date,
        display_time_zone=day.time_zone,
        routes=[_route(one) for one in routes],
    )


def _route(own: OwnRoute) -> OwnRouteView:
    head = own.route.head
    return OwnRouteView(
        route_id=head.route_id,
        name=own.route.name,
        date=head.date,
        starts_at=head.starts_at,
        ends_at=head.ends_at,
        cancelled_at=head.cancelled_at,
        vehicle_id=head.vehicle_id,
        plan_version=head.plan_version,
        stops=[_stop(seq, one) for seq, one in enumerate(own.stops)],
    )


def _stop(seq: int, own: OwnStop) -> OwnStopView:
    return OwnStopView(
        seq=seq,
        **asdict(own.stop),
        **asdict(own.taps),
        state=own.taps.state,
        events=[_own_event(one) for one in own.events],
    )


def _own_event(event: StopEvent) -> OwnEventView:
    return OwnEventView(
        event_id=event.said.event_id,
        type=event.said.kind,
        at=event.said.at,
        received_at=event.received_at,
        text=event.said.text,
    )


def _event(event: StopEvent) -> StopEventView:
    return StopEventView(
        stop_event_id=event.stop_event_id,
        driver_id=event.driver_id,
        stop_id=event.said.stop_id,
        **dict(_own_event(event)),
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_today, report_stop_event, list_stop_events)
