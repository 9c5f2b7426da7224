from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.clean import clean, interval_of
from geo.types import Floats
from geo.values import DEFAULT, Track
from tests.geo.days import START_S, noise, plane_at

PLANE = plane_at()
ALWAYS = np.array([[-np.inf, np.inf]])


def straight(fixes: int = 60, *, step_s: float = 5.0, speed_mps: float = 12.0) -> Floats:
    """Return rows (time_s, x, y) of a drive to the east."""
    time_s = step_s * np.arange(fixes)
    return np.column_stack([time_s, speed_mps * time_s, np.zeros(fixes)])


def track(rows: Floats, accuracy_m: float | Floats = np.nan) -> Track:
    return Track(
        time_s=START_S + rows[:, 0],
        lon_lat=PLANE.to_lon_lat(rows[:, 1:]),
        accuracy_m=np.broadcast_to(np.asarray(accuracy_m, dtype=np.float64), (len(rows),)).copy(),
    )


def cleaned(rows: Floats, accuracy_m: float | Floats = np.nan) -> tuple[Floats, dict[str, int]]:
    """Return which times were kept, and what was dropped."""
    result = clean(track(rows, accuracy_m), PLANE, shared_s=ALWAYS, until_s=np.inf)
    return result.time_s - START_S, dict(result.dropped)


def test_a_good_drive_is_kept_whole() -> None:
    kept, dropped = cleaned(straight())

    assert len(kept) == 60
    assert dropped == {}


@pytest.mark.parametrize(
    ("lon_lat", "reason"),
    [
        ([0.0, 0.0], "null_island"),
        ([np.nan, 43.0], "not_finite"),
        ([76.9, np.inf], "not_finite"),
        ([181.0, 43.0], "out_of_range"),
        ([76.9, 90.5], "out_of_range"),
    ],
)
def test_impossible_coordinates_are_dropped_with_their_reason(
    lon_lat: list[float], reason: str
) -> None:
    rows = track(straight())
    rows.lon_lat[30] = lon_lat

    result = clean(rows, PLANE, shared_s=ALWAYS, until_s=np.inf)

    assert result.dropped == {reason: 1}
    assert len(result.time_s) == 59


def test_a_coarse_fix_is_dropped_but_an_unknown_accuracy_is_not() -> None:
    accuracy_m = np.full(60, np.nan)
    accuracy_m[[10, 20]] = [201.0, 200.0]

    kept, dropped = cleaned(straight(), accuracy_m)

    assert dropped == {"inaccurate": 1}
    assert 10 * 5.0 not in kept
    assert 20 * 5.0 in kept


@pytest.mark.parametrize("run", [1, 3, 10])
def test_a_jump_is_dropped_even_if_it_comes_first(run: int) -> None:
    rows = straight()
    rows[:run, 2] += 20_000.0

    kept, dropped = cleaned(rows)

    assert dropped == {"impossible_speed": run}
    assert kept[0] == run * 5.0


def test_a_fix_off_the_line_is_dropped_whatever_accuracy_it_claims() -> None:
    rows = straight()
    rows[30, 2] += 200.0
    accuracy_m = np.full(60, 8.0)
    accuracy_m[30] = 1.9

    kept, dropped = cleaned(rows, accuracy_m)

    assert dropped == {"spike": 1}
    assert 150.0 not in kept


@pytest.mark.parametrize(("step_s", "stuck"), [(1.0, 30), (5.0, 8), (15.0, 4)])
def test_of_coordinates_stuck_while_driving_only_the_first_is_believed(
    step_s: float, stuck: int
) -> None:
    rows = straight(200, step_s=step_s, speed_mps=20.0)
    rows[50 : 50 + stuck, 1] = rows[50, 1]

    kept, dropped = cleaned(rows)

    assert dropped == {"stuck": stuck - 1}
    assert 50 * step_s in kept


@pytest.mark.parametrize("wild", [0, 1])
def test_a_parked_phone_may_repeat_its_position(wild: int) -> None:
    """It leaves at a pace one drives; that a wild fix follows proves nothing."""
    rows = straight(120, step_s=5.0)
    rows[20:80, 1] = rows[20, 1]
    rows[80:, 1] -= rows[80, 1] - rows[20, 1] - 20.0
    rows[80 : 80 + wild, 2] += 400.0

    kept, dropped = cleaned(rows)

    assert "stuck" not in dropped
    assert len(kept) == 120 - wild


def test_a_clock_that_jumped_for_some_minutes_does_not_cost_the_others() -> None:
    rows = straight(400, step_s=5.0)
    wrong = np.arange(100, 130)
    rows[wrong, 0] += 302.0

    kept, dropped = cleaned(rows)

    right = np.setdiff1d(np.arange(400), wrong) * 5.0
    assert set(kept) == set(right)
    assert dropped == {"impossible_speed": 30}


def test_overconfident_fixes_are_dropped_though_they_claim_two_metres() -> None:
    rng = np.random.default_rng(4)
    rows = straight(600, step_s=5.0)
    rows[:, 1:] += rng.normal(size=(600, 2)) * 5.0
    accuracy_m = np.full(600, 15.0)
    wild = np.arange(10, 600, 37)
    rows[wild, 2] += 250.0
    accuracy_m[wild] = 1.9

    kept, dropped = cleaned(rows, accuracy_m)

    assert not set(wild * 5.0) & set(kept)
    assert sum(dropped.values()) == len(wild)
    assert dropped["spike"] == len(wild)


def test_a_spur_driven_into_and_out_of_is_no_spike() -> None:
    rows = straight(60, step_s=15.0, speed_mps=12.0)
    rows[30:, 1] -= 12.0 * 60.0
    rows[28:32, 1] = rows[27, 1]
    rows[28:32, 2] = [145.0, 290.0, 145.0, 0.0]

    _, dropped = cleaned(rows)

    assert dropped == {}


def test_of_one_time_the_better_accuracy_is_kept() -> None:
    rows = np.repeat(straight(), 2, axis=0)
    rows[1::2, 2] = 15.0

    result = clean(track(rows, np.tile([20.0, 5.0], 60)), PLANE, shared_s=ALWAYS, until_s=np.inf)

    assert result.dropped == {"same_time": 60}
    assert result.xy[:, 1] == pytest.approx(np.full(60, 15.0), abs=1e-6)


def test_fixes_outside_the_shared_time_or_from_the_future_are_not_looked_at() -> None:
    shared_s = START_S + np.array([[0.0, 100.0], [200.0, 400.0]])

    result = clean(track(straight()), PLANE, shared_s=shared_s, until_s=START_S + 250.0)

    times = set(result.time_s - START_S)
    assert times == {*range(0, 101, 5), *range(200, 251, 5)}
    assert set(result.interval) == {0, 1}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), repeats=st.integers(1, 3))
def test_neither_order_nor_repeats_matter(seed: int, repeats: int) -> None:
    rng = np.random.default_rng(seed)
    rows = straight()
    rows[:, 1:] += rng.normal(size=(60, 2)) * 10.0
    rows[rng.integers(60), 2] += 5_000.0
    order = rng.permutation(np.tile(np.arange(60), repeats))

    one = clean(track(rows, 12.0), PLANE, shared_s=ALWAYS, until_s=np.inf)
    other = clean(track(rows[order], 12.0), PLANE, shared_s=ALWAYS, until_s=np.inf)

    assert np.array_equal(one.time_s, other.time_s)
    assert np.array_equal(one.xy, other.xy)
    assert (one.fixes, one.dropped) == (other.fixes, other.dropped)


@pytest.mark.parametrize("sigma_m", [5.0, 10.0, 30.0])
def test_noise_is_measured_where_no_accuracy_is_claimed(sigma_m: float) -> None:
    rng = np.random.default_rng(1)
    rows = straight(600, step_s=1.0)
    rows[:, 1:] += noise(rng, rows[:, 0], sigma_m, memory_s=0.1)

    result = clean(track(rows), PLANE, shared_s=ALWAYS, until_s=np.inf)

    assert result.sigma_m[0] == pytest.approx(sigma_m, rel=0.25)


def test_a_claim_is_raised_by_noise_but_never_lowered() -> None:
    rng = np.random.default_rng(1)
    rows = straight(600, step_s=1.0)
    rows[:, 1:] += rng.normal(size=(600, 2)) * 12.0

    modest = clean(track(rows, 60.0), PLANE, shared_s=ALWAYS, until_s=np.inf).sigma_m[0]
    boastful = clean(track(rows, 9.0), PLANE, shared_s=ALWAYS, until_s=np.inf).sigma_m[0]

    assert modest == pytest.approx(60.0 / 1.5)
    assert boastful == pytest.approx(12.0, rel=0.1)


def test_unknown_accuracy_at_long_steps_is_taken_as_ten_metres() -> None:
    result = clean(track(straight(step_s=30.0)), PLANE, shared_s=ALWAYS, until_s=np.inf)

    assert result.sigma_m[0] == DEFAULT.sigma_default_m


def test_intervals_are_closed_and_may_be_none() -> None:
    intervals_s = np.array([[0.0, 10.0], [20.0, 30.0]])

    found = interval_of(np.array([-1.0, 0.0, 10.0, 15.0, 20.0, 31.0]), intervals_s)

    assert found.tolist() == [-1, 0, 0, -1, 1, -1]
    assert interval_of(np.array([1.0]), np.zeros((0, 2))).tolist() == [-1]


@pytest.mark.parametrize("broken", [0, 5_000, 50_000])
def test_a_hundred_thousand_fixes_are_cleaned_in_seconds(broken: int) -> None:
    """However many of them a vehicle cannot have driven to."""
    rng = np.random.default_rng(2)
    rows = straight(100_000, step_s=1.0, speed_mps=2.0)
    rows[:, 1:] += rng.normal(0.0, 5.0, (len(rows), 2))
    wild = rng.choice(len(rows), broken, replace=False)
    rows[wild, 1:] += rng.uniform(-20_000.0, 20_000.0, (broken, 2))
    fixes = track(rows)
    began_s = process_time()

    result = clean(fixes, PLANE, shared_s=ALWAYS, until_s=np.inf)

    # 10 us a fix; 50 where many are walked one by one. About a tenth of that is usual.
    assert process_time() - began_s < (1.0 if not broken else 5.0)
    assert len(result.time_s) > 0.9 * (len(rows) - broken)
