"""The same work by trackintel and movingpandas, where they are installed.

They are no dependency of this project, not even for development:
``make bench-geo COMPARED=1`` installs them as requirements-compared.lock says, and adds their rows
to the scoreboard.
"""

import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from bench.geo import naive
from bench.geo.findings import Cell
from bench.geo.roads import PLANE
from geo.types import Floats
from geo.values import Plan

CELL: Final = Cell(5.0, 10.0)
DAYS: Final = 12
"""Where they are measured, and on how many days: they take 50 times as long as the rest."""
TRACKINTEL: Final = "trackintel"
MOVINGPANDAS: Final = "movingpandas"
MICROSECONDS: Final = 1e6


def frame(time_s: Floats, xy: Floats) -> Any:
    """Return the fixes as both libraries take them, a GeoDataFrame."""
    pandas, geopandas = import_module("pandas"), import_module("geopandas")
    times = pandas.to_datetime(
        np.round(time_s * MICROSECONDS).astype(np.int64), unit="us", utc=True
    )
    points = geopandas.points_from_xy(*PLANE.to_lon_lat(xy).T)
    return geopandas.GeoDataFrame(
        {"user_id": 1, "tracked_at": times}, geometry=points, crs="EPSG:4326"
    )


def trackintel_stays(fixes: Any) -> Floats:
    """Return stays as rows from_s, to_s, x, y."""
    positions = import_module(TRACKINTEL).Positionfixes(fixes)
    _, stays = positions.generate_staypoints(
        method="sliding", dist_threshold=naive.STAY_M, time_threshold=naive.STAY_S / 60.0
    )
    return _rows(stays["started_at"], stays["finished_at"], stays.geometry)


def movingpandas_stays(fixes: Any) -> Floats:
    """Return stays as rows from_s, to_s, x, y."""
    library = import_module(MOVINGPANDAS)
    timed = fixes.set_index(fixes["tracked_at"].dt.tz_localize(None))
    trajectory = library.Trajectory(timed, traj_id=1)
    stays = library.TrajectoryStopDetector(trajectory).get_stop_points(
        max_diameter=naive.STAY_M, min_duration=timedelta(seconds=naive.STAY_S)
    )
    return _rows(stays["start_time"], stays["end_time"], stays.geometry)


def _rows(from_times: Any, to_times: Any, places: Any) -> Floats:
    if not len(places):
        return np.zeros((0, 4))
    from_s, to_s = (
        np.array([one.timestamp() for one in times]) for times in (from_times, to_times)
    )
    lon_lat = np.column_stack([places.x, places.y])
    return np.column_stack([from_s, to_s, PLANE.to_xy(lon_lat)])


def _quiet(stays_of: Callable[[Any], Floats]) -> Callable[[Any], Floats]:
    """Let a library warn of its own parts: of what it lacks, and of how it calls pandas."""

    def stays(fixes: Any) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return stays_of(fixes)

    return stays


def _visits(stays_of: Callable[[Any], Floats]) -> Callable[[Plan, Floats, Floats], Floats]:
    def visits(plan: Plan, time_s: Floats, xy: Floats) -> Floats:
        return naive.nearest_stop(plan, stays_of(frame(time_s, xy)))

    return visits


STAYS: Final[Mapping[str, Callable[[Any], Floats]]] = {
    name: _quiet(stays_of)
    for name, stays_of in (
        (TRACKINTEL, trackintel_stays),
        (MOVINGPANDAS, movingpandas_stays),
    )
    if find_spec(name) is not None
}
VISITS: Final = {name: _visits(stays_of) for name, stays_of in STAYS.items()}
"""Only of those that are installed."""
