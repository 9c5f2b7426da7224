"""What is done without `geo`: the methods of trackers and of textbooks."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np
import shapely

from bench.geo.roads import PLANE, Road
from geo.types import Flags, Floats
from geo.values import Plan, Track

EARTH_RADIUS_M: Final = 6_371_008.8
FENCE_M: Final = 100.0
FENCE_S: Final = 120.0
# What suits them best on these days; with trackintel's 5 min in 100 m their F1 is half as high.
STAY_M: Final = 60.0
STAY_S: Final = 60.0
TRACCAR_MIN_M: Final = 10.0
TRACCAR_MAX_MPS: Final = 50.0
CHUNK: Final = 64


def tidy(track: Track) -> tuple[Floats, Floats]:
    """Return times and metres in order of time, without repeats: what every tracker does."""
    time_s, first = np.unique(track.time_s, return_index=True)
    return time_s, PLANE.to_xy(track.lon_lat[first])


def believed(time_s: Floats, xy: Floats) -> list[int]:
    """Return the fixes that Traccar's filter of speeds keeps: compared with the last one kept."""
    kept = [0]
    places = xy.tolist()
    times = time_s.tolist()
    for i in range(1, len(times)):
        (x, y), (last_x, last_y) = places[i], places[kept[-1]]
        away_m = ((x - last_x) ** 2 + (y - last_y) ** 2) ** 0.5
        if away_m <= TRACCAR_MAX_MPS * (times[i] - times[kept[-1]]):
            kept.append(i)
    return kept


def filtered(track: Track) -> tuple[Floats, Floats]:
    """Return times and metres as `tidy` does, of the fixes that are `believed`."""
    time_s, xy = tidy(track)
    kept = believed(time_s, xy)
    return time_s[kept], xy[kept]


def _runs(inside: Flags) -> list[tuple[int, int]]:
    """Return the first and last fix of each unbroken stretch inside."""
    edge = np.diff(inside.astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def first_and_last(plan: Plan, time_s: Floats, xy: Floats) -> Floats:
    """Return from when to when each stop was visited, ``(m, 2)``, NaN = never: within 100 m."""
    found = np.full((len(plan.lon_lat), 2), np.nan)
    for stop, place in enumerate(PLANE.to_xy(plan.lon_lat)):
        near = np.flatnonzero(np.hypot(*(xy - place).T) <= FENCE_M)
        if len(near):
            found[stop] = time_s[near[[0, -1]]]
    return found


def geofence(plan: Plan, time_s: Floats, xy: Floats) -> Floats:
    """Return visits as commercial systems do: the first two minutes in the fence, in order."""
    found = np.full((len(plan.lon_lat), 2), np.nan)
    after_s = -np.inf
    for stop, place in enumerate(PLANE.to_xy(plan.lon_lat)):
        for first, last in _runs(np.hypot(*(xy - place).T) <= FENCE_M):
            if time_s[first] >= after_s and time_s[last] - time_s[first] >= FENCE_S:
                found[stop] = time_s[[first, last]]
                after_s = float(time_s[first])
                break
    return found


def stay_points(time_s: Floats, xy: Floats) -> Floats:
    """Return stays as rows from_s, to_s, x, y.

    A minute within 60 m of the first fix: Li et al. (2008), "Mining user similarity based on
    location history", ACM GIS. It is the method of trackintel.
    """
    rows = []
    i = 0
    while i < len(time_s) - 1:
        j = _first_beyond(xy, i)
        if time_s[j - 1] - time_s[i] >= STAY_S:
            rows.append((time_s[i], time_s[j - 1], *xy[i:j].mean(axis=0)))
            i = j
        else:
            i += 1
    return np.array(rows).reshape(-1, 4)


def _first_beyond(xy: Floats, i: int) -> int:
    size = CHUNK
    for _ in range(len(xy)):
        beyond = np.flatnonzero(np.hypot(*(xy[i : i + size] - xy[i]).T) > STAY_M)
        if len(beyond):
            return i + int(beyond[0])
        if i + size >= len(xy):
            break
        size *= 2
    return len(xy)


def nearest_stop(plan: Plan, stays: Floats) -> Floats:
    """Return visits, ``(m, 2)``: each stay is given to the nearest stop that has none."""
    found = np.full((len(plan.lon_lat), 2), np.nan)
    places = PLANE.to_xy(plan.lon_lat)
    for from_s, to_s, x, y in stays:
        away_m = np.hypot(*(places - [x, y]).T)
        away_m[np.isfinite(found[:, 0])] = np.inf
        stop = int(np.argmin(away_m))
        if away_m[stop] <= FENCE_M:
            found[stop] = from_s, to_s
    return found


def stays_to_stops(plan: Plan, time_s: Floats, xy: Floats) -> Floats:
    return nearest_stop(plan, stay_points(time_s, xy))


Methods: TypeAlias = Mapping[str, Callable[[Plan, Floats, Floats], Floats]]
"""From a plan, times and metres to visits, ``(m, 2)``."""
VISITS: Final[Methods] = {
    "first and last fix in 100 m": first_and_last,
    "2 min in a geofence of 100 m": geofence,
    "stay points, nearest stop": stays_to_stops,
}


def haversine_m(track: Track) -> float:
    """Return the sum of all steps on a sphere: what a simple odometer says."""
    longitude, latitude = np.radians(PLANE.to_lon_lat(filtered(track)[1])).T
    half = np.sin(np.diff(latitude) / 2.0) ** 2
    half += np.cos(latitude[1:]) * np.cos(latitude[:-1]) * np.sin(np.diff(longitude) / 2.0) ** 2
    return float((2.0 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half))).sum())


def traccar_m(track: Track) -> float:
    """Return the sum of steps with Traccar's filter: nearer than 10 m to the last is no step."""
    _, xy = filtered(track)
    metres = 0.0
    last_x, last_y = xy[0].tolist()
    for x, y in xy.tolist():
        step_m = ((x - last_x) ** 2 + (y - last_y) ** 2) ** 0.5
        if step_m > TRACCAR_MIN_M:
            metres += step_m
            last_x, last_y = x, y
    return metres


def nearest_point_m(road: Road, xy: Floats) -> Floats:
    """Return how far along the road the nearest point of it is, ``(n,)``."""
    return np.asarray(shapely.line_locate_point(shapely.linestrings(road.xy), shapely.points(xy)))
