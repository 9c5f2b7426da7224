"""Plan versus fact: what of a planned route really happened."""

from typing import Final

import numpy as np

from geo.account import keep_account
from geo.clean import Cleaned, clean
from geo.day import Day
from geo.drive import coverage, prepare, silences
from geo.facts import deviations, legs, too_fast, totals, unplanned
from geo.ground import Ground
from geo.intervals import merged
from geo.judge import Clock, needed_silence_s, statuses
from geo.plane import refuse_unusable
from geo.report import PlanFact, Progress, Quality, StopFact, StopStatus, UnknownReason
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

ALGORITHM_VERSION: Final = "2.2"


def plan_versus_fact(
    track: Track,
    plan: Plan,
    *,
    shared_s: Floats,
    until_s: float,
    over: bool = False,
    work_done_s: float | None = None,
    next_route_s: float | None = None,
    parameters: Parameters = DEFAULT,
    taps: Taps | None = None,
) -> PlanFact:
    """Return what of ``plan`` happened according to ``track``: O(n log n) in the fixes.

    Parameters
    ----------
    track, plan
        The fixes, in any order and repeated at will; the planned stops.
    shared_s
        Shape ``(w, 2)``: unix seconds, intervals in which positions could be recorded, in any
        order, overlaps allowed. The one still open ends later than ``until_s``, at infinity if
        need be: it tells a running route from a finished one. Between them, before the first and
        after the last nothing is known: no distance, no visit, nothing interpolated.
    until_s
        The instant up to which the data are complete; of a finished route when it was over.
    over
        Nothing of the route can come any more: no stop is `pending`, and none is forecast.
    work_done_s
        From then on no stop is served, as the driver said so by ending the work (a pause or a
        withdrawal says nothing): that nothing was shared later excuses no stop. The driver must
        have had the route by then, planned as it is. None = not known; without effect where
        sharing went on, or after ``until_s``.
    next_route_s
        When the driver's next route began; None = not before ``until_s``. Whoever begins it goes
        back to no stop of this one that was left out; what was still ahead may be served yet.
    parameters, taps
        Thresholds; and what the driver said (None = nothing), believed where the data do not know.

    Returns
    -------
    PlanFact
        The report. See `geo.judge.statuses` for missed, unknown and pending,
        `geo.stop_facts.with_taps` for what the driver's word changes, and
        `geo.visits.required_dwell_s` for what counts as a visit; error bounds stand at the parts.

    Raises
    ------
    ValueError
        If the plan has no stop, shapes do not agree, a planned coordinate is not finite or out
        of range, or the plan spans half of the Earth. It may cross the antimeridian.
    """
    taps = _no_taps(len(plan.lon_lat)) if taps is None else taps
    _refuse(track, plan, shared_s, taps)
    shared_s = merged(shared_s)
    ground = Ground.of(plan)
    cleaned = clean(track, ground.plane, shared_s=shared_s, until_s=until_s, parameters=parameters)
    day = _day(ground, cleaned, shared_s, until_s, taps, parameters)
    here = whereabouts(day)
    now = progress(day, here)
    present = _clock(
        day, now, shared_s, until_s, over=over, work_done_s=work_done_s, next_route_s=next_route_s
    )
    stops = stop_facts(day, *_statuses(day, present))
    if present.running:
        now = looking_ahead(day, here, now, stops, until_s=until_s)
    return _report(day, _quality(day, cleaned, shared_s, until_s), stops, now)


def _report(day: Day, quality: Quality, stops: tuple[StopFact, ...], now: Progress) -> PlanFact:
    return PlanFact(
        quality=quality,
        stops=stops,
        unplanned=unplanned(day),
        legs=legs(day, stops),
        deviations=deviations(day),
        speeding=too_fast(day),
        totals=totals(day, stops),
        progress=now,
    )


def _day(  # the one place where everything meets
    ground: Ground,
    cleaned: Cleaned,
    shared_s: Floats,
    until_s: float,
    taps: Taps,
    parameters: Parameters,
) -> Day:
    driven = prepare(cleaned, parameters)
    shortest_s = float(needed_silence_s(ground.plan.service_s, parameters).min())
    return Day(
        ground=ground,
        driven=driven,
        silent=silences(driven, shared_s, until_s, longer_s=shortest_s),
        served=serve(driven, ground.wanted, parameters),
        account=keep_account(driven, ground.line, ground.plane, parameters),
        shared_s=merged(np.minimum(shared_s, until_s)),
        taps=taps,
        parameters=parameters,
    )


def _clock(
    day: Day,
    now: Progress,
    shared_s: Floats,
    until_s: float,
    *,
    over: bool,
    work_done_s: float | None,
    next_route_s: float | None,
) -> Clock:
    # Uncut: that the last interval goes on after ``until_s`` tells a running route.
    return Clock.of(
        day.ground.plan,
        day.taps,
        shared_s=shared_s,
        until_s=until_s,
        delay_s=max(now.deviation_s or 0.0, 0.0),
        under_way_s=day.parameters.gap_s,
        over=over,
        work_done_s=work_done_s,
        next_route_s=next_route_s,
    )


def _statuses(
    day: Day, present: Clock
) -> tuple[tuple[StopStatus, ...], tuple[UnknownReason | None, ...]]:
    found, reasons = statuses(
        day.driven, day.silent, day.ground.wanted, day.served, present, day.parameters
    )
    believed = with_taps(
        found,
        day.taps.done_s,
        shared_s=day.shared_s,
        until_s=present.until_s,
        gap_s=day.parameters.gap_s,
    )
    return believed, reasons


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


def _refuse(track: Track, plan: Plan, shared_s: Floats, taps: Taps) -> None:
    refuse_plan(plan)
    fixes, stops = len(track.time_s), len(plan.lon_lat)
    if any(values.shape != (stops,) for values in (taps.arrived_s, taps.done_s, taps.failed_s)):
        raise ValueError(f"taps must have {stops} values of each kind")
    if track.lon_lat.shape != (fixes, 2) or track.accuracy_m.shape != (fixes,):
        raise ValueError("track must have as many positions and accuracies as times")
    if shared_s.ndim != 2 or shared_s.shape[1] != 2 or np.isnan(shared_s).any():  # noqa: PLR2004
        raise ValueError("shared_s must have shape (w, 2) and no NaN")


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
