"""A local plane in metres, and lengths on the ellipsoid."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from geo.types import Floats

# WGS 84, NIMA TR8350.2, third edition, table 3.1.
SEMI_MAJOR_AXIS_M: Final = 6_378_137.0
FLATTENING: Final = 1.0 / 298.257223563
ECCENTRICITY_SQUARED: Final = FLATTENING * (2.0 - FLATTENING)

LONGITUDE_MAX_DEG: Final = 180.0
LATITUDE_MAX_DEG: Final = 90.0


def metres_per_degree(latitude_deg: Floats) -> Floats:
    """Return how long one degree of longitude and of latitude is.

    Parameters
    ----------
    latitude_deg
        Shape ``(...)``: geodetic latitudes, degrees.

    Returns
    -------
    Floats
        Shape ``(..., 2)``: metres per degree eastwards and northwards.

    Notes
    -----
    The radii of curvature in the prime vertical and in the meridian: Snyder (1987),
    "Map projections, a working manual", USGS PP 1395, equations 4-20 and 4-18.
    """
    sine = np.sin(np.radians(latitude_deg))
    shrink = 1.0 - ECCENTRICITY_SQUARED * sine * sine
    east = SEMI_MAJOR_AXIS_M / np.sqrt(shrink) * np.cos(np.radians(latitude_deg))
    north = SEMI_MAJOR_AXIS_M * (1.0 - ECCENTRICITY_SQUARED) / shrink**1.5
    return np.radians(np.stack([east, north], axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """An equirectangular plane that touches the ellipsoid at its centre.

    Notes
    -----
    Distances are exact at the centre. Away from it the northward scale is good to 0.05 %
    within 100 km, but the eastward one is off by ``tan(latitude)`` times the northward
    distance in Earth radii: 0.2 % at 10 km and 1 % at 60 km at latitude 45. That is enough
    to compare with radii of some metres. Whatever is *summed* takes `segment_lengths_m`.
    """

    longitude_deg: float
    latitude_deg: float
    east_m_per_deg: float
    north_m_per_deg: float

    @classmethod
    def around(cls, lon_lat: Floats) -> Self:
        """Return the plane at the middle of the bounding box of ``lon_lat``, ``(m, 2)``, m >= 1.

        Points on both sides of the antimeridian have their middle between them.
        """
        first = float(lon_lat[0, 0])
        eastwards = _short_way(lon_lat[:, 0] - first)
        middle = first + (float(eastwards.min()) + float(eastwards.max())) / 2.0
        latitude = (float(lon_lat[:, 1].min()) + float(lon_lat[:, 1].max())) / 2.0
        east, north = metres_per_degree(np.array(latitude))
        return cls(
            longitude_deg=float(_short_way(np.array(middle))),
            latitude_deg=latitude,
            east_m_per_deg=float(east),
            north_m_per_deg=float(north),
        )

    def to_xy(self, lon_lat: Floats) -> Floats:
        """Return metres east and north of the centre, ``(n, 2)``, the short way round the Earth."""
        eastwards = _short_way(lon_lat[:, 0] - self.longitude_deg)
        northwards = lon_lat[:, 1] - self.latitude_deg
        return np.column_stack([eastwards * self.east_m_per_deg, northwards * self.north_m_per_deg])

    def to_lon_lat(self, xy: Floats) -> Floats:
        """Return degrees, ``(n, 2)``: the inverse of `to_xy`, longitudes within +-180."""
        longitude = _short_way(self.longitude_deg + xy[:, 0] / self.east_m_per_deg)
        return np.column_stack([longitude, self.latitude_deg + xy[:, 1] / self.north_m_per_deg])

    def true_lengths_m(self, xy: Floats) -> Floats:
        """Return the lengths on the ellipsoid of the segments between points of the plane."""
        return segment_lengths_m(self.to_lon_lat(xy))


def _short_way(degrees: Floats) -> Floats:
    """Return longitudes, or differences of two, within +-180 degrees."""
    degrees = np.where(degrees > LONGITUDE_MAX_DEG, degrees - 360.0, degrees)
    return np.where(degrees < -LONGITUDE_MAX_DEG, degrees + 360.0, degrees)


def segment_lengths_m(lon_lat: Floats) -> Floats:
    """Return the length of each segment of a line.

    Parameters
    ----------
    lon_lat
        Shape ``(n, 2)``: longitude, latitude in degrees, WGS 84. ``n`` may be 0.

    Returns
    -------
    Floats
        Shape ``(max(n - 1, 0),)``: metres, each measured in the plane at the segment's own
        middle latitude.

    Notes
    -----
    Relative error below 0.001 % for segments up to 10 km and below 0.1 % up to 100 km, both
    to 70 degrees of latitude; ``tests/geo/test_plane.py`` holds it to that against PROJ.
    """
    if len(lon_lat) < 2:  # noqa: PLR2004
        return np.zeros(0)
    step = np.diff(lon_lat, axis=0)
    step[:, 0] = (step[:, 0] + 180.0) % 360.0 - 180.0
    middle_deg = (lon_lat[1:, 1] + lon_lat[:-1, 1]) / 2.0
    return norms(step * metres_per_degree(middle_deg))


def norms(vectors: Floats) -> Floats:
    """Return the lengths of vectors: shape ``(..., 2)`` to ``(...)``."""
    return np.hypot(vectors[..., 0], vectors[..., 1])


def refuse_unusable(lon_lat: Floats, name: str) -> None:
    """Raise if coordinates cannot be planned with.

    Raises
    ------
    ValueError
        If ``lon_lat`` is not ``(m, 2)``, has a coordinate that is not finite or out of range,
        or spans 180 degrees of longitude or more, the short way round the Earth.
    """
    if lon_lat.ndim != 2 or lon_lat.shape[1] != 2:  # noqa: PLR2004
        raise ValueError(f"{name} must have shape (m, 2), not {lon_lat.shape}")
    if not np.isfinite(lon_lat).all():
        raise ValueError(f"{name} must be finite")
    if (np.abs(lon_lat) > [LONGITUDE_MAX_DEG, LATITUDE_MAX_DEG]).any():
        raise ValueError(f"{name} must be within +-180 and +-90 degrees")
    if len(lon_lat) and np.ptp(_short_way(lon_lat[:, 0] - lon_lat[0, 0])) >= LONGITUDE_MAX_DEG:
        raise ValueError(f"{name} spans half of the Earth")
