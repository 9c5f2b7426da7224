"""Intervals of time in which positions could be recorded."""

import numpy as np

from geo.types import Floats


def merged(intervals_s: Floats) -> Floats:
    """Return the union of intervals as disjoint ones.

    Parameters
    ----------
    intervals_s
        Shape ``(w, 2)``: from and to, unix seconds, in any order, overlaps allowed.

    Returns
    -------
    Floats
        Shape ``(v, 2)``, ``v <= w``: ascending and disjoint; empty ones are left out.
    """
    intervals_s = intervals_s[intervals_s[:, 0] < intervals_s[:, 1]]
    if not len(intervals_s):
        return np.zeros((0, 2))
    intervals_s = intervals_s[np.argsort(intervals_s[:, 0], kind="stable")]
    end_s = np.maximum.accumulate(intervals_s[:, 1])
    first = np.append(True, intervals_s[1:, 0] > end_s[:-1])
    last = np.append(first[1:], True)
    return np.column_stack([intervals_s[first, 0], end_s[last]])


def shared_by(one_s: Floats, other_s: Floats) -> Floats:
    """Return the times that lie in both of two unions.

    Parameters
    ----------
    one_s, other_s
        Shapes ``(v, 2)`` and ``(w, 2)``: disjoint intervals, unix seconds.

    Returns
    -------
    Floats
        Shape ``(u, 2)``: disjoint intervals.
    """
    from_s = np.maximum(one_s[:, np.newaxis, 0], other_s[:, 0]).ravel()
    to_s = np.minimum(one_s[:, np.newaxis, 1], other_s[:, 1]).ravel()
    return merged(np.column_stack([from_s, to_s]))
