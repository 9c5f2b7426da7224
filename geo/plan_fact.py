"""Plan versus fact: what of a planned route really happened."""

from dataclasses import fields, replace
from typing import Final

import numpy as np

from geo.account import keep_account
from geo.clean import clean
from geo.clock import Clock
from geo.day import Day, Seen
from geo.drive import coverage, prepare, silences
from geo.facts import deviations, legs, too_fast, totals, unplanned
from geo.ground import Ground
from geo.intervals import merged
from geo.judge import needed_silence_s, statuses
from geo.own_time import Order, cut
from geo.plane import refuse_unusable
from geo.report import Leg, PlanFact, Progress, Quality, StopFact, StopStatus, UnknownReason
from geo.stop_facts import numbered, stop_facts, with_taps
from geo.types import Floats
from geo.values import (
    ALONE,
    DEFAULT,
    UNTOLD,
    OwnTime,
    Parameters,
    Plan,
    Taps,
    Track,
    Work,
)
from geo.visits import halts_s, serve
from geo.whereabouts import looking_ahead, progress, reached, whereabouts

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT",
    "OwnTime",
    "Parameters",
    "Plan",
    "PlanFact",
    "Taps",
    "Track",
    "Work",
    "plan_versus_fact",
]

ALGORITHM_VERSION: Final = "2.4"


def plan_versus_fact(
    track: Track,
    plan: Plan,
    *,
    shared_s: Floats,
    until_s: float,
    over: bool = False,
    work: Work = UNTOLD,
    own: OwnTime = ALONE,
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
    work, own
        What is known of the driver's work beside the track; and which time is this route's, where
        the driver has others.
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
    ground, order = Ground.of(plan), Order.of(plan, own, over=over)
    own_track, own_s, end_s = cut(track, shared_s, until_s=until_s, own=own)
    seen = _seen(ground, own_track, own_s, until_s, taps, parameters, order=order)
    whole, day = seen, _day(seen)
    if own.is_cut:
        first = _first(order, seen)
        whole = _seen(ground, track, shared_s, until_s, taps, parameters, order=order, first=first)
    were = reached(day, whole, until_s=end_s)
    here = whereabouts(day, were)
    now = progress(day, were, here, own.taken_over_s)
    present = _clock(whole, now, shared_s, until_s, over=over, work=work, own=own)
    stops, own_stops = _stops(day, whole, present)
    if present.running and not over:
        now = looking_ahead(day, here, now, stops, until_s=until_s)
    return _report(day, _quality(day, until_s), stops, legs(day, own_stops), now)


def _stops(
    day: Day, whole: Seen, present: Clock
) -> tuple[tuple[StopFact, ...], tuple[StopFact, ...]]:
    """Return what is known of each stop; ``whole`` has also what is of the neighbouring routes.

    What was not served in between may be served before or after: that is seen, or not, in the same
    way. The second ones have no times of those: the way there is not of this route.
    """
    status, reasons = _statuses(whole, present)
    if whole.served is day.served:
        own = stop_facts(day, status, reasons)
        return own, own
    seen = day.served.visit >= 0
    status = tuple("visited" if of else found for of, found in zip(seen, status, strict=True))
    own, other = (stop_facts(one, status, reasons) for one in (day, whole))
    merged_facts = tuple(
        there if not is_seen and visit >= 0 else here
        for here, there, is_seen, visit in zip(own, other, seen, whole.served.visit, strict=True)
    )
    return numbered(merged_facts), own


def _report(
    day: Day, quality: Quality, stops: tuple[StopFact, ...], driven: tuple[Leg, ...], now: Progress
) -> PlanFact:
    return PlanFact(
        quality=quality,
        stops=stops,
        unplanned=unplanned(day),
        legs=driven,
        deviations=deviations(day),
        speeding=too_fast(day),
        totals=totals(day, stops),
        progress=now,
    )


def _seen(  # the one place where everything meets
    ground: Ground,
    track: Track,
    shared_s: Floats,
    until_s: float,
    taps: Taps,
    parameters: Parameters,
    *,
    order: Order,
    first: int | None = None,
) -> Seen:
    cleaned = clean(track, ground.plane, shared_s=shared_s, until_s=until_s, parameters=parameters)
    driven = prepare(cleaned, parameters)
    shortest_s = float(needed_silence_s(ground.plan.service_s, parameters).min())
    return Seen(
        ground=ground,
        cleaned=cleaned,
        driven=driven,
        silent=silences(driven, shared_s, until_s, longer_s=shortest_s),
        served=serve(driven, ground.wanted, parameters, order=order, first=first),
        shared_s=merged(np.minimum(shared_s, until_s)),
        taps=taps,
        parameters=parameters,
    )


def _first(order: Order, seen: Seen) -> int:
    """Return the first stop that was served in the route's own time, -1 = none yet."""
    began_s, _ = order.halts_s(*halts_s(seen.served.visits, seen.served.visit))
    return order.first(began_s)


def _day(seen: Seen) -> Day:
    ground, driven = seen.ground, seen.driven
    account = keep_account(driven, ground.line, ground.plane, seen.parameters)
    return Day(**{of.name: getattr(seen, of.name) for of in fields(seen)}, account=account)


def _clock(
    day: Seen,
    now: Progress,
    shared_s: Floats,
    until_s: float,
    *,
    over: bool,
    work: Work,
    own: OwnTime,
) -> Clock:
    if own.taken_over_s is not None:  # who drove the route before may have been anywhere
        work = replace(work, begun_s=-np.inf)
    return Clock.of(
        day.ground.plan,
        day.taps,
        # Uncut: that the last interval goes on after ``until_s`` tells a running route.
        shared_s=shared_s,
        until_s=until_s,
        delay_s=max(now.deviation_s or 0.0, 0.0),
        under_way_s=day.parameters.gap_s,
        over=over,
        work=work,
        next_s=own.to_s,
    )


def _statuses(
    day: Seen, present: Clock
) -> tuple[tuple[StopStatus, ...], tuple[UnknownReason | None, ...]]:
    found, reasons = statuses(
        day.driven, day.silent, day.ground.wanted, day.served, present, day.parameters
    )
    believed = with_taps(
        found,
        day.taps.done_s,
        seen_s=_known(day),
        until_s=present.until_s,
        gap_s=day.parameters.gap_s,
    )
    return believed, reasons


def _known(day: Seen) -> Floats:
    """Return the times of which positions tell where the vehicle was, disjoint, ``(k, 2)``."""
    time_s = day.driven.time_s
    if not len(time_s):
        return np.zeros((0, 2))
    lost = np.flatnonzero(day.driven.gap | ~day.driven.shared)
    from_s = np.concatenate([time_s[:1], time_s[lost + 1]])
    return np.column_stack([from_s, np.concatenate([time_s[lost], time_s[-1:]])])


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


def _quality(day: Day, until_s: float) -> Quality:
    time_s, gap_s = day.driven.time_s, day.parameters.gap_s
    long = day.silent.to_s - day.silent.from_s > gap_s
    return Quality(
        fixes=day.cleaned.fixes,
        used=len(time_s),
        dropped=day.cleaned.dropped,
        median_step_s=float(np.median(np.diff(time_s))) if len(time_s) > 1 else None,
        sigma_m=day.driven.sigma_m if len(time_s) else None,
        gaps=int(np.count_nonzero(long & ~day.silent.unshared)),
        coverage=coverage(day.driven, day.shared_s, until_s, gap_s=gap_s),
    )
