"""Places to drive through, and drives."""

from uuid import UUID

import numpy as np

from geo.plane import segment_lengths_m
from geo.types import Floats
from geo.values import Track
from tests.roads.router_server import Place

COMPANY = UUID("019aa7a4-8b00-7000-8000-000000000000")
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
