"""Stops nobody served: missed, unknown or still to come."""

from dataclasses import dataclass

import numpy as np

from geo.assign import Wanted
from geo.drive import Driven, Silences
from geo.plane import norms
from geo.report import StopStatus
from geo.types import Flags, Floats
from geo.values import Parameters
from geo.visits import Served, is_short


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
      at 14 m/s, serve it and come back, or if a pass was cut off by the beginning or end of
      the track, or sampled too coarsely to exclude a halt of the planned length;
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
    padded_s = np.concatenate([[-np.inf], times_s, [np.inf]])
    earliest_s = np.minimum(padded_s[at], padded_s[at + 1])
    latest_s = np.maximum(padded_s[at], padded_s[at + 1])
    needed_s = needed_silence_s(wanted.service_s, parameters)
    reachable = np.zeros(len(stops), dtype=bool)
    duration_s = silent.to_s - silent.from_s
    for stop in np.flatnonzero(served.visit < 0):  # a matrix of stops and fixes might not fit
        in_time = (silent.to_s > earliest_s[stop]) & (silent.from_s < latest_s[stop])
        away_m = np.maximum(norms(driven.xy - wanted.xy[stop]) - wanted.radius_m[stop], 0.0)
        way_m = np.where(silent.before >= 0, away_m[silent.before], 0.0)
        way_m += np.where(silent.after >= 0, away_m[silent.after], 0.0)
        free_s = duration_s - needed_s[stop]
        possible = in_time & (free_s >= 0.0) & (way_m <= parameters.reach_speed_mps * free_s)
        reachable[stop] = possible.any()
    return reachable


def _unresolved(driven: Driven, wanted: Wanted, served: Served, parameters: Parameters) -> Flags:
    """Flag stops passed with so few fixes that a halt of the planned length would not show."""
    unresolved = np.zeros(len(wanted.xy), dtype=bool)
    passes = served.passes
    if not len(passes.stop):
        return unresolved
    driven_m = np.append(0.0, np.cumsum(norms(np.diff(driven.place_xy, axis=0))))
    fastest_s = (driven_m[passes.after] - driven_m[passes.before]) / parameters.reach_speed_mps
    spare_s = driven.time_s[passes.after] - driven.time_s[passes.before] - fastest_s
    needed_s = needed_silence_s(wanted.service_s, parameters)[passes.stop]
    # Where the track begins or ends within the circle, the rest of the pass was not seen.
    cut_off = passes.begins_inside | passes.ends_inside
    np.logical_or.at(unresolved, passes.stop, (spare_s >= needed_s) | cut_off)
    return unresolved
