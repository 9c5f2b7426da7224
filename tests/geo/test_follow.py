"""Following along the line as fixes come: the same places as when the day is over."""

import numpy as np
import pytest

from geo import progress
from geo.course import Excursion, stray
from geo.follow import Trail, follow, nearby
from geo.intervals import merged
from geo.progress import Line
from geo.types import Floats
from geo.values import DEFAULT
from tests.geo.days import along, at, drive, noise, plane_at, road

PLANE = plane_at()
REACH_M = 150.0


def line_of(xy: Floats) -> Line:
    line = Line.of(xy, PLANE)
    assert line is not None
    return line


def there_and_back(seed: int) -> Floats:
    out = road(np.random.default_rng(seed), 12, block=(150.0, 500.0))
    return np.concatenate([out, out[-2::-1]])


def followed(line: Line, time_s: Floats, xy: Floats, sigma_m: float) -> Floats:
    """Return the place known after each fix, given one by one."""
    trail, known_m = Trail.start(), []
    for i in range(len(time_s)):
        part = slice(i, i + 1)
        places = nearby(line, xy[part], reach_m=REACH_M)
        trail, _ = follow(
            trail, time_s[part], xy[part], np.ones(1, dtype=bool), places, sigma_m=sigma_m
        )
        known_m.append(np.nan if trail.off or trail.place_m is None else trail.place_m)
    return np.array(known_m)


@pytest.mark.parametrize(("step_s", "wrong_share"), [(5.0, 0.02), (30.0, 0.05)])
def test_on_an_out_and_back_road_the_pass_is_right(step_s: float, wrong_share: float) -> None:
    wrong = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        xy = there_and_back(seed)
        halts_m = along(xy)[-1] * np.array([0.2, 0.45, 0.7])
        knots_s, knots_m, _ = drive(rng, along(xy)[-1], halts_m, np.full(3, 120.0))
        time_s = np.arange(0.0, knots_s[-1], step_s)
        true_m = np.interp(time_s, knots_s, knots_m)
        seen = at(xy, true_m) + noise(rng, time_s, 10.0)

        found_m = followed(line_of(xy), time_s, seen, 10.0)

        wrong += list(~(np.abs(found_m - true_m) < 150.0))

    assert np.mean(wrong) <= wrong_share


def test_one_by_one_or_all_at_once_is_the_same_trail() -> None:
    rng = np.random.default_rng(5)
    xy = there_and_back(5)
    line = line_of(xy)
    time_s = np.arange(0.0, 600.0, 5.0)
    seen = at(xy, 10.0 * time_s) + noise(rng, time_s, 8.0)
    linked = np.ones(len(time_s), dtype=bool)

    whole, way = follow(
        Trail.start(), time_s, seen, linked, nearby(line, seen, reach_m=REACH_M), sigma_m=8.0
    )

    assert followed(line, time_s, seen, 8.0)[-1] == whole.place_m
    assert way[-1, 1] == whole.place_m
    assert (np.diff(way[:, 0]) > 0.0).all()


def test_where_the_vehicle_is_agrees_with_the_whole_day() -> None:
    line = line_of(np.array([[0.0, 0.0], [5_000.0, 0.0]]))
    x = np.arange(0.0, 5_000.0, 50.0)
    y = np.where((x > 2_000.0) & (x < 3_000.0), 400.0, 0.0)
    xy = np.column_stack([x, y])

    found_m = followed(line, 5.0 * np.arange(100.0), xy, 8.0)

    whole_m = progress.follow(line, xy, sigma_m=8.0, reach_m=REACH_M).along_m
    both = np.isfinite(found_m) & np.isfinite(whole_m)
    assert np.mean(np.isfinite(found_m) == np.isfinite(whole_m)) >= 0.97
    assert found_m[both] == pytest.approx(whole_m[both], abs=1.0)


def test_after_an_interruption_the_plan_goes_on_ahead() -> None:
    xy = np.array([[0.0, 0.0], [2_000.0, 0.0], [0.0, 0.1]])
    line = line_of(xy)
    before = np.column_stack([np.arange(0.0, 1_000.0, 50.0), np.zeros(20)])
    after = np.array([[1_500.0, 0.0], [1_450.0, 0.0], [1_400.0, 0.0]])
    trail, _ = follow(
        Trail.start(),
        5.0 * np.arange(20.0),
        before,
        np.ones(20, dtype=bool),
        nearby(line, before, reach_m=REACH_M),
        sigma_m=8.0,
    )

    trail, way = follow(
        trail,
        3_600.0 + 5.0 * np.arange(3.0),
        after,
        np.array([False, True, True]),
        nearby(line, after, reach_m=REACH_M),
        sigma_m=8.0,
    )

    assert trail.place_m == pytest.approx(2_600.0, abs=5.0)
    assert way[0, 2] == 0.0  # nothing is concluded across


def test_an_excursion_is_told_once_it_is_long_enough_and_counts_its_farthest() -> None:
    away_m = np.array([0.0, 45.0, 60.0, 45.0, 120.0, 60.0, 30.0])
    xy = np.column_stack([np.arange(7.0) * 60.0, away_m])
    seen, told = Excursion(), []
    for i in range(7):
        part = slice(i, i + 1)
        seen = stray(
            seen,
            np.array([10.0 * i]),
            xy[part],
            np.ones(1, dtype=bool),
            away_m[part],
            sigma_m=5.0,
            parameters=DEFAULT,
        )
        told.append(seen.confirmed(off=False, sigma_m=5.0, parameters=DEFAULT))

    # Beyond 50 m it is out, within 40 m in again; three fixes and 100 m make it worth telling.
    assert told == [False, False, False, False, True, True, False]


def test_the_way_to_the_plan_is_no_excursion() -> None:
    away_m = np.full(10, 500.0)
    xy = np.column_stack([np.arange(10.0) * 60.0, away_m])

    seen = stray(
        Excursion(),
        10.0 * np.arange(10.0),
        xy,
        np.ones(10, dtype=bool),
        away_m,
        sigma_m=5.0,
        parameters=DEFAULT,
    )

    assert not seen.confirmed(off=True, sigma_m=5.0, parameters=DEFAULT)


def test_merged_intervals_are_disjoint_and_in_order() -> None:
    found = merged(np.array([[5.0, 9.0], [0.0, 2.0], [1.0, 3.0], [7.0, 7.0], [8.0, np.inf]]))

    assert found.tolist() == [[0.0, 3.0], [5.0, np.inf]]
    assert merged(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(("off", "told"), [(False, False), (True, True)])
def test_who_goes_on_along_the_plan_a_little_beside_has_not_left_it(
    off: bool,  # noqa: FBT001
    told: bool,  # noqa: FBT001
) -> None:
    away_m = np.append(0.0, np.full(8, 70.0))
    xy = np.column_stack([np.arange(9.0) * 60.0, away_m])

    seen = stray(
        Excursion(),
        10.0 * np.arange(9.0),
        xy,
        np.ones(9, dtype=bool),
        away_m,
        sigma_m=5.0,
        parameters=DEFAULT,
    )

    assert seen.confirmed(off=off, sigma_m=5.0, parameters=DEFAULT) is told
