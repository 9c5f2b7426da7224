"""The recorded buses as days: each run is planned by the median of the others.

They are shown to `geo.eta` alone and at its best: it is told exact places, when each place 250 m
apart was passed (between two fixes, the later of which nobody has yet), and a timetable of all of
them. ``bench.geo.buses`` gives the whole report the fixes up to then and a stop each kilometre.
"""

import numpy as np

from bench.geo.buses import (
    AHEAD_MIN_M,
    LINE_EVERY_M,
    REFERENCE,
    WHOLE_SHARE,
    passing_s,
    runs,
    spaced,
)
from bench.geo.roads import Road
from geo.eta import Outlook, etas
from geo.plane import Plane
from geo.types import Floats
from tests.geo.days import make_plan

GRID_M = 250.0
STOP_EVERY = 4


def bus_guesses() -> Floats:
    """Look every 500 m at all places a kilometre apart and ahead.

    Returns
    -------
    Floats
        Shape ``(k, 4)``: seconds by which the forecast is late, the same for the plan shifted by
        the present delay, and 1 where the truth is below p10 and above p90.
    """
    tracks = runs()
    plane = Plane.around(tracks[REFERENCE].lon_lat)
    line = Road.through(spaced(plane.to_xy(tracks[REFERENCE].lon_lat), LINE_EVERY_M))
    grid_m = np.arange(0.0, line.length_m, GRID_M)
    passed = np.array([passing_s(run, plane, line, grid_m) for run in tracks.values()])
    whole = passed[np.isfinite(passed).mean(axis=1) >= WHOLE_SHARE]
    lon_lat = plane.to_lon_lat(line.at(grid_m))
    rows = []
    for number, truth_s in enumerate(whole):
        others_s = np.diff(np.delete(whole, number, axis=0), axis=1)
        legs_s = np.nanmedian(others_s, axis=0)
        clock_s = np.append(0.0, np.cumsum(np.where(np.isnan(legs_s), np.nanmean(legs_s), legs_s)))
        seen = np.flatnonzero(np.isfinite(truth_s))
        planned_s = truth_s[seen[0]] + clock_s - clock_s[seen[0]]
        plan = make_plan(
            lon_lat, service_s=np.nan, planned_arrival_s=planned_s, line=plane.to_lon_lat(line.xy)
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
