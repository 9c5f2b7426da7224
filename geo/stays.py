"""Where a vehicle stood, and since when."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters

# A stay is split in two places only if each part has so many fixes.
SPLIT_FIXES_MIN: Final = 4
SPLIT_M: Final = 20.0
TRIM_MIN_M: Final = 15.0
BRAKING_MPS2: Final = 1.5
ERROR_MIN_S: Final = 2.0
APPROACH_MIN_MPS: Final = 5.0
APPROACH_MAX_MPS: Final = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """Times at which the vehicle stood within a small circle, in time order, disjoint.

    Attributes
    ----------
    first, last
        Shape ``(k,)``: the first and the last fix inside.
    centre_xy
        Shape ``(k, 2)``: the median of the fixes, metres in the plane.
    from_s, to_s
        Shape ``(k,)``: estimated halt and start of the wheels.
    error_s
        Shape ``(k,)``: how far ``from_s`` may be off: half of the time in which it must lie,
        and the noise over the speed of approach.
    """

    first: Indices
    last: Indices
    centre_xy: Floats
    from_s: Floats
    to_s: Floats
    error_s: Floats


def find_stays(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    *,
    radius_m: float,
    noise_m: float,
    merge_s: float,
    parameters: Parameters = DEFAULT,
) -> Stays:
    """Return the stays of a track.

    Parameters
    ----------
    time_s, xy
        Shapes ``(n,)``, ``(n, 2)``: strictly increasing times; metres in the plane.
    span
        Shape ``(n,)``: ascending labels. Nothing is concluded across a change of label.
    radius_m
        The circle. The noise must fit into it.
    noise_m
        Standard deviation of a coordinate of ``xy``.
    merge_s
        Stays at one place are one if no longer apart.
    parameters
        Thresholds.

    Returns
    -------
    Stays
        Each at least ``parameters.stay_min_s`` long.

    Notes
    -----
    A window of that length is still when its time-weighted radius of gyration is at most
    0.6 ``radius_m``, its ends at most ``radius_m`` apart and its drift slow. Overlapping still
    windows join, are trimmed to the circle round their median, joined with neighbours at the
    same place, and split where two halves are two places.
    """
    still = _still_fixes(time_s, xy, span, radius_m, noise_m, parameters)
    edges = np.diff(still.astype(np.int8), prepend=0, append=0)
    breaks = np.flatnonzero(still[1:] & still[:-1] & (np.diff(span) != 0)) + 1
    starts = np.sort(np.concatenate([np.flatnonzero(edges == 1), breaks]))
    ends = np.sort(np.concatenate([np.flatnonzero(edges == -1) - 1, breaks - 1]))
    runs: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        run = _trimmed(xy, span, start, end, radius_m)
        if runs and _same_stay(time_s, xy, span, runs[-1], run, radius_m, merge_s):
            run = (runs.pop()[0], run[1])
        runs.append(run)
    # Only a single place has a centre to trim closely to: two neighbours are split before.
    close_m = min(radius_m, max(4.0 * noise_m, TRIM_MIN_M))
    runs = [
        _trimmed(xy, span, *part, close_m)
        for run in runs
        for part in _split(time_s, xy, run, noise_m, parameters)
    ]
    return _timed(time_s, xy, span, runs, noise_m, parameters)


def _still_fixes(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    radius_m: float,
    noise_m: float,
    parameters: Parameters,
) -> Flags:
    """Flag every fix of a still window. Moments are cumulative sums: no loop over windows."""
    n = len(time_s)
    if n < 2:  # noqa: PLR2004
        return np.zeros(n, dtype=bool)
    last = np.searchsorted(time_s, time_s + parameters.stay_min_s, side="left")
    first = np.flatnonzero(last < n)
    last = last[first]
    one_span = span[first] == span[last]
    first, last = first[one_span], last[one_span]
    step_s = np.diff(time_s)[:, np.newaxis]
    # Linear between fixes: the exact integrals of the position and of its square. Coordinates
    # relative to the middle keep the difference of large sums precise.
    p = xy - np.median(xy, axis=0)
    moment = _sums(step_s * (p[1:] + p[:-1]) / 2.0)
    square = _sums(step_s * (p[1:] ** 2 + p[1:] * p[:-1] + p[:-1] ** 2) / 3.0)
    duration_s = (time_s[last] - time_s[first])[:, np.newaxis]
    mean = (moment[last] - moment[first]) / duration_s
    variance = ((square[last] - square[first]) / duration_s - mean**2).sum(axis=1)
    net_m = norms(xy[last] - xy[first])
    drift_m = parameters.stay_drift_mps * duration_s[:, 0] + 2.0 * noise_m
    still = (variance <= (0.6 * radius_m) ** 2) & (net_m <= radius_m) & (net_m <= drift_m)
    marks = np.zeros(n + 1)
    np.add.at(marks, first[still], 1.0)
    np.add.at(marks, last[still] + 1, -1.0)
    return np.cumsum(marks)[:n] > 0.0


def _sums(values: Floats) -> Floats:
    return np.concatenate([np.zeros((1, 2)), np.cumsum(values, axis=0)])


def _centre(xy: Floats, run: tuple[int, int]) -> Floats:
    centre: Floats = np.median(xy[run[0] : run[1] + 1], axis=0)
    return centre


def _trimmed(xy: Floats, span: Indices, start: int, end: int, radius_m: float) -> tuple[int, int]:
    """Return the run without the ends outside the circle: windows reach into the drive.

    Where the track begins or ends there is no drive to reach into: that is noise.
    """
    centre = _centre(xy, (start, end))
    inside = np.flatnonzero(norms(xy[start : end + 1] - centre) <= radius_m)
    if not len(inside):
        return start, end
    first, last = start + int(inside[0]), start + int(inside[-1])
    if start == 0 or span[start - 1] != span[start]:
        first = start
    if end == len(span) - 1 or span[end + 1] != span[end]:
        last = end
    return first, last


def _same_stay(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    one: tuple[int, int],
    other: tuple[int, int],
    radius_m: float,
    merge_s: float,
) -> bool:
    return bool(
        span[one[1]] == span[other[0]]
        and time_s[other[0]] - time_s[one[1]] <= merge_s
        and norms(_centre(xy, one) - _centre(xy, other)) <= radius_m
    )


def _split(
    time_s: Floats, xy: Floats, run: tuple[int, int], noise_m: float, parameters: Parameters
) -> list[tuple[int, int]]:
    """Return the run, or its parts if they are two places served one after the other."""
    n = run[1] + 1 - run[0]
    if n < 2 * SPLIT_FIXES_MIN:
        return [run]
    sums = np.cumsum(xy[run[0] : run[1] + 1], axis=0)
    size = np.arange(SPLIT_FIXES_MIN, n - SPLIT_FIXES_MIN + 1)
    left = sums[size - 1] / size[:, np.newaxis]
    right = (sums[-1] - sums[size - 1]) / (n - size)[:, np.newaxis]
    apart_m = norms(left - right)
    best = int(np.argmax(apart_m * np.sqrt(size * (n - size))))
    at = run[0] + int(size[best])
    long_enough = min(time_s[at - 1] - time_s[run[0]], time_s[run[1]] - time_s[at]) >= 0.8 * float(
        parameters.stay_min_s
    )
    if apart_m[best] <= max(SPLIT_M, 1.6 * noise_m) or not long_enough:
        return [run]
    return [
        *_split(time_s, xy, (run[0], at - 1), noise_m, parameters),
        *_split(time_s, xy, (at, run[1]), noise_m, parameters),
    ]


def _timed(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    runs: list[tuple[int, int]],
    noise_m: float,
    parameters: Parameters,
) -> Stays:
    """Put the halt and the start of each run between its fixes; drop what is too short then."""
    rows: list[tuple[int, int, float, float, float, float, float]] = []
    reversed_s, reversed_xy, reversed_span = -time_s[::-1], xy[::-1], span[::-1]
    for first, last in runs:
        centre = _centre(xy, (first, last))
        from_s, error_s = _halt_s(time_s, xy, span, (first, last), centre, noise_m)
        # A departure is an arrival in reversed time.
        back = len(time_s) - 1
        reverse_s, _ = _halt_s(
            reversed_s, reversed_xy, reversed_span, (back - last, back - first), centre, noise_m
        )
        if -reverse_s - from_s >= 0.8 * parameters.stay_min_s:
            rows.append((first, last, centre[0], centre[1], from_s, -reverse_s, error_s))
    table = np.array(rows).reshape(-1, 7)
    return Stays(
        first=table[:, 0].astype(np.intp),
        last=table[:, 1].astype(np.intp),
        centre_xy=table[:, 2:4],
        from_s=table[:, 4],
        to_s=table[:, 5],
        error_s=table[:, 6],
    )


def _halt_s(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    run: tuple[int, int],
    centre: Floats,
    noise_m: float,
) -> tuple[float, float]:
    """Return when the wheels stopped, and half of the interval in which that must have been.

    The last fix outside the circle drives on at the speed of the step before it, then brakes
    at 1.5 m/s2. The estimate never leaves the time until the first fix near the centre.
    """
    first, last = run
    if first == 0 or span[first - 1] != span[first]:
        return float(time_s[first]), 0.0
    distance_m = norms(xy[first : last + 1] - centre)
    near = np.flatnonzero(distance_m <= np.median(distance_m))
    latest_s = float(time_s[first + int(near[0])])
    before = first - 1
    away_m = float(norms(xy[before] - centre))
    back = max(before - 1, 0) if span[max(before - 1, 0)] == span[before] else before
    pair = (back, before) if back < before else (before, first)
    moved_m = float(norms(xy[pair[1]] - xy[pair[0]]))
    speed_mps = moved_m / float(time_s[pair[1]] - time_s[pair[0]])
    speed_mps = float(np.clip(speed_mps, APPROACH_MIN_MPS, APPROACH_MAX_MPS))
    braking_m = speed_mps**2 / (2.0 * BRAKING_MPS2)
    if away_m > braking_m:
        needed_s = away_m / speed_mps + speed_mps / (2.0 * BRAKING_MPS2)
    else:
        needed_s = 2.0 * away_m / speed_mps
    earliest_s = float(time_s[before])
    error_s = max(ERROR_MIN_S, (latest_s - earliest_s) / 2.0) + noise_m / speed_mps
    return min(earliest_s + needed_s, latest_s), error_s
