"""The recorded buses as days: each run is planned by the median of the others."""

import csv

import numpy as np
import shapely

from geo.eta import Outlook, etas
from geo.plane import Plane, norms
from geo.types import Floats
from geo.values import Track
from tests.geo.days import along, at, make_plan
from tests.geo.tracks import FOLDER, liverpool

REFERENCE = ("4841", "1101")
GRID_M = 250.0
STOP_EVERY = 4
AHEAD_MIN_M = 1_000.0
NEAR_M = 150.0
SILENCE_S = 1_200.0


def runs() -> list[Track]:
    """Return all runs, each up to its first silence of twenty minutes."""
    with (FOLDER / "liverpool_bus_route14_outbound.csv").open(newline="") as file:
        keys = {(row["vehicle_id"], row["trip_id"]) for row in csv.DictReader(file)}
    return [_unbroken(liverpool(*key)) for key in sorted(keys)]


def _unbroken(run: Track) -> Track:
    ends = np.append(np.flatnonzero(np.diff(run.time_s) > SILENCE_S) + 1, len(run.time_s))
    return Track(
        time_s=run.time_s[: ends[0]],
        lon_lat=run.lon_lat[: ends[0]],
        accuracy_m=run.accuracy_m[: ends[0]],
    )


def _spaced(xy: Floats, apart_m: float) -> Floats:
    kept = [xy[0]]
    for point in xy[1:]:
        if norms(point - kept[-1]) >= apart_m:
            kept.append(point)
    return np.array(kept)


def _passed_s(run: Track, plane: Plane, line_xy: Floats, grid_m: Floats) -> Floats:
    """Return when a run passed each place; the line goes one way, so the nearest point will do."""
    points = np.asarray(shapely.points(plane.to_xy(run.lon_lat)))
    line = shapely.linestrings(line_xy)
    near = shapely.distance(points, line) <= NEAR_M
    if not near.any():
        return np.full(len(grid_m), np.nan)
    places_m = np.maximum.accumulate(shapely.line_locate_point(line, points[near]))
    moved = np.append(True, np.diff(places_m) > 1.0)
    passed_s = np.interp(grid_m, places_m[moved], run.time_s[near][moved], np.nan, np.nan)
    return np.asarray(passed_s)


def bus_guesses() -> Floats:
    """Look every 500 m at all places a kilometre apart and ahead.

    Returns
    -------
    Floats
        Shape ``(k, 4)``: seconds by which the forecast is late, the same for the plan shifted by
        the present delay, and 1 where the truth is below p10 and above p90.
    """
    reference = liverpool(*REFERENCE)
    plane = Plane.around(reference.lon_lat)
    line_xy = _spaced(plane.to_xy(reference.lon_lat), 25.0)
    grid_m = np.arange(0.0, along(line_xy)[-1], GRID_M)
    passed = np.array([_passed_s(run, plane, line_xy, grid_m) for run in runs()])
    whole = passed[np.isfinite(passed).mean(axis=1) >= 0.75]
    lon_lat = plane.to_lon_lat(at(line_xy, grid_m))
    rows = []
    for number, truth_s in enumerate(whole):
        others_s = np.diff(np.delete(whole, number, axis=0), axis=1)
        legs_s = np.nanmedian(others_s, axis=0)
        clock_s = np.append(0.0, np.cumsum(np.where(np.isnan(legs_s), np.nanmean(legs_s), legs_s)))
        seen = np.flatnonzero(np.isfinite(truth_s))
        planned_s = truth_s[seen[0]] + clock_s - clock_s[seen[0]]
        plan = make_plan(
            lon_lat, service_s=np.nan, planned_arrival_s=planned_s, line=plane.to_lon_lat(line_xy)
        )
        for here in seen[2::2].tolist():
            now_s = float(truth_s[here])
            known = Outlook(
                now_s=now_s,
                at_s=now_s,
                along_m=float(grid_m[here]),
                arrived_s=np.full(len(grid_m), np.nan),
                departed_s=np.full(len(grid_m), np.nan),
                passed_s=np.where(truth_s <= now_s, truth_s, np.nan),
                pending=~(truth_s <= now_s),
                here=None,
            )
            rows += [
                (
                    eta.p50_s - truth_s[stop],
                    planned_s[stop] + now_s - planned_s[here] - truth_s[stop],
                    truth_s[stop] < eta.p10_s,
                    truth_s[stop] > eta.p90_s,
                )
                for eta in etas(plan, grid_m, known)
                if (stop := eta.planned_sequence) % STOP_EVERY == 0
                and np.isfinite(truth_s[stop])
                and grid_m[stop] >= grid_m[here] + AHEAD_MIN_M
            ]
    return np.array(rows)
