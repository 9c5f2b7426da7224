"""Plan versus fact: what of a planned route really happened."""

from typing import Final

import numpy as np

from geo.account import keep_account
from geo.assign import Wanted
from geo.clean import Cleaned, clean
from geo.drive import coverage, prepare, silences
from geo.facts import Day, deviations, legs, stop_facts, totals, unplanned
from geo.judge import Clock, needed_silence_s, statuses
from geo.plane import Plane, refuse_unusable, segment_lengths_m
from geo.progress import Line, place_stops
from geo.report import (
    PlanFact,
    Progress,
    Quality,
)
from geo.schedule import schedule_deviation_s
from geo.types import Floats
from geo.values import DEFAULT, Parameters, Plan, Track
from geo.visits import serve

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT",
    "Parameters",
    "Plan",
    "PlanFact",
    "Track",
    "plan_versus_fact",
]

ALGORITHM_VERSION: Final = "1.0"


def plan_versus_fact(
    track: Track,
    plan: Plan,
    *,
    shared_s: Floats,
    until_s: float,
    parameters: Parameters = DEFAULT,
) -> PlanFact:
    """Return what of ``plan`` happened according to ``track``.

    Parameters
    ----------
    track
        The fixes, in any order; the report is the same for any order and any repeats.
    plan
        The planned stops.
    shared_s
        Shape ``(w, 2)``: unix seconds, intervals in which positions could be recorded, in any
        order, overlaps allowed. The one still open ends later than ``until_s``, at infinity if
        need be: it tells a running route from a finished one. Between them nothing is known:
        no distance, no visit, nothing interpolated.
    until_s
        The instant up to which the data are complete.
    parameters
        Thresholds.

    Returns
    -------
    PlanFact
        The report. See `geo.judge.statuses` for missed, unknown and pending, and
        `geo.visits.required_dwell_s` for what counts as a visit.

    Raises
    ------
    ValueError
        If the plan has no stop, shapes do not agree, a planned coordinate is not finite or out
        of range, or the plan crosses the antimeridian.

    Notes
    -----
    O(n log n) in the fixes. Error bounds stand, and are tested, at the parts: `geo.plane`,
    `geo.odometer`, `geo.stays`, `geo.progress`.
    """
    _refuse(track, plan, shared_s)
    shared_s = _merged(shared_s)
    plane = Plane.around(plan.lon_lat)
    cleaned = clean(track, plane, shared_s=shared_s, until_s=until_s, parameters=parameters)
    day = _day(cleaned, plan, plane, shared_s, until_s, parameters)
    progress = _progress(day)
    clock = Clock(
        until_s=until_s,
        running=bool(len(shared_s)) and bool(until_s < shared_s[-1, 1]),
        delay_s=max(progress.deviation_s or 0.0, 0.0),
        due_s=np.where(np.isnan(plan.planned_arrival_s), plan.window_to_s, plan.planned_arrival_s),
    )
    status = statuses(day.driven, day.silent, day.wanted, day.served, clock, parameters)
    stops = stop_facts(day, status)
    return PlanFact(
        quality=_quality(day, cleaned, shared_s, until_s),
        stops=stops,
        unplanned=unplanned(day),
        legs=legs(day, stops),
        deviations=deviations(day),
        totals=totals(day, stops),
        progress=progress,
    )


def _day(  # the one place where everything meets
    cleaned: Cleaned,
    plan: Plan,
    plane: Plane,
    shared_s: Floats,
    until_s: float,
    parameters: Parameters,
) -> Day:
    line = None if plan.line is None else Line.of(plane.to_xy(plan.line), plane)
    wanted = Wanted(
        xy=plane.to_xy(plan.lon_lat),
        radius_m=plan.radius_m,
        service_s=plan.service_s,
        arrival_s=plan.planned_arrival_s,
    )
    driven = prepare(cleaned, parameters)
    shortest_s = float(needed_silence_s(plan.service_s, parameters).min())
    return Day(
        plan=plan,
        plane=plane,
        line=line,
        wanted=wanted,
        stops_m=_stops_along(plan, wanted, line),
        driven=driven,
        silent=silences(driven, shared_s, until_s, longer_s=shortest_s),
        served=serve(driven, wanted, parameters),
        account=keep_account(driven, line, plane, parameters),
        parameters=parameters,
    )


def _refuse(track: Track, plan: Plan, shared_s: Floats) -> None:
    refuse_unusable(plan.lon_lat, "plan.lon_lat")
    stops, fixes = len(plan.lon_lat), len(track.time_s)
    if not stops:
        raise ValueError("plan must have a stop")
    per_stop = (
        plan.radius_m,
        plan.service_s,
        plan.planned_arrival_s,
        plan.window_from_s,
        plan.window_to_s,
    )
    if any(values.shape != (stops,) for values in per_stop):
        raise ValueError(f"plan must have {stops} values of each kind")
    if not (plan.radius_m > 0.0).all():
        raise ValueError("plan.radius_m must be positive")
    if plan.line is not None:
        refuse_unusable(plan.line, "plan.line")
        refuse_unusable(np.concatenate([plan.line, plan.lon_lat]), "plan")
    if track.lon_lat.shape != (fixes, 2) or track.accuracy_m.shape != (fixes,):
        raise ValueError("track must have as many positions and accuracies as times")
    if shared_s.ndim != 2 or shared_s.shape[1] != 2 or np.isnan(shared_s).any():  # noqa: PLR2004
        raise ValueError("shared_s must have shape (w, 2) and no NaN")


def _merged(intervals_s: Floats) -> Floats:
    """Return the union of intervals as disjoint ones, ascending; empty ones are left out."""
    intervals_s = intervals_s[intervals_s[:, 0] < intervals_s[:, 1]]
    if not len(intervals_s):
        return np.zeros((0, 2))
    intervals_s = intervals_s[np.argsort(intervals_s[:, 0], kind="stable")]
    end_s = np.maximum.accumulate(intervals_s[:, 1])
    first = np.append(True, intervals_s[1:, 0] > end_s[:-1])
    last = np.append(first[1:], True)
    return np.column_stack([intervals_s[first, 0], end_s[last]])


def _stops_along(plan: Plan, wanted: Wanted, line: Line | None) -> Floats:
    if line is not None:
        return place_stops(line, wanted.xy)
    return np.append(0.0, np.cumsum(segment_lengths_m(plan.lon_lat)))


def _quality(day: Day, cleaned: Cleaned, shared_s: Floats, until_s: float) -> Quality:
    time_s, gap_s = day.driven.time_s, day.parameters.gap_s
    long = day.silent.to_s - day.silent.from_s > gap_s
    return Quality(
        fixes=cleaned.fixes,
        used=len(time_s),
        dropped=cleaned.dropped,
        median_step_s=float(np.median(np.diff(time_s))) if len(time_s) > 1 else None,
        sigma_m=day.driven.sigma_m if len(time_s) else None,
        gaps=int(np.count_nonzero(long & ~day.silent.unshared)),
        coverage=coverage(day.driven, shared_s, until_s, gap_s=gap_s),
    )


def _progress(day: Day) -> Progress:
    time_s, visit = day.driven.time_s, day.served.visit
    length_m = float(day.line.length_m if day.line is not None else day.stops_m[-1])
    seen = np.flatnonzero(visit >= 0)
    # Stops that were left out stay behind: what is next comes after the latest visit.
    latest = int(seen[np.argmax(visit[seen])]) if len(seen) else -1
    unserved = np.flatnonzero(visit < 0)
    ahead = unserved[unserved > latest]
    next_stop = int(ahead[0]) if len(ahead) else None
    if not len(time_s):
        return Progress(along_m=None, length_m=length_m, deviation_s=None, next_stop=next_stop)
    along_m, at_s = _along(day, latest, next_stop)
    deviation_s = None
    if along_m is not None:
        deviation_s = schedule_deviation_s(
            at_s,
            along_m,
            stops_m=day.stops_m,
            arrival_s=day.plan.planned_arrival_s,
            service_s=day.plan.service_s,
        )
    return Progress(
        along_m=along_m, length_m=length_m, deviation_s=deviation_s, next_stop=next_stop
    )


def _along(day: Day, latest: int, next_stop: int | None) -> tuple[float | None, float]:
    """Return the last known place along the plan and its time."""
    driven = day.driven
    if day.line is not None:
        known = np.flatnonzero(np.isfinite(day.account.along_m))
        if not len(known):
            return None, float(driven.time_s[-1])
        return float(day.account.along_m[known[-1]]), float(driven.time_s[known[-1]])
    # Roads are not straight: only how much nearer the next stop came says where along it is.
    now_s = float(driven.time_s[-1])
    if latest < 0 or next_stop is None:
        return (float(day.stops_m[latest]) if latest >= 0 else 0.0), now_s
    begin_m, end_m = float(day.stops_m[latest]), float(day.stops_m[next_stop])
    left_m = float(np.hypot(*(day.wanted.xy[next_stop] - driven.xy[-1])))
    return float(np.clip(end_m - left_m, begin_m, end_m)), now_s
