"""The track held against the planned line: what was driven along it, and which way."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.drive import Driven
from geo.plane import norms
from geo.progress import Line, follow
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

# A step along the plan is believed if the wheels did about as much. Between fixes far apart
# the plan may turn corners that the wheels seem to cut, so it may be longer.
SHORTER_SHARE: Final = 0.25
LONGER_SHARE: Final = 0.5
SLACK_M: Final = 60.0
NOISE_BACK_M: Final = 40.0
# Across a gap the wheels are not known: the road may be twice as long as the straight line.
GAP_LONGER_SHARE: Final = 1.0
GAP_SLACK_M: Final = 200.0
# Backwards is told from noise over this way of the wheels.
WINDOW_M: Final = 100.0
BACKWARDS_SHARE: Final = 0.5
# Between fixes so far apart the wheels may have gone anywhere, but not faster than they can.
HIDING_STEP_S: Final = 15.0
HIDING_STILL_S: Final = 60.0
FASTEST_SHARE: Final = 1.2
FASTEST_MIN_MPS: Final = 12.0
# Smoothed positions are never believed better than this: a street is wide.
SIGMA_MIN_M: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlongPlan:
    """The plan as it was driven, at ``k`` fixes about 12 m apart.

    Attributes
    ----------
    fix
        Shape ``(k,)``: which fixes of the day, ascending.
    along_m, distance_m
        Shape ``(k,)``: place along the line, NaN = off it, and the distance to it.
    driven_m, hidden_m
        Shape ``(k - 1,)``: what the wheels did between two of them, and how much more they may have
        done unseen between fixes far apart in time.
    known
        Shape ``(k - 1,)``: false where a silence or time not shared lies between.
    forwards, backwards
        Shape ``(k - 1,)``: the wheels followed the line from one to the next, onwards or against
        its direction. Both false: off the line, or from one part of it to another.
    """

    fix: Indices
    along_m: Floats
    distance_m: Floats
    driven_m: Floats
    hidden_m: Floats
    known: Flags
    forwards: Flags
    backwards: Flags


def along_plan(driven: Driven, line: Line, metres: Floats, parameters: Parameters) -> AlongPlan:
    """Return how the line was driven.

    Parameters
    ----------
    driven
        The day, with at least one fix.
    line
        The planned line.
    metres
        Shape ``(n - 1,)``: what the wheels did in each step.
    parameters
        Thresholds.
    """
    fix = _thinned(driven, metres, parameters.match_thin_m)
    xy = driven.place_xy[fix]
    hidden_m = _hidden_m(driven, fix)
    followed = follow(
        line,
        xy,
        sigma_m=max(SIGMA_MIN_M, driven.sigma_m),
        reach_m=parameters.match_reach_m,
        hidden_m=hidden_m,
    )
    distance_m = followed.distance_m.copy()
    beyond = np.flatnonzero(np.isinf(distance_m))
    if len(beyond):
        distance_m[beyond] = line.distance_m(xy[beyond])
    wheels_m = np.diff(np.append(0.0, np.cumsum(metres))[fix])
    # A stay swallows the metres at its rim, but not how far the vehicle came.
    driven_m = np.maximum(wheels_m, norms(np.diff(xy, axis=0)))
    silent, unshared = (np.append(0.0, np.cumsum(flags)) for flags in (driven.gap, ~driven.shared))
    gap, cut = np.diff(silent[fix]) > 0.0, np.diff(unshared[fix]) > 0.0
    longest_m = np.where(
        gap,
        np.maximum((1.0 + GAP_LONGER_SHARE) * driven_m + GAP_SLACK_M, driven_m + hidden_m),
        (1.0 + LONGER_SHARE) * driven_m + SLACK_M + hidden_m,
    )
    forwards, backwards = _directions(followed.along_m, driven_m, longest_m, wheels_m)
    return AlongPlan(
        fix=fix,
        along_m=followed.along_m,
        distance_m=distance_m,
        driven_m=driven_m,
        hidden_m=hidden_m,
        known=~gap & ~cut,
        forwards=forwards & ~cut,
        backwards=backwards & ~cut,
    )


def _thinned(driven: Driven, metres: Floats, thin_m: float) -> Indices:
    """Return the fixes at least about ``thin_m`` apart, with both ends of every long step."""
    n = len(driven.time_s)
    cell = np.floor(np.append(0.0, np.cumsum(metres)) / thin_m)
    keep = np.diff(cell, prepend=-1.0) > 0.0
    long = np.diff(driven.time_s) > HIDING_STEP_S
    broken = np.flatnonzero(long | driven.gap | (np.diff(driven.span) != 0))
    keep[broken] = keep[broken + 1] = keep[n - 1] = True
    return np.flatnonzero(keep)


def _hidden_m(driven: Driven, fix: Indices) -> Floats:
    """Return how much further than straight the wheels may have gone between two of the fixes.

    Only steps over 15 s hide anything, at no more than the speed the vehicle shows elsewhere.
    """
    step_s, chord_m = np.diff(driven.time_s), norms(np.diff(driven.place_xy, axis=0))
    moving_mps = (chord_m / step_s)[~driven.still & ~driven.gap]
    fastest_mps = FASTEST_MIN_MPS
    if len(moving_mps):
        fastest_mps = max(FASTEST_SHARE * float(np.quantile(moving_mps, 0.9)), fastest_mps)
    # Who stands before and after a silence most likely stood all the time.
    free_s = np.where(driven.still, np.minimum(step_s, HIDING_STILL_S), step_s)
    hidden_m = np.maximum(fastest_mps * free_s - chord_m, 0.0)
    hidden_m[step_s <= HIDING_STEP_S] = 0.0
    return np.diff(np.append(0.0, np.cumsum(hidden_m))[fix])


def _directions(
    along_m: Floats, driven_m: Floats, longest_m: Floats, wheels_m: Floats
) -> tuple[Flags, Flags]:
    """Return which steps follow the line, forwards and backwards."""
    progress_m = np.diff(along_m)
    least_m = (1.0 - SHORTER_SHARE) * driven_m - SLACK_M
    possible = (np.abs(progress_m) <= longest_m) & (driven_m > 0.0)  # NaN is not
    against = _against(along_m, wheels_m)
    backwards = possible & against[:-1] & against[1:] & (-progress_m >= least_m)
    # Noise undoes itself: of what moves a standing vehicle on, nothing may be left out.
    onwards = (progress_m >= np.maximum(least_m, -NOISE_BACK_M)) | (wheels_m <= 0.0)
    return possible & ~backwards & onwards, backwards


def _against(along_m: Floats, wheels_m: Floats) -> Flags:
    """Flag the fixes around which the line was driven against its direction, ``(k,)``."""
    at = np.arange(len(along_m))
    joined = np.abs(np.diff(along_m)) <= (1.0 + LONGER_SHARE) * wheels_m + SLACK_M
    wheels_m = np.append(0.0, np.cumsum(wheels_m))
    part = np.append(0, np.cumsum(~joined))
    first = np.searchsorted(part, part, side="left")
    last = np.searchsorted(part, part, side="right") - 1
    before = np.searchsorted(wheels_m, wheels_m - WINDOW_M / 2.0, side="left")
    after = np.searchsorted(wheels_m, wheels_m + WINDOW_M / 2.0, side="right") - 1
    # At least one step to both sides, none across a break.
    before = np.maximum(np.minimum(before, at - 1), first)
    after = np.minimum(np.maximum(after, at + 1), last)
    went_m = wheels_m[after] - wheels_m[before]
    net_m = along_m[after] - along_m[before]
    return np.asarray((went_m >= WINDOW_M / 3.0) & (net_m < -BACKWARDS_SHARE * went_m))
