"""Leaving the planned corridor and coming back."""

import numpy as np

from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters


def off_corridor(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    distance_m: Floats,
    *,
    sigma_m: float,
    parameters: Parameters = DEFAULT,
) -> tuple[Flags, Indices]:
    """Return where the track is off the plan.

    Parameters
    ----------
    time_s, xy, span, distance_m
        Shapes ``(n,)`` and ``(n, 2)``: times, metres in the plane, ascending labels across whose
        changes nothing is concluded, and distances to the plan.
    sigma_m
        Noise of a coordinate: beyond 10 m it widens the corridor by twice the excess.
    parameters
        Thresholds.

    Returns
    -------
    tuple[Flags, Indices]
        Shape ``(n,)``: fixes outside by hysteresis; shape ``(k, 2)``: first and last fix of each
        deviation worth reporting: long enough in metres, and in seconds or fixes.

    Notes
    -----
    Out beyond 50 m, in again within 40 m. What lies before the first fix inside is the way to
    the plan, not a deviation from it; a track that never comes inside is one deviation.
    """
    n = len(time_s)
    widen_m = 2.0 * max(0.0, sigma_m - parameters.sigma_default_m)
    out = distance_m > parameters.corridor_leave_m + widen_m
    inside = distance_m <= parameters.corridor_return_m + widen_m
    # The last fix that decided anything decides for those between the two thresholds.
    decided = np.maximum.accumulate(np.where(out | inside, np.arange(n), -1))
    outside: Flags = (decided >= 0) & out[decided] if n else out
    first_inside = int(np.argmax(inside)) if inside.any() else 0
    considered = outside & (np.arange(n) >= first_inside)
    new_span = np.diff(span, prepend=-1) != 0
    starts = np.flatnonzero(considered & (new_span | ~np.append(False, considered[:-1])[:n]))
    closes = np.append(new_span[1:] | ~considered[1:], True)[:n]
    ends = np.flatnonzero(considered & closes)
    driven_m = np.append(0.0, np.cumsum(norms(np.diff(xy, axis=0))))
    same_before = np.where(new_span[starts], starts, starts - 1) if len(starts) else starts
    duration_s = time_s[ends] - time_s[same_before]
    enough = (ends - starts + 1 >= parameters.deviation_min_fixes) | (
        duration_s >= parameters.deviation_min_s
    )
    enough &= driven_m[ends] - driven_m[same_before] >= parameters.deviation_min_m
    return outside, np.column_stack([starts[enough], ends[enough]])
