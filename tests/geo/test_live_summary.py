"""What a refresh tells of a running route."""

import dataclasses

import numpy as np
import pytest

from geo.live import LiveSummary, advance, begin, summary
from geo.types import Floats
from geo.values import Track
from tests.geo.days import START_S, at, make_day, make_plan, noise, plane_at
from tests.geo.replays import (
    NOTHING,
    OPEN,
    between,
    replayed,
)

DAY = make_day(42, missed=(5,))
PLANE = plane_at()


def test_where_the_driver_stands_when_sharing_ends_nobody_says_they_still_stand() -> None:
    stand_s = float(DAY.arrived_s[1] + DAY.departed_s[1]) / 2.0
    state = replayed(DAY, until_s=stand_s)
    there = summary(state, now_s=stand_s).visits[-1]

    state = advance(state, NOTHING, shared_s=np.array([[START_S, stand_s]]), until_s=stand_s + 30.0)
    gone = summary(state, now_s=stand_s + 30.0).visits[-1]

    assert (there.stop, there.present, there.departed_s) == (1, True, None)
    assert (gone.stop, gone.present, gone.departed_s) == (1, False, None)
    assert gone.arrived_s == pytest.approx(DAY.arrived_s[1], abs=10.0)


def test_leaving_needs_two_fixes() -> None:
    stand_s = float(DAY.departed_s[1]) - 3.0
    state = replayed(DAY, until_s=stand_s)
    here = DAY.track.lon_lat[DAY.track.time_s <= stand_s][-1]

    def seen(away_m: list[float]) -> LiveSummary:
        offsets = np.column_stack([np.array(away_m) / 81_200.0, np.zeros(len(away_m))])
        fresh = Track(
            time_s=stand_s + 5.0 * np.arange(1.0, len(away_m) + 1.0),
            lon_lat=here + offsets,
            accuracy_m=np.full(len(away_m), 7.5),
        )
        now_s = float(fresh.time_s[-1])
        return summary(advance(state, fresh, shared_s=OPEN, until_s=now_s), now_s=now_s)

    assert seen([90.0]).visits[-1].present
    assert not seen([90.0, 150.0, 220.0, 300.0, 380.0]).visits[-1].present


def test_a_red_light_within_the_circle_is_no_visit() -> None:
    xy = np.array([[0.0, 0.0], [3_000.0, 0.0]])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[1_000.0, 5.0], [2_900.0, 0.0]])), line=PLANE.to_lon_lat(xy)
    )
    along_m = np.concatenate(
        [np.arange(0.0, 1_000.0, 50.0), np.full(7, 1_000.0), np.arange(1_050.0, 2_500.0, 50.0)]
    )
    time_s: Floats = START_S + 5.0 * np.arange(float(len(along_m)))
    rng = np.random.default_rng(1)
    track = Track(
        time_s=time_s,
        lon_lat=PLANE.to_lon_lat(at(xy, along_m) + rng.normal(0.0, 3.0, (len(along_m), 2))),
        accuracy_m=np.full(len(along_m), 7.5),
    )
    state = begin(plan)
    for now_s in time_s.tolist():
        state = advance(state, between(track, now_s - 5.0, now_s), shared_s=OPEN, until_s=now_s)
        assert summary(state, now_s=now_s).visits == ()


def test_progress_deviation_and_eta_of_a_running_route() -> None:
    now_s = float(DAY.departed_s[3] + 40.0)

    found = summary(replayed(DAY, until_s=now_s), now_s=now_s)

    assert found.last_fix_s == pytest.approx(now_s, abs=5.0)
    true_m = np.interp(now_s, DAY.track.time_s, DAY.true_along_m)
    assert found.along_m == pytest.approx(true_m, abs=60.0)
    assert found.length_m == pytest.approx(DAY.driven_m, rel=1e-3)
    assert found.deviation_s == pytest.approx(120.0, abs=60.0)  # planned two minutes earlier
    assert found.next_stop == 4
    assert [eta.planned_sequence for eta in found.eta] == [4, 5, 6, 7]
    assert found.eta[0].p10_s <= DAY.arrived_s[4] <= found.eta[0].p90_s + 60.0


def test_leaving_the_line_is_told_while_it_lasts() -> None:
    xy = np.array([[0.0, 0.0], [6_000.0, 0.0]])
    plan = make_plan(PLANE.to_lon_lat(np.array([[5_900.0, 0.0]])), line=PLANE.to_lon_lat(xy))
    x = np.arange(0.0, 5_000.0, 50.0)
    y = np.where((x > 2_000.0) & (x < 3_500.0), 400.0, 0.0)
    time_s: Floats = START_S + 5.0 * np.arange(float(len(x)))
    track = Track(
        time_s=time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([x, y])),
        accuracy_m=np.full(len(x), 7.5),
    )
    state, told = begin(plan), []
    for now_s in time_s.tolist():
        state = advance(state, between(track, now_s - 5.0, now_s), shared_s=OPEN, until_s=now_s)
        found = summary(state, now_s=now_s)
        told.append((found.off_route_since_s, found.off_route_m))

    off = np.array([since_s is not None for since_s, _ in told])
    assert not off[x <= 2_000.0].any()
    assert off[(x > 2_200.0) & (x < 3_500.0)].all()
    assert not off[x > 3_700.0].any()
    since_s, far_m = told[int(np.flatnonzero(x < 3_400.0)[-1])]
    assert since_s == pytest.approx(time_s[x > 2_000.0][0], abs=10.0)
    assert far_m == pytest.approx(400.0, abs=30.0)


def test_standing_where_no_stop_is() -> None:
    xy = np.array([[0.0, 0.0], [6_000.0, 0.0]])
    plan = make_plan(PLANE.to_lon_lat(np.array([[5_900.0, 0.0]])), line=PLANE.to_lon_lat(xy))
    along_m = np.concatenate([np.arange(0.0, 2_000.0, 50.0), np.full(40, 2_000.0)])
    time_s: Floats = START_S + 5.0 * np.arange(float(len(along_m)))
    error = noise(np.random.default_rng(2), time_s - START_S, 5.0)
    track = Track(
        time_s=time_s,
        lon_lat=PLANE.to_lon_lat(at(xy, along_m) + error),
        accuracy_m=np.full(len(along_m), 7.5),
    )
    day = dataclasses.replace(DAY, plan=plan, track=track)

    moving = summary(replayed(day, until_s=START_S + 190.0), now_s=START_S + 190.0)
    standing = summary(replayed(day, until_s=float(time_s[-1])), now_s=float(time_s[-1]))

    assert moving.standing_since_s is None
    assert standing.standing_since_s == pytest.approx(START_S + 200.0, abs=10.0)
    assert standing.visits == ()


def test_standing_at_a_stop_is_not_standing_elsewhere() -> None:
    now_s = float(DAY.arrived_s[1] + DAY.departed_s[1]) / 2.0

    found = summary(replayed(DAY, until_s=now_s), now_s=now_s)

    assert found.visits[-1].present
    assert found.standing_since_s is None


def test_without_a_line_the_stops_tell_how_far() -> None:
    day = make_day(9, with_line=False)
    now_s = float(day.departed_s[3] + 40.0)

    found = summary(replayed(day, until_s=now_s), now_s=now_s)

    assert found.next_stop == 4
    assert found.along_m is not None
    assert found.off_route_since_s is None
    assert len(found.eta) == 4


def test_off_the_road_a_route_gets_late_all_the_same() -> None:
    xy = np.array([[0.0, 0.0], [6_000.0, 0.0]])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[500.0, 0.0], [5_900.0, 0.0]])),
        planned_arrival_s=START_S + np.array([50.0, 700.0]),
        line=PLANE.to_lon_lat(xy),
    )
    out = np.column_stack([np.arange(0.0, 3_000.0, 50.0), np.zeros(60)])
    aside = np.column_stack([np.full(22, 3_000.0), np.arange(50.0, 1_150.0, 50.0)])
    stands = np.tile([3_000.0, 1_100.0], (300, 1))
    places = np.concatenate([out, aside, stands])
    time_s: Floats = START_S + 5.0 * np.arange(float(len(places)))
    track = Track(
        time_s=time_s, lon_lat=PLANE.to_lon_lat(places), accuracy_m=np.full(len(places), 7.5)
    )
    now_s = float(time_s[-1])
    day = dataclasses.replace(DAY, plan=plan, track=track)

    found = summary(replayed(day, until_s=now_s), now_s=now_s)

    assert found.off_route_m == pytest.approx(1_100.0, abs=20.0)
    assert found.standing_since_s == pytest.approx(time_s[82], abs=15.0)
    assert found.deviation_s == pytest.approx(now_s - START_S - 700.0, abs=10.0)
    assert found.eta[0].planned_sequence == 1
    # 3.1 km as the crow flies
    assert now_s + 250.0 < found.eta[0].p50_s < now_s + 1_200.0


def test_who_parks_before_the_day_begins_goes_when_planned() -> None:
    xy = np.array([[0.0, 0.0], [6_000.0, 0.0]])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[3_000.0, 0.0], [5_900.0, 0.0]])),
        planned_arrival_s=START_S + np.array([7_200.0, 8_000.0]),
        line=PLANE.to_lon_lat(xy),
    )
    time_s = START_S + 5.0 * np.arange(60.0)
    error = noise(np.random.default_rng(3), time_s - START_S, 4.0)
    track = Track(
        time_s=time_s,
        lon_lat=PLANE.to_lon_lat(error + np.array([-400.0, 300.0])),
        accuracy_m=np.full(60, 7.5),
    )
    now_s = float(time_s[-1])
    day = dataclasses.replace(DAY, plan=plan, track=track)

    found = summary(replayed(day, until_s=now_s), now_s=now_s)

    assert found.eta[0].p50_s == pytest.approx(START_S + 7_200.0, abs=300.0)
    assert (found.along_m, found.deviation_s, found.next_stop) == (None, None, 0)
