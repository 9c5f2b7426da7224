import numpy as np
import pytest

from geo.outliers import spikes, stuck
from geo.types import Floats
from geo.values import DEFAULT
from tests.geo.days import noise


def drive(step_s: float, *, fixes: int = 200, speed_mps: float = 12.0) -> tuple[Floats, Floats]:
    time_s = step_s * np.arange(fixes)
    return np.asarray(time_s), np.column_stack([speed_mps * time_s, np.zeros(fixes)])


def spiky(time_s: Floats, xy: Floats, sigma_m: float = 10.0) -> list[int]:
    found = spikes(time_s, xy, np.full(len(time_s), sigma_m), DEFAULT)
    return np.flatnonzero(found).tolist()


@pytest.mark.parametrize(("step_s", "away_m"), [(1.0, 100.0), (5.0, 100.0), (15.0, 300.0)])
@pytest.mark.parametrize("speed_mps", [0.0, 5.0])
@pytest.mark.parametrize("run", [1, 3])
def test_a_jump_out_and_back_is_found_while_driving_and_while_parked(
    step_s: float, away_m: float, speed_mps: float, run: int
) -> None:
    time_s, xy = drive(step_s, speed_mps=speed_mps)
    xy += noise(np.random.default_rng(1), time_s, 3.0)
    xy[100 : 100 + run, 1] += away_m

    assert spiky(time_s, xy) == list(range(100, 100 + run))


@pytest.mark.parametrize("silence_s", [0.0, 300.0])
@pytest.mark.parametrize("away_m", [700.0, 3_000.0])
def test_who_stands_before_and_after_was_not_far_away_between(
    silence_s: float, away_m: float
) -> None:
    time_s, xy = drive(30.0, speed_mps=0.0)
    xy += noise(np.random.default_rng(2), time_s, 10.0)
    xy[100, 0] += away_m
    time_s[101:] += silence_s

    assert spiky(time_s, xy) == [100]


@pytest.mark.parametrize("at", [0, -1])
def test_the_first_and_the_last_fix_may_be_wild_too(at: int) -> None:
    time_s, xy = drive(5.0)
    xy[at, 1] += 250.0

    assert spiky(time_s, xy) == [at % len(xy)]


@pytest.mark.parametrize("step_s", [15.0, 60.0])
def test_a_dead_end_driven_into_and_out_of_is_believed(step_s: float) -> None:
    time_s, xy = drive(step_s)
    xy[101:, 0] -= xy[101, 0] - xy[99, 0]
    xy[100] = [xy[99, 0], 9.0 * step_s]

    assert spiky(time_s, xy) == []


def test_a_position_repeated_while_driving_is_stuck_but_not_while_parked() -> None:
    time_s, xy = drive(5.0)
    driving, parked = xy.copy(), xy.copy()
    driving[50:62] = driving[50]
    parked[50:62] = parked[50]
    parked[62:, 0] -= parked[62, 0] - parked[61, 0] - 60.0

    assert np.flatnonzero(stuck(time_s, driving, DEFAULT)).tolist() == list(range(51, 62))
    assert not stuck(time_s, parked, DEFAULT).any()


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_tiny_tracks_have_no_outliers(n: int) -> None:
    time_s, xy = drive(5.0, fixes=n)

    assert not stuck(time_s, xy, DEFAULT).any()
    assert spiky(time_s, xy) == []
