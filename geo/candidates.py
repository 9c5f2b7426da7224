"""Candidate visits: stays, and passes of a stop too slow for a drive-by."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from geo.assign import Wanted
from geo.drive import Driven
from geo.passes import Passes
from geo.plane import norms
from geo.stays import Stays
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

# Only sampling this fine shows that a vehicle really halted for some seconds.
HALT_STEP_MAX_S: Final = 10.0
# An arrival or departure within a silence is told if it is known this well.
SILENCE_ERROR_MAX_S: Final = 300.0
SILENCE_PACE_MPS: Final = 8.0
SILENCE_FASTEST_MPS: Final = 25.0
# So many slow passes are looked at; of more each stop keeps its longest, this many at least.
SLOW_MAX: Final = 2_000
SLOW_EACH_MIN: Final = 4
# What braking and pulling away cost, and how fast vehicles of a coarse track go between fixes.
RAMPS_S: Final = 6.0
PACE_SHARE: Final = 0.6
PACE_MIN_MPS: Final = 5.0
PACE_MAX_MPS: Final = 14.0
MOVING_MPS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Candidate visits, ``v`` of them.

    Attributes
    ----------
    xy, from_s, to_s, error_s
        Shapes ``(v, 2)``, ``(v,)``: place, halt and start of the wheels, error of the halt.
    dwell_s
        Shape ``(v,)``: time not explained by driving through.
    begin_known, end_known
        Shape ``(v,)``: false where the track begins or ends within the visit.
    own_stop
        Shape ``(v,)``: the stop whose circle was passed slowly; -1 for a stay.
    """

    xy: Floats
    from_s: Floats
    to_s: Floats
    error_s: Floats
    dwell_s: Floats
    begin_known: Flags
    end_known: Flags
    own_stop: Indices

    def __getitem__(self, at: Indices) -> "Visits":
        return Visits(**{name.name: getattr(self, name.name)[at] for name in fields(self)})


def joined(one: Visits, other: Visits) -> Visits:
    """Return the visits of both by time; stays come before slow passes of the same instant."""
    both = Visits(
        **{
            name.name: np.concatenate([getattr(one, name.name), getattr(other, name.name)])
            for name in fields(one)
        }
    )
    return both[np.lexsort((both.own_stop, both.from_s))]


def is_short(service_s: Floats, parameters: Parameters) -> Flags:
    """Flag the stops planned to be short, like those of a bus, ``(m,)``."""
    return (service_s > 0.0) & (service_s < parameters.short_service_s)


def required_dwell_s(service_s: Floats, parameters: Parameters) -> Floats:
    """Return how long a vehicle must halt to have visited each stop.

    Parameters
    ----------
    service_s
        Shape ``(m,)``: planned service; 0 or NaN = none planned.
    parameters
        Thresholds.

    Returns
    -------
    Floats
        Shape ``(m,)``: seconds.

    Notes
    -----
    The rule: 50 s, as traffic rarely holds a vehicle that long. A stop *planned* shorter than
    60 s (a bus stop, a letter box) needs half of its planned service, at least 5 s. The price is
    honest: a red light within the circle of such a stop looks like a visit. The evidence then is
    `slow_pass` with a lower confidence, and where fixes are at most 10 s apart the vehicle must
    have been as slow as 2 m/s. Other stops may be served from as far as a driver parks, a short one
    only from within its (outer) circle.
    """
    short = is_short(service_s, parameters)
    scaled_s = np.maximum(parameters.short_halt_min_s, parameters.short_service_share * service_s)
    return np.where(short, scaled_s, parameters.stay_min_s)


def of_stays(driven: Driven, stays: Stays) -> Visits:
    """Return the stays as visits.

    Where a stay begins after, or ends before, a silence of a shared interval, the vehicle drove
    there on the straight line at 8 m/s: at once, or between two stays in the middle of the
    silence. That is told if it cannot be off by more than five minutes; else, and where sharing
    was interrupted, the edge is not known.
    """
    begin = _edges(driven, stays.first, -1, stays.centre_xy)
    end = _edges(driven, stays.last, 1, stays.centre_xy)
    between = np.flatnonzero((stays.last[:-1] + 1 == stays.first[1:]) & begin.told[1:])
    spare_s = driven.time_s[stays.first[1:]] - driven.time_s[stays.last[:-1]]
    spare_s = np.maximum(spare_s[between] - begin.drive_s[1:][between], 0.0) / 2.0
    from_s = np.where(begin.told, begin.at_s, stays.from_s)
    to_s = np.where(end.told, end.at_s, stays.to_s)
    from_s[between + 1] += spare_s
    to_s[between] -= spare_s
    return Visits(
        xy=stays.centre_xy,
        from_s=from_s,
        to_s=to_s,
        error_s=np.where(begin.told, begin.error_s, stays.error_s),
        dwell_s=to_s - from_s,
        begin_known=begin.seen | begin.told,
        end_known=end.seen | end.told,
        own_stop=np.full(len(stays.first), -1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edges:
    """One end of each of ``k`` visits, all ``(k,)``.

    ``seen``: there is a fix beyond it. ``told``: there is one beyond a silence, and the drive of
    ``drive_s`` from it says that the visit began or ended ``at_s``, give or take ``error_s``.
    """

    seen: Flags
    told: Flags
    at_s: Floats
    drive_s: Floats
    error_s: Floats


def _edges(driven: Driven, fix: Indices, side: int, xy: Floats) -> _Edges:
    """Return what is known of the ends at the fixes ``fix``, places ``xy``; side -1 = begin."""
    n = len(driven.time_s)
    beside = fix + side
    exists = (beside >= 0) & (beside < n)
    beside = np.where(exists, beside, fix)
    seen = exists & (driven.span[beside] == driven.span[fix])
    silent = exists & ~seen
    silent[exists] &= driven.shared[np.minimum(fix, beside)[exists]]
    away_m = norms(driven.place_xy[beside] - xy)
    silence_s = np.abs(driven.time_s[fix] - driven.time_s[beside])
    drive_s = np.minimum(away_m / SILENCE_PACE_MPS + RAMPS_S, silence_s)
    error_s = np.maximum(drive_s - away_m / SILENCE_FASTEST_MPS, silence_s - drive_s)
    return _Edges(
        seen=seen,
        told=silent & (error_s <= SILENCE_ERROR_MAX_S),
        at_s=driven.time_s[beside] - side * drive_s,
        drive_s=drive_s,
        error_s=error_s,
    )


def slow_passes(driven: Driven, passes: Passes, wanted: Wanted, parameters: Parameters) -> Visits:
    """Return the passes too slow for a drive-by that no stay explains.

    Where fixes are dense, too slow is who was inside longer than crossing takes at 8 m/s by the
    time a halt needs; where they are coarse, who lost that time between the fixes around, at the
    pace of this vehicle. Who crawls round among hundreds of large circles passes each of them
    slowly many times: beyond 2,000 passes each stop keeps its longest.
    """
    time_s = driven.time_s
    required_s = required_dwell_s(wanted.service_s, parameters)[passes.stop]
    if driven.dense:
        crossing_s = passes.travel_m / parameters.passing_speed_mps
        excess_s = passes.exited_s - passes.entered_s - crossing_s
        from_s, to_s = passes.entered_s + crossing_s / 2.0, passes.exited_s - crossing_s / 2.0
    else:
        excess_s, from_s, to_s = _lost_time(driven, passes)
    slow = excess_s >= required_s
    halted, fine, begin_s, end_s = _halts(driven, passes, parameters)
    exact = halted & fine
    from_s, to_s = np.where(exact, begin_s, from_s), np.where(exact, end_s, to_s)
    slow &= halted | ~fine | ~is_short(wanted.service_s[passes.stop], parameters)
    speed_mps = driven.speed_mps
    seen_long = passes.exited_s - passes.entered_s >= parameters.short_halt_min_s
    stood = passes.begins_inside & (speed_mps[passes.before] <= parameters.halting_speed_mps)
    stood |= passes.ends_inside & (speed_mps[passes.after] <= parameters.halting_speed_mps)
    begin = _edges(driven, passes.before, -1, passes.nearest_xy)
    end = _edges(driven, passes.after, 1, passes.nearest_xy)
    begin_told, end_told = passes.begins_inside & begin.told, passes.ends_inside & end.told
    explained = _explained(driven, passes, wanted, parameters)
    chosen = np.flatnonzero((slow | (stood & seen_long)) & ~explained)
    chosen = _longest(chosen, passes.stop, excess_s, len(wanted.service_s))
    middle_s = (from_s + to_s) / 2.0
    from_s, to_s = np.minimum(from_s, middle_s), np.maximum(to_s, middle_s)
    step_s = time_s[np.minimum(passes.before + 1, len(time_s) - 1)] - time_s[passes.before]
    return Visits(
        xy=passes.nearest_xy,
        from_s=np.select(
            [begin_told, passes.begins_inside], [begin.at_s, passes.entered_s], from_s
        ),
        to_s=np.select([end_told, passes.ends_inside], [end.at_s, passes.exited_s], to_s),
        error_s=np.maximum.reduce([np.ones(len(slow)), (to_s - from_s) / 2.0, step_s / 2.0]),
        dwell_s=np.maximum(excess_s, 0.0),
        begin_known=~passes.begins_inside | begin_told,
        end_known=~passes.ends_inside | end_told,
        own_stop=passes.stop,
    )[chosen]


def _longest(chosen: Indices, stop: Indices, excess_s: Floats, stops: int) -> Indices:
    """Return the chosen passes, or if they are too many the longest of each stop."""
    if len(chosen) <= SLOW_MAX:
        return chosen
    chosen = chosen[np.lexsort((-excess_s[chosen], stop[chosen]))]
    rank = np.arange(len(chosen)) - np.searchsorted(stop[chosen], stop[chosen])
    return np.sort(chosen[rank < max(SLOW_MAX // stops, SLOW_EACH_MIN)])


def _lost_time(driven: Driven, passes: Passes) -> tuple[Floats, Floats, Floats]:
    """Return the time lost between the fixes around each pass, and from when to when it was."""
    time_s, xy = driven.time_s, driven.place_xy
    pace_mps = _pace_mps(driven)
    driven_m = np.append(0.0, np.cumsum(norms(np.diff(xy, axis=0))))
    before_s, after_s = time_s[passes.before], time_s[passes.after]
    way_m = driven_m[passes.after] - driven_m[passes.before]
    lost_s = after_s - before_s - way_m / pace_mps - RAMPS_S
    coming_m = norms(xy[passes.before] - passes.nearest_xy)
    going_m = norms(xy[passes.after] - passes.nearest_xy)
    from_s = before_s + coming_m / pace_mps + RAMPS_S / 2.0
    to_s = after_s - going_m / pace_mps - RAMPS_S / 2.0
    return lost_s, from_s, to_s


def _pace_mps(driven: Driven) -> float:
    """Return how fast this vehicle usually gets from fix to fix where it does not stand."""
    step_s, step_m = np.diff(driven.time_s), norms(np.diff(driven.place_xy, axis=0))
    moving = driven.shared & ~driven.gap & ~driven.still & (step_m > MOVING_MPS * step_s)
    if not moving.any():
        return SILENCE_PACE_MPS
    pace_mps = float(np.quantile(step_m[moving] / step_s[moving], PACE_SHARE))
    return float(np.clip(pace_mps, PACE_MIN_MPS, PACE_MAX_MPS))


def _halts(
    driven: Driven, passes: Passes, parameters: Parameters
) -> tuple[Flags, Flags, Floats, Floats]:
    """Return whether the vehicle was seen slow inside, whether finely, and from when to when."""
    time_s, n = driven.time_s, len(driven.time_s)
    slow = np.flatnonzero(driven.speed_mps <= parameters.halting_speed_mps)
    first = np.searchsorted(time_s, passes.entered_s, side="left")
    last = np.searchsorted(time_s, passes.exited_s, side="right") - 1
    low, high = np.searchsorted(slow, first), np.searchsorted(slow, last, side="right") - 1
    halted = low <= high
    coarse = np.append(0, np.cumsum(np.diff(time_s) > HALT_STEP_MAX_S))
    fine = coarse[passes.after] == coarse[passes.before]
    padded = np.append(slow, n - 1)
    begin_s, end_s = time_s[padded[np.where(halted, low, -1)]], time_s[padded[high]]
    return halted, fine, begin_s, end_s


def _explained(driven: Driven, passes: Passes, wanted: Wanted, parameters: Parameters) -> Flags:
    """Flag the passes in which a stay near enough for the stop says the same, and better."""
    stays = driven.stays
    reach_m = np.maximum(parameters.reach_m, wanted.radius_m) + 2.5 * driven.sigma_m
    explained = np.zeros(len(passes.stop), dtype=bool)
    # Only stays that overlap the pass in time: few, and side by side.
    low = np.searchsorted(stays.to_s, passes.entered_s, side="right")
    high = np.searchsorted(stays.from_s, passes.exited_s, side="left")
    for offset in range(int(np.max(high - low, initial=0))):
        at = low + offset
        within = at < high
        at = np.where(within, at, 0)
        stop = passes.stop
        away_m = norms(wanted.xy[stop] - stays.centre_xy[at])
        explained |= within & (away_m <= reach_m[stop])
    return explained
