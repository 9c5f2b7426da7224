"""How far a vehicle drove, without the metres that noise adds."""

from typing import Final

import numpy as np

from geo.plane import Plane, norms
from geo.smooth import Drive
from geo.types import Flags, Floats, Indices

# Between fixes further apart in time than this a chord cuts the corners.
CHORD_STEP_MAX_S: Final = 8.0
# An arc longer than a right-angled corner is an invention of the smoother.
ARC_PER_CHORD_MAX: Final = 1.25
ARC_POINTS: Final = 9
# Between fixes further apart yet there is a whole corner, not a part of one.
ARC_STEP_MAX_S: Final = 20.0
CORNER_MAX: Final = np.pi / 2.0
# Longer yet it is a silence, of which only the least is told.
CORNER_STEP_MAX_S: Final = 150.0
# Turns as small are noise, and shorter chords have no course.
TURN_NOISE: Final = np.pi / 60.0
HEADING_CHORD_M: Final = 40.0


def steps_m(time_s: Floats, drive: Drive, still: Flags, plane: Plane) -> Floats:
    """Return the metres driven from each fix to the next.

    Parameters
    ----------
    time_s
        Shape ``(n,)``: strictly increasing.
    drive
        The smoothed track, ``n`` long.
    still
        Shape ``(max(n - 1, 0),)``: true for steps within a stay. They count nothing.
    plane
        The plane of ``drive``.

    Returns
    -------
    Floats
        Shape ``(max(n - 1, 0),)``: metres on the ellipsoid, never negative.

    Notes
    -----
    Steps up to 8 s count their chord, those up to 20 s the cubic Hermite arc through positions and
    velocities, at most 1.25 chords, those up to 150 s the way round one corner. On the days of
    ``tests/geo/days.py`` (5 s, sigma 5 to 10 m) the sum is within 3 % of the truth. A parked hour
    (1 to 60 s) adds less than 20 m up to sigma 10 m and less than 100 m at 30 m:
    ``tests/geo/test_odometer.py`` holds it to that.
    """
    chord_m = norms(np.diff(drive.xy, axis=0))
    true_chord_m = plane.true_lengths_m(drive.xy)
    step_s = np.diff(time_s)
    stretch = np.ones(len(chord_m))
    moving = (chord_m > 1.0) & ~still
    curved = np.flatnonzero(moving & (step_s > CHORD_STEP_MAX_S) & (step_s <= ARC_STEP_MAX_S))
    arc_m = _arcs_m(step_s[curved], drive, curved)
    stretch[curved] = np.clip(arc_m / chord_m[curved], 1.0, ARC_PER_CHORD_MAX)
    moving &= chord_m > HEADING_CHORD_M
    cornered = _corners(np.diff(drive.xy, axis=0)[moving])
    turns = (step_s > ARC_STEP_MAX_S) & (step_s <= CORNER_STEP_MAX_S)
    stretch[moving] = np.where(turns[moving], cornered, stretch[moving])
    return np.where(still, 0.0, true_chord_m * stretch)


def _corners(chord: Floats) -> Floats:
    """Return how much longer than their chords steps round a corner each are, ``(k,)``.

    A step that turns by a at its beginning and b at its end went round one corner, and the law of
    sines says how long that is: cos((a - b) / 2) / cos((a + b) / 2). A turn between two steps
    belongs to the one that turns on the same way at its other end, as corners are few.
    """
    if len(chord) < 2:  # noqa: PLR2004
        return np.ones(len(chord))
    course = np.arctan2(chord[:, 1], chord[:, 0])
    turn = np.zeros(len(chord) + 1)
    turn[1:-1] = (np.diff(course) + np.pi) % (2.0 * np.pi) - np.pi
    size, way = np.abs(turn), np.sign(turn)
    padded = np.concatenate([[0.0], turn, [0.0]])
    before = np.maximum(padded[:-2] * way, 0.0) + TURN_NOISE
    after = np.maximum(padded[2:] * way, 0.0) + TURN_NOISE
    to_next = after / (before + after)
    begins, ends = (size * to_next)[:-1], (size * (1.0 - to_next))[1:]
    corner = np.minimum(begins + ends, CORNER_MAX)
    longer = np.cos((begins - ends) / 2.0) / np.cos(corner / 2.0)
    return np.asarray(np.clip(longer, 1.0, np.sqrt(2.0)))


def _arcs_m(step_s: Floats, drive: Drive, at: Indices) -> Floats:
    """Return the lengths of the Hermite arcs of the steps ``at``, as polylines of 8 pieces."""
    fraction = np.linspace(0.0, 1.0, ARC_POINTS)[:, np.newaxis, np.newaxis]
    tangent_from = step_s[:, np.newaxis] * drive.velocity_mps[at]
    tangent_to = step_s[:, np.newaxis] * drive.velocity_mps[at + 1]
    arc = (
        (2 * fraction**3 - 3 * fraction**2 + 1) * drive.xy[at]
        + (fraction**3 - 2 * fraction**2 + fraction) * tangent_from
        + (3 * fraction**2 - 2 * fraction**3) * drive.xy[at + 1]
        + (fraction**3 - fraction**2) * tangent_to
    )
    lengths: Floats = norms(np.diff(arc, axis=0)).sum(axis=0)
    return lengths
