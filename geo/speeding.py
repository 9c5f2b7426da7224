"""Faster than allowed."""

from typing import Final

import numpy as np

from geo.drive import Driven
from geo.plane import norms
from geo.types import Floats, Indices

# A mean over less time is noise and a moment of inattention.
WINDOW_S: Final = 15.0
# The error of the difference of two smoothed positions, in standard deviations of a fix.
NOISE_SIGMAS: Final = 2.5


def speeding(driven: Driven, *, limit_mps: float, gap_s: float) -> tuple[Indices, Floats]:
    """Return where the vehicle was faster than ``limit_mps``.

    Parameters
    ----------
    driven
        The day, ``n`` fixes.
    limit_mps
        The speed allowed.
    gap_s
        Across longer steps nothing is concluded.

    Returns
    -------
    tuple[Indices, Floats]
        Shapes ``(k, 2)`` and ``(k,)``: first and last fix, and the highest mean speed over 15 s
        (or one step, if longer).

    Notes
    -----
    The straight way between two fixes at least 15 s apart is never longer than the driven one:
    what is found was too fast, by more than the noise. A short burst between is not seen.
    """
    time_s, xy = driven.time_s, driven.drive.xy
    n = len(time_s)
    last = np.searchsorted(time_s, time_s + WINDOW_S, side="left")
    first = np.flatnonzero(last < n)
    last = last[first]
    cut = np.append(0, np.cumsum((np.diff(time_s) > gap_s) | (np.diff(driven.span) != 0)))[:n]
    whole = cut[first] == cut[last]
    first, last = first[whole], last[whole]
    duration_s = time_s[last] - time_s[first]
    speed_mps = norms(xy[last] - xy[first]) / duration_s
    fast = speed_mps - NOISE_SIGMAS * driven.sigma_m / duration_s > limit_mps
    first, last, speed_mps = first[fast], last[fast], speed_mps[fast]
    if not len(first):
        return np.zeros((0, 2), dtype=np.intp), np.zeros(0)
    # Windows that overlap are one time of speeding.
    new = np.append(True, first[1:] > np.maximum.accumulate(last)[:-1])
    starts = np.flatnonzero(new)
    return (
        np.column_stack([first[starts], np.maximum.reduceat(last, starts)]),
        np.maximum.reduceat(speed_mps, starts),
    )
