"""Places to drive through, and drives."""

import numpy as np

from geo.plane import segment_lengths_m
from geo.types import Floats
from geo.values import Track
from tests.roads.router_server import Place

PLACES: list[Place] = [(76.88, 43.23), (76.9, 43.25), (76.95, 43.24)]
POINTS = np.array(PLACES)


def drive(count: int, step: float = 0.001) -> Track:
    """Return a drive north-eastwards, fixes 137 m apart."""
    along = np.arange(count)[:, None] * np.array([[step, step]])
    return Track(
        time_s=np.arange(count, dtype=np.float64) * 10.0,
        lon_lat=np.array([[76.9, 43.2]]) + along,
        accuracy_m=np.full(count, 12.0),
    )


def chords_m(line: Floats) -> float:
    return float(segment_lengths_m(line).sum())
