"""The polyline format: differences of coordinates in 1e-6 degrees, five bits to a letter."""

from typing import Final

import numpy as np

from geo.types import Floats
from server.roads.model import ROAD_POINTS_MAX

PER_DEGREE: Final = 1e6
LETTERS_MAX: Final = 6
"""Of one difference: 30 bits are more than 360 degrees."""


def decoded(text: str, *, points_max: int = ROAD_POINTS_MAX) -> Floats:
    """Return shape ``(n, 2)``: longitude, latitude in degrees; good to 0.5e-6 degrees.

    Raises
    ------
    ValueError
        It is not a polyline, has more than ``points_max`` points, or leaves the Earth.

    Notes
    -----
    "Encoded polyline algorithm format", Google Maps Platform; routers count in 1e-6 degrees.
    """
    letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 63
    last = np.flatnonzero(letters < 32)  # noqa: PLR2004 - the bit that says "more follows"
    first = np.concatenate([[0], last[:-1] + 1])
    if not len(letters) or letters.min() < 0 or letters.max() > 63 or letters[-1] >= 32:  # noqa: PLR2004
        raise ValueError("not a polyline")
    lengths = last - first + 1
    if lengths.max() > LETTERS_MAX or len(last) % 2 or len(last) > 2 * points_max:
        raise ValueError("not a polyline of that many points")
    shift = (np.arange(len(letters)) - np.repeat(first, lengths)) * 5
    bits = np.add.reduceat((letters & 31) << shift, first)
    steps = np.where(bits & 1, ~(bits >> 1), bits >> 1)
    lon_lat = steps.reshape(-1, 2).cumsum(axis=0)[:, ::-1] / PER_DEGREE
    if (np.abs(lon_lat) > [180.0, 90.0]).any():
        raise ValueError("a polyline that leaves the Earth")
    return lon_lat
