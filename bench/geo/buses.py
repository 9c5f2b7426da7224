"""ETA of real buses: route 14 of Liverpool, each run planned by the median of the others."""

import csv
from collections import defaultdict
from datetime import UTC, datetime
from typing import Final

import numpy as np
import shapely

from bench.geo.arrivals import Guess, scored, told_s, until
from bench.geo.findings import Cell, Finding
from bench.geo.roads import Road
from geo.plane import Plane
from geo.types import Floats
from geo.values import Plan, Track
from tests.geo.tracks import FOLDER

BUSES: Final = "ETA of Liverpool buses"
ERROR: Final = f"{BUSES}, mean error"
REFERENCE: Final = ("4841", "1101")
STOP_EVERY_M: Final = 1000.0
LOOK_EVERY_M: Final = 500.0
AHEAD_MIN_M: Final = 1000.0
LINE_EVERY_M: Final = 25.0
SPLIT_S: Final = 1200.0
WHOLE_SHARE: Final = 0.75
NEAR_M: Final = 150.0
FIXES_MIN: Final = 25


def runs() -> dict[tuple[str, str], Track]:
    """Return the runs by vehicle and trip, cut off at the first silence of 20 minutes."""
    rows: dict[tuple[str, str], set[tuple[float, float, float]]] = defaultdict(set)
    with (FOLDER / "liverpool_bus_route14_outbound.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            time_s = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp()
            place = (float(row["longitude"]), float(row["latitude"]))
            rows[row["vehicle_id"], row["trip_id"]].add((time_s, *place))
    return {key: track for key, fixes in rows.items() if (track := _run(fixes)) is not None}


def _run(fixes: set[tuple[float, float, float]]) -> Track | None:
    table = np.array(sorted(fixes))
    table = table[np.append(True, np.diff(table[:, 0]) > 0.0)]
    parts = np.split(table, np.flatnonzero(np.diff(table[:, 0]) > SPLIT_S) + 1)
    longest = max(parts, key=len)
    if len(longest) < FIXES_MIN:
        return None
    return Track(
        time_s=longest[:, 0], lon_lat=longest[:, 1:], accuracy_m=np.full(len(longest), np.nan)
    )


def spaced(xy: Floats, apart_m: float) -> Floats:
    """Return points at least so far apart: who stands draws no line."""
    kept = [xy[0]]
    for point in xy[1:]:
        if np.hypot(*(point - kept[-1])) >= apart_m:
            kept.append(point)
    return np.array(kept)


def passing_s(track: Track, plane: Plane, line: Road, grid_m: Floats) -> Floats:
    """Return when a run passed each place of the line; NaN where it was not seen there.

    The line goes one way, so the nearest point of it will do, never backwards.
    """
    points = np.asarray(shapely.points(plane.to_xy(track.lon_lat)))
    shape = shapely.linestrings(line.xy)
    near = shapely.distance(points, shape) <= NEAR_M
    if not near.any():
        return np.full(len(grid_m), np.nan)
    along_m = np.maximum.accumulate(shapely.line_locate_point(shape, points[near]))
    moved = np.append(True, np.diff(along_m) > 1.0)
    times_s = np.interp(grid_m, along_m[moved], track.time_s[near][moved], np.nan, np.nan)
    return np.asarray(times_s)


def measure(_cell: Cell, days: int, _seed: int) -> list[Finding]:
    """Look at up to ``days`` runs, every 500 m, at all stops a kilometre or more ahead."""
    tracks = runs()
    plane = Plane.around(tracks[REFERENCE].lon_lat)
    line = Road.through(spaced(plane.to_xy(tracks[REFERENCE].lon_lat), LINE_EVERY_M))
    grid_m = np.arange(0.0, line.length_m, LOOK_EVERY_M)
    passed = {key: passing_s(track, plane, line, grid_m) for key, track in tracks.items()}
    whole = [key for key, at_s in passed.items() if np.isfinite(at_s).mean() >= WHOLE_SHARE]
    guesses = []
    for key in whole[:days]:
        others = np.array([np.diff(passed[other]) for other in whole if other != key])
        legs_s = np.nanmedian(others, axis=0)
        pace_s = np.append(0.0, np.cumsum(np.where(np.isnan(legs_s), np.nanmean(legs_s), legs_s)))
        guesses += _looks(tracks[key], plane, line, grid_m, passed[key], pace_s)
    return scored(BUSES, guesses, cell=None, note=f"{len(whole[:days])} runs")


def _looks(
    track: Track, plane: Plane, line: Road, grid_m: Floats, passed_s: Floats, pace_s: Floats
) -> list[Guess]:
    seen = np.flatnonzero(np.isfinite(passed_s))
    stops = np.flatnonzero(grid_m % STOP_EVERY_M == 0.0)
    planned_s = passed_s[seen[0]] + pace_s - pace_s[seen[0]]
    nothing = np.full(len(stops), np.nan)
    plan = Plan(
        lon_lat=plane.to_lon_lat(line.at(grid_m[stops])),
        radius_m=np.full(len(stops), 40.0),
        service_s=nothing,
        planned_arrival_s=planned_s[stops],
        window_from_s=nothing,
        window_to_s=nothing,
        line=plane.to_lon_lat(line.xy),
    )
    guesses = []
    for place in seen[1:].tolist():
        now_s = float(passed_s[place])
        far = (grid_m[stops] >= grid_m[place] + AHEAD_MIN_M) & np.isfinite(passed_s[stops])
        ahead = np.flatnonzero(far)
        guesses.append(
            Guess(
                truth_s=passed_s[stops[ahead]],
                simple_s=planned_s[stops[ahead]] + now_s - planned_s[place],
                told_s=told_s(until(track, plan, now_s), ahead),
            )
        )
    return guesses
