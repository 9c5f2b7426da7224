"""Who was inside a circle, in plain Python: slow, by other formulas, one number at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt
from typing import Final, NamedTuple

from geo.circle import EARTH_RADIUS_M, Circle, Links

STEPS: Final = 60
"""Halvings and thirds: far below a micrometre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    time_s: float
    lat: float
    lon: float
    part: int = 0
    device: int = 0


class Stay(NamedTuple):
    entered_s: float
    left_s: float
    closest_m: float
    positions: int


def haversine_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    up = sin(radians(other_lat - lat) / 2) ** 2
    along = sin(radians(other_lon - lon) / 2) ** 2
    half = up + cos(radians(lat)) * cos(radians(other_lat)) * along
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(half)))


def away_from(lat: float, lon: float, east_m: float, north_m: float) -> tuple[float, float]:
    """Return the point that far from another, along a great circle; longitudes within 180."""
    way, bearing = hypot(east_m, north_m) / EARTH_RADIUS_M, atan2(east_m, north_m)
    start = radians(lat)
    reached = asin(
        max(-1.0, min(1.0, sin(start) * cos(way) + cos(start) * sin(way) * cos(bearing)))
    )
    turned = atan2(sin(bearing) * sin(way) * cos(start), cos(way) - sin(start) * sin(reached))
    return degrees(reached), (lon + degrees(turned) + 180) % 360 - 180


def stays(circle: Circle, fixes: list[Fix], links: Links) -> list[tuple[int, Stay]]:
    """Return what lies inside, piece by piece, with its part: positions, and parts of lines."""
    found = []
    for device in sorted({fix.device for fix in fixes}):
        own = sorted((fix for fix in fixes if fix.device == device), key=lambda fix: fix.time_s)
        for fix in own:
            away_m = _away_m(circle, fix.lat, fix.lon)
            if away_m <= circle.radius_m:
                found.append((fix.part, Stay(fix.time_s, fix.time_s, away_m, 1)))
        for fix, after in pairwise(own):
            line = _line(circle, fix, after, links)
            if line is not None:
                found.append((fix.part, line))
    return sorted(found)


def joined(found: list[tuple[int, Stay]], *, apart_s_max: float) -> list[tuple[int, Stay]]:
    """Join what lies no further apart, within one part."""
    whole: list[tuple[int, Stay]] = []
    for part, stay in sorted(found):
        if whole and whole[-1][0] == part and stay.entered_s - whole[-1][1].left_s <= apart_s_max:
            last = whole.pop()[1]
            stay = Stay(  # noqa: PLW2901 - grows
                last.entered_s,
                max(last.left_s, stay.left_s),
                min(last.closest_m, stay.closest_m),
                last.positions + stay.positions,
            )
        whole.append((part, stay))
    return whole


def _away_m(circle: Circle, lat: float, lon: float) -> float:
    return haversine_m(circle.lat_deg, circle.lon_deg, lat, lon)


def _line(circle: Circle, fix: Fix, after: Fix, links: Links) -> Stay | None:
    """Return when the line from one position to the next lies inside."""
    took_s = after.time_s - fix.time_s
    way_m = haversine_m(fix.lat, fix.lon, after.lat, after.lon)
    if fix.part != after.part or took_s > links.apart_s_max or way_m > links.speed_mps_max * took_s:
        return None

    def away_m(place: float) -> float:
        return _away_m(circle, *_between(fix, after, way_m, place))

    if min(away_m(0.0), away_m(1.0)) - way_m > circle.radius_m:
        return None

    low, high = 0.0, 1.0
    for _ in range(STEPS):
        third = (high - low) / 3
        if away_m(low + third) <= away_m(high - third):
            high -= third
        else:
            low += third
    nearest = min((0.0, (low + high) / 2, 1.0), key=away_m)
    if away_m(nearest) > circle.radius_m:
        return None
    enters = 0.0 if away_m(0.0) <= circle.radius_m else _rim(circle, away_m, 0.0, nearest)
    leaves = 1.0 if away_m(1.0) <= circle.radius_m else _rim(circle, away_m, 1.0, nearest)
    start = fix.time_s
    return Stay(start + enters * took_s, start + leaves * took_s, away_m(nearest), 0)


def _rim(circle: Circle, away_m: Callable[[float], float], outside: float, inside: float) -> float:
    for _ in range(STEPS):
        middle = (outside + inside) / 2
        if away_m(middle) <= circle.radius_m:
            inside = middle
        else:
            outside = middle
    return inside


def _between(fix: Fix, after: Fix, way_m: float, place: float) -> tuple[float, float]:
    """Return the point at a part of the great circle, by the vectors to its ends."""
    angle = way_m / EARTH_RADIUS_M
    if angle < 1e-15:
        return fix.lat, fix.lon
    first, second = sin((1 - place) * angle) / sin(angle), sin(place * angle) / sin(angle)
    x, y, z = (
        first * one + second * two for one, two in zip(_vector(fix), _vector(after), strict=True)
    )
    return degrees(atan2(z, hypot(x, y))), degrees(atan2(y, x))


def _vector(fix: Fix) -> tuple[float, float, float]:
    lat, lon = radians(fix.lat), radians(fix.lon)
    return cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat)


def is_sharp(circle: Circle, fixes: list[Fix], links: Links) -> bool:
    """Tell whether no position and no line lies within a centimetre of the rim, so to say on it."""
    wide = [
        Circle(lat_deg=circle.lat_deg, lon_deg=circle.lon_deg, radius_m=circle.radius_m + by)
        for by in (-0.01, 0.01)
    ]
    less, more = (stays(one, fixes, links) for one in wide)
    return len(less) == len(more)
