"""The whole report: metamorphic rules, odd input, size."""

import dataclasses
import tracemalloc
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.plan_fact import ALGORITHM_VERSION, Plan, PlanFact, Track, plan_versus_fact
from geo.types import Floats
from tests.geo.days import HOME, START_S, Day, make_day, make_plan, noise, plane_at

DAY = make_day(42, missed=(5,))
PLANE = plane_at()


def report(day: Day) -> PlanFact:
    return plan_versus_fact(day.track, day.plan, shared_s=day.shared_s, until_s=day.until_s)


REPORT = report(DAY)


def taken(track: Track, at: Floats | np.typing.NDArray[np.intp]) -> Track:
    at = at.astype(np.intp)
    return Track(
        time_s=track.time_s[at], lon_lat=track.lon_lat[at], accuracy_m=track.accuracy_m[at]
    )


def same(one: PlanFact, other: PlanFact) -> bool:
    """Compare by text: it shows every digit and treats NaN and arrays alike."""
    return repr(one) == repr(other)


def statuses(found: PlanFact) -> list[str]:
    return [stop.status for stop in found.stops]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), repeats=st.integers(1, 3))
def test_shuffled_or_doubled_is_the_same_report(seed: int, repeats: int) -> None:
    fixes = np.tile(np.arange(len(DAY.track.time_s)), repeats)
    order = np.random.default_rng(seed).permutation(fixes)

    assert same(report(dataclasses.replace(DAY, track=taken(DAY.track, order))), REPORT)


@pytest.mark.parametrize("seed", range(5))
def test_every_second_fix_removed_is_the_same_statuses(seed: int) -> None:
    day = make_day(seed, missed=(2, 6))
    half = dataclasses.replace(day, track=taken(day.track, np.arange(0, len(day.track.time_s), 2)))

    assert statuses(report(half)) == statuses(report(day))


@settings(max_examples=5, deadline=None)
@given(shift_s=st.integers(-(10**8), 10**8))
def test_time_shifted_is_the_report_shifted(shift_s: int) -> None:
    plan = dataclasses.replace(DAY.plan, planned_arrival_s=DAY.plan.planned_arrival_s + shift_s)
    shifted = Day(
        plan=plan,
        track=dataclasses.replace(DAY.track, time_s=DAY.track.time_s + shift_s),
        arrived_s=DAY.arrived_s,
        departed_s=DAY.departed_s,
        driven_m=DAY.driven_m,
        true_along_m=DAY.true_along_m,
        shared_s=DAY.shared_s + shift_s,
        until_s=DAY.until_s + shift_s,
    )

    found = report(shifted)

    assert statuses(found) == statuses(REPORT)
    assert found.totals.actual_m == pytest.approx(REPORT.totals.actual_m)
    for moved, stop in zip(found.stops, REPORT.stops, strict=True):
        if stop.arrived_s is not None and stop.departed_s is not None:
            assert moved.arrived_s == pytest.approx(stop.arrived_s + shift_s, abs=1e-3)
            assert moved.departed_s == pytest.approx(stop.departed_s + shift_s, abs=1e-3)


@pytest.mark.parametrize("with_line", [True, False])
def test_an_added_parked_hour_is_the_same_distance(with_line: bool) -> None:  # noqa: FBT001
    day = make_day(43, outliers=0.0, with_line=with_line)
    stand_s = (day.arrived_s[3] + day.departed_s[3]) / 2.0
    before = day.track.time_s <= stand_s
    at = day.track.lon_lat[before][-1]
    hour_s = np.arange(5.0, 3_600.0, 5.0)
    parked = noise(np.random.default_rng(1), hour_s, 5.0)
    middle = PLANE.to_xy(at[np.newaxis])
    longer = Track(
        time_s=np.concatenate(
            [day.track.time_s[before], stand_s + hour_s, day.track.time_s[~before] + 3_600.0]
        ),
        lon_lat=np.concatenate(
            [
                day.track.lon_lat[before],
                PLANE.to_lon_lat(middle + parked),
                day.track.lon_lat[~before],
            ]
        ),
        accuracy_m=np.full(len(day.track.time_s) + len(hour_s), 7.5),
    )
    shared_s = day.shared_s + np.array([[0.0, 3_600.0]])

    found = plan_versus_fact(longer, day.plan, shared_s=shared_s, until_s=shared_s[0, 1])

    assert found.totals.actual_m == pytest.approx(report(day).totals.actual_m, abs=20.0)
    assert found.totals.drive_s == pytest.approx(report(day).totals.drive_s, abs=30.0)


def track_of(rows: list[tuple[float, float, float]]) -> Track:
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return Track(
        time_s=START_S + table[:, 0], lon_lat=table[:, 1:], accuracy_m=np.full(len(table), np.nan)
    )


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(5.0, *HOME)],
        [(5.0, 0.0, 0.0), (10.0, 0.0, 0.0)],
        [(5.0, np.nan, 1.0)],
        [(np.nan, *HOME), (5.0, 181.0, 91.0)],
        [(5.0, *HOME)] * 4,
    ],
)
def test_next_to_nothing_is_unknown(rows: list[tuple[float, float, float]]) -> None:
    found = report(dataclasses.replace(DAY, track=track_of(rows)))

    assert set(statuses(found)) == {"unknown"}
    assert found.totals.actual_m == 0.0
    assert found.quality.used <= 1


def test_everything_at_one_place_is_no_distance() -> None:
    day = dataclasses.replace(
        DAY, track=track_of([(5.0 * i, *DAY.plan.lon_lat[0]) for i in range(600)])
    )

    found = report(day)

    assert statuses(found)[0] == "visited"
    assert found.stops[0].arrived_s is None  # it stood there before the first fix
    assert found.totals.actual_m == 0.0


@pytest.mark.parametrize("home", [(25.0, 70.0), (-179.99, -17.0), (179.99, 66.0), (0.0, 0.0)])
def test_anywhere_on_earth(home: tuple[float, float]) -> None:
    day = make_day(44, home=np.array(home))

    found = report(day)

    assert statuses(found) == ["visited"] * 8
    assert found.totals.actual_m == pytest.approx(day.driven_m, rel=0.01)


def test_one_stop() -> None:
    found = report(dataclasses.replace(DAY, plan=make_plan(DAY.plan.lon_lat[:1])))

    assert statuses(found) == ["visited"]
    assert found.legs == ()
    assert found.totals.planned_m == 0.0


def test_depot_first_and_last() -> None:
    """The vehicle stands at the depot when the shift begins, and again when it ends."""
    depot, customer = np.array([0.0, 0.0]), np.array([3_000.0, 0.0])
    knots_s = [0.0, 300.0, 600.0, 900.0, 1_200.0, 1_500.0]
    x = np.interp(np.arange(0.0, 1_500.0, 5.0), knots_s, [0.0, 0.0, 3_000.0, 3_000.0, 0.0, 0.0])
    track = Track(
        time_s=START_S + np.arange(0.0, 1_500.0, 5.0),
        lon_lat=PLANE.to_lon_lat(np.column_stack([x, np.zeros(len(x))])),
        accuracy_m=np.full(len(x), 6.0),
    )
    plan = make_plan(PLANE.to_lon_lat(np.array([depot, customer, depot])))

    found = plan_versus_fact(
        track, plan, shared_s=START_S + np.array([[0.0, 1_500.0]]), until_s=START_S + 1_500.0
    )

    assert statuses(found) == ["visited"] * 3
    assert [stop.actual_sequence for stop in found.stops] == [0, 1, 2]
    assert found.stops[0].arrived_s is None
    assert found.stops[0].departed_s == pytest.approx(START_S + 300.0, abs=10.0)
    assert found.stops[2].arrived_s == pytest.approx(START_S + 1_200.0, abs=10.0)
    assert found.stops[2].departed_s is None


@pytest.mark.proves("relog-manager-app:3.2-plan-fact-report")
def test_a_pause_is_neither_distance_nor_visit() -> None:
    shared_s = np.array(
        [
            [DAY.shared_s[0, 0], DAY.departed_s[2] + 20.0],
            [DAY.arrived_s[4] - 20.0, DAY.shared_s[0, 1]],
        ]
    )

    found = plan_versus_fact(DAY.track, DAY.plan, shared_s=shared_s, until_s=DAY.until_s)

    assert found.stops[3].status == "unknown"
    seen_m = np.interp(shared_s, DAY.track.time_s, DAY.true_along_m)
    assert found.totals.actual_m == pytest.approx(np.diff(seen_m).sum(), rel=0.02)
    assert found.totals.gap_m == 0.0
    assert found.legs[2].actual_m is None


def test_overlapping_windows_in_any_order_are_their_union() -> None:
    (begin_s, end_s), middle_s = DAY.shared_s[0], START_S + 1_000.0
    pieces_s = np.array([[middle_s, end_s], [begin_s, middle_s + 300.0], [end_s, begin_s]])

    found = plan_versus_fact(DAY.track, DAY.plan, shared_s=pieces_s, until_s=DAY.until_s)

    assert same(found, REPORT)


def test_progress_of_a_running_route() -> None:
    until_s = float(DAY.departed_s[3] + 40.0)

    found = plan_versus_fact(
        DAY.track, DAY.plan, shared_s=np.array([[START_S, np.inf]]), until_s=until_s
    ).progress

    true_m = np.interp(until_s, DAY.track.time_s, DAY.true_along_m)
    assert found.along_m == pytest.approx(true_m, abs=60.0)
    assert found.length_m == pytest.approx(DAY.driven_m, rel=1e-3)
    assert found.deviation_s == pytest.approx(120.0, abs=60.0)  # planned two minutes earlier
    assert found.next_stop == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lon_lat": np.array([[-100.0, 0.0], [0.0, 0.0], [80.0, 0.0]])}, "half of the Earth"),
        ({"lon_lat": np.array([[np.nan, 0.0], [1.0, 0.0]])}, "finite"),
        ({"radius_m": np.array([0.0, 50.0])}, "radius"),
        ({"service_s": np.zeros(3)}, "2 values"),
        ({"line": np.array([[-100.0, 0.0], [0.0, 0.0]])}, "half of the Earth"),
    ],
)
def test_plans_that_cannot_be_are_refused(change: dict[str, Floats], reason: str) -> None:
    plan = make_plan(np.array([[178.0, 0.0], [179.0, 0.0]]))

    with pytest.raises(ValueError, match=reason):
        report(dataclasses.replace(DAY, plan=dataclasses.replace(plan, **change)))


def test_a_plan_without_stops_is_refused() -> None:
    with pytest.raises(ValueError, match="stop"):
        report(dataclasses.replace(DAY, plan=make_plan(np.zeros((0, 2)))))


def test_a_hundred_thousand_fixes_take_seconds() -> None:
    time_s = np.arange(100_000.0)
    assert DAY.plan.line is not None
    xy = PLANE.to_xy(DAY.plan.line)
    legs_s = np.linspace(0.0, time_s[-1], len(xy))
    clear = np.column_stack([np.interp(time_s, legs_s, xy[:, axis]) for axis in (0, 1)])
    wobble = 5.0 * np.random.default_rng(0).normal(size=clear.shape)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(clear + wobble),
        accuracy_m=np.full(len(time_s), 7.5),
    )
    began_s = process_time()

    found = plan_versus_fact(
        track, DAY.plan, shared_s=START_S + np.array([[0.0, 1e5]]), until_s=START_S + 1e5
    )

    assert found.quality.used > 99_000
    assert process_time() - began_s < 8.0  # of one core; about 1 s of one that is not shared


def test_five_hundred_stops_and_the_whole_way_take_seconds() -> None:
    day = make_day(3, stops=500, step_s=15.0, dwell_s=(60.0, 120.0), outliers=0.0)
    began_s = process_time()

    found = report(day)

    assert process_time() - began_s < 8.0  # of one core; about 1 s of one that is not shared
    assert statuses(found).count("visited") > 480
    assert found.deviations == ()
    assert found.totals.actual_m == pytest.approx(day.driven_m, rel=0.01)


def test_a_hundred_thousand_fixes_take_bounded_memory() -> None:
    rng = np.random.default_rng(5)
    assert DAY.plan.line is not None
    xy = PLANE.to_xy(DAY.plan.line)
    # Five times along the same road: many places within reach of every fix.
    legs_s = np.linspace(0.0, 1e5, 5 * len(xy))
    driven = np.concatenate([xy if lap % 2 else xy[::-1] for lap in range(1, 6)])
    time_s = np.arange(1e5)
    clear = np.column_stack([np.interp(time_s, legs_s, driven[:, axis]) for axis in (0, 1)])
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(clear + 5.0 * rng.normal(size=clear.shape)),
        accuracy_m=np.full(len(time_s), 7.5),
    )
    plan = dataclasses.replace(DAY.plan, line=PLANE.to_lon_lat(driven))
    tracemalloc.start()

    found = plan_versus_fact(
        track, plan, shared_s=START_S + np.array([[0.0, 1e5]]), until_s=START_S + 1e5
    )

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 400e6
    assert found.totals.actual_m == pytest.approx(5.0 * DAY.driven_m, rel=0.02)
    assert found.deviations == ()


@pytest.mark.parametrize("north_km", [0.0, 25.0])
def test_at_seventy_degrees_north_a_long_plan_keeps_its_metres(north_km: float) -> None:
    """The plane touches the ellipsoid in the middle of the stops only; lengths do not."""
    day = make_day(45, home=np.array([25.0, 70.0]), outliers=0.0)
    far = np.array([25.0, 70.0 + 2.0 * north_km / 111.5])
    plan = make_plan(
        np.concatenate([day.plan.lon_lat, far[np.newaxis]]),
        line=None if day.plan.line is None else np.concatenate([day.plan.line, far[np.newaxis]]),
    )

    found = plan_versus_fact(day.track, plan, shared_s=day.shared_s, until_s=day.until_s)

    assert found.totals.actual_m == pytest.approx(day.driven_m, rel=0.005)
    assert found.deviations == ()
    assert [stop.status for stop in found.stops[:8]] == ["visited"] * 8


def test_off_the_road_it_is_as_late_as_the_next_stop_is_overdue() -> None:
    left_s = float(DAY.departed_s[3] + 10.0)
    driven = DAY.track.time_s <= left_s
    aside_s = np.arange(left_s + 60.0, left_s + 3_600.0, 5.0)
    aside = np.tile(DAY.track.lon_lat[driven][-1] + np.array([0.012, 0.012]), (len(aside_s), 1))
    track = Track(
        time_s=np.append(DAY.track.time_s[driven], aside_s),
        lon_lat=np.concatenate([DAY.track.lon_lat[driven], aside]),
        accuracy_m=np.full(int(driven.sum()) + len(aside_s), 7.5),
    )
    until_s = float(aside_s[-1])

    running = plan_versus_fact(
        track, DAY.plan, shared_s=np.array([[START_S, np.inf]]), until_s=until_s
    )

    found = running.progress
    assert running.stops[4].status == "pending"  # late, but not passed
    assert found.next_stop == 4
    assert found.deviation_s is not None
    assert found.deviation_s >= until_s - DAY.plan.planned_arrival_s[4] - 1.0
    assert found.eta[0].planned_sequence == 4
    assert found.eta[0].p50_s > until_s + 60.0  # it is more than a kilometre away


def test_what_is_still_to_come_has_its_times_and_a_finished_route_has_none() -> None:
    until_s = float(DAY.departed_s[3] + 40.0)

    running = plan_versus_fact(
        DAY.track, DAY.plan, shared_s=np.array([[START_S, np.inf]]), until_s=until_s
    )

    pending = [stop.planned_sequence for stop in running.stops if stop.status == "pending"]
    assert [eta.planned_sequence for eta in running.progress.eta] == pending
    for eta in running.progress.eta:
        assert until_s <= eta.p10_s <= eta.p50_s <= eta.p90_s
    assert REPORT.progress.eta == ()


def test_the_version_is_text() -> None:
    assert ALGORITHM_VERSION == "2.4"
    assert isinstance(DAY.plan, Plan)
