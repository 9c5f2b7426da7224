"""Days drawn by hand: halts at given places, straight ways between."""

from dataclasses import dataclass

import numpy as np

from geo.types import Floats
from geo.values import Track
from tests.geo.days import START_S, noise, plane_at

SPEED_MPS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Halts one after the other, straight ways between, and the truth about them."""

    track: Track
    arrived_s: Floats
    departed_s: Floats
    until_s: float


def drive_round(
    halts: list[tuple[float, float, float]],
    *,
    step_s: float = 5.0,
    sigma_m: float = 8.0,
    seed: int = 1,
    speed_mps: float = SPEED_MPS,
) -> Round:
    """Come from 3 km away, stand at each (x, y, seconds) in turn, and drive 3 km on."""
    places = np.array([(x, y) for x, y, _ in halts], dtype=np.float64)
    away = np.array([[3_000.0, 0.0]])
    ways = np.concatenate([places[:1] - away, places, places[-1:] + away])
    way_s = np.hypot(*np.diff(ways, axis=0).T) / speed_mps
    dwell_s = np.array([seconds for *_, seconds in halts])
    arrived_s = np.cumsum(way_s[:-1]) + np.append(0.0, np.cumsum(dwell_s)[:-1])
    departed_s = arrived_s + dwell_s
    knots_s = np.concatenate(
        [[0.0], np.column_stack([arrived_s, departed_s]).ravel(), [departed_s[-1] + way_s[-1]]]
    )
    knots = np.concatenate([ways[:1], np.repeat(places, 2, axis=0), ways[-1:]])
    time_s = np.arange(0.0, knots_s[-1], step_s)
    xy = np.column_stack([np.interp(time_s, knots_s, knots[:, axis]) for axis in (0, 1)])
    xy += noise(np.random.default_rng(seed), time_s, sigma_m)
    return Round(
        track=Track(
            time_s=START_S + time_s,
            lon_lat=plane_at().to_lon_lat(xy),
            accuracy_m=np.full(len(time_s), 1.5 * sigma_m),
        ),
        arrived_s=START_S + arrived_s,
        departed_s=START_S + departed_s,
        until_s=START_S + float(time_s[-1]),
    )
