"""The report of a route: what was found of its plan, and how long that is kept. Pure."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from geo.lines import DrivenLine
from geo.plan_fact import DEFAULT, Parameters, PlanFact
from server.kit.errors import Conflict, Invalid
from server.routes.model import TAIL, Plan, Route, RouteHead

CONTRIBUTORS_MIN: Final = 10
"""A figure that leaves the company is made of at least so many drivers."""
SUMMARY_DAYS_MAX: Final = 92
REPORT_DAYS_MAX: Final = 365
SPEED_LIMIT_KMH_MIN: Final = 10
SPEED_LIMIT_KMH_MAX: Final = 200
KMH_PER_MPS: Final = 3.6
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
    """A final report as it is stored; without ``sealed`` there was nothing to report."""

    route_id: UUID
    driver_id: UUID
    plan_version: int
    algorithm_version: str
    computed_at: datetime
    ends_at: datetime
    """When the plan ends: it is kept for so many days from then on."""
    since: datetime
    """Nothing that was recorded earlier is in it."""
    sealed: bytes | None = field(repr=False)
    sums_sealed: bytes | None = field(repr=False)
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
    """How long phones may hold positions back: then nothing can be added to a track any more."""

    @property
    def parameters(self) -> Parameters:
        """Return the rules that its reports are made by."""
        limit = self.speed_limit_kmh
        return replace(DEFAULT, speed_limit_mps=None if limit is None else limit / KMH_PER_MPS)

    def kept_since(self, now: datetime) -> datetime | None:
        """Return when the plan of the oldest report that is still shown ended; None: none is."""
        return None if self.report_days is None else now - timedelta(days=self.report_days)

    def is_settled(self, report: SealedReport) -> bool:
        """Tell whether it was computed when nothing could be added to the track any more."""
        held_back = timedelta(seconds=self.buffer_max_s)
        return report.computed_at >= report.ends_at + TAIL + held_back


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What of a report can be added up; metres and seconds. None = not known."""

    stops_due: int
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
            stops_due=sum(stop.status != "pending" for stop in stops),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Routes that are added up."""

    key: str | None
    """None: of routes that have none of what they are grouped by."""
    routes: int
    contributors: int
    """How many drivers drove them."""
    sums: Sums

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
    )


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
