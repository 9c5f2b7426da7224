"""What the endpoints of routes read and write."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.accounts.logins import PhoneUnreadable, canonical_phone
from server.kit.ids import uuid7
from server.kit.wire import Instant, Latitude, Longitude, ProfileText, Text, Wire
from server.routes.changes import VERSIONS_MAX, Edit
from server.routes.model import (
    LINE_POINTS_MAX,
    STOPS_MAX,
    Contact,
    LineSource,
    NamedRoute,
    NewRoute,
    Route,
    Stop,
)

ROUTE_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
Point = Annotated[tuple[Longitude, Latitude], Field(description="[longitude, latitude]")]
Line = Annotated[list[Point], Field(min_length=2, max_length=LINE_POINTS_MAX)]
# Bounded so that arithmetic on a day near it stays in range.
Day = Annotated[date, Field(ge=date(2000, 1, 2), le=date(2099, 12, 30), strict=False)]


def _readable_phone(text: str) -> str:
    try:
        return canonical_phone(text)
    except PhoneUnreadable as error:
        kind = "phone_unreadable"
        raise PydanticCustomError(kind, "This is not a phone number") from error


class ContactView(Wire):
    name: str | None
    phone: str | None


class NewContact(Wire):
    """Whom to ask for at a stop. It is sealed with the plan."""

    name: Annotated[str, ProfileText(120)] | None = None
    phone: Annotated[str, Text(40), AfterValidator(_readable_phone)] | None = Field(
        None, examples=["+77011234567"]
    )


class NewStop(Wire):
    name: Annotated[str, Text(200)]
    lat: Latitude
    lon: Longitude
    radius_m: float = Field(50, ge=5, le=5000, description="So near, the driver has arrived.")
    service_s: float = Field(0, ge=0, le=86_400)
    planned_arrival: Instant | None = None
    window_start: Instant | None = None
    window_end: Instant | None = None
    reference: Annotated[str, Text(64)] | None = Field(
        None, description="Your own id of the stop; it stands once in a plan."
    )
    contact: NewContact | None = None


class EditedStop(NewStop):
    stop_id: UUID | None = Field(
        None, description="Of a stop that is in the plan already; without it the stop is new."
    )


class RoutePlan(Wire):
    name: Annotated[str, Text(200)]
    date: Day
    driver_id: UUID | None = None
    vehicle_id: UUID | None = None
    planned_start: Instant | None = None
    stops: list[NewStop] = Field(min_length=1, max_length=STOPS_MAX)
    line: Line | None = Field(
        None,
        description="The planned road; without it a road router draws it, or legs are straight.",
    )


class RouteEdit(Wire):
    """What is absent stays as it is."""

    plan_version: int = Field(
        ge=1, le=VERSIONS_MAX, description="The version that this is a change of."
    )
    name: Annotated[str, Text(200)] | None = None
    planned_start: Instant | None = Field(
        None, description="Null: the plan starts with its first stop."
    )
    stops: list[EditedStop] | None = Field(
        None,
        min_length=1,
        max_length=STOPS_MAX,
        description="All stops, in order. Those that are left out are no longer in the plan.",
    )
    line: Line | None = Field(
        None,
        description="Null: as if none was ever given. Absent: the line goes on while the places "
        "stay the same.",
    )


class GivenTo(Wire):
    driver_id: UUID | None = Field(description="Null takes the route back.")
    vehicle_id: UUID | None


class AssignmentWarning(Wire):
    code: Literal["overlap"]
    route_id: UUID
    """The driver's other route that is planned for some of the same time."""


class AssignmentView(Wire):
    route_id: UUID
    driver_id: UUID | None
    vehicle_id: UUID | None
    warnings: list[AssignmentWarning]


class CancelledView(Wire):
    route_id: UUID
    cancelled_at: Instant


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
    reference: str | None
    contact: ContactView | None


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
    cancelled_at: Instant | None


class RouteView(RouteSummary):
    planned_start: Instant | None
    stops: list[StopView]
    line: list[tuple[float, float]] | None
    line_source: LineSource = Field(
        description="`roads`: a road router drew it. `straight`: there is none."
    )


class PlanVersionView(Wire):
    plan_version: int
    planned_at: Instant
    replaced_at: Instant | None
    starts_at: Instant
    ends_at: Instant
    stop_count: int
    planned_m: float


class PlanVersions(Wire):
    items: list[PlanVersionView]


class RouteQuery(Wire):
    date: Day | None = None
    driver_id: UUID | None = None
    cursor: UUID | None = Field(None, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=200)


def new_route(body: RoutePlan) -> NewRoute:
    """Return the plan that was asked for; its stops get their ids here."""
    return NewRoute(
        name=body.name,
        day=body.date,
        driver_id=body.driver_id,
        vehicle_id=body.vehicle_id,
        planned_start=_shown(body.planned_start),
        stops=[_stop(uuid7(), stop) for stop in body.stops],
        line=body.line,
    )


def edit_of(body: RouteEdit) -> tuple[Edit, list[UUID]]:
    """Return the change that was asked for, and the ids of the stops that it keeps."""
    stops = body.stops
    edit = Edit(
        plan_version=body.plan_version,
        changed=frozenset(body.model_fields_set),
        name=body.name,
        stops=None if stops is None else [_stop(stop.stop_id or uuid7(), stop) for stop in stops],
        planned_start=_shown(body.planned_start),
        line=body.line,
    )
    return edit, [stop.stop_id for stop in stops or () if stop.stop_id is not None]


def _stop(stop_id: UUID, stop: NewStop) -> Stop:
    contact = stop.contact
    named = contact is not None and (contact.name is not None or contact.phone is not None)
    return Stop(
        stop_id=stop_id,
        name=stop.name,
        lat=stop.lat,
        lon=stop.lon,
        radius_m=stop.radius_m,
        service_s=stop.service_s,
        planned_arrival=_shown(stop.planned_arrival),
        window_start=_shown(stop.window_start),
        window_end=_shown(stop.window_end),
        reference=stop.reference,
        contact=Contact(name=contact.name, phone=contact.phone) if contact and named else None,
    )


def _shown(at: datetime | None) -> datetime | None:
    """Return a time as it is shown, in whole milliseconds: sent back as read, it is the same."""
    return at if at is None else at.replace(microsecond=at.microsecond // 1000 * 1000)


def summary(route: NamedRoute) -> RouteSummary:
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
        cancelled_at=head.cancelled_at,
    )


def view(route: Route) -> RouteView:
    plan = route.plan
    return RouteView(
        **dict(summary(route)),
        planned_start=plan.planned_start,
        stops=[StopView(seq=seq, **asdict(stop)) for seq, stop in enumerate(plan.stops)],
        line=None if plan.line is None else list(plan.line),
        line_source=plan.line_source,
    )
