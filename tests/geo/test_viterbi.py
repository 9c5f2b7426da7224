"""The blocks against the plain recursion."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.types import Floats, Indices
from geo.viterbi import CHUNK_STEPS, cheapest_path


def plainly(entry: Floats, moves: Floats) -> float:
    cost = entry
    for step in moves:
        cost = (cost[:, np.newaxis] + step).min(axis=0)
    return float(cost.min())


def cost_of(path: Indices, entry: Floats, moves: Floats) -> float:
    steps = moves[np.arange(len(moves)), path[:-1], path[1:]]
    return float(entry[path[0]] + steps.sum())


def found(entry: Floats, moves: Floats) -> Indices:
    return cheapest_path(entry, lambda begin, end: moves[begin:end], len(moves))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(0, 200),
    states=st.integers(1, 7),
    impossible=st.sampled_from([0.0, 0.5]),
)
def test_no_way_is_cheaper(seed: int, steps: int, states: int, impossible: float) -> None:
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 20, states).astype(np.float64)
    moves = rng.integers(0, 20, (steps, states, states)).astype(np.float64)
    # From and to the last state there is always a way.
    moves[:, : states - 1, : states - 1][
        rng.random((steps, states - 1, states - 1)) < impossible
    ] = np.inf

    path = found(entry, moves)

    assert path.shape == (steps + 1,)
    assert cost_of(path, entry, moves) == pytest.approx(plainly(entry, moves))


def test_chunks_join() -> None:
    rng = np.random.default_rng(7)
    moves = rng.random((CHUNK_STEPS + 500, 3, 3))
    entry = np.zeros(3)

    path = found(entry, moves)

    assert cost_of(path, entry, moves) == pytest.approx(plainly(entry, moves))


def test_of_equal_ways_it_is_always_the_same() -> None:
    moves = np.zeros((300, 4, 4))

    assert found(np.zeros(4), moves).tolist() == [0] * 301


def test_a_long_track_among_thirteen_states_takes_bounded_memory() -> None:
    steps = np.random.default_rng(8).random((CHUNK_STEPS, 13, 13))

    def moves(begin: int, end: int) -> Floats:
        return steps[: end - begin] + 0.0

    tracemalloc.start()
    path = cheapest_path(np.zeros(13), moves, 10 * CHUNK_STEPS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(path) == 10 * CHUNK_STEPS + 1
    assert most < 10 * steps.nbytes
