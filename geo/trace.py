"""A track as stays see it, and when a vehicle that comes to a place stood there."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import norms
from geo.types import Floats, Indices

# What smoothing leaves of the noise where fixes are dense: white noise goes, lasting errors stay.
SMOOTHED_SHARE: Final = 0.7
BRAKING_MPS2: Final = 1.5
# A stay that is joined a thousand times is not sorted a thousand times.
ROUGH_FIXES: Final = 1_000
ERROR_MIN_S: Final = 2.0
APPROACH_MIN_MPS: Final = 5.0
APPROACH_MAX_MPS: Final = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What stays are looked for in.

    Attributes
    ----------
    time_s, xy, span
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: strictly increasing times; metres in the plane;
        ascending labels. Nothing is concluded across a change of label.
    noise_m
        Standard deviation of a coordinate of ``xy``.
    """

    time_s: Floats
    xy: Floats
    span: Indices
    noise_m: float

    def centre(self, run: tuple[int, int]) -> Floats:
        """Return the median of the fixes from the first to the last of ``run``."""
        return _median(self.xy[run[0] : run[1] + 1])

    def rough_centre(self, run: tuple[int, int]) -> Floats:
        """Return the median of at most 1,000 fixes of ``run``, spread evenly over it."""
        fixes = run[1] - run[0] + 1
        return _median(self.xy[run[0] : run[1] + 1 : -(-fixes // ROUGH_FIXES)])

    def backwards(self) -> "Trace":
        """Return the track as it would have been driven the other way."""
        return Trace(
            time_s=-self.time_s[::-1],
            xy=self.xy[::-1],
            span=self.span[::-1],
            noise_m=self.noise_m,
        )


def _median(xy: Floats) -> Floats:
    ordered = np.sort(xy, axis=0)  # ten times faster than np.median
    n = len(ordered)
    middle: Floats = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0
    return middle


def place_noise_m(sigma_m: float, *, dense: bool) -> float:
    """Return the noise of the positions in which stays are looked for."""
    return SMOOTHED_SHARE * sigma_m if dense else sigma_m


def halt_s(trace: Trace, run: tuple[int, int], centre: Floats) -> tuple[float, float]:
    """Return when the wheels stopped, and half of the interval in which that must have been.

    The last fix outside the circle drives on at the speed of the step before it, then brakes
    at 1.5 m/s2. The estimate never leaves the time until the first fix near the centre.
    """
    time_s, xy, span = trace.time_s, trace.xy, trace.span
    first, last = run
    if first == 0 or span[first - 1] != span[first]:
        return float(time_s[first]), 0.0
    distance_m = norms(xy[first : last + 1] - centre)
    middle_m = np.sort(distance_m)[len(distance_m) // 2]
    latest_s = float(time_s[first + int(np.argmax(distance_m <= middle_m))])
    before = first - 1
    away_m = float(norms(xy[before] - centre))
    back = max(before - 1, 0) if span[max(before - 1, 0)] == span[before] else before
    pair = (back, before) if back < before else (before, first)
    moved_m = float(norms(xy[pair[1]] - xy[pair[0]]))
    speed_mps = moved_m / float(time_s[pair[1]] - time_s[pair[0]])
    speed_mps = float(np.clip(speed_mps, APPROACH_MIN_MPS, APPROACH_MAX_MPS))
    earliest_s = float(time_s[before])
    error_s = max(ERROR_MIN_S, (latest_s - earliest_s) / 2.0) + trace.noise_m / speed_mps
    return min(earliest_s + _needed_s(away_m, speed_mps), latest_s), error_s


def _needed_s(away_m: float, speed_mps: float) -> float:
    braking_m = speed_mps**2 / (2.0 * BRAKING_MPS2)
    if away_m > braking_m:
        return away_m / speed_mps + speed_mps / (2.0 * BRAKING_MPS2)
    return 2.0 * away_m / speed_mps
