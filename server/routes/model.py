"""A route: the planned journey of one driver for one day. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.kit.errors import Invalid, NotFound

STOPS_MAX: Final = 500
LINE_POINTS_MAX: Final = 50_000
LEAD: Final = timedelta(hours=1)
"""How long before the plan's start a position still belongs to it."""
TAIL: Final = timedelta(hours=4)
"""How long after the plan's end, unless the driver's next route begins earlier."""
REACH: Final = timedelta(days=6)
"""So long after a route starts by its plan it is over, and can be given to nobody any more."""


class LineSource(StrEnum):
    """Where a plan's line came from."""

    GIVEN = "given"
    ROADS = "roads"
    """A road router drew it: docs/how-to/use-a-road-router.md."""
    STRAIGHT = "straight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whom to ask for at a stop."""

    name: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    """E.164."""


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
    reference: str | None = None
    """The company's own id of it; once in a plan."""
    contact: Contact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The journey itself: stops in order, and the line as [lon, lat] (None: straight legs)."""

    stops: tuple[Stop, ...]
    line: tuple[tuple[float, float], ...] | None
    planned_start: datetime | None = None
    """None: it starts with its first stop."""
    by_roads: bool = False
    """A road router drew the line; nobody gave it."""

    @property
    def line_source(self) -> LineSource:
        if self.line is None:
            return LineSource.STRAIGHT
        return LineSource.ROADS if self.by_roads else LineSource.GIVEN


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
    by_roads: bool = False


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
    cancelled_at: datetime | None = None
    created_at: datetime | None = None
    """None: it is not stored yet."""
    assigned_at: datetime | None = None
    """When its driver was given it. None: nobody has it, or that was not stored then."""
    taken_over: bool = False
    """Somebody else had it when it had begun: they may have served some of it."""

    @property
    def handed_over_at(self) -> datetime | None:
        """Return when its driver was given it, unless it was planned for them from the first.

        Who plans a day that has begun, or is over, says whose day it was. But what a route's
        driver did before they had it was no work on it; that may have been another's.
        """
        return None if self.assigned_at == self.created_at else self.assigned_at

    @property
    def begins_at(self) -> datetime:
        """Return when it begins for its driver: as planned, or when they are given it later."""
        return max(self.starts_at, self.handed_over_at or self.starts_at)

    @property
    def seal_id(self) -> bytes:
        """Return what the plan's seal is bound to: no version opens in the place of another."""
        if self.plan_version == 1:
            return self.route_id.bytes
        return self.route_id.bytes + self.plan_version.to_bytes(4, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVersion:
    """What of one version of a plan is not sealed."""

    plan_version: int
    planned_at: datetime
    replaced_at: datetime | None
    """None: it is in force."""
    starts_at: datetime
    ends_at: datetime
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


class RouteNotFound(NotFound):
    slug = "route-not-found"
    title = "No such route"


class WindowBackwards(Invalid):
    slug = "window-backwards"
    title = "A time window ends before it begins"

    def __init__(self, stop: int) -> None:
        super().__init__(f"See /stops/{stop}/window_end.")


class StopReferenceTwice(Invalid):
    slug = "stop-reference-twice"
    title = "Two stops of the plan have one reference"

    def __init__(self, stop: int) -> None:
        self.stop = stop
        super().__init__(f"See /stops/{stop}/reference.")

    def members(self) -> dict[str, object]:
        path = f"/stops/{self.stop}/reference"
        return {"fields": [{"path": path, "code": self.slug, "detail": "It stands there before"}]}


class PlanTooLong(Invalid):
    slug = "plan-too-long"
    title = "A route is one day's journey"

    def __init__(self) -> None:
        super().__init__("Planned times must lie within 48 hours of each other and near its date.")


class PlanUnmeasurable(Invalid):
    slug = "plan-unmeasurable"
    title = "This plan cannot be laid out on a map"

    def __init__(self) -> None:
        super().__init__("It spans half of the Earth, or its line has no length.")


class AssigneeUnknown(Invalid):
    slug = "assignee-unknown"
    title = "No such driver or vehicle"

    def __init__(self, member: str) -> None:
        self.member = member
        super().__init__(f"See /{member}.")


class PlanVersionNotFound(NotFound):
    slug = "plan-version-not-found"
    title = "The plan has no such version"


def refuse_backward_windows(stops: Sequence[Stop]) -> None:
    """Check every window.

    Raises
    ------
    WindowBackwards
    """
    for place in backward_windows(stops):
        raise WindowBackwards(place)


def backward_windows(stops: Sequence[Stop]) -> list[int]:
    """Return the places of stops whose windows end before they begin."""
    return [
        place
        for place, stop in enumerate(stops)
        if stop.window_start and stop.window_end and stop.window_end < stop.window_start
    ]


def refuse_repeated_references(stops: Sequence[Stop]) -> None:
    """Check that each reference stands once.

    Raises
    ------
    StopReferenceTwice
    """
    for place in repeated_references(stops):
        raise StopReferenceTwice(place)


def repeated_references(stops: Sequence[Stop]) -> list[int]:
    """Return the places of stops whose reference stands at a stop before."""
    known: set[str] = set()
    found = []
    for place, stop in enumerate(stops):
        if stop.reference in known:
            found.append(place)
        elif stop.reference is not None:
            known.add(stop.reference)
    return found


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
    the driver is with it: no position counts for two routes. What was given to the driver later
    than it was to begin belongs to them from then on only. A route that was cancelled has none
    from then on, and none at all if that was before its start.
    """
    begin = head.starts_at - LEAD
    if previous is not None and _last(previous) > begin:
        begin = head.starts_at
    begin = max(begin, head.handed_over_at or begin)
    end = _last(head)
    if following is not None:
        end = min(end, following.begins_at)
    return begin, max(begin, end)


def in_turn(heads: Iterable[RouteHead]) -> list[RouteHead]:
    """Return routes of one driver in the order in which they begin for them."""
    return sorted(heads, key=_turn)


def neighbours(
    head: RouteHead, others: Iterable[RouteHead]
) -> tuple[RouteHead | None, RouteHead | None]:
    """Return of the driver's other routes the one before and the one after."""
    turns = {_turn(one): one for one in others}
    before = max((turn for turn in turns if turn < _turn(head)), default=None)
    after = min((turn for turn in turns if turn > _turn(head)), default=None)
    return before and turns[before], after and turns[after]


def _turn(head: RouteHead) -> tuple[datetime, UUID]:
    return head.begins_at, head.route_id


def _last(head: RouteHead) -> datetime:
    """Return until when positions may belong to a route, if no other follows."""
    end = head.ends_at + TAIL
    if head.cancelled_at is None:
        return end
    if head.cancelled_at <= head.starts_at:
        return head.starts_at - LEAD
    return min(end, head.cancelled_at)


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
        planned_start=_instant(found, "planned_start"),
        by_roads=found.get("by_roads", False),
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _instant(found: dict[str, Any], name: str) -> datetime | None:
    written = found.get(name)
    return None if written is None else datetime.fromisoformat(written)


def _stop(found: dict[str, Any]) -> Stop:
    contact = found.get("contact")  # plans that are older than these have neither
    return Stop(
        stop_id=UUID(found["stop_id"]),
        name=found["name"],
        lat=found["lat"],
        lon=found["lon"],
        radius_m=found["radius_m"],
        service_s=found["service_s"],
        planned_arrival=_instant(found, "planned_arrival"),
        window_start=_instant(found, "window_start"),
        window_end=_instant(found, "window_end"),
        reference=found.get("reference"),
        contact=None if contact is None else Contact(**contact),
    )
