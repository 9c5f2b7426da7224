"""How a vehicle really drove: accelerating, slowing at corners, waiting at lights, halting."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.geo.roads import Road, corners
from geo.types import Floats

PULL_MPS2: Final = 1.5
GRID_M: Final = 2.0
TOP_MPS: Final = (8.0, 16.0)
CORNER_RAD: Final = 0.35
CORNER_MPS: Final = 9.0
CORNER_MIN_MPS: Final = 2.5
# At this turn nothing is left of the speed.
CORNER_FULL_RAD: Final = 1.8
LIGHT_SHARE: Final = 0.3
LIGHT_S: Final = (15.0, 75.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """The truth.

    Attributes
    ----------
    time_s, along_m
        Shape ``(k,)``: not decreasing; linear between.
    arrived_s, departed_s
        Shape ``(h,)``: of each halt, in the order in which the halts were given.
    """

    time_s: Floats
    along_m: Floats
    arrived_s: Floats
    departed_s: Floats

    @property
    def end_s(self) -> float:
        """When the road ends."""
        return float(self.time_s[-1])

    def place_m(self, time_s: Floats) -> Floats:
        return np.interp(time_s, self.time_s, self.along_m)

    def passes_s(self, along_m: Floats) -> Floats:
        """Return when the vehicle came to each place."""
        first = np.searchsorted(self.along_m, along_m)
        before = np.maximum(first - 1, 0)
        first = np.minimum(first, len(self.along_m) - 1)
        step_m = self.along_m[first] - self.along_m[before]
        share = np.divide(
            along_m - self.along_m[before], step_m, out=np.ones_like(step_m), where=step_m > 0.0
        )
        begin_s = self.time_s[before]
        return np.asarray(begin_s + np.clip(share, 0.0, 1.0) * (self.time_s[first] - begin_s))


def drive(
    rng: np.random.Generator,
    road: Road,
    halts_m: Floats,
    dwell_s: Floats,
    *,
    start_s: float = 0.0,
    lights: bool = True,
) -> Drive:
    """Drive the road once, halting where told.

    Notes
    -----
    The speed is the largest that keeps every limit while it changes by at most 1.5 m/s2: over
    the place, its square may rise and fall by twice that, so both directions are a running minimum.
    """
    corners_m, turn = corners(road)
    sharp = turn > CORNER_RAD
    corners_m, turn = corners_m[sharp], turn[sharp]
    red = lights & (rng.random(len(corners_m)) < LIGHT_SHARE)
    stand_m = np.concatenate([halts_m, corners_m[red]])
    stand_s = np.concatenate([dwell_s, rng.uniform(*LIGHT_S, np.count_nonzero(red))])
    order = np.argsort(stand_m, kind="stable")
    stand_m, stand_s = stand_m[order], stand_s[order]

    grid_m = np.unique(
        np.concatenate([np.arange(0.0, road.length_m, GRID_M), stand_m, corners_m, road.along_m])
    )
    grid_m = grid_m[(grid_m >= 0.0) & (grid_m <= road.length_m)]
    time_s = start_s + _times_s(rng, grid_m, stand_m, corners_m, turn)
    stood_s = np.append(0.0, np.cumsum(stand_s))
    at = np.searchsorted(grid_m, stand_m)
    arrived_s = time_s[at] + stood_s[:-1]
    departed_s = arrived_s + stand_s
    # Who comes to a place has stood at all places before it; who leaves it, there as well.
    knots_s = np.concatenate([time_s + stood_s[np.searchsorted(stand_m, grid_m)], departed_s])
    knots_m = np.concatenate([grid_m, stand_m])
    by_time = np.lexsort((knots_m, knots_s))
    back = np.argsort(order)[: len(halts_m)]
    return Drive(
        time_s=knots_s[by_time],
        along_m=knots_m[by_time],
        arrived_s=arrived_s[back],
        departed_s=departed_s[back],
    )


def _times_s(
    rng: np.random.Generator, grid_m: Floats, stand_m: Floats, corners_m: Floats, turn: Floats
) -> Floats:
    """Return when each place would be reached without standing anywhere."""
    top_mps = rng.uniform(*TOP_MPS, len(stand_m) + 1)[np.searchsorted(stand_m, grid_m)]
    corner_mps = np.maximum(CORNER_MIN_MPS, CORNER_MPS * (1.0 - turn / CORNER_FULL_RAD))
    np.minimum.at(top_mps, np.searchsorted(grid_m, corners_m), corner_mps)
    top_mps[np.searchsorted(grid_m, stand_m)] = 0.0
    top_mps[[0, -1]] = 0.0
    gain = 2.0 * PULL_MPS2 * grid_m
    squared = np.minimum.accumulate(top_mps**2 - gain) + gain
    squared = np.minimum.accumulate((squared + gain)[::-1])[::-1] - gain
    speed_mps = np.sqrt(np.maximum(squared, 0.0))
    step_m = np.diff(grid_m)
    both_mps = speed_mps[1:] + speed_mps[:-1]
    from_rest_s = 2.0 * np.sqrt(step_m / PULL_MPS2)
    step_s = np.divide(2.0 * step_m, both_mps, out=from_rest_s, where=both_mps > 1e-3)  # noqa: PLR2004
    return np.append(0.0, np.cumsum(np.minimum(step_s, 2.0 * np.sqrt(step_m / PULL_MPS2))))
