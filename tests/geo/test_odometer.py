import numpy as np
import pytest

from geo.odometer import steps_m
from geo.plan_fact import plan_versus_fact
from geo.smooth import Drive
from geo.types import Floats
from geo.values import Track
from tests.geo.days import START_S, make_day, make_plan, noise, plane_at

PLANE = plane_at()


def quarter_circle(step_s: float) -> tuple[Floats, Drive]:
    """A right turn of 100 m radius at 10 m/s."""
    time_s = np.arange(0.0, 100.0 * np.pi / 20.0 + 1e-9, step_s)
    angle = time_s * 10.0 / 100.0
    xy = 100.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    velocity = 10.0 * np.column_stack([-np.sin(angle), np.cos(angle)])
    return time_s, Drive(xy=xy, velocity_mps=velocity)


@pytest.mark.parametrize("step_s", [1.0, 5.0, 15.0])
def test_a_turn_counts_its_arc(step_s: float) -> None:
    time_s, drive = quarter_circle(step_s)

    driven_m = steps_m(time_s, drive, np.zeros(len(time_s) - 1, dtype=bool), PLANE).sum()

    assert driven_m == pytest.approx(10.0 * time_s[-1], rel=0.02)


def test_an_arc_is_never_much_longer_than_its_chord() -> None:
    drive = Drive(
        xy=np.array([[0.0, 0.0], [100.0, 0.0]]),
        velocity_mps=np.array([[0.0, 30.0], [0.0, 30.0]]),
    )

    driven_m = steps_m(np.array([0.0, 15.0]), drive, np.zeros(1, dtype=bool), PLANE)

    assert driven_m[0] == pytest.approx(125.0, rel=1e-4)


@pytest.mark.parametrize("first_m", [50.0, 100.0, 150.0, 250.0])
def test_between_fixes_far_apart_a_corner_counts_both_its_sides(first_m: float) -> None:
    """600 m east, 600 m north, a fix each 300 m: the corner lies within a step."""
    driven_m = np.arange(first_m, 1_200.0, 300.0)
    xy = np.column_stack([np.minimum(driven_m, 600.0), np.maximum(driven_m - 600.0, 0.0)])
    time_s = driven_m / 10.0
    drive = Drive(xy=xy, velocity_mps=np.zeros_like(xy))

    found_m = steps_m(time_s, drive, np.zeros(len(time_s) - 1, dtype=bool), PLANE)

    assert np.hypot(*np.diff(xy, axis=0).T).sum() < 0.97 * np.ptp(driven_m)
    assert found_m.sum() == pytest.approx(np.ptp(driven_m), rel=0.02)


def test_a_straight_road_is_not_stretched_by_noise() -> None:
    x = np.arange(0.0, 30_000.0, 300.0)
    xy = np.column_stack([x, np.zeros(len(x))]) + np.random.default_rng(4).normal(
        0.0, 7.0, (len(x), 2)
    )
    drive = Drive(xy=xy, velocity_mps=np.zeros_like(xy))

    found_m = steps_m(x / 10.0, drive, np.zeros(len(x) - 1, dtype=bool), PLANE).sum()

    assert found_m == pytest.approx(np.ptp(x), rel=0.005)


def test_a_silence_counts_the_least() -> None:
    xy = np.array([[0.0, 0.0], [300.0, 0.0], [600.0, 300.0], [600.0, 600.0]])
    drive = Drive(xy=xy, velocity_mps=np.zeros_like(xy))
    time_s = np.array([0.0, 30.0, 430.0, 460.0])

    found_m = steps_m(time_s, drive, np.zeros(3, dtype=bool), PLANE)

    assert found_m[1] == pytest.approx(300.0 * np.sqrt(2.0), rel=1e-3)


def test_standing_counts_nothing() -> None:
    time_s, drive = quarter_circle(5.0)
    still = np.zeros(len(time_s) - 1, dtype=bool)
    still[1] = True

    assert steps_m(time_s, drive, still, PLANE)[1] == 0.0


@pytest.mark.parametrize("sigma_m", [5.0, 10.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day_without_a_line_is_within_three_percent(seed: int, sigma_m: float) -> None:
    day = make_day(seed, sigma_m=sigma_m, with_line=False)

    report = plan_versus_fact(day.track, day.plan, shared_s=day.shared_s, until_s=day.until_s)

    assert report.totals.actual_m == pytest.approx(day.driven_m, rel=0.03)


@pytest.mark.parametrize("step_s", [1.0, 5.0, 30.0, 60.0])
@pytest.mark.parametrize(("sigma_m", "bound_m"), [(5.0, 20.0), (10.0, 20.0), (30.0, 100.0)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_parked_hour_is_hardly_a_distance(
    step_s: float, sigma_m: float, bound_m: float, seed: int
) -> None:
    time_s = np.arange(0.0, 3_600.0, step_s)
    xy = noise(np.random.default_rng(seed), time_s, sigma_m)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(xy),
        accuracy_m=np.full(len(time_s), 1.5 * sigma_m),
    )
    plan = make_plan(PLANE.to_lon_lat(np.zeros((1, 2))))

    report = plan_versus_fact(
        track, plan, shared_s=START_S + np.array([[0.0, 3_600.0]]), until_s=START_S + 3_600.0
    )

    assert report.totals.actual_m < bound_m
    assert report.stops[0].status == "visited"
