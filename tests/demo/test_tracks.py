import itertools

import numpy as np
import shapely

from geo.plan_fact import Plan, Track, plan_versus_fact
from server.demo.plans import RADIUS_M, SERVICE_S, STOP_SPACING_M, plan_of, road_of
from server.demo.tracks import RUN_LENGTH_M_MIN, whole_runs
from tests.world import NOW

RUNS = whole_runs()
ROAD = road_of(RUNS)


def test_only_runs_recorded_from_end_to_end_are_replayed() -> None:
    assert len(RUNS) == 7
    for run in RUNS:
        assert ROAD.along_m(run.lon_lat).max() > RUN_LENGTH_M_MIN
        assert (np.diff(run.elapsed_s) > 0).all()
        assert len(run.elapsed_s) == len(run.speed_mps) == len(run.heading_deg)
        assert run.speed_mps.max() < 25.0


def test_the_road_lies_where_most_runs_went() -> None:
    for run in RUNS:
        away_m = shapely.distance(ROAD.line, shapely.points(ROAD.plane.to_xy(run.lon_lat)))
        assert np.median(away_m) < 5.0
        assert np.quantile(away_m, 0.8) < 15.0
    assert 9_500 < ROAD.line.length < 10_500


def test_stops_are_apart_and_in_the_order_driven() -> None:
    for run, pace in itertools.pairwise(RUNS):
        stops = plan_of(run, pace, ROAD, starts_at=NOW)["stops"]
        along_m = ROAD.along_m(np.array([(stop["lon"], stop["lat"]) for stop in stops]))
        arrivals = [stop["planned_arrival"] for stop in stops]

        assert len(stops) >= 4
        assert np.diff(along_m).min() > STOP_SPACING_M
        assert arrivals == sorted(arrivals)


def test_every_driver_is_found_at_the_stops_of_their_own_plan() -> None:
    begin_s = NOW.timestamp()
    for run, pace in itertools.pairwise(RUNS):
        plan = plan_of(run, pace, ROAD, starts_at=NOW)
        stops = plan["stops"]
        none = np.full(len(stops), np.nan)

        fact = plan_versus_fact(
            Track(
                time_s=begin_s + run.elapsed_s,
                lon_lat=run.lon_lat,
                accuracy_m=np.full(len(run.elapsed_s), np.nan),
            ),
            Plan(
                lon_lat=np.array([(stop["lon"], stop["lat"]) for stop in stops]),
                radius_m=np.full(len(stops), RADIUS_M),
                service_s=np.full(len(stops), float(SERVICE_S)),
                planned_arrival_s=none,
                window_from_s=none,
                window_to_s=none,
                line=np.array(plan["line"]),
            ),
            shared_s=np.array([[begin_s, begin_s + run.duration_s + 1]]),
            until_s=begin_s + run.duration_s,
        )

        assert [stop.status for stop in fact.stops] == ["visited"] * len(stops)
        assert fact.totals.completion == 1.0
        assert abs(fact.totals.actual_m / ROAD.line.length - 1.0) < 0.05
