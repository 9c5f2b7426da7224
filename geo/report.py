"""What plan versus fact answers. Times are unix seconds; None = not known, never 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from geo.types import Floats

StopStatus: TypeAlias = Literal["visited", "missed", "unknown", "pending"]
WindowStatus: TypeAlias = Literal["early", "on_time", "late", "none"]
UnknownReason: TypeAlias = Literal[
    "not_recorded", "before_recording", "too_few_positions", "cancelled"
]
Evidence: TypeAlias = Literal["stay", "slow_pass", "driver_tap"]
DeviationKind: TypeAlias = Literal["off_corridor", "off_sequence", "skipped_segment", "reverse"]
Method: TypeAlias = Literal["plan", "gps", "gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the report rests on.

    ``gaps`` counts silences longer than 120 s while positions could be recorded, the first and
    the last included; ``coverage`` is the share of that time outside them.
    """

    fixes: int
    used: int
    dropped: Mapping[str, int]
    median_step_s: float | None
    sigma_m: float | None
    gaps: int
    coverage: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFact:
    """One planned stop.

    ``entered_s`` and ``exited_s`` are the crossings of its circle, ``arrived_s`` and
    ``departed_s`` the halt and the start of the wheels. ``arrival_uncertainty_s`` is half of the
    time in which the halt must lie. ``confidence`` orders statuses; it is no probability.
    ``unknown_reason`` is None unless the status is ``unknown``: nothing was recorded when it may
    have been visited (whether that was a silence or not shared is not told), that may have been
    before the recording, there were too few positions at it to tell, or the route was cancelled
    while it was still to come.
    ``actual_sequence`` numbers the visited stops by arrival, from 0. ``tapped_s`` is when the
    driver said that the stop is done; the visit rests on it only with evidence ``driver_tap``.
    Stops served by one halt have its times each; ``service_delta_s`` is against what was planned
    for all of them.
    """

    planned_sequence: int
    actual_sequence: int | None
    status: StopStatus
    unknown_reason: UnknownReason | None
    confidence: float
    entered_s: float | None
    arrived_s: float | None
    departed_s: float | None
    exited_s: float | None
    arrival_uncertainty_s: float | None
    window_status: WindowStatus
    early_s: float | None
    late_s: float | None
    wait_s: float | None
    service_s: float | None
    service_delta_s: float | None
    distance_m: float | None
    evidence: Evidence | None
    tapped_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnplannedStay:
    """A stay of two minutes or more that served no planned stop."""

    lon: float
    lat: float
    from_s: float
    to_s: float
    dwell_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """The way from one planned stop to the next; the fact only if the one halt follows the other.

    ``planned_s`` is the drive alone, without service and waiting; None where none is left for it.
    ``method`` says where ``actual_m`` comes from: along the plan, smoothed positions, or partly
    straight (or along the plan) across a gap, then it is a lower bound. Nothing counts across time
    that was not shared.
    """

    planned_m: float
    actual_m: float | None
    method: Method | None
    planned_s: float | None
    actual_s: float | None
    moving_s: float | None
    idle_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Driven otherwise than planned.

    ``off_corridor``: outside the corridor of the planned line. ``off_sequence``: along the plan,
    but not when it was planned. ``reverse``: along the plan against its direction. Of these
    ``length_m`` is what was driven, ``lon_lat`` (``(k, 2)``) where, and ``max_m`` the greatest
    distance to the plan.
    ``skipped_segment``: a part of the plan left out; ``length_m`` is how much of it at least,
    ``lon_lat`` the planned line there, and ``max_m`` how far it leads away from what was driven.
    """

    kind: DeviationKind
    from_s: float
    to_s: float
    length_m: float
    max_m: float
    lon_lat: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeding:
    """Faster than ``limit_mps`` as a mean over 15 s; ``max_mps`` is the fastest such mean."""

    from_s: float
    to_s: float
    length_m: float
    max_mps: float
    limit_mps: float
    lon_lat: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the time in which positions could be recorded.

    ``actual_m`` was measured, ``matched_m`` of it along the planned line, ``gap_m`` is the least
    distance across gaps and in addition. Seconds count once, whatever was served at a halt.
    ``on_time_rate`` is of visited stops with a window, and who came early was not on time;
    ``completion`` of the stops of which it is known, ``order_score`` the share of visited stops in
    planned order, ``compliance`` ``matched_m / actual_m``.
    """

    planned_m: float
    actual_m: float
    matched_m: float
    gap_m: float
    drive_s: float
    service_s: float
    wait_s: float
    idle_s: float
    on_time_rate: float | None
    completion: float | None
    order_score: float | None
    compliance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """When a pending stop will be reached: unix seconds, each quantile not before the one below."""

    planned_sequence: int
    p10_s: float
    p50_s: float
    p90_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the vehicle was at its last fix; ``deviation_s`` > 0 = behind the schedule.

    ``eta`` has the pending stops as `geo.eta.etas` expects them; none when the route is over.
    """

    along_m: float | None
    length_m: float
    deviation_s: float | None
    next_stop: int | None
    eta: tuple[Eta, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFact:
    """Plan versus fact of one route."""

    quality: Quality
    stops: tuple[StopFact, ...]
    unplanned: tuple[UnplannedStay, ...]
    legs: tuple[Leg, ...]
    deviations: tuple[Deviation, ...]
    speeding: tuple[Speeding, ...]
    totals: Totals
    progress: Progress
