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


def smooth(time_s: Floats, xy: Floats, sigma_m: Floats, linked: Flags, *, agility: float) -> Drive:
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
    """
    if not len(time_s):
        return Drive(xy=xy, velocity_mps=np.zeros_like(xy))
    base, beside = _motion(time_s, linked, agility)
    weight = 1.0 / sigma_m**2
    robust = weight
    state = np.zeros((len(time_s), 2, 2))
    for _ in range(PASSES):
        diagonal = base.copy()
        diagonal[:, 0, 0] += robust
        right = np.zeros((len(time_s), 2, 2))
        right[:, 0, :] = robust[:, np.newaxis] * xy
        state = solve_block_tridiagonal(diagonal, beside, right)
        squared = ((state[:, 0, :] - xy) ** 2).sum(axis=1) * weight
        robust = weight * (DEGREES_OF_FREEDOM + 2.0) / (DEGREES_OF_FREEDOM + squared)
    return Drive(xy=state[:, 0, :], velocity_mps=state[:, 1, :])


def _motion(time_s: Floats, linked: Flags, agility: float) -> tuple[Floats, Floats]:
    """Return the blocks on and beside the diagonal that the motion alone gives."""
    step_s = np.maximum(np.diff(time_s), STEP_MIN_S)
    strength = np.where(linked, agility**-2, 0.0)
    # The inverse covariance of white-noise acceleration over one step.
    inverse = np.empty((len(step_s), 2, 2))
    inverse[:, 0, 0] = 12.0 / step_s**3
    inverse[:, 0, 1] = inverse[:, 1, 0] = -6.0 / step_s**2
    inverse[:, 1, 1] = 4.0 / step_s
    inverse *= strength[:, np.newaxis, np.newaxis]
    advance = np.zeros_like(inverse)
    advance[:, 0, 0] = advance[:, 1, 1] = 1.0
    advance[:, 0, 1] = step_s
    pulled = advance.transpose(0, 2, 1) @ inverse
    diagonal = np.zeros((len(time_s), 2, 2))
    diagonal[:, 1, 1] = STANDING_BELIEF
    diagonal[:-1] += pulled @ advance
    diagonal[1:] += inverse
    return diagonal, -pulled


def solve_block_tridiagonal(diagonal: Floats, beside: Floats, right: Floats) -> Floats:
    """Solve a symmetric positive definite block-tridiagonal system by cyclic reduction.

    Parameters
    ----------
    diagonal
        Shape ``(n, 2, 2)``, ``n >= 1``.
    beside
        Shape ``(n - 1, 2, 2)``: block ``i`` couples row ``i`` with column ``i + 1``.
    right
        Shape ``(n, 2, k)``.

    Returns
    -------
    Floats
        Shape ``(n, 2, k)``.

    Notes
    -----
    O(n) work in log2(n) vectorised rounds: Golub, Van Loan (2013), "Matrix Computations",
    section 4.5.4. The odd rows are eliminated, the even half is solved, the odd rows follow.
    """
    n = len(diagonal)
    if n == 1:
        return _inverses(diagonal) @ right
    transposed = beside.transpose(0, 2, 1)
    odd_inverse = _inverses(diagonal[1::2])
    # Even row 2j touches odd 2j - 1 by beside[2j - 1] and odd 2j + 1 by beside[2j].
    half, half_right = diagonal[::2].copy(), right[::2].copy()
    from_left = transposed[1::2] @ odd_inverse[: (n - 1) // 2]
    half[1:] -= from_left @ beside[1::2]
    half_right[1:] -= from_left @ right[1:-1:2]
    from_right = beside[::2] @ odd_inverse
    half[: n // 2] -= from_right @ transposed[::2]
    half_right[: n // 2] -= from_right @ right[1::2]
    half_beside = -(from_right[: (n - 1) // 2] @ beside[1::2])

    solution = np.empty_like(right)
    even = solve_block_tridiagonal(half, half_beside, half_right)
    solution[::2] = even
    rest = right[1::2] - transposed[::2] @ even[: n // 2]
    rest[: (n - 1) // 2] -= beside[1::2] @ even[1:]
    solution[1::2] = odd_inverse @ rest
    return solution


def _inverses(blocks: Floats) -> Floats:
    """Invert 2x2 blocks; ten times faster than LAPACK, which loops over them."""
    determinant = blocks[:, 0, 0] * blocks[:, 1, 1] - blocks[:, 0, 1] * blocks[:, 1, 0]
    inverse = np.empty_like(blocks)
    inverse[:, 0, 0], inverse[:, 1, 1] = blocks[:, 1, 1], blocks[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -blocks[:, 0, 1], -blocks[:, 1, 0]
    inverse /= determinant[:, np.newaxis, np.newaxis]
    return inverse
