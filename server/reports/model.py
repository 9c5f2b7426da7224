"""The report of a route: what was found of its plan, and how long that is kept. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from geo.lines import DrivenLine
from geo.plan_fact import DEFAULT, Parameters, PlanFact
from server.kit.errors import Conflict, Invalid
from server.routes.model import LEAD, TAIL, Plan, Route, RouteHead
from server.stop_events.model import LATE_MAX

CONTRIBUTORS_MIN: Final = 10
"""A figure that leaves the company is made of at least so many drivers."""
SUMMARY_DAYS_MAX: Final = 92
REPORT_DAYS_MAX: Final = 365
SPEED_LIMIT_KMH_MIN: Final = 10
SPEED_LIMIT_KMH_MAX: Final = 200
KMH_PER_MPS: Final = 3.6
PLAN_VERSION_MAX: Final = 2**31 - 1
"""More than any plan has versions."""
BEFORE_TRACK_GOES: Final = timedelta(hours=1)
"""So long before a part of its track is too old a report is made for the last time."""
SUMMARY_REPORTS_MAX: Final = 100_000


class Availability(StrEnum):
    """Why a report has a fact, or has none. The cause of not sharing is never told."""

    FULL = "full"
    NO_POSITIONS = "no_positions"
    NOT_SHARED = "not_shared"
    NO_DRIVER = "no_driver"


class State(StrEnum):
    LIVE = "live"
    """Positions may still come that belong to the route."""
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFactReport:
    """Plan versus fact of one route as it was known at ``computed_at``."""

    route: Route
    state: State
    availability: Availability
    computed_at: datetime
    until: datetime
    """What was recorded from then on is not in it."""
    time_zone: str
    parameters: Parameters
    fact: PlanFact
    driven: tuple[DrivenLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedReport:
    """A final report as it is stored."""

    route_id: UUID
    driver_id: UUID
    plan_version: int
    algorithm_version: str
    computed_at: datetime
    ends_at: datetime
    """When the plan ends: it is kept for so many days from then on."""
    since: datetime
    """Nothing that was recorded earlier is in it."""
    sealed: bytes = field(repr=False)
    sums_sealed: bytes = field(repr=False)
    apart: datetime | None = None
    """What was recorded before that is shown to nobody of the company any more."""

    def is_covered(self, given: datetime | None) -> bool:
        """Tell whether all of it was recorded under the present consents, given at that time.

        It goes by the rule of tracks: what a consent that was withdrawn covered stays hidden, also
        after it was given anew.
        """
        if given is None or given > self.since:
            return False
        return self.apart is None or self.apart <= self.since

    def is_of(self, head: RouteHead) -> bool:
        """Tell whether it compares that very plan with that driver's day."""
        return (self.driver_id, self.plan_version) == (head.driver_id, head.plan_version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a company chose about its reports."""

    report_days: int | None
    """How long final ones are kept. None: none is, each is computed when it is asked for."""
    speed_limit_kmh: int | None
    """None: speeds are not judged."""
    buffer_max_s: int
    """How long phones may hold positions back."""
    track_days: int | None
    """How long tracks are kept. None: until something else removes them."""

    @property
    def parameters(self) -> Parameters:
        """Return the rules that its reports are made by."""
        limit = self.speed_limit_kmh
        return replace(DEFAULT, speed_limit_mps=None if limit is None else limit / KMH_PER_MPS)

    def kept_since(self, now: datetime) -> datetime | None:
        """Return when the plan of the oldest report that is still shown ended; None: none is."""
        return None if self.report_days is None else now - timedelta(days=self.report_days)

    @property
    def settles_after(self) -> timedelta:
        """Return how long after the end of a plan nothing can come any more, nor be said."""
        return TAIL + max(timedelta(seconds=self.buffer_max_s), LATE_MAX)

    @property
    def settles_within(self) -> timedelta | None:
        """Return how long after the start of a plan its track is still surely whole."""
        if self.track_days is None:
            return None
        return timedelta(days=self.track_days) - LEAD - BEFORE_TRACK_GOES

    def is_settled(self, report: SealedReport, *, starts_at: datetime) -> bool:
        """Tell whether it was made for the last time: nothing can come any more, or be read.

        ``starts_at`` is of the plan. `store.due` goes by the same rule.
        """
        settles_at, within = report.ends_at + self.settles_after, self.settles_within
        if within is not None:
            settles_at = min(settles_at, starts_at + within)
        return report.computed_at >= max(settles_at, report.ends_at + TAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What of a report can be added up; metres and seconds. None = not known."""

    stops_due: int
    """Of which it is known whether they were visited: not to share makes nobody's day worse."""
    stops_visited: int
    stops_windowed: int
    """Visited, and with a window to be visited in."""
    stops_on_time: int
    planned_m: float
    actual_m: float
    """Measured; the least distance across gaps is ``gap_m``, and in addition."""
    gap_m: float
    planned_s: float | None
    actual_s: float
    """Driving, serving, waiting and standing, as far as it was shared."""

    @classmethod
    def of(cls, report: PlanFactReport) -> Self:
        stops, totals = report.fact.stops, report.fact.totals
        seen = [stop for stop in stops if stop.status == "visited"]
        windowed = [stop for stop in seen if stop.window_status != "none"]
        return cls(
            stops_due=sum(stop.status in {"visited", "missed"} for stop in stops),
            stops_visited=len(seen),
            stops_windowed=len(windowed),
            stops_on_time=sum(stop.window_status == "on_time" for stop in windowed),
            planned_m=totals.planned_m,
            actual_m=totals.actual_m,
            gap_m=totals.gap_m,
            planned_s=planned_s(report.route.plan),
            actual_s=totals.drive_s + totals.service_s + totals.wait_s + totals.idle_s,
        )

    @classmethod
    def together(cls, parts: Iterable["Sums"]) -> "Sums":
        """Add up. Planned hours are of the routes that have any; None if none has."""
        all_parts = list(parts)
        planned = [one.planned_s for one in all_parts if one.planned_s is not None]
        return cls(
            stops_due=sum(one.stops_due for one in all_parts),
            stops_visited=sum(one.stops_visited for one in all_parts),
            stops_windowed=sum(one.stops_windowed for one in all_parts),
            stops_on_time=sum(one.stops_on_time for one in all_parts),
            planned_m=sum(one.planned_m for one in all_parts),
            actual_m=sum(one.actual_m for one in all_parts),
            gap_m=sum(one.gap_m for one in all_parts),
            planned_s=sum(planned) if planned else None,
            actual_s=sum(one.actual_s for one in all_parts),
        )

    @property
    def on_time_rate(self) -> float | None:
        return self.stops_on_time / self.stops_windowed if self.stops_windowed else None

    @property
    def completion(self) -> float | None:
        return self.stops_visited / self.stops_due if self.stops_due else None

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Sums":
        return cls(**json.loads(raw))


def is_of_all_day(head: RouteHead, time_zone: str) -> bool:
    """Tell whether a plan takes its whole day by the company's clock, as without times it does."""
    zone, days = ZoneInfo(time_zone), (head.date, head.date + timedelta(days=1))
    midnights = tuple(datetime.combine(day, time(), tzinfo=zone) for day in days)
    return (head.starts_at, head.ends_at) == midnights


def planned_s(plan: Plan) -> float | None:
    """Return how long the plan takes from the first planned arrival to the last stop's end.

    None where fewer than two stops have a time to be arrived at.
    """
    timed = [stop for stop in plan.stops if stop.planned_arrival is not None]
    arrivals = [stop.planned_arrival for stop in timed if stop.planned_arrival is not None]
    if len(arrivals) < 2:  # noqa: PLR2004 - from one to another
        return None
    ends = [
        arrival + timedelta(seconds=stop.service_s)
        for stop, arrival in zip(timed, arrivals, strict=True)
    ]
    return (max(ends) - min(arrivals)).total_seconds()


class GroupBy(StrEnum):
    DRIVER = "driver"
    VEHICLE = "vehicle"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """The sums of one route's report, and what it is grouped by."""

    driver_id: UUID
    group: str | None
    """Of a route without a vehicle there is none."""
    sums: Sums


_PART_OF: Final[Mapping[str, str]] = {
    "stops_due": "stops_due",
    "stops_visited": "stops_due",
    "completion": "stops_due",
    "stops_windowed": "stops_windowed",
    "stops_on_time": "stops_windowed",
    "on_time_rate": "stops_windowed",
    "planned_m": "planned_m",
    "actual_m": "actual_m",
    "gap_m": "gap_m",
    "planned_s": "planned_s",
    "timed_actual_s": "planned_s",
    "actual_s": "actual_s",
}
"""Of what somebody needs a part, to have one in the figure: who had no window was never on time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Routes that are added up."""

    key: str | None
    """None: of routes that have none of what they are grouped by."""
    routes: int
    contributors: int
    """How many drivers drove them."""
    sums: Sums
    timed: Sums
    """Of those whose plan has times: only their hours can be compared with the planned ones."""
    few: frozenset[str]
    """The figures that must not leave the company: fewer drivers have a part in them."""

    @property
    def timed_actual_s(self) -> float | None:
        return None if self.timed.planned_s is None else self.timed.actual_s

    @property
    def tells_of_few(self) -> bool:
        """Tell whether it must not leave the company: it would speak of single drivers."""
        return self.contributors < CONTRIBUTORS_MIN


def grouped(contributions: Iterable[Contribution]) -> list[Group]:
    """Return the groups by their keys, in order; those of routes without one come last."""
    by_key: dict[str | None, list[Contribution]] = {}
    for one in contributions:
        by_key.setdefault(one.group, []).append(one)
    ordered = sorted(by_key, key=lambda key: (key is None, key or ""))
    return [_group(key, by_key[key]) for key in ordered]


def _group(key: str | None, of: list[Contribution]) -> Group:
    return Group(
        key=key,
        routes=len(of),
        contributors=len({one.driver_id for one in of}),
        sums=Sums.together(one.sums for one in of),
        timed=Sums.together(one.sums for one in of if one.sums.planned_s is not None),
        few=_figures_of_few(of),
    )


def _figures_of_few(of: Iterable[Contribution]) -> frozenset[str]:
    """Return the figures in which fewer drivers have a part than may be told of."""
    drivers: dict[str, set[UUID]] = {part: set() for part in _PART_OF.values()}
    untimed = set()
    for one in of:
        for part, having in drivers.items():
            if getattr(one.sums, part):
                having.add(one.driver_id)
        if one.sums.planned_s is None:
            untimed.add(one.driver_id)
    few = {figure for figure, part in _PART_OF.items() if 0 < len(drivers[part]) < CONTRIBUTORS_MIN}
    if 0 < len(untimed) < CONTRIBUTORS_MIN:
        few.add("timed_actual_s")  # what is missing of actual_s would be theirs
    return frozenset(few)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of computing a final report."""

    route_id: UUID
    plan_version: int
    algorithm_version: str
    computed_at: datetime
    is_kept: bool
    """False: there was nothing to report, or nobody shares it any more."""


class RouteUnderWay(Conflict):
    slug = "route-under-way"
    title = "The route is not over yet"

    def __init__(self) -> None:
        super().__init__("Its report is computed whenever it is asked for until then.")


class ReportsNotKept(Conflict):
    slug = "reports-not-kept"
    title = "The company keeps no reports"

    def __init__(self) -> None:
        super().__init__("Each report is computed when it is asked for.")


class ReportDaysPromised(Conflict):
    slug = "report-days-promised"
    title = "Drivers were told that reports are kept for less"

    def __init__(self) -> None:
        super().__init__("The time may become shorter, or end: then no reports are kept.")


class TrackGone(Conflict):
    slug = "track-gone"
    title = "The track is not kept any more"

    def __init__(self) -> None:
        super().__init__("The report that is stored stays as it is.")


class SummarySpanInvalid(Invalid):
    slug = "summary-span-invalid"
    title = "These days cannot be summed up"

    def __init__(self) -> None:
        super().__init__(
            f"Ask for at least one day, at most {SUMMARY_DAYS_MAX}, and at most "
            f"{SUMMARY_REPORTS_MAX:,} reports."
        )
