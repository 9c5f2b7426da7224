import tracemalloc
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.planned_line import places
from geo.progress import Line, follow, place_stops
from geo.types import Floats
from tests.geo.days import along, at, drive, noise, plane_at, road

PLANE = plane_at()


def line_of(xy: Floats) -> Line:
    line = Line.of(xy, PLANE)
    assert line is not None
    return line


def along_of(line: Line, xy: Floats) -> Floats:
    return follow(line, xy, sigma_m=8.0, reach_m=150.0).along_m


def there_and_back(seed: int) -> Floats:
    out = road(np.random.default_rng(seed), 12, block=(150.0, 500.0))
    return np.concatenate([out, out[-2::-1]])


@pytest.mark.parametrize(
    ("step_s", "wrong_share", "naive_share"),
    [(5.0, 0.003, 0.3), (30.0, 0.03, 0.3), (60.0, 0.04, 0.3)],
)
def test_on_an_out_and_back_road_the_pass_is_right(
    step_s: float, wrong_share: float, naive_share: float
) -> None:
    wrong, naive = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        xy = there_and_back(seed)
        halts_m = along(xy)[-1] * np.array([0.2, 0.45, 0.7])
        knots_s, knots_m, _ = drive(rng, along(xy)[-1], halts_m, np.full(3, 120.0))
        time_s = np.arange(0.0, knots_s[-1], step_s)
        true_m = np.interp(time_s, knots_s, knots_m)
        seen = at(xy, true_m) + noise(rng, time_s, 10.0)
        line = line_of(xy)

        chord_m = np.hypot(*np.diff(seen, axis=0).T)
        hidden_m = np.maximum(18.0 * step_s - chord_m, 0.0) * (step_s > 15.0)
        found_m = follow(line, seen, sigma_m=10.0, reach_m=150.0, hidden_m=hidden_m).along_m

        nearest_m = places(line, seen, reach_m=500.0).along_m[:, 0]
        wrong += list(~(np.abs(found_m - true_m) < 150.0))
        naive += list(~(np.abs(nearest_m - true_m) < 150.0))

    assert np.mean(wrong) <= wrong_share
    assert np.mean(naive) > naive_share  # or the test would not show anything


def test_a_detour_is_off_and_the_plan_is_rejoined_where_it_was_left() -> None:
    line = line_of(np.array([[0.0, 0.0], [5_000.0, 0.0]]))
    x = np.arange(0.0, 5_000.0, 50.0)
    y = np.where((x > 2_000.0) & (x < 3_000.0), 400.0, 0.0)

    found_m = along_of(line, np.column_stack([x, y]))

    assert np.isnan(found_m[y > 0.0]).all()
    assert found_m[y == 0.0] == pytest.approx(x[y == 0.0], rel=1e-3, abs=0.1)


def test_after_an_excursion_a_round_is_not_taken_for_another() -> None:
    corners = np.array([[0.0, 0.0], [1_000.0, 0.0], [1_000.0, 800.0], [0.0, 800.0]])
    rounds = np.concatenate([corners] * 4)
    driven_m = np.arange(0.0, along(rounds)[-1], 50.0)
    xy = at(rounds, driven_m)
    aside = (driven_m > 5_100.0) & (driven_m < 5_400.0)  # in the second round, 120 m off
    xy[aside, 1] += 120.0 * np.array([-1.0, 1.0])[(xy[aside, 1] > 400.0).astype(int)]
    noisy = xy + np.random.default_rng(2).normal(0.0, 5.0, xy.shape)

    found_m = along_of(line_of(rounds), noisy)

    assert found_m[~aside] == pytest.approx(driven_m[~aside], abs=60.0)


def test_far_from_the_plan_nothing_is_on_it() -> None:
    line = line_of(np.array([[0.0, 0.0], [1_000.0, 0.0]]))

    found_m = along_of(line, np.full((5, 2), 5_000.0))

    assert np.isnan(found_m).all()
    assert along_of(line, np.zeros((0, 2))).shape == (0,)


def test_places_are_the_bottoms_of_the_valleys() -> None:
    line = line_of(np.array([[0.0, 0.0], [500.0, 0.0], [500.0, 60.0], [0.0, 60.0]]))

    found = places(line, np.array([[100.0, 20.0]]), reach_m=100.0)

    assert found.along_m[0, :2] == pytest.approx([100.0, 960.0], rel=1e-3)
    assert found.distance_m[0, :2] == pytest.approx([20.0, 40.0])
    assert np.isinf(found.distance_m[0, 2:]).all()


def test_stops_are_placed_in_order_on_a_road_driven_twice() -> None:
    line = line_of(np.array([[0.0, 0.0], [1_000.0, 0.0], [0.0, 0.1]]))

    stops = np.array([[0.0, 5.0], [600.0, 5.0], [999.0, 5.0], [600.0, -5.0], [0.0, 0.0]])

    places_m = place_stops(line, stops)

    assert places_m == pytest.approx([0.0, 600.0, 1_000.0, 1_400.0, 2_000.0], abs=3.0)


def test_stops_planned_against_the_line_are_pushed_forward() -> None:
    line = line_of(np.array([[0.0, 0.0], [1_000.0, 0.0]]))

    places_m = place_stops(line, np.array([[800.0, 0.0], [200.0, 0.0]]))

    assert (np.diff(places_m) >= 0.0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), apart_m=st.sampled_from([1.0, 5.0, 25.0]))
def test_the_vertices_that_are_left_keep_the_line_where_it_was(seed: int, apart_m: float) -> None:
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0.0, 0.02 * np.sqrt(apart_m), 800))
    steps = apart_m * np.column_stack([np.cos(heading), np.sin(heading)])
    xy = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    xy = np.concatenate([xy, xy[-2::-1]])  # and back

    line = line_of(xy)

    assert apart_m > 5.0 or len(line.xy) < 0.75 * len(xy)
    assert line.distance_m(xy).max() <= 1.6
    assert line.length_m == pytest.approx(PLANE.true_lengths_m(xy).sum())
    assert np.interp(line.length_m / 2.0, line.along_m, line.xy[:, 0]) == pytest.approx(
        xy[len(xy) // 2, 0], abs=2.0
    )


def test_a_part_of_the_line_has_its_ends_and_all_planned_vertices() -> None:
    line = line_of(np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0], [100.0, 100.0]]))
    scale = line.length_m / 200.0  # of the ellipsoid

    part = line.between(20.0 * scale, 150.0 * scale)

    expected = np.array([[20.0, 0.0], [50.0, 0.0], [100.0, 0.0], [100.0, 50.0]])
    assert part == pytest.approx(expected, abs=0.5)


def test_a_line_of_one_place_is_no_line() -> None:
    assert Line.of(np.zeros((3, 2)), PLANE) is None


def test_distance_to_the_line() -> None:
    line = line_of(np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 100.0]]))

    distance_m = line.distance_m(np.array([[50.0, 7.0], [160.0, 50.0], [-30.0, 40.0]]))

    assert distance_m == pytest.approx([7.0, 60.0, 50.0])


def yard(segments: int, *, side_m: float = 140.0) -> Line:
    """Return a line driven to and fro in one yard."""
    return line_of(np.random.default_rng(7).uniform(0.0, side_m, (segments + 1, 2)))


def test_a_line_of_fifty_thousand_vertices_in_one_yard_takes_bounded_memory() -> None:
    line = yard(50_000)
    xy = np.random.default_rng(8).uniform(-50.0, 190.0, (10_000, 2))
    tracemalloc.start()
    began_s = process_time()

    found = places(line, xy, reach_m=150.0)

    took_s = process_time() - began_s
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 350e6
    assert took_s < 30.0  # of one core
    assert (found.distance_m[np.isfinite(found.distance_m)] <= 150.0).all()


def test_where_the_line_is_crowded_the_nearest_places_are_found() -> None:
    """Two hundred rounds of one road: the reach is less, what lies within it the same."""
    out = np.column_stack([np.arange(0.0, 2_000.0, 20.0), np.zeros(100)])
    out[:, 1] = 10.0 * np.sin(out[:, 0] / 40.0)
    line = line_of(np.concatenate([out, out[::-1]] * 100))
    alone = line_of(out)
    xy = np.column_stack([np.linspace(50.0, 1_900.0, 40), np.full(40, 8.0)])

    found = places(line, xy, reach_m=150.0)

    assert found.distance_m[:, 0] == pytest.approx(
        places(alone, xy, reach_m=150.0).distance_m[:, 0]
    )
    assert np.isfinite(found.distance_m[:, :12]).all()


def test_in_a_knot_of_the_line_some_of_its_places_stand_for_all() -> None:
    line = yard(20_000, side_m=2.0)

    found = places(line, np.array([[1.0, 1.0], [5_000.0, 0.0]]), reach_m=150.0)

    assert found.distance_m[0].max() < 1.0
    assert np.isinf(found.distance_m[1]).all()
