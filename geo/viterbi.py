"""The cheapest way through states, many steps at once."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geo.types import Floats, Indices

# Bounds the memory: the moves of a chunk among thirteen states, twelve places and "off", are 11 MB,
# and some ten tables of that size are at work at once.
CHUNK_STEPS: Final = 8_192

Moves: TypeAlias = Callable[[int, int], Floats]
_Origins: TypeAlias = NDArray[np.int8]


def cheapest_path(entry: Floats, moves: Moves, steps: int) -> Indices:
    """Return the cheapest sequence of states.

    Parameters
    ----------
    entry
        Shape ``(s,)``, ``s <= 127``: what it costs to begin in each state; one at least finite.
    moves
        ``moves(begin, end)`` returns the steps from ``begin`` up to ``end``, shape
        ``(end - begin, s, s)``: what it costs to go from the state of the second axis to that of
        the third, infinite = impossible. Some way through all steps must be finite.
    steps
        How many steps there are; 0 is fine.

    Returns
    -------
    Indices
        Shape ``(steps + 1,)``: the states before the first step and after each. Of equally
        cheap ways it is always the same one.

    Notes
    -----
    Viterbi's recursion (Forney (1973), Proc. IEEE 61, 268-278) is a product of matrices in the
    (min, +) semiring, and that product is associative: the steps are cut into blocks whose
    products are taken side by side, then joined (Hassan, Sarkka, Garcia-Fernandez (2021), IEEE
    Trans. Signal Process. 69, 4968-4981). Exact, with O(sqrt(n)) rounds of numpy for n steps
    of a chunk instead of n, and O(n s^3) work.
    """
    path = np.empty(steps + 1, dtype=np.intp)
    cost, origins = entry, []
    begins = range(0, steps, CHUNK_STEPS)
    for begin in begins:
        cost, origin = _forwards(cost, moves(begin, min(begin + CHUNK_STEPS, steps)))
        origins.append(origin)
    state = path[steps] = int(cost.argmin())
    for begin, origin in zip(reversed(begins), reversed(origins), strict=True):
        end = min(begin + CHUNK_STEPS, steps)
        path[begin:end] = _backwards(origin, state)[: end - begin]
        state = int(path[begin])
    return path


def _forwards(entry: Floats, moves: Floats) -> tuple[Floats, _Origins]:
    """Return the costs after the steps, and where each state came from, ``(length, s, blocks)``."""
    steps, states, _ = moves.shape
    length = max(round(np.sqrt(steps) / 2.0), 1)
    blocks = -(-steps // length)
    padded = np.full((blocks * length, states, states), np.inf)
    padded[:, np.arange(states), np.arange(states)] = 0.0
    padded[:steps] = moves
    # The blocks lie in the last axis: there numpy is fast.
    table = np.ascontiguousarray(
        padded.reshape(blocks, length, states, states).transpose(1, 2, 3, 0)
    )
    whole = table[0]
    for step in table[1:]:
        whole = (whole[:, :, np.newaxis] + step[np.newaxis]).min(axis=1)
    entries = np.empty((states, blocks))
    cost = entry
    for block in range(blocks):
        entries[:, block] = cost
        cost = (cost[:, np.newaxis] + whole[:, :, block]).min(axis=0)
    origins = np.empty((length, states, blocks), dtype=np.int8)
    costs = entries
    for i, step in enumerate(table):
        totals = costs[:, np.newaxis] + step
        origins[i] = totals.argmin(axis=0)
        costs = totals.min(axis=0)
    return cost - cost.min(), origins


def _backwards(origins: _Origins, last: int) -> Indices:
    """Return the state before each step of the padded blocks that end in the state ``last``."""
    length, states, blocks = origins.shape
    entries = np.repeat(np.arange(states)[:, np.newaxis], blocks, axis=1)
    for origin in origins[::-1]:
        entries = np.take_along_axis(origin, entries, axis=0).astype(np.intp)
    ends = np.empty(blocks, dtype=np.intp)
    state = last
    for block in range(blocks - 1, -1, -1):
        ends[block] = state
        state = int(entries[state, block])
    path = np.empty((length, blocks), dtype=np.intp)
    beside = np.arange(blocks)
    for i in range(length - 1, -1, -1):
        ends = origins[i][ends, beside].astype(np.intp)
        path[i] = ends
    return path.T.ravel()
