import tracemalloc
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.passes import Passes, find_passes
from geo.types import Floats, Indices


def passes_of(
    rows: list[tuple[float, float, float]],
    *,
    stops: Floats | None = None,
    span: Indices | None = None,
    radius_m: float = 30.0,
) -> Passes:
    """Return the passes of a track of (time, x, y); the default stop is at the origin."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    stops = np.zeros((1, 2)) if stops is None else stops
    return find_passes(
        table[:, 0],
        table[:, 1:],
        np.zeros(len(table), dtype=np.intp) if span is None else span,
        stops_xy=stops,
        radius_m=np.full(len(stops), radius_m),
    )


def test_a_pass_between_two_fixes_is_found_and_timed() -> None:
    found = passes_of([(0.0, -100.0, 0.0), (20.0, 100.0, 0.0)])

    assert found.entered_s == pytest.approx([7.0])
    assert found.exited_s == pytest.approx([13.0])
    assert found.travel_m == pytest.approx([60.0])
    assert found.nearest_m == pytest.approx([0.0], abs=1e-9)
    assert not found.begins_inside[0]
    assert not found.ends_inside[0]


@given(aside_m=st.integers(0, 60))
def test_the_chord_is_exact(aside_m: int) -> None:
    found = passes_of([(0.0, -100.0, float(aside_m)), (20.0, 100.0, float(aside_m))])

    if aside_m >= 30:
        assert len(found.stop) == 0
    else:
        chord_m = 2.0 * np.sqrt(30.0**2 - aside_m**2)
        assert found.exited_s - found.entered_s == pytest.approx([chord_m / 10.0])
        assert found.nearest_m == pytest.approx([float(aside_m)], abs=1e-6)


def test_noise_at_the_rim_is_one_pass_but_coming_back_later_is_two() -> None:
    rim = passes_of(
        [
            (0.0, -99.0, 0.0),
            (10.0, -25.0, 0.0),
            (20.0, -45.0, 0.0),
            (30.0, 0.0, 0.0),
            (40.0, 99.0, 0.0),
        ]
    )
    twice = passes_of(
        [
            (0.0, -99.0, 0.0),
            (10.0, 0.0, 0.0),
            (20.0, 99.0, 0.0),
            (200.0, 99.0, 0.0),
            (210.0, 0.0, 0.0),
            (220.0, -99.0, 0.0),
        ]
    )

    assert len(rim.stop) == 1
    assert len(twice.stop) == 2


def test_a_track_that_begins_or_ends_inside_says_so() -> None:
    leaving = passes_of([(0.0, 0.0, 0.0), (10.0, 5.0, 0.0), (20.0, 99.0, 0.0)])
    coming = passes_of([(0.0, 99.0, 0.0), (10.0, 5.0, 0.0), (20.0, 0.0, 0.0)])

    assert (leaving.begins_inside[0], leaving.ends_inside[0]) == (True, False)
    assert (coming.begins_inside[0], coming.ends_inside[0]) == (False, True)
    assert leaving.entered_s[0] == 0.0
    assert coming.exited_s[0] == 20.0


def test_the_way_across_an_interruption_passes_nothing() -> None:
    rows = [(0.0, -100.0, 0.0), (5.0, -90.0, 0.0), (20.0, 90.0, 0.0), (25.0, 100.0, 0.0)]

    assert len(passes_of(rows).stop) == 1
    assert len(passes_of(rows, span=np.array([0, 0, 1, 1])).stop) == 0


def test_every_stop_has_its_own_passes() -> None:
    stops = np.array([[50.0, 0.0], [-50.0, 0.0], [0.0, 500.0], [50.0, 0.0]])

    found = passes_of([(0.0, -100.0, 0.0), (20.0, 100.0, 0.0)], stops=stops)

    assert found.stop.tolist() == [0, 1, 3]
    assert found.entered_s == pytest.approx([12.0, 2.0, 12.0])


@pytest.mark.parametrize("n", [0, 1])
def test_tiny_tracks_pass_nothing(n: int) -> None:
    assert len(passes_of([(0.0, 0.0, 0.0)] * n).stop) == 0


def alike(one: Passes, other: Passes) -> bool:
    return all(
        bool(np.array_equal(getattr(one, name), getattr(other, name)))
        for name in Passes.__dataclass_fields__
    )


def test_stops_of_one_place_and_radius_have_one_search() -> None:
    """Five hundred orders of one building cost what one does."""
    rng = np.random.default_rng(1)
    time_s = np.arange(20_000.0)
    xy = rng.normal(0.0, 40.0, (len(time_s), 2))  # at the rim all day
    span = np.zeros(len(time_s), dtype=np.intp)
    began_s = process_time()

    found = find_passes(time_s, xy, span, stops_xy=np.zeros((500, 2)), radius_m=np.full(500, 40.0))

    assert process_time() - began_s < 1.0  # of one core; 7 s if each had its own
    one = find_passes(time_s, xy, span, stops_xy=np.zeros((1, 2)), radius_m=np.full(1, 40.0))
    assert np.bincount(found.stop).tolist() == [len(one.stop)] * 500
    assert alike(found[found.stop == 0], one)


def brute(time_s: Floats, xy: Floats, stop_xy: Floats, radius_m: float) -> tuple[Floats, Floats]:
    """Return when a circle was entered and left, and how near, of a track seen every 0.01 steps."""
    fine_s = np.linspace(time_s[0], time_s[-1], 100 * (len(time_s) - 1) + 1)
    away_m = np.hypot(*(np.interp(fine_s, time_s, side) for side in (xy - stop_xy).T))
    return fine_s[away_m <= radius_m], away_m


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pace_m=st.sampled_from([0.5, 3.0, 20.0]))
def test_boxes_inside_of_a_circle_change_nothing(seed: int, pace_m: float) -> None:
    """Long ways inside of a circle are looked at as a whole."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(400.0)
    xy = np.cumsum(rng.normal(0.0, pace_m, (len(time_s), 2)), axis=0)
    stop_xy, radius_m = xy[200] + 5.0, 60.0

    found = find_passes(
        time_s,
        xy,
        np.zeros(len(time_s), dtype=np.intp),
        stops_xy=stop_xy[np.newaxis],
        radius_m=np.full(1, radius_m),
    )

    inside_s, away_m = brute(time_s, xy, stop_xy, radius_m)
    assert found.entered_s[0] == pytest.approx(inside_s[0], abs=0.02)
    assert found.exited_s[-1] == pytest.approx(inside_s[-1], abs=0.02)
    assert found.nearest_m.min() == pytest.approx(away_m.min(), abs=0.1 * pace_m)
    for at_s in inside_s[::500]:
        assert ((found.entered_s <= at_s + 0.02) & (at_s - 0.02 <= found.exited_s)).any()


def test_an_interruption_inside_of_a_circle_parts_the_pass() -> None:
    time_s = np.arange(200.0)
    xy = np.random.default_rng(2).normal(0.0, 2.0, (200, 2))

    found = find_passes(
        time_s,
        xy,
        (time_s >= 70.0).astype(np.intp),
        stops_xy=np.zeros((1, 2)),
        radius_m=np.full(1, 50.0),
    )

    assert found.entered_s.tolist() == [0.0, 70.0]
    assert found.exited_s.tolist() == [69.0, 199.0]
    assert found.begins_inside.all()
    assert found.ends_inside.all()


@pytest.mark.parametrize("spread_m", [0.0, 60.0])
def test_standing_among_five_hundred_stops_all_day_takes_seconds_and_little_memory(
    spread_m: float,
) -> None:
    rng = np.random.default_rng(3)
    time_s = np.arange(30_000.0)
    xy = rng.normal(0.0, 3.0, (len(time_s), 2))
    tracemalloc.start()
    began_s = process_time()

    found = find_passes(
        time_s,
        xy,
        np.zeros(len(time_s), dtype=np.intp),
        stops_xy=rng.uniform(-spread_m, spread_m, (500, 2)),
        radius_m=np.full(500, 100.0),
    )

    took_s = process_time() - began_s
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.stop) == 500
    assert took_s < 20.0  # of one core
    assert most < 200e6
