"""Stops nobody served: missed, unknown or still to come."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.assign import Wanted
from geo.drive import Driven, Silences
from geo.plane import norms
from geo.report import StopStatus
from geo.types import Flags, Floats, Indices
from geo.values import Parameters
from geo.visits import Served, is_short

# A hurried driver needs this share of the planned service.
HURRY: Final = 0.6
# Roads are longer than straight lines, and in towns one drives half as fast as one could.
DETOUR: Final = 2.0
# In a silence this long a driver may have gone far, and back to stops left out before.
LONG_SILENCE_S: Final = 600.0
LONG_NEIGHBOURS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What "now" means for a route.

    Attributes
    ----------
    until_s
        Data counts as complete up to here.
    running
        Positions may still be recorded after ``until_s``.
    delay_s
        How far behind the schedule the vehicle is, 0 if ahead or not known.
    due_s
        Shape ``(m,)``: when each stop was planned, NaN = never.
    """

    until_s: float
    running: bool
    delay_s: float
    due_s: Floats


def statuses(
    driven: Driven,
    silent: Silences,
    wanted: Wanted,
    served: Served,
    clock: Clock,
    parameters: Parameters,
) -> tuple[StopStatus, ...]:
    """Return the status of every stop.

    Notes
    -----
    A stop without a visit is

    - `pending` if its time is still to come: planned after ``until_s``; or planned later than
      that by the present delay, or not planned at all, while the route runs and no later stop
      was visited;
    - `unknown` if a silence between the visits of its neighbours was long enough to drive there
      on the straight line at 7 m/s, serve it in 60 % of the planned time and come back, or a
      silence of ten minutes at 14 m/s; or if a pass was cut off by the beginning or end of the
      track, or sampled too coarsely to exclude such a halt;
    - `missed` otherwise: the data would have shown the visit.
    """
    visited = served.visit >= 0
    pending = _pending(visited, clock)
    unseen = np.ones(len(visited), dtype=bool)
    if len(driven.time_s):
        unseen = _reachable(driven, silent, wanted, served, parameters)
        unseen |= _unresolved(driven, wanted, served, parameters)
    choices: list[StopStatus] = []
    for stop in range(len(visited)):
        if visited[stop]:
            choices.append("visited")
        elif pending[stop]:
            choices.append("pending")
        else:
            choices.append("unknown" if unseen[stop] else "missed")
    return tuple(choices)


def needed_silence_s(service_s: Floats, parameters: Parameters) -> Floats:
    """Return how long nobody must have looked for a visit to go unseen, ``(m,)``."""
    return np.where(is_short(service_s, parameters), service_s, parameters.stay_min_s)


def _pending(visited: Flags, clock: Clock) -> Flags:
    last_visited = int(np.flatnonzero(visited)[-1]) if visited.any() else -1
    ahead = np.arange(len(visited)) > last_visited
    to_come = clock.due_s > clock.until_s
    if clock.running:
        to_come |= ahead & (np.isnan(clock.due_s) | (clock.due_s + clock.delay_s > clock.until_s))
    return ~visited & to_come


def _reachable(
    driven: Driven, silent: Silences, wanted: Wanted, served: Served, parameters: Parameters
) -> Flags:
    """Flag the stops that may have been served during a silence, ``(m,)``."""
    stops = np.arange(len(wanted.xy))
    seen = np.flatnonzero(served.visit >= 0)
    times_s = served.visits.from_s[served.visit[seen]]
    # A stop belongs between its neighbours in the plan; with reordered ones, in their hull.
    at = np.searchsorted(seen, stops)
    earliest_s, latest_s = _hull_s(times_s, at, 1)
    wide_from_s, wide_to_s = _hull_s(times_s, at, LONG_NEIGHBOURS)
    needed_s = _plausible_s(wanted.service_s, parameters)
    reachable = np.zeros(len(stops), dtype=bool)
    duration_s = silent.to_s - silent.from_s
    long = duration_s >= LONG_SILENCE_S
    before_xy, after_xy = driven.xy[silent.before], driven.xy[silent.after]
    for stop in np.flatnonzero(served.visit < 0).tolist():
        in_time = (silent.to_s > earliest_s[stop]) & (silent.from_s < latest_s[stop])
        in_time |= long & (silent.to_s > wide_from_s[stop]) & (silent.from_s < wide_to_s[stop])
        way_m = np.where(silent.before >= 0, _way_m(before_xy, wanted, stop), 0.0)
        way_m += np.where(silent.after >= 0, _way_m(after_xy, wanted, stop), 0.0)
        way_m = np.where(long, way_m, DETOUR * way_m)
        free_s = duration_s - needed_s[stop]
        possible = in_time & (free_s >= 0.0) & (way_m <= parameters.reach_speed_mps * free_s)
        reachable[stop] = possible.any()
    return reachable


def _hull_s(times_s: Floats, at: Indices, neighbours: int) -> tuple[Floats, Floats]:
    """Return the earliest and the latest visit of so many stops before and after each, ``(m,)``."""
    ends = np.full(neighbours, np.inf)
    padded_s = np.concatenate([-ends, times_s, ends])
    around = padded_s[at[:, np.newaxis] + np.arange(2 * neighbours)]
    return around.min(axis=1), around.max(axis=1)


def _plausible_s(service_s: Floats, parameters: Parameters) -> Floats:
    """Return how long a visit takes at least: nobody does ten minutes' work in one, ``(m,)``."""
    needed_s = needed_silence_s(service_s, parameters)
    return np.fmax(needed_s, np.where(is_short(service_s, parameters), 0.0, HURRY * service_s))


def _way_m(xy: Floats, wanted: Wanted, stop: int) -> Floats:
    """Return the straight way between each fix and the circle of the stop."""
    return np.asarray(np.maximum(norms(xy - wanted.xy[stop]) - wanted.radius_m[stop], 0.0))


def _unresolved(driven: Driven, wanted: Wanted, served: Served, parameters: Parameters) -> Flags:
    """Flag stops passed with so few fixes that a halt of the planned length would not show."""
    unresolved = np.zeros(len(wanted.xy), dtype=bool)
    passes = served.passes
    if not len(passes.stop):
        return unresolved
    driven_m = np.append(0.0, np.cumsum(norms(np.diff(driven.place_xy, axis=0))))
    fastest_s = (driven_m[passes.after] - driven_m[passes.before]) / parameters.reach_speed_mps
    spare_s = driven.time_s[passes.after] - driven.time_s[passes.before] - fastest_s
    needed_s = _plausible_s(wanted.service_s, parameters)[passes.stop]
    # Where the track begins or ends within the circle, the rest of the pass was not seen.
    cut_off = passes.begins_inside | passes.ends_inside
    np.logical_or.at(unresolved, passes.stop, (spare_s >= needed_s) | cut_off)
    return unresolved
