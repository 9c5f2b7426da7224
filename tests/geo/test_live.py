"""Live plan versus fact: equal to the final report, whatever the order of arrival; cheap; small."""

import dataclasses
import pickle
from time import process_time

import numpy as np
import pytest

from bench.geo.days import delivery_day
from bench.geo.findings import Cell, generator
from geo.live import advance, begin, summary
from geo.types import Floats
from geo.values import Plan, Track
from tests.geo.days import START_S, Day, along, at, make_day, make_plan, noise, plane_at, road
from tests.geo.replays import (
    NOTHING,
    OPEN,
    REFRESH_S,
    between,
    closed,
    final,
    replayed,
    same_visit,
    same_visits,
    taken,
)

DAY = make_day(42, missed=(5,))
PLANE = plane_at()


def agreement(day: Day, tolerance_s: float) -> list[bool]:
    """Tell of each stop whether live and final say the same of it."""
    live = {visit.stop: visit for visit in closed(day, replayed(day)).visits}
    agrees = []
    for stop in final(day).stops:
        visit = live.get(stop.planned_sequence)
        if visit is None or stop.status != "visited":
            agrees.append(visit is None and stop.status != "visited")
            continue
        agrees.append(
            same_visit(visit.arrived_s, stop.arrived_s, tolerance_s)
            and same_visit(visit.departed_s, stop.departed_s, tolerance_s)
        )
    return agrees


@pytest.mark.parametrize(
    ("step_s", "sigma_m", "rate"), [(5.0, 5.0, 0.97), (15.0, 10.0, 0.97), (60.0, 10.0, 0.95)]
)
def test_after_the_last_fix_live_says_what_the_final_report_says(
    step_s: float, sigma_m: float, rate: float
) -> None:
    agrees = []
    for seed in range(5):
        day = make_day(seed, step_s=step_s, sigma_m=sigma_m, missed=(seed % 8, (seed * 3) % 8))
        agrees += agreement(day, max(10.0, step_s))

    assert np.mean(agrees) >= rate


def test_on_hard_days_live_and_final_visit_the_same_stops() -> None:
    """Neighbours, shared halts, one address twice, stops driven past, outliers, silences."""
    cell = Cell(5.0, 10.0)
    agrees = []
    for number in range(3):
        drawn = delivery_day(generator(2026, "visits", cell, number), cell.phone)
        time_s = drawn.seen.track.time_s
        end_s = float(max(time_s.max(), drawn.plan.planned_arrival_s.max()) + 3_600.0)
        day = dataclasses.replace(
            DAY,
            plan=drawn.plan,
            track=drawn.seen.track,
            shared_s=np.array([[time_s.min() - 1.0, time_s.max() + 1.0]]),
            until_s=end_s,
        )
        live = {visit.stop for visit in closed(day, replayed(day)).visits}
        agrees += [
            (i in live) == (one.status == "visited") for i, one in enumerate(final(day).stops)
        ]

    assert np.mean(agrees) >= 0.95


@pytest.mark.parametrize("every_s", [10.0, 60.0, 300.0, 1e6])
def test_how_often_one_looks_changes_nothing(every_s: float) -> None:
    usual, other = closed(DAY, replayed(DAY)), closed(DAY, replayed(DAY, every_s=every_s))

    assert same_visits(usual, other, 10.0)


@pytest.mark.parametrize("seed", range(3))
def test_within_a_minute_order_and_repeats_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    day = make_day(3, stops=3, dwell_s=(90.0, 200.0))
    state = shuffled = begin(day.plan)
    for now_s in np.arange(START_S, day.until_s, REFRESH_S):
        fresh = between(day.track, now_s - REFRESH_S, now_s)
        order = rng.permutation(np.tile(np.arange(len(fresh.time_s)), 2))
        state = advance(state, fresh, shared_s=OPEN, until_s=now_s)
        # Half of the fixes come a refresh later.
        older = between(day.track, now_s - 2 * REFRESH_S, now_s)
        shuffled = advance(shuffled, taken(fresh, order[::2]), shared_s=OPEN, until_s=now_s)
        shuffled = advance(shuffled, older, shared_s=OPEN, until_s=now_s)

    usual, other = summary(state, now_s=now_s), summary(shuffled, now_s=now_s)
    assert same_visits(usual, other, 5.0)
    assert (other.next_stop, other.last_fix_s) == (usual.next_stop, usual.last_fix_s)
    assert other.along_m == pytest.approx(usual.along_m, abs=1.0)
    assert not shuffled.rebuild_due


def test_the_state_given_stays_as_it_was() -> None:
    state = replayed(DAY, until_s=START_S + 900.0)
    before = repr(summary(state, now_s=START_S + 900.0))

    advance(
        state,
        between(DAY.track, START_S + 900.0, START_S + 2_000.0),
        shared_s=OPEN,
        until_s=START_S + 2_000.0,
    )

    assert repr(summary(state, now_s=START_S + 900.0)) == before


def test_a_late_fix_among_others_is_dropped() -> None:
    state = replayed(DAY, until_s=START_S + 1_800.0)
    late = between(DAY.track, START_S + 300.0, START_S + 400.0)

    after = advance(state, late, shared_s=OPEN, until_s=START_S + 1_800.0)

    assert not after.rebuild_due
    assert repr(summary(after, now_s=START_S + 1_800.0)) == repr(
        summary(state, now_s=START_S + 1_800.0)
    )


def test_a_late_fix_within_a_silence_asks_to_begin_again() -> None:
    now_s = float(DAY.departed_s[2] + 600.0)
    silent = (DAY.track.time_s > DAY.arrived_s[1] - 60.0) & (
        DAY.track.time_s < DAY.departed_s[1] + 60.0
    )
    offline = dataclasses.replace(DAY, track=taken(DAY.track, np.flatnonzero(~silent)))
    state = replayed(offline, until_s=now_s)
    assert 1 not in [visit.stop for visit in summary(state, now_s=now_s).visits]

    late = advance(state, taken(DAY.track, np.flatnonzero(silent)), shared_s=OPEN, until_s=now_s)
    anew = advance(begin(DAY.plan), between(DAY.track, 0.0, now_s), shared_s=OPEN, until_s=now_s)

    assert late.rebuild_due
    assert [visit.stop for visit in summary(anew, now_s=now_s).visits][:3] == [0, 1, 2]


def test_before_the_settled_time_nothing_can_be_taken_back() -> None:
    state = replayed(DAY, until_s=START_S + 1_800.0)

    after = advance(
        state,
        NOTHING,
        shared_s=np.array([[START_S, START_S + 900.0]]),
        until_s=START_S + 1_800.0,
    )

    assert after.rebuild_due


@pytest.mark.proves("relog-manager-app:3.2-plan-fact-report")
def test_nothing_is_concluded_across_a_pause() -> None:
    pause_s = (float(DAY.departed_s[2] + 20.0), float(DAY.arrived_s[4] - 20.0))
    shared_s = np.array([[START_S, pause_s[0]], [pause_s[1], np.inf]])

    state = replayed(DAY, shared_s=shared_s)

    visits = {visit.stop: visit for visit in summary(state, now_s=DAY.until_s).visits}
    assert 3 not in visits
    assert {2, 4} <= set(visits)
    assert np.isnan(state.present.passed_s[3])
    for visit in visits.values():
        assert visit.arrived_s is None or not pause_s[0] < visit.arrived_s < pause_s[1]


@pytest.mark.parametrize(
    "fixes",
    [
        NOTHING,
        Track(time_s=np.array([START_S]), lon_lat=np.array([[76.9, 43.24]]), accuracy_m=np.ones(1)),
        Track(
            time_s=np.full(50, START_S),
            lon_lat=np.tile([76.9, 43.24], (50, 1)),
            accuracy_m=np.ones(50),
        ),
        Track(
            time_s=np.full(3, np.nan),
            lon_lat=np.full((3, 2), np.nan),
            accuracy_m=np.full(3, np.nan),
        ),
        Track(
            time_s=np.array([START_S + 1e9]),
            lon_lat=np.array([[76.9, 43.24]]),
            accuracy_m=np.ones(1),
        ),
    ],
)
def test_odd_input_is_taken(fixes: Track) -> None:
    state = begin(DAY.plan)

    for now_s in (START_S + 10.0, START_S + 40.0):
        state = advance(state, fixes, shared_s=OPEN, until_s=now_s)
        assert summary(state, now_s=now_s).visits == ()

    assert not state.rebuild_due
    closed(DAY, advance(state, DAY.track, shared_s=OPEN, until_s=DAY.until_s))


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="stop"):
        begin(make_plan(np.zeros((0, 2))))


def long_day() -> tuple[Plan, Track]:
    """Plan 20 stops along 2,447 vertices and drive them in six hours, a fix every 5 s."""
    rng = np.random.default_rng(5)
    xy = road(rng, 2_446, block=(20.0, 60.0))
    places_m = along(xy)[-1] * np.linspace(0.03, 0.97, 20)
    knots_s = np.concatenate([[0.0], np.repeat(np.linspace(600.0, 21_000.0, 20), 2), [22_000.0]])
    knots_s[2:-1:2] += 300.0
    time_s = np.arange(0.0, 22_000.0, 5.0)
    along_m = np.interp(
        time_s, knots_s, np.concatenate([[0.0], np.repeat(places_m, 2), [along(xy)[-1]]])
    )
    plan = make_plan(
        PLANE.to_lon_lat(at(xy, places_m)),
        planned_arrival_s=START_S + knots_s[1:-1:2],
        service_s=300.0,
        line=PLANE.to_lon_lat(xy),
    )
    seen = at(xy, along_m) + noise(rng, time_s, 8.0)
    return plan, Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(seen),
        accuracy_m=np.full(len(time_s), 12.0),
    )


def test_a_refresh_takes_milliseconds_and_the_state_stays_small() -> None:
    plan, track = long_day()
    state = advance(
        begin(plan),
        between(track, 0.0, START_S + 15_000.0),
        shared_s=OPEN,
        until_s=START_S + 15_000.0,
    )
    took_s = []
    for now_s in START_S + np.arange(15_030.0, 18_000.0, REFRESH_S):
        fresh = between(track, now_s - REFRESH_S, now_s)
        began_s = process_time()
        state = advance(state, fresh, shared_s=OPEN, until_s=now_s)
        summary(state, now_s=now_s)
        took_s.append(process_time() - began_s)

    assert np.median(took_s) < 0.02  # about 4 ms on an idle core
    assert len(summary(state, now_s=now_s).visits) >= 14
    assert len(pickle.dumps(state)) < 200_000
    assert len(state.recent) < 60


def test_a_hundred_thousand_fixes_at_once_take_seconds() -> None:
    time_s = np.arange(100_000.0)
    assert DAY.plan.line is not None
    xy = PLANE.to_xy(DAY.plan.line)
    clear = at(xy, np.linspace(0.0, along(xy)[-1], len(time_s)))
    wobble = 5.0 * np.random.default_rng(0).normal(size=clear.shape)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(clear + wobble),
        accuracy_m=np.full(len(time_s), 7.5),
    )
    began_s = process_time()

    state = advance(begin(DAY.plan), track, shared_s=OPEN, until_s=START_S + 1e5)

    assert state.last_fix_s == START_S + 99_999.0
    assert process_time() - began_s < 10.0  # about 2 s on an idle core


@pytest.mark.parametrize("step_s", [30.0, 120.0, 600.0])
def test_of_positions_a_quarter_of_an_hour_or_nine_fixes_are_kept(step_s: float) -> None:
    time_s: Floats = START_S + step_s * np.arange(60.0)
    track = Track(
        time_s=time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([5.0 * (time_s - START_S), np.zeros(60)])),
        accuracy_m=np.full(60, 7.5),
    )
    state = begin(make_plan(PLANE.to_lon_lat(np.array([[9e4, 0.0]]))))
    for now_s in time_s.tolist():
        state = advance(state, between(track, now_s - step_s, now_s), shared_s=OPEN, until_s=now_s)

        older = state.recent[:, 0] < state.settled_s - 900.0
        assert len(state.recent) <= 9 or not older.any()

    later = advance(state, NOTHING, shared_s=OPEN, until_s=now_s + 14_400.0)
    assert len(later.recent) <= len(state.recent)


def test_fixes_that_nobody_believes_are_not_kept() -> None:
    state = begin(DAY.plan)

    for now_s in START_S + np.arange(0.0, 7_200.0, 300.0):
        vague = Track(
            time_s=np.append(now_s - np.arange(60.0), np.nan),
            lon_lat=np.tile([76.9, 43.24], (61, 1)),
            accuracy_m=np.full(61, 900.0),
        )
        state = advance(state, vague, shared_s=OPEN, until_s=now_s)

    assert len(state.recent) <= 4 * 60
    assert state.last_fix_s is None
