"""The most probable drive behind noisy fixes."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.types import Flags, Floats

# Student-t noise with 4 degrees of freedom: one fix in a hundred may lie far off.
DEGREES_OF_FREEDOM: Final = 4.0
PASSES: Final = 3
STEP_MIN_S: Final = 0.05
# A weak belief that vehicles stand still makes lone fixes solvable; 1 / (m/s)^2.
STANDING_BELIEF: Final = 1e-6
# Below this many rows one dense solution is faster than more rounds of reduction.
DENSE_ROWS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """Positions and velocities at the times of the fixes.

    Attributes
    ----------
    xy, velocity_mps
        Shapes ``(n, 2)``: metres and metres per second, in the plane.
    """

    xy: Floats
    velocity_mps: Floats


def smooth(
    time_s: Floats,
    xy: Floats,
    sigma_m: Floats,
    linked: Flags,
    *,
    agility: float,
    after: Drive | None = None,
) -> Drive:
    """Return the drive that explains the fixes best.

    Parameters
    ----------
    time_s, xy, sigma_m
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: strictly increasing times, metres in the plane and
        the standard deviation of each coordinate.
    linked
        Shape ``(max(n - 1, 0),)``: false where nothing may be concluded across a step.
    agility
        Root of the spectral density of acceleration, m / s^1.5. 1.5 is calm, 3 is a van in town.
    after
        A drive found earlier behind the same fixes. What it thinks of each fix is the start:
        one pass less.

    Returns
    -------
    Drive
        The maximum a posteriori estimate, in O(n).

    Notes
    -----
    White-noise acceleration (Bar-Shalom, Li, Kirubarajan (2001), "Estimation with Applications
    to Tracking and Navigation", section 6.2.2) is a block-tridiagonal least-squares problem in
    (position, velocity). Student-t noise is three passes of iteratively reweighted squares
    (Lange, Little, Taylor (1989), J. Am. Stat. Assoc. 84, 881-896). Uneven steps are exact.
    ``tests/geo/test_smooth.py`` holds it to these: white noise shrinks to less than half, a lone
    fix 100 m off moves the drive by less than 6 m.
    """
    if not len(time_s):
        return Drive(xy=xy, velocity_mps=np.zeros_like(xy))
    diagonal, beside = _motion(time_s, linked, agility)
    seen = np.ascontiguousarray(xy.T)
    weight = 1.0 / sigma_m**2
    robust = weight if after is None else _trust(weight, after.xy.T - seen)
    state = np.zeros((4, len(time_s)))
    right = np.zeros((4, len(time_s)))
    passes = PASSES if after is None else PASSES - 1
    for turn in range(passes):
        right[:2] = robust * seen
        belief = diagonal.copy()
        belief[0] += robust
        state = solve_block_tridiagonal(belief, beside, right)
        if turn < passes - 1:
            robust = _trust(weight, state[:2] - seen)
    return Drive(
        xy=np.ascontiguousarray(state[:2].T), velocity_mps=np.ascontiguousarray(state[2:].T)
    )


def _trust(weight: Floats, off_m: Floats) -> Floats:
    """Return what each fix weighs that is so far off, ``(2, n)``."""
    squared = (off_m[0] ** 2 + off_m[1] ** 2) * weight
    return np.asarray(weight * (DEGREES_OF_FREEDOM + 2.0) / (DEGREES_OF_FREEDOM + squared))


def _motion(time_s: Floats, linked: Flags, agility: float) -> tuple[Floats, Floats]:
    """Return the blocks on and beside the diagonal that the motion alone gives.

    Over a step ``h`` the inverse covariance is [[12/h^3, -6/h^2], [-6/h^2, 4/h]] / agility^2;
    multiplied out with the advance [[1, h], [0, 1]] little remains.
    """
    step_s = np.maximum(np.diff(time_s), STEP_MIN_S)
    strength = np.where(linked, agility**-2, 0.0)
    velocity = strength / step_s
    mixed = 6.0 * velocity / step_s
    place = 2.0 * mixed / step_s
    diagonal = np.zeros((3, len(time_s)))
    diagonal[2] = STANDING_BELIEF
    diagonal[0, :-1] += place
    diagonal[0, 1:] += place
    diagonal[1, :-1] += mixed
    diagonal[1, 1:] -= mixed
    diagonal[2, :-1] += 4.0 * velocity
    diagonal[2, 1:] += 4.0 * velocity
    return diagonal, np.stack([-place, mixed, -mixed, 2.0 * velocity])


def solve_block_tridiagonal(diagonal: Floats, beside: Floats, right: Floats) -> Floats:
    """Solve a symmetric positive definite system of 2x2 blocks by cyclic reduction.

    Parameters
    ----------
    diagonal
        Shape ``(3, n)``, ``n >= 1``: of each block on the diagonal the elements 00, 01 and 11.
    beside
        Shape ``(4, n - 1)``: elements 00, 01, 10, 11 of the block that couples row ``i`` with
        column ``i + 1``.
    right
        Shape ``(4, n)``: two right sides, of each block first both values of its first row.

    Returns
    -------
    Floats
        Shape ``(4, n)``, laid out like ``right``.

    Notes
    -----
    O(n) work in log2(n) vectorised rounds: Golub, Van Loan (2013), "Matrix Computations",
    section 4.5.4. The odd rows are eliminated, the even half is solved, the odd rows follow.
    Elements are arrays of their own: numpy multiplies batches of 2x2 matrices ten times slower.
    """
    n = diagonal.shape[1]
    if n <= DENSE_ROWS:
        return _dense(diagonal, beside, right)
    pairs = n // 2
    behind = (n - 1) // 2  # odd rows that have an even one after them
    d00, d01, d11 = diagonal[:, 1::2]
    scale = 1.0 / (d00 * d11 - d01 * d01)
    i00, i01, i11 = d11 * scale, -d01 * scale, d00 * scale
    e00, e01, e10, e11 = beside[:, ::2]  # even row 2j to odd 2j + 1
    f00, f01, f10, f11 = beside[:, 1::2]  # odd row 2j + 1 to even 2j + 2
    odd = right[:, 1::2]

    g00, g01 = e00 * i00 + e01 * i01, e00 * i01 + e01 * i11
    g10, g11 = e10 * i00 + e11 * i01, e10 * i01 + e11 * i11
    half = diagonal[:, ::2].copy()
    half[0, :pairs] -= g00 * e00 + g01 * e01
    half[1, :pairs] -= g00 * e10 + g01 * e11
    half[2, :pairs] -= g10 * e10 + g11 * e11
    half_right = right[:, ::2].copy()
    half_right[:2, :pairs] -= g00 * odd[:2] + g01 * odd[2:]
    half_right[2:, :pairs] -= g10 * odd[:2] + g11 * odd[2:]

    j00, j01, j11 = i00[:behind], i01[:behind], i11[:behind]
    h00, h01 = f00 * j00 + f10 * j01, f00 * j01 + f10 * j11
    h10, h11 = f01 * j00 + f11 * j01, f01 * j01 + f11 * j11
    half[0, 1:] -= h00 * f00 + h01 * f10
    half[1, 1:] -= h00 * f01 + h01 * f11
    half[2, 1:] -= h10 * f01 + h11 * f11
    half_right[:2, 1:] -= h00 * odd[:2, :behind] + h01 * odd[2:, :behind]
    half_right[2:, 1:] -= h10 * odd[:2, :behind] + h11 * odd[2:, :behind]
    k00, k01, k10, k11 = g00[:behind], g01[:behind], g10[:behind], g11[:behind]
    half_beside = np.stack(
        [k00 * f00 + k01 * f10, k00 * f01 + k01 * f11, k10 * f00 + k11 * f10, k10 * f01 + k11 * f11]
    )

    solution = np.empty_like(right)
    even = solve_block_tridiagonal(half, -half_beside, half_right)
    solution[:, ::2] = even
    rest = odd.copy()
    rest[:2] -= e00 * even[:2, :pairs] + e10 * even[2:, :pairs]
    rest[2:] -= e01 * even[:2, :pairs] + e11 * even[2:, :pairs]
    rest[:2, :behind] -= f00 * even[:2, 1:] + f01 * even[2:, 1:]
    rest[2:, :behind] -= f10 * even[:2, 1:] + f11 * even[2:, 1:]
    solution[:2, 1::2] = i00 * rest[:2] + i01 * rest[2:]
    solution[2:, 1::2] = i01 * rest[:2] + i11 * rest[2:]
    return solution


def _dense(diagonal: Floats, beside: Floats, right: Floats) -> Floats:
    n = diagonal.shape[1]
    matrix = np.zeros((2, n, 2, n))
    at, next_to = np.arange(n), np.arange(n - 1)
    matrix[0, at, 0, at], matrix[1, at, 1, at] = diagonal[0], diagonal[2]
    matrix[0, at, 1, at] = matrix[1, at, 0, at] = diagonal[1]
    for element, (row, column) in zip(beside, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        matrix[row, next_to, column, next_to + 1] = element
        matrix[column, next_to + 1, row, next_to] = element
    sides = right.reshape(2, 2, n).transpose(0, 2, 1).reshape(2 * n, 2)
    solution = np.linalg.solve(matrix.reshape(2 * n, 2 * n), sides)
    return np.ascontiguousarray(solution.reshape(2, n, 2).transpose(0, 2, 1).reshape(4, n))
