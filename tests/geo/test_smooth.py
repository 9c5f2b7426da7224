import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.smooth import smooth, solve_block_tridiagonal
from geo.types import Floats


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_cyclic_reduction_solves_the_system(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    diagonal = np.eye(2) * 9.0 + (side := rng.uniform(-1.0, 1.0, (n, 2, 2)))
    diagonal += side.transpose(0, 2, 1)
    beside = rng.uniform(-1.0, 1.0, (max(n - 1, 0), 2, 2))
    right = rng.uniform(-1.0, 1.0, (n, 2, 2))

    solution = solve_block_tridiagonal(diagonal, beside, right)

    assert dense(diagonal, beside) @ solution.reshape(2 * n, 2) == pytest.approx(
        right.reshape(2 * n, 2), abs=1e-9
    )


def dense(diagonal: Floats, beside: Floats) -> Floats:
    matrix = np.zeros((2 * len(diagonal), 2 * len(diagonal)))
    for i, block in enumerate(diagonal):
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
    for i, block in enumerate(beside):
        matrix[2 * i : 2 * i + 2, 2 * i + 2 : 2 * i + 4] = block
        matrix[2 * i + 2 : 2 * i + 4, 2 * i : 2 * i + 2] = block.T
    return matrix


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
