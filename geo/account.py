"""Where the metres and the seconds of a day went."""

from dataclasses import dataclass

import numpy as np

from geo.along_plan import AlongPlan, along_plan
from geo.drive import Driven
from geo.odometer import steps_m
from geo.plane import Plane, norms
from geo.progress import Line
from geo.types import Flags, Floats
from geo.values import Parameters


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
    held
        How the planned line was driven; None without fixes or without a line.
    """

    gps_m: Floats
    plan_m: Floats
    gap_m: Floats
    moving_s: Floats
    idle_s: Floats
    along_m: Floats
    held: AlongPlan | None


def keep_account(
    driven: Driven, line: Line | None, plane: Plane, parameters: Parameters
) -> Account:
    """Return what each step counts.

    Notes
    -----
    Along a planned line its length counts, as the line does not cut corners and has no noise.
    With it the sum is within 0.5 % of the truth at 5 s and 2 % at 30 s (sigma 10 m) on the days
    of ``tests/geo/days.py``: ``tests/geo/test_account.py`` holds it to that.
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
    held = None
    if line is not None and len(time_s):
        held = along_plan(driven, line, metres, parameters)
        along_m, metres, on_plan = _spread(held, metres)
    gap_m = np.where(driven.gap & ~still, np.maximum(metres, chord_m), 0.0)
    metres = np.where(counted, metres, 0.0)
    return Account(
        gps_m=np.where(on_plan, 0.0, metres),
        plan_m=np.where(on_plan, metres, 0.0),
        gap_m=gap_m,
        moving_s=np.where(counted & ~standing, step_s, 0.0),
        idle_s=np.where(counted & standing, step_s, 0.0),
        along_m=along_m,
        held=held,
    )


def _spread(held: AlongPlan, metres: Floats) -> tuple[Floats, Floats, Flags]:
    """Return along_m of every fix, the metres with those along the plan, and which those are."""
    fix = held.fix
    wheels_m = np.append(0.0, np.cumsum(metres))
    driven_m = np.diff(wheels_m[fix])
    on_plan = held.forwards | held.backwards
    progress_m = np.diff(held.along_m)
    # A few metres back between two fixes are noise: they undo metres of noise before.
    along_m = np.where(held.backwards, -progress_m, progress_m)
    turned = on_plan & (driven_m > 0.0)
    stretch = np.where(turned, along_m / np.where(turned, driven_m, 1.0), 1.0)
    pair = np.repeat(np.arange(len(fix) - 1), np.diff(fix))
    at = np.append(pair, len(fix) - 1)
    counted_m = metres * stretch[pair]
    # Where the wheels count nothing the place may have moved on: the last step did it.
    slid = on_plan & ~turned
    counted_m[fix[1:][slid] - 1] = along_m[slid]
    whole_m = np.append(driven_m, 1.0)[at]
    share = np.zeros(len(at))
    np.divide(wheels_m - wheels_m[fix[at]], whole_m, out=share, where=whole_m > 0.0)
    here = held.along_m[at]
    following = held.along_m[np.minimum(at + 1, len(fix) - 1)]
    place_m = np.where(share > 0.0, here + share * (following - here), here)
    return place_m, counted_m, on_plan[pair]


def sums(steps: Floats) -> Floats:
    """Return the sums up to each fix of what the steps between them count, ``(n,)``."""
    return np.append(0.0, np.cumsum(steps))


def between(time_s: Floats, summed: Floats, from_s: float, to_s: float) -> float:
    """Return how much of what `sums` summed lies between two times; linear within a step."""
    low, high = np.interp([from_s, to_s], time_s, summed)
    return max(float(high - low), 0.0)
