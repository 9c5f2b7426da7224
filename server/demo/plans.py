"""Plans that belong to the recorded runs.

Their road, the places where they really halted, and times at the pace of another run, so that
being late or early is real.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

import numpy as np
import shapely

from geo.plane import Plane, norms
from geo.types import Floats
from server.demo.tracks import Run
from server.kit.wire import rfc3339

BIN_M: Final = 40.0
AGREE_M: Final = 45.0
HALT_MPS: Final = 0.7
HALT_S_MIN: Final = 30.0
STOP_SPACING_M: Final = 500.0
STOPS_MAX: Final = 8
RADIUS_M: Final = 60.0
SERVICE_S: Final = 40
WINDOW_BEFORE: Final = timedelta(minutes=4)
WINDOW_AFTER: Final = timedelta(minutes=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """The road all runs drive: the middle of all their fixes, ``xy`` in its plane."""

    plane: Plane
    line: shapely.LineString

    @property
    def lon_lat(self) -> list[list[float]]:
        points = self.plane.to_lon_lat(shapely.get_coordinates(self.line))
        return [[round(float(lon), 6), round(float(lat), 6)] for lon, lat in points]

    def along_m(self, lon_lat: Floats) -> Floats:
        points = shapely.points(self.plane.to_xy(lon_lat))
        return np.asarray(shapely.line_locate_point(self.line, points), dtype=np.float64)


def road_of(runs: list[Run]) -> Road:
    """Return the middle of where most runs went: one run's fixes are far apart and cut corners."""
    plane = Plane.around(np.concatenate([run.lon_lat for run in runs]))
    tracks = [shapely.LineString(plane.to_xy(run.lon_lat)) for run in runs]
    xy = np.concatenate([plane.to_xy(run.lon_lat) for run in runs])
    points = shapely.points(xy)
    # A fix counts where most of the runs agree; one of them began on another street.
    near = sum((shapely.distance(track, points) < AGREE_M).astype(int) for track in tracks)
    agreed = near > len(runs) / 2
    longest = max(runs, key=lambda run: len(run.elapsed_s))
    rough = shapely.LineString(plane.to_xy(longest.lon_lat))
    bins = np.floor(shapely.line_locate_point(rough, points) / BIN_M).astype(int)
    middles = [
        np.median(xy[agreed & (bins == number)], axis=0) for number in np.unique(bins[agreed])
    ]
    line = shapely.LineString(np.array(middles)).simplify(3.0)
    return Road(plane=plane, line=cast("shapely.LineString", line))


def plan_of(run: Run, pace: Run, road: Road, *, starts_at: datetime) -> dict[str, Any]:
    """Return the stops and the line of a run's plan as ``POST /v1/routes`` takes them.

    Parameters
    ----------
    run
        Whose halts become the stops.
    pace
        Whose times become the planned ones.
    starts_at
        When the run will begin.
    """
    halts = _halts(run, road)
    along_m = road.along_m(run.lon_lat[halts])
    planned_s = _passing_s(pace, road, along_m)
    stops = []
    for number, (at, elapsed_s) in enumerate(zip(halts, planned_s, strict=True), start=1):
        arrival = starts_at + timedelta(seconds=float(elapsed_s))
        lon, lat = run.lon_lat[at]
        stops.append(
            {
                "name": f"Delivery {number}",
                "lat": round(float(lat), 6),
                "lon": round(float(lon), 6),
                "radius_m": RADIUS_M,
                "service_s": SERVICE_S,
                "planned_arrival": rfc3339(arrival),
                "window_start": rfc3339(arrival - WINDOW_BEFORE),
                "window_end": rfc3339(arrival + WINDOW_AFTER),
            }
        )
    return {"stops": stops, "line": road.lon_lat}


def _halts(run: Run, road: Road) -> list[int]:
    """Return the fixes at which the run's longest halts begin, in the order driven."""
    step_m = norms(np.diff(road.plane.to_xy(run.lon_lat), axis=0))
    step_s = np.diff(run.elapsed_s)
    slow = np.concatenate([[False], step_m / step_s < HALT_MPS, [False]])
    begins = np.flatnonzero(slow[1:] & ~slow[:-1])
    ends = np.flatnonzero(~slow[1:] & slow[:-1])
    lasted_s = run.elapsed_s[ends] - run.elapsed_s[begins]
    along_m = road.along_m(run.lon_lat[begins])
    chosen: list[int] = []
    for halt in np.argsort(-lasted_s):
        apart = all(abs(along_m[halt] - along_m[other]) > STOP_SPACING_M for other in chosen)
        if lasted_s[halt] >= HALT_S_MIN and apart and len(chosen) < STOPS_MAX:
            chosen.append(int(halt))
    return [int(begins[halt]) for halt in sorted(chosen, key=lambda halt: begins[halt])]


def _passing_s(run: Run, road: Road, along_m: Floats) -> Floats:
    """Return when the run first came as far as each place along the road."""
    progress_m = np.maximum.accumulate(road.along_m(run.lon_lat))
    return np.asarray(np.interp(along_m, progress_m, run.elapsed_s), dtype=np.float64)
