"""Who was inside a circle on the sphere, from when until when, and how near to its centre.

Positions are projected gnomonically around the centre: great circles become straight lines and
circles around the centre stay circles, exactly, also at the poles and across the antimeridian.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from geo.types import Flags, Floats, Indices

EARTH_RADIUS_M: Final = 6_371_008.8
"""The IUGG mean radius R1: Moritz (2000), "Geodetic Reference System 1980", J. Geodesy 74."""
HALF_TURN_DEG: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """All points within ``radius_m`` of a point, along the sphere; at most 1,000 km of them."""

    lat_deg: float
    lon_deg: float
    radius_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Which neighbours in time are joined by a line: who drove from one to the other."""

    apart_s_max: float
    speed_mps_max: float
    """What is faster was no drive but a wrong position."""


class Pass(NamedTuple):
    """One time inside the circle: without a break, as far as neighbours are joined."""

    entered_s: float
    left_s: float
    closest_m: float
    positions: int
    """How many lie inside; none where only a line between two does."""
    nearest: tuple[int, ...]
    """The position that is closest, or the two between which it was."""


class _Lines(NamedTuple):
    """Of each line from a position to the next: whether it touches the circle, and where."""

    touches: Flags
    enters: Floats
    """The part of the way at which it does, 0 to 1; so the next two."""
    leaves: Floats
    nearest: Floats
    closest_m: Floats


def passes(
    circle: Circle, lon_lat: Floats, time_s: Floats, part: Indices, links: Links
) -> list[Pass]:
    """Return each time that one device was inside the circle, in order.

    Parameters
    ----------
    circle
        Where.
    lon_lat
        Shape ``(n, 2)``: longitude, latitude in degrees. ``n`` may be 0.
    time_s
        Shape ``(n,)``: seconds, strictly increasing.
    part
        Shape ``(n,)``: positions of different parts are never joined.
    links
        Which others are.

    Returns
    -------
    list[Pass]
        Between two joined positions the device is taken to have driven the great circle at an
        even speed: so the times of entering and leaving lie on it, and one that only crosses the
        circle between two positions is found as well.

    Notes
    -----
    Distances are those of the sphere, within 0.6 % of the ellipsoid's;
    ``tests/geo/test_circle.py`` holds them to 1e-6 of the haversine formula.
    """
    near = np.flatnonzero(_may_matter(circle, lon_lat, links))
    if not near.size:
        return []
    lon_lat, time_s, part = lon_lat[near], time_s[near], part[near]
    toward = _toward(circle, lon_lat)
    flat = toward[:, :2] / toward[:, 2:]
    rim = np.tan(circle.radius_m / EARTH_RADIUS_M)
    inside = np.hypot(flat[:, 0], flat[:, 1]) <= rim
    joined = (np.diff(near) == 1) & (np.diff(part) == 0) & _driven(toward, time_s, links)
    lines = _lines(flat, inside, joined, rim)
    return _runs(flat, time_s, inside, lines, near)


def distances_m(circle: Circle, lon_lat: Floats) -> Floats:
    """Return how far each of ``lon_lat``, ``(n, 2)``, is from the centre, along the sphere."""
    toward = _toward(circle, lon_lat)
    return EARTH_RADIUS_M * np.arctan2(np.hypot(toward[:, 0], toward[:, 1]), toward[:, 2])


def _may_matter(circle: Circle, lon_lat: Floats, links: Links) -> Flags:
    """Tell which positions lie so near that a line from them could touch the circle."""
    reach_m = circle.radius_m + links.apart_s_max * links.speed_mps_max
    reach = 1.01 * reach_m / EARTH_RADIUS_M
    latitude = np.radians(circle.lat_deg)
    near: Flags = np.abs(lon_lat[:, 1] - circle.lat_deg) <= np.degrees(reach)
    if abs(latitude) + reach < np.pi / 2:  # no pole within reach: not every longitude is
        width = np.degrees(np.arcsin(np.sin(reach) / np.cos(latitude)))
        near &= np.abs(_short_way(lon_lat[:, 0] - circle.lon_deg)) <= width
    return near


def _toward(circle: Circle, lon_lat: Floats) -> Floats:
    """Return unit vectors, ``(n, 3)``: east, north and up as seen from the centre."""
    latitude, centre = np.radians(lon_lat[:, 1]), np.radians(circle.lat_deg)
    eastwards = np.radians(_short_way(lon_lat[:, 0] - circle.lon_deg))
    level, height = np.cos(latitude), np.sin(latitude)
    along = level * np.cos(eastwards)
    return np.column_stack(
        [
            level * np.sin(eastwards),
            np.cos(centre) * height - np.sin(centre) * along,
            np.sin(centre) * height + np.cos(centre) * along,
        ]
    )


def _short_way(degrees: Floats) -> Floats:
    return (degrees + HALF_TURN_DEG) % (2 * HALF_TURN_DEG) - HALF_TURN_DEG


def _driven(toward: Floats, time_s: Floats, links: Links) -> Flags:
    """Tell for each position but the last whether it is joined with the next."""
    took_s = np.diff(time_s)
    chord = np.linalg.norm(np.diff(toward, axis=0), axis=1)
    way_m = EARTH_RADIUS_M * 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    driven: Flags = (took_s <= links.apart_s_max) & (way_m <= links.speed_mps_max * took_s)
    return driven


def _lines(flat: Floats, inside: Flags, joined: Flags, rim: float) -> _Lines:
    start, way = flat[:-1], np.diff(flat, axis=0)
    square = (way * way).sum(axis=1)
    still = square == 0
    square[still] = 1.0
    middle = -(start * way).sum(axis=1) / square
    nearest = np.where(still, 0.0, np.clip(middle, 0.0, 1.0))
    least = np.hypot(*(start + nearest[:, None] * way).T)
    crosses = (middle > 0) & (middle < 1) & (least <= rim) & ~still
    # Half of the chord that the whole straight line has in the circle, in parts of the way.
    apart = np.hypot(*(start + middle[:, None] * way).T)
    half = np.sqrt(np.maximum(rim * rim - apart * apart, 0.0) / square)
    return _Lines(
        touches=joined & (inside[:-1] | inside[1:] | crosses),
        enters=np.where(inside[:-1], 0.0, np.clip(middle - half, 0.0, 1.0)),
        leaves=np.where(inside[1:], 1.0, np.clip(middle + half, 0.0, 1.0)),
        nearest=nearest,
        closest_m=EARTH_RADIUS_M * np.arctan(least),
    )


def _runs(flat: Floats, time_s: Floats, inside: Flags, lines: _Lines, near: Indices) -> list[Pass]:
    """Join what follows each other without a break: positions, and the lines between them."""
    # In turn: a position, the line to the next, that position, and so on.
    holds = np.zeros(2 * time_s.size + 1, np.bool_)  # one more before, and one after
    holds[1::2], holds[2:-1:2] = inside, lines.touches
    step_s = np.diff(time_s)
    away_m = EARTH_RADIUS_M * np.arctan(np.hypot(flat[:, 0], flat[:, 1]))
    enters_s = _in_turn(time_s, time_s[:-1] + lines.enters * step_s)
    leaves_s = _in_turn(time_s, time_s[:-1] + lines.leaves * step_s)
    least_m = _in_turn(away_m, lines.closest_m)
    found = []
    for begin, end in np.flatnonzero(np.diff(holds)).reshape(-1, 2).tolist():
        nearest = begin + int(np.argmin(least_m[begin:end]))
        found.append(
            Pass(
                entered_s=float(enters_s[begin]),
                left_s=float(leaves_s[end - 1]),
                closest_m=float(least_m[nearest]),
                positions=(end + 1) // 2 - (begin + 1) // 2,
                nearest=tuple(near[nearest // 2 : (nearest + 1) // 2 + 1].tolist()),
            )
        )
    return found


def _in_turn(positions: Floats, lines: Floats) -> Floats:
    whole = np.empty(positions.size + lines.size)
    whole[::2], whole[1::2] = positions, lines
    return whole
