"""A route: the planned journey of one driver for one day, and what was found of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from geo.lines import DrivenLine
from geo.plan_fact import PlanFact
from server.kit.errors import Invalid, NotFound

STOPS_MAX: Final = 300
LINE_POINTS_MAX: Final = 50_000
LEAD: Final = timedelta(hours=1)
"""How long before the plan's start a position still belongs to it."""
TAIL: Final = timedelta(hours=4)
"""How long after the plan's end, unless the driver's next route begins earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A planned place with the time it is wanted at. Times are UTC; None = not planned."""

    stop_id: UUID
    name: str
    lat: float
    lon: float
    radius_m: float
    service_s: float
    planned_arrival: datetime | None
    window_start: datetime | None
    window_end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The journey itself: stops in order, and the line as [lon, lat] (None: straight legs)."""

    stops: tuple[Stop, ...]
    line: tuple[tuple[float, float], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHead:
    """What of a route is not sealed."""

    route_id: UUID
    date: date
    starts_at: datetime
    ends_at: datetime
    driver_id: UUID | None
    vehicle_id: UUID | None
    plan_version: int
    stop_count: int
    planned_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRoute:
    """A route as it is stored. Its name is sealed apart: lists need no plan."""

    head: RouteHead
    name_sealed: bytes
    plan_sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRoute:
    """A route as lists show it."""

    head: RouteHead
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(NamedRoute):
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which route and vehicle a driver has now."""

    route_id: UUID
    vehicle_id: UUID | None


class Availability(StrEnum):
    """Why a report has a fact, or has none. The cause of not sharing is never told."""

    FULL = "full"
    NO_POSITIONS = "no_positions"
    NOT_SHARED = "not_shared"
    NO_DRIVER = "no_driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFactReport:
    """Plan versus fact of one route as it was known at ``computed_at``."""

    route: Route
    availability: Availability
    computed_at: datetime
    time_zone: str
    fact: PlanFact
    driven: tuple[DrivenLine, ...]


class RouteNotFound(NotFound):
    slug = "route-not-found"
    title = "No such route"


class WindowBackwards(Invalid):
    slug = "window-backwards"
    title = "A time window ends before it begins"

    def __init__(self, stop: int) -> None:
        super().__init__(f"See /stops/{stop}/window_end.")


class PlanTooLong(Invalid):
    slug = "plan-too-long"
    title = "A route is one day's journey"

    def __init__(self) -> None:
        super().__init__("Planned times must lie within 48 hours of each other and near its date.")


class PlanUnmeasurable(Invalid):
    slug = "plan-unmeasurable"
    title = "This plan cannot be laid out on a map"

    def __init__(self) -> None:
        super().__init__("A plan must not cross the 180th meridian, and its line needs a length.")


class AssigneeUnknown(Invalid):
    slug = "assignee-unknown"
    title = "No such driver or vehicle"

    def __init__(self, member: str) -> None:
        super().__init__(f"See /{member}.")


def refuse_backward_windows(stops: Sequence[Stop]) -> None:
    """Check every window.

    Raises
    ------
    WindowBackwards
    """
    for index, stop in enumerate(stops):
        if stop.window_start and stop.window_end and stop.window_end < stop.window_start:
            raise WindowBackwards(index)


def span_of(
    stops: Sequence[Stop], *, day: date, planned_start: datetime | None, zone: ZoneInfo
) -> tuple[datetime, datetime]:
    """Return when the plan starts and ends: its own times, or the whole local day.

    Raises
    ------
    PlanTooLong
    """
    midnight = datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    next_midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    begins = [
        moment
        for stop in stops
        for moment in (stop.planned_arrival, stop.window_start)
        if moment is not None
    ]
    ends = [
        moment + timedelta(seconds=stop.service_s)
        for stop in stops
        for moment in (stop.planned_arrival, stop.window_end)
        if moment is not None
    ]
    starts_at = planned_start or min(begins, default=midnight)
    ends_at = max([*ends, starts_at], default=next_midnight) if ends else next_midnight
    ends_at = max(ends_at, starts_at)
    two_days = timedelta(days=2)
    if starts_at < midnight - two_days or ends_at > next_midnight + two_days:
        raise PlanTooLong
    return starts_at, ends_at


def fact_span(
    head: RouteHead, *, previous: RouteHead | None, following: RouteHead | None
) -> tuple[datetime, datetime]:
    """Return the time whose positions belong to this route of its driver's day.

    Until the planned start of the next route everything belongs to the one before, however late
    the driver is with it: no position counts for two routes.
    """
    begin = head.starts_at - LEAD
    if previous is not None and previous.ends_at + TAIL > begin:
        begin = head.starts_at
    end = head.ends_at + TAIL
    if following is not None:
        end = min(end, following.starts_at)
    return begin, max(begin, end)


def to_bytes(plan: Plan) -> bytes:
    """Return the plan as it is sealed."""
    return json.dumps(asdict(plan), default=_plain, ensure_ascii=False).encode()


def from_bytes(raw: bytes) -> Plan:
    """Return the plan that :func:`to_bytes` wrote."""
    found = json.loads(raw)
    line = found["line"]
    return Plan(
        stops=tuple(_stop(stop) for stop in found["stops"]),
        line=None if line is None else tuple((lon, lat) for lon, lat in line),
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _stop(found: dict[str, Any]) -> Stop:
    def instant(name: str) -> datetime | None:
        return None if found[name] is None else datetime.fromisoformat(found[name])

    return Stop(
        stop_id=UUID(found["stop_id"]),
        name=found["name"],
        lat=found["lat"],
        lon=found["lon"],
        radius_m=found["radius_m"],
        service_s=found["service_s"],
        planned_arrival=instant("planned_arrival"),
        window_start=instant("window_start"),
        window_end=instant("window_end"),
    )
