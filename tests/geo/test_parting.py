import numpy as np
import pytest

from geo.parting import Cut, Pair, best_cut, odds_of_two, running_sums
from geo.trace import Trace
from geo.types import Floats
from tests.geo.days import noise


def trace(time_s: Floats, xy: Floats, noise_m: float = 7.0) -> Trace:
    return Trace(time_s=time_s, xy=xy, span=np.zeros(len(time_s), dtype=np.intp), noise_m=noise_m)


def cut_of(time_s: Floats, xy: Floats, *, noise_m: float = 7.0) -> Cut | None:
    whole = trace(time_s, xy, noise_m)
    return best_cut(whole, running_sums(xy), (0, len(time_s) - 1), part_min_s=40.0)


def test_the_cut_is_where_the_place_changes() -> None:
    time_s = np.arange(0.0, 600.0, 5.0)
    xy = noise(np.random.default_rng(1), time_s, 10.0)
    xy[time_s >= 200.0, 0] += 40.0

    found = cut_of(time_s, xy)

    assert found is not None
    assert time_s[found.at] == pytest.approx(200.0, abs=25.0)
    assert found.surprise > 18.0
    assert found.apart_m == pytest.approx(40.0, abs=15.0)


def test_lasting_noise_at_one_place_surprises_little() -> None:
    """The bound of the default split, 18, is exceeded by less than one stay in fifty."""
    time_s = np.arange(0.0, 300.0, 5.0)
    worst = []
    for seed in range(200):
        xy = noise(np.random.default_rng(seed), time_s, 10.0)
        found = cut_of(time_s, xy)
        assert found is not None
        worst.append(found.surprise)

    assert np.mean(np.array(worst) > 18.0) < 0.02


@pytest.mark.parametrize("duration_s", [5.0, 60.0, 85.0])
def test_what_is_too_short_for_two_is_not_cut(duration_s: float) -> None:
    time_s = np.arange(0.0, duration_s, 5.0)

    assert cut_of(time_s, np.zeros((len(time_s), 2))) is None


def test_parts_are_long_enough() -> None:
    time_s = np.arange(0.0, 200.0, 5.0)

    for jump_s in (5.0, 60.0, 190.0):
        found = cut_of(time_s, np.column_stack([100.0 * (time_s >= jump_s), np.zeros(40)]))

        assert found is not None
        assert time_s[found.at - 1] >= 40.0
        assert time_s[found.at] <= time_s[-1] - 40.0


@pytest.mark.parametrize("at", [1_234, 20_000, 39_900])
def test_in_a_long_stay_the_cut_is_found_to_the_fix(at: int) -> None:
    time_s = np.arange(40_000.0)
    xy = np.random.default_rng(2).normal(0.0, 1.0, (len(time_s), 2))
    xy[at:, 0] += 30.0

    found = cut_of(time_s, xy)

    assert found is not None
    assert found.at == at


def two_halts(
    seed: int, *, apart_m: float, sigma_m: float = 10.0, step_s: float = 5.0
) -> tuple[Floats, Floats]:
    """Stand for 200 s, drive ``apart_m`` to the east in 10 s, stand for 300 s."""
    time_s = np.arange(0.0, 510.0, step_s)
    xy = noise(np.random.default_rng(seed), time_s, sigma_m)
    xy[:, 0] += apart_m * np.clip((time_s - 200.0) / 10.0, 0.0, 1.0)
    return time_s, xy


def pair(apart_m: float, service_s: tuple[float, float]) -> Pair:
    return Pair(apart_xy=np.array([apart_m, 0.0]), error_m=22.0, service_s=service_s)


@pytest.mark.parametrize(("sigma_m", "share"), [(5.0, 1.0), (10.0, 1.0), (20.0, 0.85)])
def test_neighbours_served_one_after_the_other_are_told_from_one_visit_to_both(
    sigma_m: float, share: float
) -> None:
    """Bounds of error: of days with two halts 40 m apart, and with one, so many come out right."""
    right = 0
    for seed in range(40):
        two = odds_of_two(
            *two_halts(seed, apart_m=40.0, sigma_m=sigma_m), sigma_m, pair(40.0, (200.0, 300.0)),
            part_min_s=40.0,
        )  # fmt: skip
        one = odds_of_two(
            *two_halts(seed + 100, apart_m=0.0, sigma_m=sigma_m), sigma_m,
            pair(20.0, (250.0, 250.0)), part_min_s=40.0,
        )  # fmt: skip
        right += (two[0] > 0.0) + (one[0] < 0.0)

    assert right / 80 >= share - 0.06


def test_the_time_between_two_halts_is_known_to_some_seconds() -> None:
    off_s = [
        odds_of_two(
            *two_halts(seed, apart_m=40.0), 10.0, pair(40.0, (200.0, 300.0)), part_min_s=40.0
        )[1]
        - 205.0
        for seed in range(40)
    ]

    assert np.quantile(np.abs(off_s), 0.9) <= 20.0


def test_planned_services_speak_where_places_do_not() -> None:
    time_s, xy = two_halts(1, apart_m=12.0)

    apart, _ = odds_of_two(time_s, xy, 10.0, pair(12.0, (200.0, 300.0)), part_min_s=40.0)
    short, _ = odds_of_two(time_s, xy, 10.0, pair(12.0, (30.0, 900.0)), part_min_s=40.0)
    unplanned = [
        odds_of_two(time_s, xy, 10.0, pair(12.0, service_s), part_min_s=40.0)
        for service_s in ((np.nan, 300.0), (300.0, np.nan), (np.nan, np.nan), (300.0, 0.0))
    ]

    assert apart > short
    assert len(set(unplanned)) == 1
    assert np.isfinite(unplanned).all()


def test_without_room_for_two_there_was_one() -> None:
    time_s = np.arange(0.0, 60.0, 5.0)

    odds, _ = odds_of_two(
        time_s, np.zeros((12, 2)), 10.0, pair(40.0, (60.0, 60.0)), part_min_s=40.0
    )

    assert odds == -np.inf
