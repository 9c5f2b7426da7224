"""Leaving the plan: its corridor, its sequence, its direction, or a part of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.along_plan import LONGER_SHARE, SLACK_M, AlongPlan
from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters

# Parts of the plan that overlap by less are in sequence: the ends of a part are noise.
OVERLAP_M: Final = 100.0


def corridor_widening_m(sigma_m: float, parameters: Parameters) -> float:
    """Return by how much noise beyond 10 m widens the corridor: twice the excess."""
    return 2.0 * max(0.0, sigma_m - parameters.sigma_default_m)


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
    Out beyond 50 m, in again within 40 m; one fix outside proves nothing. What lies before the
    first fix inside is the way to the plan, not a deviation from it; a track that never comes
    inside is one deviation.
    """
    n = len(time_s)
    widen_m = corridor_widening_m(sigma_m, parameters)
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
    # A lone fix may be the one in a hundred that is far off.
    enough &= starts < ends
    return outside, np.column_stack([starts[enough], ends[enough]])


def beside_plan(
    held: AlongPlan,
    time_s: Floats,
    runs: Indices,
    *,
    sigma_m: float,
    parameters: Parameters = DEFAULT,
) -> Flags:
    """Flag the times outside the corridor that are as likely a shift of all fixes.

    Parameters
    ----------
    held, time_s
        The plan as it was driven, and the times, ``(k,)``, of its fixes.
    runs
        Shape ``(r, 2)``: first and last fix outside.
    sigma_m
        Noise of a coordinate.
    parameters
        ``deviation_beside_s`` and the corridor.

    Returns
    -------
    Flags
        Shape ``(r,)``: true where the vehicle went on along the plan all the time, less than
        100 s long and never twice as far off as the corridor is wide. Between houses all fixes
        may lie 30 to 80 m to one side for a minute or more.
    """
    strays = np.append(0, np.cumsum(~held.forwards))
    first, last = np.maximum(runs[:, 0] - 1, 0), np.minimum(runs[:, 1] + 1, len(time_s) - 1)
    along = strays[last] == strays[first]
    short = time_s[runs[:, 1]] - time_s[runs[:, 0]] < parameters.deviation_beside_s
    farthest_m = [held.distance_m[begin : end + 1].max() for begin, end in runs.tolist()]
    near = np.array(farthest_m) <= 2.0 * leave_m(sigma_m, parameters)
    return np.asarray(along & short & near)


def leave_m(sigma_m: float, parameters: Parameters) -> float:
    """Return how wide the corridor is to each side."""
    return parameters.corridor_leave_m + corridor_widening_m(sigma_m, parameters)


def against_direction(
    held: AlongPlan, *, sigma_m: float = 0.0, parameters: Parameters = DEFAULT
) -> Indices:
    """Return where the plan was driven against its direction, within its corridor.

    Parameters
    ----------
    held
        The plan as it was driven.
    sigma_m
        Noise of a coordinate.
    parameters
        Thresholds.

    Returns
    -------
    Indices
        Shape ``(r, 2)``: first and last of the fixes of ``held``, at least
        ``parameters.deviation_min_m`` of the wheels apart.
    """
    runs = _runs(held.backwards & _within(held, sigma_m, parameters))
    wheels_m = np.append(0.0, np.cumsum(held.driven_m))
    long = wheels_m[runs[:, 1]] - wheels_m[runs[:, 0]] >= parameters.deviation_min_m
    return np.asarray(runs[long])


def out_of_sequence(
    held: AlongPlan, *, sigma_m: float = 0.0, parameters: Parameters = DEFAULT
) -> Indices:
    """Return where parts of the plan were driven at another time than planned.

    Parameters
    ----------
    held
        The plan as it was driven.
    sigma_m
        Noise of a coordinate.
    parameters
        Thresholds.

    Returns
    -------
    Indices
        Shape ``(r, 2)``: first and last of the fixes of ``held``: the parts driven forwards within
        the corridor, at least ``parameters.sequence_min_m`` long, that are not of the longest
        sequence of parts in planned order. A part driven again counts once in sequence.
    """
    runs = _runs(held.forwards & _within(held, sigma_m, parameters))
    from_m, to_m = held.along_m[runs].T
    long = to_m - from_m >= parameters.sequence_min_m
    runs, from_m, to_m = runs[long], from_m[long], to_m[long]
    best_m, before = to_m - from_m, np.full(len(runs), -1)
    for part in range(1, len(runs)):  # parts, not fixes: one or two on most days
        possible = to_m[:part] <= from_m[part] + OVERLAP_M
        if possible.any():
            latest = int(np.argmax(np.where(possible, best_m[:part], -np.inf)))
            best_m[part] += best_m[latest]
            before[part] = latest
    kept = np.zeros(len(runs), dtype=bool)
    part = int(np.argmax(best_m)) if len(runs) else -1
    while part >= 0:
        kept[part] = True
        part = int(before[part])
    return np.asarray(runs[~kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Parts of the plan nobody drove, ``r`` of them.

    Attributes
    ----------
    fixes
        Shape ``(r, 2)``: the last fix of ``AlongPlan`` before and the first after.
    from_m, to_m
        Shape ``(r,)``: the part, along the plan.
    length_m
        Shape ``(r,)``: how much of it at least was not driven.
    """

    fixes: Indices
    from_m: Floats
    to_m: Floats
    length_m: Floats


def skipped(held: AlongPlan, *, parameters: Parameters = DEFAULT) -> Skipped:
    """Return the parts of the plan that were left out.

    Notes
    -----
    From one fix on the line to the next the plan is clearly longer than what the wheels did, also
    counting a detour, no other time drove that part, and nothing was silent meanwhile: a silence
    leaves nothing out, it is not known. What comes before the first fix or after the last is
    not left out either.
    """
    on = np.flatnonzero(np.isfinite(held.along_m))
    place_m, wheels_m = held.along_m[on], np.append(0.0, np.cumsum(held.driven_m))[on]
    unknown = np.append(0.0, np.cumsum(~held.known))[on]
    hidden_m = np.append(0.0, np.cumsum(held.hidden_m))[on]
    progress_m, driven_m = np.diff(place_m), np.diff(wheels_m)
    longest_m = (1.0 + LONGER_SHARE) * driven_m + SLACK_M + np.diff(hidden_m)
    jump = (np.diff(unknown) == 0.0) & (progress_m > longest_m)
    # A great step back covers nothing either.
    covers = ~jump & (progress_m >= -longest_m)
    low_m, high_m = np.minimum(place_m[:-1], place_m[1:]), np.maximum(place_m[:-1], place_m[1:])
    order = np.argsort(low_m[covers], kind="stable")
    begin_m, end_m = low_m[covers][order], np.maximum.accumulate(high_m[covers][order])
    open_m = np.column_stack([end_m[:-1], begin_m[1:]])
    open_m = open_m[open_m[:, 1] - open_m[:, 0] >= parameters.sequence_min_m]
    jumps = np.flatnonzero(jump)
    # The first jump over each part; what another jump drove before and after does not matter.
    over = (low_m[jumps] <= open_m[:, :1] + OVERLAP_M) & (
        high_m[jumps] >= open_m[:, 1:] - OVERLAP_M
    )
    found = over.any(axis=1)
    open_m, over = open_m[found], over[found]
    at = jumps[over.argmax(axis=1)] if len(open_m) else jumps[:0]
    length_m = open_m[:, 1] - open_m[:, 0] - driven_m[at]
    long = length_m >= parameters.sequence_min_m
    return Skipped(
        fixes=np.column_stack([on[at], on[at + 1]])[long],
        from_m=open_m[long, 0],
        to_m=open_m[long, 1],
        length_m=length_m[long],
    )


def _within(held: AlongPlan, sigma_m: float, parameters: Parameters) -> Flags:
    """Flag the steps with both ends in the corridor and nothing unknown between, ``(k - 1,)``."""
    inside = held.distance_m <= leave_m(sigma_m, parameters)
    return np.asarray(inside[:-1] & inside[1:] & held.known)


def _runs(flags: Flags) -> Indices:
    """Return first and last fix of each run of flagged steps, ``(r, 2)``."""
    edges = np.diff(flags.astype(np.int8), prepend=0, append=0)
    return np.column_stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)])
