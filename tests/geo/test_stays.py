from time import process_time

import numpy as np
import pytest

from geo.stays import Stays, find_stays
from geo.types import Floats, Indices
from tests.geo.days import noise


def stays_of(
    time_s: Floats,
    xy: Floats,
    *,
    span: Indices | None = None,
    noise_m: float = 2.0,
    radius_m: float = 20.0,
) -> Stays:
    return find_stays(
        time_s,
        xy,
        np.zeros(len(time_s), dtype=np.intp) if span is None else span,
        radius_m=radius_m,
        noise_m=noise_m,
        merge_s=45.0,
    )


def halt(
    *, step_s: float, dwell_s: float, approach_m: float = 600.0, speed_mps: float = 10.0
) -> tuple[Floats, Floats]:
    """Drive east at 10 m/s, brake at 1.5 m/s2 to stand at x = 0 from second 0, start again."""
    brake_s = speed_mps / 1.5
    edge_s = approach_m / speed_mps
    time_s = np.arange(-edge_s - 0.3 * step_s, dwell_s + edge_s, step_s)

    def before_m(left_s: Floats) -> Floats:
        cruising = speed_mps * (left_s - brake_s / 2.0)
        return np.where(left_s > brake_s, cruising, 0.75 * left_s**2)

    x = before_m(np.maximum(time_s - dwell_s, 0.0)) - before_m(np.maximum(-time_s, 0.0))
    return time_s, np.column_stack([x, np.zeros(len(x))])


@pytest.mark.parametrize(("step_s", "bound_s"), [(1.0, 2.0), (5.0, 2.5), (15.0, 5.0), (30.0, 5.0)])
@pytest.mark.parametrize("dwell_s", [75.0, 600.0])
def test_halt_and_start_are_found_between_the_fixes(
    step_s: float, bound_s: float, dwell_s: float
) -> None:
    time_s, xy = halt(step_s=step_s, dwell_s=dwell_s)

    found = stays_of(time_s, xy, radius_m=20.0 if step_s <= 20.0 else 60.0)

    assert len(found.from_s) == 1
    assert found.from_s[0] == pytest.approx(0.0, abs=bound_s)
    assert found.to_s[0] == pytest.approx(dwell_s, abs=bound_s)
    assert np.hypot(*found.centre_xy[0]) < 1.0
    assert abs(found.from_s[0]) <= found.error_s[0]


def test_driving_is_no_stay_and_neither_is_a_short_halt() -> None:
    time_s, xy = halt(step_s=5.0, dwell_s=25.0)

    assert len(stays_of(time_s, xy).from_s) == 0


def test_walking_pace_is_no_stay() -> None:
    time_s = np.arange(0.0, 600.0, 5.0)
    xy = np.column_stack([1.5 * time_s, np.zeros(len(time_s))])

    assert len(stays_of(time_s, xy).from_s) == 0


def test_silence_between_two_fixes_at_one_place_is_standing() -> None:
    time_s, xy = halt(step_s=5.0, dwell_s=3_600.0)
    awake = (time_s < 10.0) | (time_s > 3_590.0)

    found = stays_of(time_s[awake], xy[awake])

    assert len(found.from_s) == 1
    assert found.to_s[0] - found.from_s[0] == pytest.approx(3_600.0, abs=6.0)


def test_nothing_is_concluded_across_an_interruption() -> None:
    time_s, xy = halt(step_s=5.0, dwell_s=600.0)
    span = (time_s > 300.0).astype(np.intp)

    found = stays_of(time_s, xy, span=span)

    assert len(found.from_s) == 2
    assert found.to_s[0] <= 300.0 < found.from_s[1]


def test_two_short_halts_are_not_one_stay_across_an_interruption() -> None:
    time_s = np.arange(0.0, 90.0, 1.0)
    span = (time_s >= 45.0).astype(np.intp)

    assert len(stays_of(time_s, np.zeros((90, 2))).from_s) == 1
    assert len(stays_of(time_s, np.zeros((90, 2)), span=span).from_s) == 0


def test_neighbours_served_one_after_the_other_are_two_stays() -> None:
    rng = np.random.default_rng(3)
    time_s = np.arange(0.0, 400.0, 5.0)
    xy = np.zeros((len(time_s), 2)) + rng.normal(size=(len(time_s), 2))
    xy[time_s >= 200.0, 0] += 30.0

    found = stays_of(time_s, xy)

    assert len(found.from_s) == 2
    assert found.centre_xy[:, 0] == pytest.approx([0.0, 30.0], abs=1.0)
    assert found.first[1] == np.searchsorted(time_s, 200.0)


def test_drifting_noise_is_one_stay() -> None:
    time_s = np.arange(0.0, 1_800.0, 5.0)
    xy = noise(np.random.default_rng(5), time_s, 5.0)

    found = stays_of(time_s, xy, noise_m=5.0)

    assert len(found.from_s) == 1


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_tracks_have_no_stays(n: int) -> None:
    assert len(stays_of(np.arange(float(n)), np.zeros((n, 2))).from_s) == 0


@pytest.mark.parametrize("away_m", [60.0, 400.0])
def test_a_day_of_short_ways_from_one_place_takes_seconds(away_m: float) -> None:
    """Parked for a minute, away for a quarter of one, again and again."""
    time_s = np.arange(0.0, 500_000.0, 5.0)
    out = np.arange(len(time_s)) % 15 >= 12
    xy = np.random.default_rng(6).normal(0.0, 1.0, (len(time_s), 2))
    xy[out, 0] += away_m
    began_s = process_time()

    found = stays_of(time_s, xy)

    assert process_time() - began_s < 20.0  # of one core
    assert len(found.from_s) >= 1
