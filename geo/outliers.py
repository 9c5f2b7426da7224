"""Fixes that lie: positions a phone repeats, and jumps out and back."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import norms
from geo.types import Flags, Floats
from geo.values import Parameters

SPIKE_FIXES_MAX: Final = 3
SPIKE_STEPS_MAX: Final = 2.5
# Fast is what one step in twenty exceeds; nobody suddenly drives half as fast again.
FAST_SHARE: Final = 0.95
FASTER: Final = 1.5
STUCK_SPEED_MIN_MPS: Final = 15.0
STUCK_SLACK_M: Final = 40.0
STUCK_STEPS: Final = 2
# One step in five is faster than one gets into a dead end and out again.
TURNING_SHARE: Final = 0.8
TURNING_STEP_MIN_S: Final = 5.0
# Nobody drives away at a speed not seen otherwise and is back where he stood in ten minutes.
WILD_SPEED_MIN_MPS: Final = 20.0
BACK_HOME_S: Final = 600.0
SAME_PLACE_SIGMAS: Final = 5.0


def stuck(time_s: Floats, xy: Floats, parameters: Parameters) -> Flags:
    """Flag the repeats of a position that the vehicle had long left, ``(n,)``.

    A parked phone may repeat its position, too; but then the vehicle leaves it at a pace it
    drives. Where the next two fixes both lie further off than it could have come since the
    last repeat, it was under way all the time, and only the first of the repeats is true.
    """
    never = np.zeros(len(time_s), dtype=bool)
    if len(time_s) <= STUCK_STEPS:
        return never
    step_m, step_s = norms(np.diff(xy, axis=0)), np.diff(time_s)
    same = step_m == 0.0
    if not same.any():
        return never
    edges = np.diff(same.astype(np.int8), prepend=0, append=0)
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    seen_next = last + STUCK_STEPS < len(time_s)
    first, last = first[seen_next], last[seen_next]
    moving = step_m[~same] / step_s[~same]
    usual_mps = float(np.quantile(moving, FAST_SHARE)) if len(moving) else 0.0
    limit_mps = max(FASTER * usual_mps, STUCK_SPEED_MIN_MPS)
    limit_mps = min(limit_mps, parameters.feasible_speed_mps)
    gone = np.ones(len(last), dtype=bool)
    for step in range(1, STUCK_STEPS + 1):
        away_m = norms(xy[last + step] - xy[last])
        gone &= away_m > limit_mps * (time_s[last + step] - time_s[last]) + STUCK_SLACK_M
    marks = np.zeros(len(time_s) + 1)
    marks[first[gone] + 1] += 1.0
    marks[last[gone] + 1] -= 1.0
    return np.cumsum(marks)[:-1] > 0.0


def spikes(time_s: Floats, xy: Floats, sigma_m: Floats, parameters: Parameters) -> Flags:
    """Flag runs of one to three fixes that leave the line and come back faster than it moves.

    Parameters
    ----------
    time_s, xy, sigma_m
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: strictly increasing times, metres in the plane and
        the standard deviation of each coordinate.
    parameters
        Thresholds.

    Returns
    -------
    Flags
        Shape ``(n,)``. Up to three fixes 100 m off a line driven at up to 5 m/s are found at
        steps up to 5 s, 300 m off at 15 s; ``tests/geo/test_outliers.py`` holds it to that.
        At coarser steps a spur looks the same: it is believed at a speed of which one step in
        five is faster.
    """
    spiky = np.zeros(len(time_s), dtype=bool)
    if len(time_s) < SPIKE_FIXES_MAX:
        return spiky
    typical_m = float(np.median(sigma_m))
    step_m, step_s = norms(np.diff(xy, axis=0)), np.diff(time_s)
    far = step_m > max(parameters.spike_min_m, 4.0 * typical_m)
    if not far.any():
        return spiky
    limits = _Limits.of(step_m, step_s, typical_m, parameters)
    for run in range(1, SPIKE_FIXES_MAX + 1):
        # Only where both the way out and the way back are long is there more to look at.
        before = np.flatnonzero(far[: len(far) - run] & far[run:])
        after = before + run + 1
        found = limits.spike(
            duration_s=time_s[after] - time_s[before],
            base_m=norms(xy[after] - xy[before]),
            out_m=step_m[before],
            back_m=step_m[after - 1],
            out_s=step_s[before],
            back_s=step_s[after - 1],
        )
        for offset in range(1, run + 1):
            spiky[before[found] + offset] = True
    # At the ends nothing comes back, but nobody drives on so fast either.
    wild = far & (step_m > limits.wild_mps * step_s)
    for ends in (slice(None, SPIKE_FIXES_MAX), slice(None, -SPIKE_FIXES_MAX - 1, -1)):
        jumps = np.flatnonzero(wild[ends])
        if len(jumps):
            spiky[ends][: jumps[-1] + 1] = True
    return spiky


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What is too fast for this track.

    Attributes
    ----------
    longest_s
        No longer than this is a vehicle away on a spike.
    turning_mps
        Faster than this nobody drives into a dead end and out again: turning takes its time.
    wild_mps
        Nobody drives faster than this here.
    same_m
        Places no further apart are one place.
    """

    longest_s: float
    turning_mps: float
    wild_mps: float
    same_m: float

    @classmethod
    def of(
        cls, step_m: Floats, step_s: Floats, typical_m: float, parameters: Parameters
    ) -> "_Limits":
        usual_s = float(np.median(step_s))
        turning_mps, fast_mps = np.quantile(step_m / step_s, [TURNING_SHARE, FAST_SHARE]).tolist()
        return cls(
            longest_s=max(parameters.spike_max_s, SPIKE_STEPS_MAX * usual_s),
            turning_mps=turning_mps if usual_s > TURNING_STEP_MIN_S else 0.0,
            wild_mps=max(FASTER * fast_mps, WILD_SPEED_MIN_MPS),
            same_m=SAME_PLACE_SIGMAS * typical_m,
        )

    def spike(
        self,
        *,
        duration_s: Floats,
        base_m: Floats,
        out_m: Floats,
        back_m: Floats,
        out_s: Floats,
        back_s: Floats,
    ) -> Flags:
        """Flag what leaves the line and comes back too fast, or comes back to where it stood."""
        out_mps, back_mps = out_m / np.maximum(out_s, 0.5), back_m / np.maximum(back_s, 0.5)
        slower_mps = np.minimum(out_mps, back_mps)
        quick = (
            (duration_s <= self.longest_s)
            & (base_m < 0.5 * (out_m + back_m))
            & (slower_mps > 1.7 * base_m / np.maximum(duration_s, 1.0) + 6.0)
            & (slower_mps > self.turning_mps)
        )
        back_home = (duration_s <= BACK_HOME_S) & (base_m <= self.same_m)
        back_home &= np.maximum(out_mps, back_mps) > self.wild_mps
        return np.asarray(quick | back_home)
