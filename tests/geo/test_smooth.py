import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.smooth import smooth, solve_block_tridiagonal
from geo.types import Floats


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 120), seed=st.integers(0, 2**32 - 1))
def test_cyclic_reduction_solves_the_system(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    diagonal = rng.uniform(-1.0, 1.0, (3, n)) + np.array([[9.0], [0.0], [9.0]])
    beside = rng.uniform(-1.0, 1.0, (4, max(n - 1, 0)))
    right = rng.uniform(-1.0, 1.0, (4, n))

    solution = solve_block_tridiagonal(diagonal, beside, right)

    assert dense(diagonal, beside) @ rows(solution) == pytest.approx(rows(right), abs=1e-9)


def dense(diagonal: Floats, beside: Floats) -> Floats:
    n = diagonal.shape[1]
    matrix = np.zeros((2 * n, 2 * n))
    for i in range(n):
        one, both, other = diagonal[:, i]
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[one, both], [both, other]]
    for i in range(n - 1):
        block = beside[:, i].reshape(2, 2)
        matrix[2 * i : 2 * i + 2, 2 * i + 2 : 2 * i + 4] = block
        matrix[2 * i + 2 : 2 * i + 4, 2 * i : 2 * i + 2] = block.T
    return matrix


def rows(sides: Floats) -> Floats:
    """Return both sides as columns, the two rows of each block below each other."""
    n = sides.shape[1]
    return sides.reshape(2, 2, n).transpose(2, 0, 1).reshape(2 * n, 2)


def steady(n: int, step_s: Floats) -> tuple[Floats, Floats]:
    time_s = np.cumsum(step_s)
    return time_s, np.column_stack([10.0 * time_s, -5.0 * time_s])[:n]


def test_a_steady_drive_is_left_alone_whatever_the_steps() -> None:
    rng = np.random.default_rng(0)
    time_s, xy = steady(50, rng.uniform(0.5, 20.0, 50))

    drive = smooth(time_s, xy, np.full(50, 5.0), np.ones(49, dtype=bool), agility=3.0)

    assert drive.xy == pytest.approx(xy, abs=0.01)
    assert drive.velocity_mps == pytest.approx(np.tile([10.0, -5.0], (50, 1)), abs=0.01)


def test_white_noise_shrinks_to_less_than_half() -> None:
    rng = np.random.default_rng(0)
    time_s, xy = steady(2_000, np.full(2_000, 1.0))
    error = rng.normal(size=xy.shape) * 10.0

    drive = smooth(
        time_s, xy + error, np.full(2_000, 10.0), np.ones(1_999, dtype=bool), agility=1.5
    )

    assert np.std(drive.xy - xy) < 5.0


def test_one_wild_fix_hardly_moves_the_drive() -> None:
    time_s, xy = steady(41, np.full(41, 5.0))
    wild = xy.copy()
    wild[20] += [0.0, 100.0]

    drive = smooth(time_s, wild, np.full(41, 5.0), np.ones(40, dtype=bool), agility=1.5)

    assert np.abs(drive.xy - xy).max() < 6.0


def test_nothing_crosses_an_interruption() -> None:
    time_s, xy = steady(40, np.full(40, 5.0))
    moved = xy.copy()
    moved[20:] += [500.0, 500.0]
    linked = np.ones(39, dtype=bool)
    linked[19] = False

    drive = smooth(time_s, moved, np.full(40, 5.0), linked, agility=1.5)

    assert drive.xy == pytest.approx(moved, abs=0.01)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_tracks_are_smooth(n: int) -> None:
    time_s, xy = steady(n, np.full(n, 5.0))

    drive = smooth(time_s, xy, np.full(n, 5.0), np.ones(max(n - 1, 0), dtype=bool), agility=1.5)

    assert drive.xy.shape == (n, 2)
    assert np.isfinite(drive.velocity_mps).all()


def test_an_earlier_drive_spares_a_pass_and_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    time_s, xy = steady(200, np.full(200, 5.0))
    seen = xy + rng.standard_t(4, xy.shape) * 8.0
    linked, sigma_m = np.ones(199, dtype=bool), np.full(200, 8.0)
    agile = smooth(time_s, seen, sigma_m, linked, agility=3.0)

    alone = smooth(time_s, seen, sigma_m, linked, agility=1.5)
    after = smooth(time_s, seen, sigma_m, linked, agility=1.5, after=agile)

    assert after.xy == pytest.approx(alone.xy, abs=4.0)
    assert np.std(after.xy - xy) == pytest.approx(np.std(alone.xy - xy), rel=0.1)
