import dataclasses

import numpy as np
import pytest

from geo.account import Account, between, keep_account, sums
from geo.clean import clean
from geo.drive import Driven, prepare
from geo.plane import Plane
from geo.progress import Line
from geo.values import DEFAULT
from tests.geo.days import Day, make_day


def accounted(day: Day, *, with_line: bool = True) -> tuple[Driven, Account]:
    plane = Plane.around(day.plan.lon_lat)
    cleaned = clean(day.track, plane, shared_s=day.shared_s, until_s=day.until_s)
    driven = prepare(cleaned, DEFAULT)
    line = None
    if with_line and day.plan.line is not None:
        line = Line.of(plane.to_xy(day.plan.line), plane)
    return driven, keep_account(driven, line, plane, DEFAULT)


@pytest.mark.parametrize(("step_s", "bound"), [(5.0, 0.005), (15.0, 0.02), (30.0, 0.02)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_along_the_plan_distance_is_as_near_as_stated(
    seed: int, step_s: float, bound: float
) -> None:
    day = make_day(seed, step_s=step_s, sigma_m=10.0, outliers=0.0)

    _, account = accounted(day)

    # Up to the last fix, a step before the end.
    driven_m = float(day.true_along_m[-1])
    assert account.plan_m.sum() > 0.95 * driven_m
    assert account.plan_m.sum() + account.gps_m.sum() == pytest.approx(driven_m, rel=bound)


def test_the_place_along_the_plan_is_known_for_every_fix() -> None:
    day = make_day(3, sigma_m=5.0, outliers=0.0)

    driven, account = accounted(day)

    true_m = np.interp(driven.time_s, day.track.time_s, day.true_along_m)
    assert np.isfinite(account.along_m).mean() > 0.99
    assert np.nanpercentile(np.abs(account.along_m - true_m), 95) < 25.0


def test_every_second_is_driving_or_standing() -> None:
    day = make_day(4)

    driven, account = accounted(day)

    assert (account.moving_s + account.idle_s).sum() == pytest.approx(np.ptp(driven.time_s))
    standing_s = float(np.nansum(day.departed_s - day.arrived_s))
    assert account.idle_s.sum() == pytest.approx(standing_s, rel=0.05)


def test_a_gap_counts_apart_and_never_in_the_measured_metres() -> None:
    day = make_day(5, outliers=0.0)
    true_m = day.true_along_m
    lost = (true_m > 0.40 * day.driven_m) & (true_m < 0.60 * day.driven_m)
    silent = dataclasses.replace(
        day.track,
        time_s=day.track.time_s[~lost],
        lon_lat=day.track.lon_lat[~lost],
        accuracy_m=day.track.accuracy_m[~lost],
    )

    _, account = accounted(dataclasses.replace(day, track=silent))

    assert account.gap_m.sum() == pytest.approx(0.2 * day.driven_m, rel=0.05)
    measured_m = account.plan_m.sum() + account.gps_m.sum()
    assert measured_m == pytest.approx(0.8 * day.driven_m, rel=0.03)


def test_between_is_linear_within_a_step() -> None:
    time_s = np.array([0.0, 10.0, 30.0])

    assert between(time_s, sums(np.array([100.0, 40.0])), 5.0, 20.0) == pytest.approx(70.0)
    assert between(time_s, sums(np.array([100.0, 40.0])), -50.0, 99.0) == pytest.approx(140.0)
