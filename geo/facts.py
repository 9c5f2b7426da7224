"""The parts of the report, read from a day."""

import itertools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from geo.account import Account, between, sums
from geo.assign import Wanted, in_order
from geo.deviation import off_corridor
from geo.drive import Driven, Silences
from geo.plane import Plane
from geo.progress import Line
from geo.report import (
    Deviation,
    Leg,
    Method,
    StopFact,
    StopStatus,
    Totals,
    UnplannedStay,
)
from geo.schedule import timing
from geo.types import Floats
from geo.values import Parameters, Plan
from geo.visits import Served

STAY_CONFIDENCE: Final = 0.95
SLOW_PASS_CONFIDENCE: Final = 0.7
CUT_OFF_CONFIDENCE: Final = 0.5
MISSED_CONFIDENCE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Everything the parts of the report are read from."""

    plan: Plan
    plane: Plane
    line: Line | None
    wanted: Wanted
    stops_m: Floats
    driven: Driven
    silent: Silences
    served: Served
    account: Account
    parameters: Parameters


def stop_facts(day: Day, status: tuple[StopStatus, ...]) -> tuple[StopFact, ...]:
    visit = day.served.visit
    seen = np.flatnonzero(visit >= 0)
    rank = np.full(len(visit), -1)
    rank[seen[np.argsort(visit[seen], kind="stable")]] = np.arange(len(seen))
    return tuple(
        _visited(day, stop, int(rank[stop])) if visit[stop] >= 0 else _not_visited(stop, what)
        for stop, what in enumerate(status)
    )


def _not_visited(stop: int, status: StopStatus) -> StopFact:
    confidence = {"missed": MISSED_CONFIDENCE, "pending": 1.0}.get(status, 0.0)
    return StopFact(
        planned_sequence=stop,
        actual_sequence=None,
        status=status,
        confidence=confidence,
        entered_s=None,
        arrived_s=None,
        departed_s=None,
        exited_s=None,
        arrival_uncertainty_s=None,
        window_status="none",
        early_s=None,
        late_s=None,
        wait_s=None,
        service_s=None,
        service_delta_s=None,
        distance_m=None,
        evidence=None,
    )


def _visited(day: Day, stop: int, sequence: int) -> StopFact:
    plan, visits, at = day.plan, day.served.visits, day.served.visit[stop]
    begin_known, end_known = bool(visits.begin_known[at]), bool(visits.end_known[at])
    arrived_s = float(visits.from_s[at]) if begin_known else None
    departed_s = float(visits.to_s[at]) if end_known else None
    times = timing(
        arrived_s,
        departed_s,
        window_from_s=float(plan.window_from_s[stop]),
        window_to_s=float(plan.window_to_s[stop]),
        planned_service_s=float(plan.service_s[stop]),
    )
    is_stay = bool(visits.own_stop[at] < 0)
    certain = STAY_CONFIDENCE if is_stay else SLOW_PASS_CONFIDENCE
    certain = certain if is_stay or (begin_known and end_known) else CUT_OFF_CONFIDENCE
    distance_m = float(day.served.distance_m[stop])
    beyond_m = max(distance_m - float(plan.radius_m[stop]), 0.0)
    scale_m = float(np.hypot(day.parameters.place_error_m, day.driven.sigma_m))
    entered_s, exited_s = _crossings(day, stop, int(at))
    return StopFact(
        planned_sequence=stop,
        actual_sequence=sequence,
        status="visited",
        confidence=certain * float(np.exp(-0.25 * (beyond_m / scale_m) ** 2)),
        entered_s=entered_s,
        arrived_s=arrived_s,
        departed_s=departed_s,
        exited_s=exited_s,
        arrival_uncertainty_s=float(visits.error_s[at]) if begin_known else None,
        window_status=times.window_status,
        early_s=times.early_s,
        late_s=times.late_s,
        wait_s=times.wait_s,
        service_s=times.service_s,
        service_delta_s=times.service_delta_s,
        distance_m=distance_m,
        evidence="stay" if is_stay else "slow_pass",
    )


def _crossings(day: Day, stop: int, visit: int) -> tuple[float | None, float | None]:
    """Return when the circle of the stop was entered and left around the visit, if it was."""
    passes, visits = day.served.passes, day.served.visits
    around = np.flatnonzero(
        (passes.stop == stop)
        & (passes.entered_s <= visits.to_s[visit])
        & (passes.exited_s >= visits.from_s[visit])
    )
    if not len(around):
        return None, None
    first, last = around[0], around[-1]
    # Between fixes far apart the crossing is the weaker estimate: it gives way to the halt.
    enter_s = min(float(passes.entered_s[first]), float(visits.from_s[visit]))
    exit_s = max(float(passes.exited_s[last]), float(visits.to_s[visit]))
    entered_s = None if passes.begins_inside[first] else enter_s
    exited_s = None if passes.ends_inside[last] else exit_s
    return entered_s, exited_s


def unplanned(day: Day) -> tuple[UnplannedStay, ...]:
    visits = day.served.visits
    dwell_s = visits.to_s - visits.from_s
    free = (visits.own_stop < 0) & ~day.served.used & (dwell_s >= day.parameters.unplanned_min_s)
    at = np.flatnonzero(free)
    lon_lat = day.plane.to_lon_lat(visits.xy[at])
    return tuple(
        UnplannedStay(
            lon=float(lon),
            lat=float(lat),
            from_s=float(visits.from_s[i]),
            to_s=float(visits.to_s[i]),
            dwell_s=float(dwell_s[i]),
        )
        for i, (lon, lat) in zip(at, lon_lat, strict=True)
    )


def legs(day: Day, stops: tuple[StopFact, ...]) -> tuple[Leg, ...]:
    """Return the ways between the stops, as planned and as driven."""
    account = day.account
    summed = _Sums(
        gps_m=sums(account.gps_m),
        plan_m=sums(account.plan_m),
        gap_m=sums(account.gap_m),
        moving_s=sums(account.moving_s),
        idle_s=sums(account.idle_s),
        interrupted=sums((~day.driven.shared).astype(np.float64)),
    )
    return tuple(_leg(day, summed, here, there) for here, there in itertools.pairwise(stops))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """The account summed up to each fix, all ``(n,)``."""

    gps_m: Floats
    plan_m: Floats
    gap_m: Floats
    moving_s: Floats
    idle_s: Floats
    interrupted: Floats


def _leg(day: Day, summed: _Sums, here: StopFact, there: StopFact) -> Leg:
    plan, time_s = day.plan, day.driven.time_s
    i, j = here.planned_sequence, there.planned_sequence
    service_s = np.nan_to_num(plan.service_s[i], nan=0.0)
    planned_s = float(plan.planned_arrival_s[j] - plan.planned_arrival_s[i] - service_s)
    planned = Leg(
        planned_m=float(day.stops_m[j] - day.stops_m[i]),
        actual_m=None,
        method=None,
        planned_s=planned_s if np.isfinite(planned_s) else None,
        actual_s=None,
        moving_s=None,
        idle_s=None,
    )
    from_s, to_s = here.departed_s, there.arrived_s
    if from_s is None or to_s is None or from_s >= to_s:
        return planned
    # Metres from the middle of one halt to that of the next: then it does not matter that the
    # estimated halts and starts lie between fixes, on the way.
    visits, at = day.served.visits, day.served.visit[[i, j]]
    begin_s, end_s = ((visits.from_s[at] + visits.to_s[at]) / 2.0).tolist()
    gps_m = between(time_s, summed.gps_m, begin_s, end_s)
    plan_m = between(time_s, summed.plan_m, begin_s, end_s)
    gap_m = between(time_s, summed.gap_m, begin_s, end_s)
    lost = gap_m > 0.0 or between(time_s, summed.interrupted, begin_s, end_s) > 0.0
    method: Method = "gap" if lost else "plan" if plan_m > gps_m else "gps"
    return replace(
        planned,
        actual_m=gps_m + plan_m + gap_m,
        method=method,
        actual_s=to_s - from_s,
        moving_s=between(time_s, summed.moving_s, from_s, to_s),
        idle_s=between(time_s, summed.idle_s, from_s, to_s),
    )


def deviations(day: Day) -> tuple[Deviation, ...]:
    """Report leaving the planned line; straight legs are no line anybody could follow."""
    driven, line = day.driven, day.line
    if line is None or not len(driven.time_s):
        return ()
    distance_m = line.distance_m(driven.place_xy)
    _, found = off_corridor(
        driven.time_s,
        driven.place_xy,
        driven.span,
        distance_m,
        sigma_m=driven.sigma_m,
        parameters=day.parameters,
    )
    driven_m = np.append(0.0, np.cumsum(day.account.gps_m + day.account.plan_m))
    lon_lat = day.plane.to_lon_lat(driven.place_xy)
    return tuple(
        Deviation(
            kind="off_corridor",
            from_s=float(driven.time_s[first]),
            to_s=float(driven.time_s[last]),
            length_m=float(driven_m[last] - driven_m[first]),
            max_m=float(distance_m[first : last + 1].max()),
            lon_lat=lon_lat[first : last + 1],
        )
        for first, last in found.tolist()
    )


def totals(day: Day, stops: tuple[StopFact, ...]) -> Totals:
    account, served = day.account, day.served
    seen = [stop for stop in stops if stop.status == "visited"]
    due = sum(stop.status != "pending" for stop in stops)
    windowed = [stop for stop in seen if stop.window_status != "none"]
    on_time = sum(stop.window_status == "on_time" for stop in windowed)
    order = in_order(np.array(sorted(_seen_key(seen)))[:, 1]) if seen else np.zeros(0, dtype=bool)
    # Seconds standing within a visit are service or waiting; only the rest is idle.
    used = np.flatnonzero(served.used)
    at_stops = _inside_s(day.driven.time_s, served.visits.from_s[used], served.visits.to_s[used])
    gps_m, matched_m = float(account.gps_m.sum()), max(float(account.plan_m.sum()), 0.0)
    actual_m = gps_m + matched_m
    return Totals(
        planned_m=float(day.line.length_m if day.line is not None else day.stops_m[-1]),
        actual_m=actual_m,
        matched_m=matched_m,
        gap_m=float(account.gap_m.sum()),
        drive_s=float((account.moving_s * (1.0 - at_stops)).sum()),
        service_s=sum(stop.service_s or 0.0 for stop in seen),
        wait_s=sum(stop.wait_s or 0.0 for stop in seen),
        idle_s=float((account.idle_s * (1.0 - at_stops)).sum()),
        on_time_rate=on_time / len(windowed) if windowed else None,
        completion=len(seen) / due if due else None,
        order_score=float(order.mean()) if seen else None,
        compliance=(
            min(matched_m / actual_m, 1.0) if day.line is not None and actual_m > 0.0 else None
        ),
    )


def _seen_key(seen: list[StopFact]) -> list[tuple[int, int]]:
    """Return (actual, planned) sequence of visited stops."""
    return [(stop.actual_sequence or 0, stop.planned_sequence) for stop in seen]


def _inside_s(time_s: Floats, from_s: Floats, to_s: Floats) -> Floats:
    """Return which share of each step lies within the disjoint or shared visits."""
    step_s = np.diff(time_s)
    inside_s = np.zeros(len(step_s))
    for begin_s, end_s in zip(from_s, to_s, strict=True):
        overlap_s = np.minimum(time_s[1:], end_s) - np.maximum(time_s[:-1], begin_s)
        inside_s += np.maximum(overlap_s, 0.0)
    return np.minimum(inside_s / step_s, 1.0)
