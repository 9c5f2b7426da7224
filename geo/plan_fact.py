"""Plan versus fact: what of a planned route really happened."""

from typing import Final

import numpy as np

from geo.account import keep_account
from geo.assign import Wanted
from geo.clean import Cleaned, clean
from geo.day import Day
from geo.drive import coverage, prepare, silences
from geo.facts import deviations, legs, too_fast, totals, unplanned
from geo.intervals import merged
from geo.judge import Clock, needed_silence_s, statuses
from geo.plane import Plane, refuse_unusable, segment_lengths_m
from geo.progress import Line, place_stops
from geo.report import PlanFact, Quality, StopStatus
from geo.stop_facts import stop_facts, with_taps
from geo.types import Floats
from geo.values import DEFAULT, Parameters, Plan, Taps, Track
from geo.visits import serve
from geo.whereabouts import looking_ahead, progress, whereabouts

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT",
    "Parameters",
    "Plan",
    "PlanFact",
    "Taps",
    "Track",
    "plan_versus_fact",
]

ALGORITHM_VERSION: Final = "2.0"


def plan_versus_fact(
    track: Track,
    plan: Plan,
    *,
    shared_s: Floats,
    until_s: float,
    parameters: Parameters = DEFAULT,
    taps: Taps | None = None,
) -> PlanFact:
    """Return what of ``plan`` happened according to ``track``.

    Parameters
    ----------
    track, plan
        The fixes, in any order and repeated at will; the planned stops.
    shared_s
        Shape ``(w, 2)``: unix seconds, intervals in which positions could be recorded, in any
        order, overlaps allowed. The one still open ends later than ``until_s``, at infinity if
        need be: it tells a running route from a finished one. Between them nothing is known:
        no distance, no visit, nothing interpolated.
    until_s
        The instant up to which the data are complete.
    parameters, taps
        Thresholds; and what the driver said (None = nothing), believed where the data do not know.

    Returns
    -------
    PlanFact
        The report. See `geo.judge.statuses` for missed, unknown and pending,
        `geo.stop_facts.with_taps` for what the driver's word changes, and
        `geo.visits.required_dwell_s` for what counts as a visit.

    Raises
    ------
    ValueError
        If the plan has no stop, shapes do not agree, a planned coordinate is not finite or out
        of range, or the plan spans half of the Earth. It may cross the antimeridian.

    Notes
    -----
    O(n log n) in the fixes. Error bounds stand, and are tested, at the parts: `geo.plane`,
    `geo.account`, `geo.odometer`, `geo.stays`, `geo.progress`.
    """
    taps = _no_taps(len(plan.lon_lat)) if taps is None else taps
    refuse_plan(plan)
    _refuse(track, shared_s, taps, stops=len(plan.lon_lat))
    shared_s = merged(shared_s)
    plane = Plane.around(plan.lon_lat)
    cleaned = clean(track, plane, shared_s=shared_s, until_s=until_s, parameters=parameters)
    day = _day(cleaned, plan, plane, shared_s, until_s, taps, parameters)
    here = whereabouts(day)
    now = progress(day, here)
    running = bool(len(shared_s)) and bool(until_s < shared_s[-1, 1])
    # The fixes of the last two minutes may still be under way.
    delay_s = max(now.deviation_s or 0.0, 0.0) + parameters.gap_s
    due_s = _due_s(plan, taps, until_s)
    clock = Clock(until_s=until_s, running=running, delay_s=delay_s, due_s=due_s)
    stops = stop_facts(day, _statuses(day, clock))
    if running:
        now = looking_ahead(day, here, now, stops, until_s=until_s)
    return PlanFact(
        quality=_quality(day, cleaned, shared_s, until_s),
        stops=stops,
        unplanned=unplanned(day),
        legs=legs(day, stops),
        deviations=deviations(day),
        speeding=too_fast(day),
        totals=totals(day, stops),
        progress=now,
    )


def _day(  # the one place where everything meets
    cleaned: Cleaned,
    plan: Plan,
    plane: Plane,
    shared_s: Floats,
    until_s: float,
    taps: Taps,
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
        taps=taps,
        parameters=parameters,
    )


def _statuses(day: Day, clock: Clock) -> tuple[StopStatus, ...]:
    found = statuses(day.driven, day.silent, day.wanted, day.served, clock, day.parameters)
    gap_s = day.parameters.gap_s
    return with_taps(found, day.taps.done_s, until_s=clock.until_s, gap_s=gap_s)


def _no_taps(stops: int) -> Taps:
    never = np.full(stops, np.nan)
    return Taps(arrived_s=never, done_s=never, failed_s=never)


def refuse_plan(plan: Plan) -> None:
    """Raise if a plan cannot be compared with anything.

    Raises
    ------
    ValueError
        As `plan_versus_fact`.
    """
    refuse_unusable(plan.lon_lat, "plan.lon_lat")
    stops = len(plan.lon_lat)
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


def _refuse(track: Track, shared_s: Floats, taps: Taps, *, stops: int) -> None:
    fixes = len(track.time_s)
    if any(values.shape != (stops,) for values in (taps.arrived_s, taps.done_s, taps.failed_s)):
        raise ValueError(f"taps must have {stops} values of each kind")
    if track.lon_lat.shape != (fixes, 2) or track.accuracy_m.shape != (fixes,):
        raise ValueError("track must have as many positions and accuracies as times")
    if shared_s.ndim != 2 or shared_s.shape[1] != 2 or np.isnan(shared_s).any():  # noqa: PLR2004
        raise ValueError("shared_s must have shape (w, 2) and no NaN")


def _stops_along(plan: Plan, wanted: Wanted, line: Line | None) -> Floats:
    if line is not None:
        return place_stops(line, wanted.xy)
    return np.append(0.0, np.cumsum(segment_lengths_m(plan.lon_lat)))


def _due_s(plan: Plan, taps: Taps, until_s: float) -> Floats:
    """Return when each stop was due, NaN = never; what the driver calls done is not to come."""
    due_s = np.where(np.isnan(plan.planned_arrival_s), plan.window_to_s, plan.planned_arrival_s)
    return np.where(taps.done_s <= until_s, -np.inf, due_s)


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
