"""Stops nobody was seen at: missed, unknown or still to come.

`missed` is said only where shared data would have shown the visit; what may have happened outside
sharing is `unknown`, a driver's tap outside sharing is believed, a running route's stops ahead are
`pending`, and nothing is `pending` once the route is over.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from geo.assign import Wanted
from geo.clock import Clock
from geo.drive import Driven, Silences
from geo.pace import latest_served
from geo.plane import norms
from geo.report import StopStatus, UnknownReason
from geo.types import Flags, Floats, Indices
from geo.values import Parameters
from geo.visits import Served, is_short

# Roads are longer than straight lines, and in towns one drives half as fast as one could.
DETOUR: Final = 2.0
# In a silence this long a driver may have gone far, and back to stops left out before.
LONG_SILENCE_S: Final = 600.0
LONG_NEIGHBOURS: Final = 2
# Single steps may look faster than they were.
OWN_SPEED_QUANTILE: Final = 0.95
# Who stood so long where no stop is left, after all that was planned, has stopped working.
RESTING_S: Final = 3_600.0
RESTING_M: Final = 150.0
# Who begins the day before sharing begins may be this much ahead of the plan at its first stops.
EARLY_S: Final = 900.0


def statuses(
    driven: Driven,
    silent: Silences,
    wanted: Wanted,
    served: Served,
    clock: Clock,
    parameters: Parameters,
) -> tuple[tuple[StopStatus, ...], tuple[UnknownReason | None, ...]]:
    """Return the status of every stop, and why it is `unknown`; None = it is not.

    Notes
    -----
    A stop without a visit is

    - `pending` if the route is not over and its time is still to come: planned after ``until_s``;
      or, while the route runs, after the latest visit in the plan, unless the driver says otherwise
      or a silence since its neighbours may have hidden the visit and the stop is overdue by more
      than the present delay;
    - `unknown` if there was a silence long enough to drive there on the straight line at 7 m/s,
      stay as long as it takes to be seen and come back: between the visits of its neighbours; or,
      at 14 m/s, a later one of ten minutes, or any time in which sharing was interrupted, between
      the beginning of the work and that of sharing, or between its end and ``until_s``. Who drove
      faster on that day can drive as fast again;
    - `unknown` also if a pass was cut off by the beginning or end of the track, or sampled too
      coarsely to exclude such a halt; if its time lies before sharing began; or if it comes after
      the latest visit and sharing was over before ``until_s``;
    - `unknown` also if the route was cancelled while it was to come as above;
    - `missed` otherwise: the data would have shown the visit.

    Where the driver ended the shift, and sharing with it or before, nothing is served from then on:
    of what came after the last fix only the time until ``work_done_s`` counts, and whatever could
    just have been reached at that moment is `unknown`. If that time is longer than ``gap_s``, all
    of it counts like one that was not shared, be it a pause or a silent phone: who has served the
    last stop may go back to any other. So does a silence longer than ``gap_s`` after the latest
    visit, though there are fixes after it. So it is with whoever has stood for an hour, when all of
    the plan was over, as sharing ended, and has no next route: shifts that were forgotten end by
    themselves.
    """
    visited = served.visit >= 0
    clock = _rested(driven, wanted, visited, clock)
    ahead = np.arange(len(visited)) > latest_served(served.visit)
    hidden = np.ones(len(visited), dtype=bool)
    unshared, few, before = np.zeros((3, len(visited)), dtype=bool)
    if len(driven.time_s):
        silent = _with_beginning(driven, silent, clock, parameters)
        silent = _with_end(driven, silent, clock, parameters)
        if clock.is_work_done:
            silent = _without_order(silent, served, parameters)
        hidden, unshared = _reachable(driven, silent, wanted, served, parameters)
        unshared |= ahead & (clock.ended and not clock.is_work_done)
        few = _unresolved(driven, wanted, served, parameters)
        reached = _just_reached(driven, wanted, clock, parameters)
        if _ends_silent(driven, clock, parameters):
            unshared |= reached
        else:
            few |= reached
        before = _before_sharing(driven, wanted, served, clock, parameters)
    to_come = _to_come(ahead, hidden | few, clock)
    return _told(visited, to_come, few, before, hidden | unshared, cancelled=clock.cancelled)


def _told(
    visited: Flags,
    to_come: Flags,
    few: Flags,
    before: Flags,
    hidden: Flags,
    *,
    cancelled: bool,
) -> tuple[tuple[StopStatus, ...], tuple[UnknownReason | None, ...]]:
    """Return the status of every stop, and the first reason why it is not known."""
    found: list[StopStatus] = []
    reasons: list[UnknownReason | None] = []
    for stop in range(len(visited)):
        reason: UnknownReason | None = None
        if visited[stop]:
            found.append("visited")
        elif to_come[stop] and not cancelled:
            found.append("pending")
        else:
            if to_come[stop]:
                reason = "cancelled"
            elif few[stop]:
                reason = "too_few_positions"
            elif before[stop]:
                reason = "before_recording"
            elif hidden[stop]:
                reason = "not_recorded"
            found.append("missed" if reason is None else "unknown")
        reasons.append(reason)
    return tuple(found), tuple(reasons)


def needed_silence_s(service_s: Floats, parameters: Parameters) -> Floats:
    """Return how long nobody must have looked for a visit to go unseen, ``(m,)``."""
    return np.where(is_short(service_s, parameters), service_s, parameters.stay_min_s)


def _to_come(ahead: Flags, hidden: Flags, clock: Clock) -> Flags:
    if clock.over and not clock.cancelled:
        return np.zeros(len(ahead), dtype=bool)
    to_come = clock.due_s > clock.until_s
    if clock.running:
        expected_s = clock.due_s + clock.delay_s + clock.under_way_s
        late = np.isnan(clock.due_s) | (expected_s > clock.until_s)
        to_come |= ahead & (late | ~(hidden | clock.settled))
        # No plan says that it is too late for those that have no time.
        to_come |= np.isnan(clock.due_s) & ~clock.settled
    return to_come


def _before_sharing(
    driven: Driven, wanted: Wanted, served: Served, clock: Clock, parameters: Parameters
) -> Flags:
    """Flag the stops that may have been served before anything was shared, ``(m,)``."""
    stops = np.arange(len(wanted.xy))
    needed_s = needed_silence_s(wanted.service_s, parameters)
    timeless = np.isnan(clock.arrival_s)
    before = (clock.arrival_s + needed_s <= clock.from_s) | (clock.done_s <= clock.from_s)
    # Where only a window is told, all of it lies before; an open one alone says nothing.
    before |= timeless & (clock.closes_s <= clock.from_s)
    # Of the rest those nobody was seen at yet when the first visit was seen.
    seen = np.flatnonzero(served.visit >= 0)
    earlier = stops < (seen[0] if len(seen) else len(stops))
    before |= timeless & earlier & ~np.isin(stops, served.passes.stop)
    way_m = _way_m(driven.xy[0], wanted.xy, wanted.radius_m)
    way_s = DETOUR * way_m / _reach_mps(driven, parameters)
    return before | (earlier & (clock.opens_s - EARLY_S + needed_s + way_s <= clock.from_s))


def _rested(driven: Driven, wanted: Wanted, visited: Flags, clock: Clock) -> Clock:
    """Return the clock with the work done, if the driver had come to rest before sharing ended."""
    if not clock.ended or clock.is_work_done or clock.next_began or not len(driven.time_s):
        return clock
    served_s = clock.arrival_s + np.nan_to_num(wanted.service_s)
    over_s = float(np.fmax.reduce(np.fmax(served_s, clock.closes_s))) + clock.delay_s
    away = np.flatnonzero(norms(driven.place_xy - driven.place_xy[-1]) > RESTING_M)
    rests_s = float(driven.time_s[away[-1] + 1 if len(away) else 0])
    left_m = _way_m(driven.place_xy[-1], wanted.xy, wanted.radius_m)[~visited]
    last_s = float(driven.time_s[-1])
    # A comparison with NaN is false: a plan without times is never over.
    rested = rests_s <= last_s - RESTING_S and over_s <= last_s - RESTING_S
    return replace(clock, work_done_s=last_s) if rested and (left_m > RESTING_M).all() else clock


def _ends_silent(driven: Driven, clock: Clock, parameters: Parameters) -> bool:
    """Tell whether the driver ended the shift so long after the last fix that it tells little."""
    return clock.is_work_done and clock.work_done_s - driven.time_s[-1] > parameters.gap_s


def _with_end(driven: Driven, silent: Silences, clock: Clock, parameters: Parameters) -> Silences:
    """Add the time from the last fix to the end of the work, if sharing was over by then.

    That is when the driver ended the shift. Where that is not known they may have worked on until
    the end of the report: who is late goes on after the end of a plan.
    """
    to_s = clock.until_s if clock.ended else -np.inf
    if clock.is_work_done:
        to_s = clock.work_done_s if _ends_silent(driven, clock, parameters) else -np.inf
    if to_s <= driven.time_s[-1]:
        return silent
    last = len(driven.time_s) - 1
    return _with_unshared(silent, float(driven.time_s[-1]), float(to_s), before=last, after=-1)


def _with_beginning(
    driven: Driven, silent: Silences, clock: Clock, parameters: Parameters
) -> Silences:
    """Add the time from the beginning of the work to the first fix, if sharing began later."""
    if clock.from_s - clock.begun_s <= parameters.gap_s:
        return silent
    return _with_unshared(silent, clock.begun_s, float(driven.time_s[0]), before=-1, after=0)


def _with_unshared(
    silent: Silences, from_s: float, to_s: float, *, before: int, after: int
) -> Silences:
    return replace(
        silent,
        from_s=np.append(silent.from_s, from_s),
        to_s=np.append(silent.to_s, to_s),
        before=np.append(silent.before, before),
        after=np.append(silent.after, after),
        unshared=np.append(silent.unshared, True),
    )


def _without_order(silent: Silences, served: Served, parameters: Parameters) -> Silences:
    """Let a driver go anywhere in a gap after the last visit that was seen.

    A phone may come back only as the driver ends the shift.
    """
    times_s = served.visits.from_s[served.visit[served.visit >= 0]]
    after = silent.from_s >= times_s.max(initial=-np.inf)
    long = silent.to_s - silent.from_s > parameters.gap_s
    return replace(silent, unshared=silent.unshared | (after & long))


def _reachable(
    driven: Driven, silent: Silences, wanted: Wanted, served: Served, parameters: Parameters
) -> tuple[Flags, Flags]:
    """Flag the stops that may have been served in a silence, ``(m,)`` each.

    The first are those of a silence between the visits of their neighbours in the plan, the second
    those of any time that was not shared: in which order a driver works then nobody knows.
    """
    stops = np.arange(len(wanted.xy))
    seen = np.flatnonzero(served.visit >= 0)
    times_s = served.visits.from_s[served.visit[seen]]
    # A stop belongs between its neighbours in the plan; with reordered ones, in their hull.
    at = np.searchsorted(seen, stops)
    earliest_s, latest_s = _hull_s(times_s, at, 1)
    wide_from_s, _ = _hull_s(times_s, at, LONG_NEIGHBOURS)
    needed_s = needed_silence_s(wanted.service_s, parameters)
    between, unshared = np.zeros((2, len(stops)), dtype=bool)
    duration_s, reach_mps = silent.to_s - silent.from_s, _reach_mps(driven, parameters)
    long = duration_s >= LONG_SILENCE_S
    before_xy, after_xy = driven.xy[silent.before], driven.xy[silent.after]
    for stop in np.flatnonzero(served.visit < 0).tolist():
        xy, radius_m = wanted.xy[stop], wanted.radius_m[stop]
        in_time = (silent.to_s > earliest_s[stop]) & (silent.from_s < latest_s[stop])
        in_time |= long & (silent.to_s > wide_from_s[stop])
        way_m = np.where(silent.before >= 0, _way_m(before_xy, xy, radius_m), 0.0)
        way_m += np.where(silent.after >= 0, _way_m(after_xy, xy, radius_m), 0.0)
        # Outside sharing nobody knows the roads.
        way_m = np.where(long | silent.unshared, way_m, DETOUR * way_m)
        free_s = duration_s - needed_s[stop]
        possible = (free_s >= 0.0) & (way_m <= reach_mps * free_s)
        between[stop] = (possible & in_time).any()
        unshared[stop] = (possible & silent.unshared).any()
    return between, unshared


def _reach_mps(driven: Driven, parameters: Parameters) -> float:
    """Return how fast a vehicle gets along: no slower than on its own fast roads."""
    known = driven.shared & ~driven.gap
    way_m = norms(np.diff(driven.place_xy, axis=0))[known]
    speed_mps = way_m / np.diff(driven.time_s)[known]
    speed_mps = speed_mps[speed_mps > parameters.standing_mps]
    own_mps = float(np.quantile(speed_mps, OWN_SPEED_QUANTILE)) if len(speed_mps) else 0.0
    return max(parameters.reach_speed_mps, own_mps)


def _hull_s(times_s: Floats, at: Indices, neighbours: int) -> tuple[Floats, Floats]:
    """Return the earliest and the latest visit of so many stops before and after each, ``(m,)``."""
    ends = np.full(neighbours, np.inf)
    padded_s = np.concatenate([-ends, times_s, ends])
    around = padded_s[at[:, np.newaxis] + np.arange(2 * neighbours)]
    return around.min(axis=1), around.max(axis=1)


def _way_m(one_xy: Floats, other_xy: Floats, radius_m: Floats) -> Floats:
    """Return the straight way from places to circles; of either there may be one only."""
    return np.asarray(np.maximum(norms(one_xy - other_xy) - radius_m, 0.0))


def _just_reached(driven: Driven, wanted: Wanted, clock: Clock, parameters: Parameters) -> Flags:
    """Flag the stops that the driver may just have come to when they ended the shift, ``(m,)``.

    So would the track have ended within the circle, had there been a last fix.
    """
    if not clock.is_work_done:
        return np.zeros(len(wanted.xy), dtype=bool)
    free_s = clock.work_done_s - driven.time_s[-1]
    way_m = DETOUR * _way_m(driven.xy[-1], wanted.xy, wanted.radius_m)
    return np.asarray(way_m <= _reach_mps(driven, parameters) * free_s)


def _unresolved(driven: Driven, wanted: Wanted, served: Served, parameters: Parameters) -> Flags:
    """Flag stops passed with so few fixes that a halt would not show."""
    unresolved = np.zeros(len(wanted.xy), dtype=bool)
    passes = served.passes
    if not len(passes.stop):
        return unresolved
    driven_m = np.append(0.0, np.cumsum(norms(np.diff(driven.place_xy, axis=0))))
    way_m = driven_m[passes.after] - driven_m[passes.before]
    spare_s = driven.time_s[passes.after] - driven.time_s[passes.before]
    spare_s -= DETOUR * way_m / _reach_mps(driven, parameters)
    needed_s = needed_silence_s(wanted.service_s, parameters)[passes.stop]
    # Where the track begins or ends within the circle, the rest of the pass was not seen.
    cut_off = passes.begins_inside | passes.ends_inside
    np.logical_or.at(unresolved, passes.stop, (spare_s >= needed_s) | cut_off)
    return unresolved
