"""Where a vehicle stood, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.parting import MOVING_OVER_S, best_cut, running_sums
from geo.plane import norms
from geo.trace import ERROR_MIN_S, Trace, halt_s
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters

# A stay is split in two places if their distance squared is so many variances.
SPLIT_SURPRISE: Final = 18.0
SPLIT_MIN_M: Final = 15.0
# Reflections move a parked vehicle for a minute or two; it does not drive away and park anew.
EXCURSION_S: Final = 150.0
EXCURSION_M: Final = 100.0
# So few fixes elsewhere are errors, however far off.
EXCURSION_FIXES: Final = 2
TRIM_MIN_M: Final = 15.0
# What lies this near between a stay and a silence belongs to it.
EDGE_M: Final = 50.0
EDGE_NOISES: Final = 5.5


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
    same place, and split where two halves are two places beyond what lasting noise explains
    (`geo.parting`). Stays at one place between which the vehicle was never 100 m away, for two
    minutes and a half at most, are one: reflections do that.

    O(n log n) in the fixes, with a loop over stays. Without noise, halt and start are found within
    2 s at a fix a second, 2.5 s at 5 s, 5 s at 15 and 30 s: `tests/geo/test_stays.py` holds it to
    that.
    """
    trace = Trace(time_s=time_s, xy=xy, span=span, noise_m=noise_m)
    still = _still_steps(trace, radius_m, parameters)
    edges = np.diff(still.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    runs: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        run = _without_drive(trace, (start, end), radius_m, parameters.stay_min_s)
        if runs and _same_stay(trace, runs[-1], run, radius_m, merge_s):
            run = (runs.pop()[0], run[1])
        runs.append(run)
    # Only a single place has a centre to trim closely to: two neighbours are split before.
    close_m = max(4.0 * noise_m, TRIM_MIN_M)
    sums = running_sums(xy)
    runs = [
        _trimmed(trace, part, close_m)
        for run in runs
        for part in _split(trace, sums, run, 0.8 * parameters.stay_min_s)
    ]
    runs = _without_excursions(trace, runs, max(EXCURSION_S, 2.0 * merge_s))
    return _timed(trace, runs, merge_s, parameters)


def _still_steps(trace: Trace, radius_m: float, parameters: Parameters) -> Flags:
    """Flag every step within a still window. Moments are cumulative sums: no loop over windows."""
    time_s, span = trace.time_s, trace.span
    n = len(time_s)
    if n < 2:  # noqa: PLR2004
        return np.zeros(0, dtype=bool)
    last = np.searchsorted(time_s, time_s + parameters.stay_min_s, side="left")
    first = np.flatnonzero(last < n)
    last = last[first]
    one_span = span[first] == span[last]
    first, last = first[one_span], last[one_span]
    duration_s = time_s[last] - time_s[first]
    # Linear between fixes: the exact integrals of the position and of its square. Coordinates
    # relative to the middle keep the difference of large sums precise.
    step_s = np.diff(time_s)
    variance, net_squared = np.zeros(len(first)), np.zeros(len(first))
    for axis in (0, 1):
        p = trace.xy[:, axis] - np.median(trace.xy[:, axis])
        here, there = p[:-1], p[1:]
        moment = _sums(step_s * (here + there) / 2.0)
        square = _sums(step_s * (here * here + here * there + there * there) / 3.0)
        mean = (moment[last] - moment[first]) / duration_s
        variance += (square[last] - square[first]) / duration_s - mean**2
        net_squared += (p[last] - p[first]) ** 2
    drift_m = parameters.stay_drift_mps * duration_s + 2.0 * trace.noise_m
    still = variance <= (0.6 * radius_m) ** 2
    still &= net_squared <= np.minimum(drift_m, radius_m) ** 2
    marks = np.bincount(first[still], minlength=n) - np.bincount(last[still], minlength=n)
    return np.cumsum(marks)[:-1] > 0


def _sums(values: Floats) -> Floats:
    return np.append(0.0, np.cumsum(values))


def _without_drive(
    trace: Trace, run: tuple[int, int], radius_m: float, window_s: float
) -> tuple[int, int]:
    """Return the run without the ends that drive: windows reach into it.

    The circle lies round where it stood first, or last: between, it may have changed places.
    """
    start, end = run
    time_s = trace.time_s
    head = min(int(np.searchsorted(time_s, time_s[start] + window_s)), end)
    tail = max(int(np.searchsorted(time_s, time_s[end] - window_s, side="right")) - 1, start)
    first, _ = _trimmed(trace, (start, head), radius_m)
    _, last = _trimmed(trace, (tail, end), radius_m)
    return (first, last) if first <= last else run


def _trimmed(trace: Trace, run: tuple[int, int], radius_m: float) -> tuple[int, int]:
    """Return the run without the ends outside the circle round its centre.

    Where the track begins or ends there is no drive to reach into: that is noise.
    """
    start, end = run
    span = trace.span
    away_m = norms(trace.xy[start : end + 1] - trace.centre(run))
    inside = np.flatnonzero(away_m <= radius_m)
    if not len(inside):
        return run
    first, last = start + int(inside[0]), start + int(inside[-1])
    if start == 0 or span[start - 1] != span[start]:
        first = start
    if end == len(span) - 1 or span[end + 1] != span[end]:
        last = end
    return first, last


def _same_stay(
    trace: Trace, one: tuple[int, int], other: tuple[int, int], radius_m: float, merge_s: float
) -> bool:
    return bool(
        trace.span[one[1]] == trace.span[other[0]]
        and trace.time_s[other[0]] - trace.time_s[one[1]] <= merge_s
        and norms(trace.rough_centre(one) - trace.rough_centre(other)) <= radius_m
    )


def _without_excursions(
    trace: Trace, runs: list[tuple[int, int]], longest_s: float
) -> list[tuple[int, int]]:
    """Join runs at one place that a short excursion, or what looked like a stay in it, parted."""
    kept: list[tuple[int, int]] = []
    for run in runs:
        joined = run
        for back in (1, 2):
            if len(kept) >= back and _is_excursion(trace, kept[-back], run, longest_s):
                joined = (kept[-back][0], run[1])
                del kept[-back:]
                break
        kept.append(joined)
    return kept


def _is_excursion(
    trace: Trace, one: tuple[int, int], other: tuple[int, int], longest_s: float
) -> bool:
    away_s = trace.time_s[other[0]] - trace.time_s[one[1]]
    if away_s > longest_s or trace.span[one[1]] != trace.span[other[0]]:
        return False
    centre = trace.rough_centre(one)
    same_m = max(SPLIT_MIN_M, 2.0 * trace.noise_m)
    if norms(centre - trace.rough_centre(other)) > same_m:
        return False
    between = trace.xy[one[1] + 1 : other[0]]
    near = norms(between - centre) <= EXCURSION_M + 2.0 * trace.noise_m
    return bool(near.all()) or len(between) <= EXCURSION_FIXES


def _split(
    trace: Trace, sums: Floats, run: tuple[int, int], part_min_s: float
) -> list[tuple[int, int]]:
    """Return the run, or its parts if they are places served one after the other."""
    parts, left = [], [run]
    while left:
        run = left.pop()
        cut = best_cut(trace, sums, run, part_min_s=part_min_s)
        if cut is None or cut.surprise <= SPLIT_SURPRISE or cut.apart_m <= SPLIT_MIN_M:
            parts.append(run)
        else:
            left += [(cut.at, run[1]), (run[0], cut.at - 1)]
    return parts


def parted(trace: Trace, stays: Stays, before: Mapping[int, int]) -> Stays:
    """Return the stays with some of them cut in two.

    Parameters
    ----------
    trace
        In which the stays were found.
    stays
        The stays.
    before
        For the index of each stay to cut, the first fix of its second part.

    Returns
    -------
    Stays
        More of them. The vehicle is on its way between the two fixes around the cut.
    """
    at = np.sort(np.fromiter(before, dtype=np.intp, count=len(before)))
    fix = np.array([before[int(index)] for index in at], dtype=np.intp)
    first, last = np.insert(stays.first, at + 1, fix), np.insert(stays.last, at, fix - 1)
    left_s, right_s = trace.time_s[fix - 1], trace.time_s[fix]
    away_s = np.minimum((right_s - left_s) / 2.0, MOVING_OVER_S / 2.0)
    middle_s = (left_s + right_s) / 2.0
    error_s = np.maximum((right_s - left_s) / 2.0, ERROR_MIN_S)
    centres = [trace.centre(run) for run in zip(first.tolist(), last.tolist(), strict=True)]
    return Stays(
        first=first,
        last=last,
        centre_xy=np.array(centres).reshape(-1, 2),
        from_s=np.insert(stays.from_s, at + 1, middle_s + away_s),
        to_s=np.insert(stays.to_s, at, middle_s - away_s),
        error_s=np.insert(stays.error_s, at + 1, error_s),
    )


def _to_silences(
    trace: Trace, run: tuple[int, int], centre: Floats, window_s: float
) -> tuple[int, int]:
    """Return the run with the little between it and a silence, or the end of the track.

    Windows of noisy fixes that cannot reach on find nothing there, nor does a drive begin.
    """
    begin = int(np.searchsorted(trace.span, trace.span[run[0]]))
    end = int(np.searchsorted(trace.span, trace.span[run[1]], side="right")) - 1
    near_m = max(EDGE_M, EDGE_NOISES * trace.noise_m)
    first, last = run
    if trace.time_s[first] - trace.time_s[begin] <= window_s:
        stayed = norms(trace.xy[begin:first] - centre) <= near_m
        first = begin if stayed.all() else first
    if trace.time_s[end] - trace.time_s[last] <= window_s:
        stayed = norms(trace.xy[last + 1 : end + 1] - centre) <= near_m
        last = end if stayed.all() else last
    return first, last


def _timed(
    trace: Trace, runs: list[tuple[int, int]], merge_s: float, parameters: Parameters
) -> Stays:
    """Put the halt and the start of each run between its fixes; drop what is too short then."""
    rows: list[tuple[int, int, float, float, float, float, float]] = []
    backwards, back = trace.backwards(), len(trace.time_s) - 1
    for run in runs:
        centre = trace.centre(run)
        first, last = _to_silences(trace, run, centre, max(parameters.stay_min_s, merge_s))
        from_s, error_s = halt_s(trace, (first, last), centre)
        # A departure is an arrival in reversed time.
        reverse_s, _ = halt_s(backwards, (back - last, back - first), centre)
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
