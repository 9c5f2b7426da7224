"""Roads to drive on: city blocks with corners and bends, spurs, ways round."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from pyproj import Geod

from geo.plane import Plane
from geo.types import Floats

HOME: Final = np.array([[76.9, 43.24]])  # Almaty
PLANE: Final = Plane.around(HOME)
"""Where the generated days happen."""

PIECE_M: Final = 40.0
CORNERS_RAD: Final = np.array([-np.pi / 2, -0.3, 0.0, 0.3, np.pi / 2])
CORNER_SHARES: Final = np.array([0.27, 0.13, 0.2, 0.13, 0.27])
BENT_SHARE: Final = 0.5
CURVATURE_PER_M: Final = 0.002
WAY_ROUND_STEP_M: Final = 25.0
# The truth about lengths comes from PROJ, not from the code that is measured.
EARTH: Final = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A line in the plane.

    Attributes
    ----------
    xy, along_m
        Shapes ``(k, 2)``, ``(k,)``: vertices in metres, and how far along the line they are.
    """

    xy: Floats
    along_m: Floats

    @classmethod
    def through(cls, xy: Floats) -> Self:
        step_m = np.hypot(*np.diff(xy, axis=0).T)
        return cls(xy=xy, along_m=np.append(0.0, np.cumsum(step_m)))

    @property
    def length_m(self) -> float:
        """The length in the plane."""
        return float(self.along_m[-1])

    @property
    def true_length_m(self) -> float:
        """The length on the ellipsoid."""
        lon_lat = self.lon_lat
        return float(EARTH.line_length(lon_lat[:, 0], lon_lat[:, 1]))

    @property
    def lon_lat(self) -> Floats:
        """The vertices in degrees, ``(k, 2)``."""
        return PLANE.to_lon_lat(self.xy)

    def at(self, along_m: Floats) -> Floats:
        """Return the points so far along the road, ``(n, 2)``."""
        return np.column_stack(
            [np.interp(along_m, self.along_m, self.xy[:, axis]) for axis in (0, 1)]
        )

    def there_and_back(self) -> "Road":
        return Road.through(np.concatenate([self.xy, self.xy[-2::-1]]))

    def turned(self, angle_rad: float) -> "Road":
        """Return the road turned round its first vertex."""
        cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        return Road.through(self.xy[0] + (self.xy - self.xy[0]) @ turn)


def city(rng: np.random.Generator, blocks: int, block_m: tuple[float, float]) -> Road:
    """Draw streets: blocks, half of them slightly bent, with corners and crossings between."""
    length_m = rng.uniform(*block_m, blocks)
    bent = rng.random(blocks) < BENT_SHARE
    curvature = np.where(bent, rng.normal(0.0, CURVATURE_PER_M, blocks), 0.0)
    corner = rng.choice(CORNERS_RAD, blocks, p=CORNER_SHARES)
    pieces = np.maximum(np.ceil(length_m / PIECE_M), 2).astype(np.intp)
    block = np.repeat(np.arange(blocks), pieces)
    step_m = (length_m / pieces)[block]
    turn = curvature[block] * step_m
    turn[np.append(0, np.cumsum(pieces)[:-1])] += corner
    heading = np.cumsum(turn)
    steps = step_m[:, np.newaxis] * np.column_stack([np.cos(heading), np.sin(heading)])
    return Road.through(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]))


def way_round(road: Road, from_m: float, to_m: float, *, away_m: float) -> Road:
    """Return the road with a part of it led ``away_m`` to its left (negative: right)."""
    count = max(int((to_m - from_m) / WAY_ROUND_STEP_M), 6)
    along_m = np.linspace(from_m, to_m, count)
    xy = road.at(along_m)
    # The direction over a stretch, not of a segment: a way round cuts sharp corners.
    reach_m = 2.0 * WAY_ROUND_STEP_M
    ahead = road.at(along_m + reach_m) - road.at(along_m - reach_m)
    size = np.maximum(np.hypot(*ahead.T), 1.0)
    left = np.column_stack([-ahead[:, 1], ahead[:, 0]]) / size[:, np.newaxis]
    share = np.minimum(along_m - from_m, to_m - along_m) / abs(away_m)
    middle = xy + left * (away_m * np.minimum(share, 1.0))[:, np.newaxis]
    before, after = road.xy[road.along_m < from_m], road.xy[road.along_m > to_m]
    return Road.through(np.concatenate([before, middle, after]))


def corners(road: Road) -> tuple[Floats, Floats]:
    """Return where the road turns, and by how much: metres along it, radians."""
    heading = np.arctan2(*np.diff(road.xy, axis=0).T[::-1])
    turn = np.abs((np.diff(heading) + np.pi) % (2.0 * np.pi) - np.pi)
    return road.along_m[1:-1], turn
