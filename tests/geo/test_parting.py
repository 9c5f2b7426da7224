import numpy as np
import pytest

from geo.parting import Pair, cuts, odds_of_two
from geo.trace import Trace
from geo.types import Floats
from tests.geo.days import noise


def trace(time_s: Floats, xy: Floats, noise_m: float = 7.0) -> Trace:
    return Trace(time_s=time_s, xy=xy, span=np.zeros(len(time_s), dtype=np.intp), noise_m=noise_m)


def test_the_cut_is_where_the_place_changes() -> None:
    time_s = np.arange(0.0, 600.0, 5.0)
    xy = noise(np.random.default_rng(1), time_s, 10.0)
    xy[time_s >= 200.0, 0] += 40.0

    found = cuts(trace(time_s, xy), (0, len(time_s) - 1), part_min_s=40.0)

    assert found is not None
    best = int(np.argmax(found.surprise))
    assert time_s[found.at[best]] == pytest.approx(200.0, abs=25.0)
    assert found.surprise[best] > 18.0
    assert found.apart_m[best] == pytest.approx(40.0, abs=15.0)


def test_lasting_noise_at_one_place_surprises_little() -> None:
    """The bound of the default split, 18, is exceeded by less than one stay in fifty."""
    time_s = np.arange(0.0, 300.0, 5.0)
    worst = []
    for seed in range(200):
        xy = noise(np.random.default_rng(seed), time_s, 10.0)
        found = cuts(trace(time_s, xy), (0, len(time_s) - 1), part_min_s=40.0)
        assert found is not None
        worst.append(float(found.surprise.max()))

    assert np.mean(np.array(worst) > 18.0) < 0.02


@pytest.mark.parametrize("duration_s", [5.0, 60.0, 85.0])
def test_what_is_too_short_for_two_is_not_cut(duration_s: float) -> None:
    time_s = np.arange(0.0, duration_s, 5.0)

    assert (
        cuts(trace(time_s, np.zeros((len(time_s), 2))), (0, len(time_s) - 1), part_min_s=40.0)
        is None
    )


def test_parts_are_long_enough() -> None:
    time_s = np.arange(0.0, 200.0, 5.0)

    found = cuts(trace(time_s, np.zeros((40, 2))), (0, 39), part_min_s=40.0)

    assert found is not None
    assert time_s[found.at - 1].min() >= 40.0
    assert (time_s[-1] - time_s[found.at]).min() >= 40.0


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
    unplanned, _ = odds_of_two(time_s, xy, 10.0, pair(12.0, (np.nan, 300.0)), part_min_s=40.0)

    assert apart > short
    assert np.isfinite(unplanned)


def test_without_room_for_two_there_was_one() -> None:
    time_s = np.arange(0.0, 60.0, 5.0)

    odds, _ = odds_of_two(
        time_s, np.zeros((12, 2)), 10.0, pair(40.0, (60.0, 60.0)), part_min_s=40.0
    )

    assert odds == -np.inf
