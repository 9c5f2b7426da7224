from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.plane import Plane, norms, segment_lengths_m
from geo.spacing import LOOK_AHEAD, claimed_sigmas_m, spaced
from geo.types import Floats
from geo.values import Track

DEGREE_M = 111_195.0


def track(north_m: Floats, accuracy_m: float = 15.0) -> Track:
    lat = 43.0 + north_m / DEGREE_M
    return Track(
        time_s=np.arange(len(north_m), dtype=np.float64),
        lon_lat=np.column_stack([np.full(len(lat), 76.9), lat]),
        accuracy_m=np.full(len(lat), accuracy_m),
    )


@pytest.mark.parametrize(("accuracy_m", "apart_m"), [(1.0, 40.0), (15.0, 50.0), (500.0, 300.0)])
def test_fixes_nearer_than_their_noise_are_dropped(accuracy_m: float, apart_m: float) -> None:
    thin = spaced(track(np.arange(0.0, 5_000.0, 7.0), accuracy_m))

    steps_m = segment_lengths_m(thin.lon_lat)
    assert steps_m.min() >= apart_m * 0.99
    assert steps_m.max() < apart_m + 8.0


def test_standing_is_one_fix_however_long() -> None:
    standing = track(np.random.default_rng(1).normal(0.0, 4.0, 5 * LOOK_AHEAD))

    assert len(spaced(standing).time_s) == 1


def test_noise_no_longer_lengthens_a_straight_road() -> None:
    noise = np.random.default_rng(2).normal(0.0, 10.0, (3_000, 2))
    straight = track(np.arange(0.0, 6_000.0, 2.0))
    noisy = Track(
        time_s=straight.time_s,
        lon_lat=straight.lon_lat + noise / DEGREE_M,
        accuracy_m=straight.accuracy_m,
    )

    thin = spaced(noisy)

    assert segment_lengths_m(noisy.lon_lat).sum() > 30_000.0  # the control
    assert segment_lengths_m(thin.lon_lat).sum() == pytest.approx(6_000.0, rel=0.1)


def test_an_unknown_accuracy_counts_as_the_usual_one() -> None:
    unknown = track(np.zeros(3), np.nan)

    assert claimed_sigmas_m(unknown).tolist() == [10.0, 10.0, 10.0]


@given(st.lists(st.integers(-2_000, 2_000), max_size=40), st.randoms())
def test_each_kept_fix_is_far_from_the_one_before_in_any_order(
    places: list[int], order: Random
) -> None:
    whole = track(np.array(places, dtype=np.float64))
    mixed = np.array(order.sample(range(len(places)), len(places)), dtype=np.intp)
    shuffled = Track(
        time_s=whole.time_s[mixed],
        lon_lat=whole.lon_lat[mixed],
        accuracy_m=whole.accuracy_m[mixed],
    )

    thin = spaced(shuffled)

    assert thin.time_s.tolist() == spaced(whole).time_s.tolist()
    if places:
        xy = Plane.around(whole.lon_lat).to_xy(thin.lon_lat)
        assert (norms(np.diff(xy, axis=0)) >= 50.0).all()
