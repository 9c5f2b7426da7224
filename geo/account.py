"""Where the metres and the seconds of a day went."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.drive import Driven
from geo.odometer import steps_m
from geo.plane import Plane, norms
from geo.progress import Line, match
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

# A step along the plan is believed if the wheels did about as much. Between fixes far apart
# the plan may turn corners that the wheels seem to cut, so it may be longer.
SHORTER_SHARE: Final = 0.25
LONGER_SHARE: Final = 0.5
SLACK_M: Final = 60.0
BACKWARDS_M: Final = 40.0
# Across a gap the wheels are not known: the road may be twice as long as the straight line.
GAP_LONGER_SHARE: Final = 1.0
GAP_SLACK_M: Final = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Metres and seconds of each step between fixes, all ``(max(n - 1, 0),)``.

    Attributes
    ----------
    gps_m, plan_m, gap_m
        Each step counts in one of the three, the others are 0 there: smoothed positions, along
        the plan, least distance across a gap. A step over time not shared counts nowhere.
    moving_s, idle_s
        Seconds of steps that are no gap: driving, or standing (also within visits).
    along_m
        Shape ``(n,)``: place along the planned line, NaN = off it or no line planned.
    """

    gps_m: Floats
    plan_m: Floats
    gap_m: Floats
    moving_s: Floats
    idle_s: Floats
    along_m: Floats


def keep_account(
    driven: Driven, line: Line | None, plane: Plane, parameters: Parameters
) -> Account:
    """Return what each step counts.

    Notes
    -----
    Along a planned line its length counts, as the line does not cut corners and has no noise.
    """
    time_s = driven.time_s
    step_s = np.diff(time_s)
    still = driven.still
    metres = steps_m(time_s, driven.drive, still, plane)
    chord_m = norms(np.diff(driven.drive.xy, axis=0))
    counted = driven.shared & ~driven.gap
    standing = still | (chord_m < parameters.standing_mps * step_s)
    along_m = np.full(len(time_s), np.nan)
    on_plan = np.zeros(len(step_s), dtype=bool)
    if line is not None and len(time_s):
        along_m, metres, on_plan = _along_plan(driven, line, metres, parameters)
    gap_m = np.where(driven.gap & ~still, np.maximum(metres, chord_m), 0.0)
    metres = np.where(counted, metres, 0.0)
    return Account(
        gps_m=np.where(on_plan, 0.0, metres),
        plan_m=np.where(on_plan, metres, 0.0),
        gap_m=gap_m,
        moving_s=np.where(counted & ~standing, step_s, 0.0),
        idle_s=np.where(counted & standing, step_s, 0.0),
        along_m=along_m,
    )


def _along_plan(
    driven: Driven, line: Line, metres: Floats, parameters: Parameters
) -> tuple[Floats, Floats, Flags]:
    """Return along_m, the metres with those along the plan put in, and which those are."""
    xy = driven.place_xy
    kept = _thinned(driven, metres, parameters.match_thin_m)
    sigma_m = max(8.0, driven.sigma_m)
    places_m = match(line, xy[kept], sigma_m=sigma_m, reach_m=parameters.match_reach_m)
    progress_m = np.diff(places_m)
    wheels_m = np.append(0.0, np.cumsum(metres))
    driven_m = np.diff(wheels_m[kept])
    gap = driven.gap[kept[1:] - 1] & (kept[1:] - kept[:-1] == 1)
    longest_m = np.where(
        gap,
        (1.0 + GAP_LONGER_SHARE) * driven_m + GAP_SLACK_M,
        (1.0 + LONGER_SHARE) * driven_m + SLACK_M,
    )
    shortest_m = np.maximum((1.0 - SHORTER_SHARE) * driven_m - SLACK_M, -BACKWARDS_M)
    believed = (progress_m >= shortest_m) & (progress_m <= longest_m) & (driven_m > 0.0)
    stretch = np.where(believed, progress_m / np.where(believed, driven_m, 1.0), 1.0)
    pair = np.repeat(np.arange(len(kept) - 1), np.diff(kept))
    share = np.zeros(len(driven.time_s))
    whole_m = np.append(driven_m, 1.0)
    at = np.append(pair, len(kept) - 1)
    offset_m = wheels_m - wheels_m[kept[at]]
    share = np.divide(offset_m, whole_m[at], out=share, where=whole_m[at] > 0.0)
    following = places_m[np.minimum(at + 1, len(kept) - 1)]
    here = places_m[at]
    along_m = np.where(share > 0.0, here + share * (following - here), here)
    return along_m, metres * stretch[pair], believed[pair]


def _thinned(driven: Driven, metres: Floats, thin_m: float) -> Indices:
    """Return the fixes at least about ``thin_m`` apart, with both ends of every interruption."""
    n = len(driven.time_s)
    cell = np.floor(np.append(0.0, np.cumsum(metres)) / thin_m)
    keep = np.diff(cell, prepend=-1.0) > 0.0
    broken = np.flatnonzero(driven.gap | (np.diff(driven.span) != 0))
    keep[broken] = keep[broken + 1] = keep[n - 1] = True
    return np.flatnonzero(keep)


def sums(steps: Floats) -> Floats:
    """Return the sums up to each fix of what the steps between them count, ``(n,)``."""
    return np.append(0.0, np.cumsum(steps))


def between(time_s: Floats, summed: Floats, from_s: float, to_s: float) -> float:
    """Return how much of what `sums` summed lies between two times; linear within a step."""
    low, high = np.interp([from_s, to_s], time_s, summed)
    return max(float(high - low), 0.0)
