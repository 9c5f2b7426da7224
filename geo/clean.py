"""Deciding which fixes to believe. A dropped fix is counted, never deleted by us."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.outliers import SPIKE_FIXES_MAX, spikes, stuck
from geo.plane import LATITUDE_MAX_DEG, LONGITUDE_MAX_DEG, Plane, norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters, Track

# How far back, in fixes, a believable predecessor is looked for. A burst of false fixes
# longer than this is believed: persistence decides, the accuracy a phone claims does not.
LOOK_BACK_FIXES: Final = 30
SIGMA_MIN_M: Final = 3.0
SIGMA_MAX_M: Final = 60.0
# Android and iOS claim the radius that holds 68 % in two dimensions: 1.5 sigma of one axis.
ACCURACY_PER_SIGMA: Final = 1.5
NOISE_FIXES_MIN: Final = 5
# Up to this step a vehicle that turns and brakes moves less than the noise we look for.
NOISE_STEP_MAX_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The fixes to believe, in time order, strictly increasing.

    Attributes
    ----------
    time_s, xy, sigma_m
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: unix seconds, metres in the plane, and the
        standard deviation of each coordinate.
    interval
        Shape ``(n,)``: which of the shared intervals holds the fix.
    fixes
        Distinct fixes looked at. An exact repeat of a fix is the same fix.
    dropped
        How many were not believed, by reason; only reasons that occurred.
    """

    time_s: Floats
    xy: Floats
    sigma_m: Floats
    interval: Indices
    fixes: int
    dropped: Mapping[str, int]


def clean(
    track: Track,
    plane: Plane,
    *,
    shared_s: Floats,
    until_s: float,
    parameters: Parameters = DEFAULT,
) -> Cleaned:
    """Return the fixes of ``track`` to believe.

    Parameters
    ----------
    track
        Fixes in any order.
    plane
        Where they are laid out in metres.
    shared_s
        Shape ``(w, 2)``: disjoint intervals, ascending, in which positions could be recorded.
    until_s
        Later fixes are not looked at: they come from a clock that runs ahead.
    parameters
        Thresholds.

    Returns
    -------
    Cleaned
        The same for every order of the input and however often a fix is repeated.

    Notes
    -----
    In turn: what cannot be (``not_finite``, ``out_of_range``, ``null_island``), what may not be
    known (``not_shared``), what claims to be too coarse (``inaccurate``), the worse of two fixes
    of one time (``same_time``), a position the phone repeated while the vehicle drove on
    (``stuck``), what lies off the longest chain of fixes with ``d <= 50 m/s dt + 60 m``
    (``impossible_speed``), and one to three fixes that leave the line and come back faster than
    it moves (``spike``). O(n log n), O(n) where the fixes come in order; about 1 us a fix. Only
    around an impossible step that is no lone jump out and back are fixes walked one by one.
    """
    time_s, lon_lat, accuracy_m = _sorted(track)
    fixes = len(time_s)
    interval = interval_of(time_s, shared_s)
    dropped: dict[str, int] = {}
    believed = np.ones(fixes, dtype=bool)
    looked_at = (interval >= 0) & (time_s <= until_s)
    for reason, passed in _tests(time_s, lon_lat, accuracy_m, looked_at, parameters).items():
        _count(dropped, reason, believed & ~passed)
        believed &= passed
    kept = np.flatnonzero(believed)
    # Of one time the best claim comes first.
    first = np.diff(time_s[kept], prepend=-np.inf) > 0.0
    _count(dropped, "same_time", ~first)
    kept = kept[first]
    xy = plane.to_xy(lon_lat[kept])
    held, sigma_m = _without_outliers(time_s[kept], xy, accuracy_m[kept], dropped, parameters)
    return Cleaned(
        time_s=time_s[kept][held],
        xy=xy[held],
        sigma_m=sigma_m,
        interval=interval[kept][held],
        fixes=fixes,
        dropped=dropped,
    )


def _without_outliers(
    time_s: Floats,
    xy: Floats,
    accuracy_m: Floats,
    dropped: dict[str, int],
    parameters: Parameters,
) -> tuple[Indices, Floats]:
    """Return the fixes to believe and the noise of each; count the others in ``dropped``."""
    kept = np.arange(len(time_s))
    lost = stuck(time_s, xy, parameters)
    _count(dropped, "stuck", lost)
    kept = kept[~lost]
    believed = _feasible(time_s[kept], xy[kept], parameters)
    _count(dropped, "impossible_speed", ~believed)
    kept = kept[believed]
    sigma_m = sigmas_m(time_s[kept], xy[kept], accuracy_m[kept], parameters)
    lost = spikes(time_s[kept], xy[kept], sigma_m, parameters)
    _count(dropped, "spike", lost)
    return kept[~lost], sigma_m[~lost]


def _tests(
    time_s: Floats, lon_lat: Floats, accuracy_m: Floats, looked_at: Flags, parameters: Parameters
) -> dict[str, Flags]:
    """Return what a fix must pass by itself, under the reason for which it is dropped otherwise."""
    longitude_deg, latitude_deg = lon_lat[:, 0], lon_lat[:, 1]
    in_range = np.abs(longitude_deg) <= LONGITUDE_MAX_DEG
    in_range &= np.abs(latitude_deg) <= LATITUDE_MAX_DEG
    return {
        "not_finite": np.isfinite(time_s) & np.isfinite(longitude_deg) & np.isfinite(latitude_deg),
        "out_of_range": in_range,
        "null_island": (longitude_deg != 0.0) | (latitude_deg != 0.0),
        "not_shared": looked_at,
        "inaccurate": (accuracy_m <= parameters.accuracy_max_m) | np.isinf(accuracy_m),
    }


def _count(dropped: dict[str, int], reason: str, lost: Flags) -> None:
    if many := int(np.count_nonzero(lost)):
        dropped[reason] = many


def _sorted(track: Track) -> tuple[Floats, Floats, Floats]:
    """Return the distinct fixes by time, of one time the best claim first; unknown is inf.

    The outcome does not depend on the order of arrival. Tracks come nearly in order, which a
    stable sort takes in O(n); only fixes of one time are compared in full.
    """
    time_s = np.where(np.isnan(track.time_s), np.inf, track.time_s)
    order = np.argsort(time_s, kind="stable")
    rows = np.column_stack([time_s, track.lon_lat, track.accuracy_m])[order]
    rows[np.isnan(rows)] = np.inf
    equal = np.append(False, rows[1:, 0] == rows[:-1, 0])
    if not equal.any():
        return rows[:, 0], rows[:, 1:3], rows[:, 3]
    tied = np.flatnonzero(equal | np.append(equal[1:], False))
    ties = rows[tied]
    claim = np.maximum(ties[:, 3], 0.0)
    rows[tied] = ties[np.lexsort((ties[:, 3], ties[:, 2], ties[:, 1], claim, ties[:, 0]))]
    repeated = np.append(False, (rows[1:] == rows[:-1]).all(axis=1))
    rows = rows[~repeated]
    return rows[:, 0], rows[:, 1:3], rows[:, 3]


def interval_of(time_s: Floats, intervals_s: Floats) -> Indices:
    """Return which of the disjoint, ascending intervals ``(w, 2)`` holds each time; -1 = none."""
    if not len(intervals_s):
        return np.full(len(time_s), -1)
    at = np.searchsorted(intervals_s[:, 0], time_s, side="right") - 1
    return np.where((at >= 0) & (time_s <= intervals_s[at, 1]), at, -1)


def sigmas_m(time_s: Floats, xy: Floats, accuracy_m: Floats, parameters: Parameters) -> Floats:
    """Return the standard deviation of a coordinate of each fix.

    Parameters
    ----------
    time_s, xy, accuracy_m
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: times strictly increasing; an accuracy that is not
        finite or not positive is unknown.
    parameters
        Thresholds.

    Returns
    -------
    Floats
        Shape ``(n,)``: metres, 3 to 60.

    Notes
    -----
    The claim of the phone (accuracy / 1.5) is held against the noise of the track itself. The
    latter is blind to errors that last longer than a step, so it may double the claim, but
    never lowers it.
    """
    known = np.isfinite(accuracy_m) & (accuracy_m > 0.0)
    step_s = float(np.median(np.diff(time_s))) if len(time_s) >= NOISE_FIXES_MIN else np.inf
    noise_m = _noise_m(time_s, xy) if step_s <= parameters.dense_step_s else None
    if not known.any():
        typical_m = parameters.sigma_default_m if noise_m is None else noise_m
        # Turning and braking look like noise, the more so the longer the step.
        ceiling_m = SIGMA_MAX_M if step_s <= NOISE_STEP_MAX_S else parameters.sigma_default_m
        return np.full(len(time_s), np.clip(typical_m, SIGMA_MIN_M, ceiling_m))
    claimed_m = np.where(known, accuracy_m, np.median(accuracy_m[known])) / ACCURACY_PER_SIGMA
    typical_m = float(np.median(claimed_m))
    truer = 1.0 if noise_m is None else np.clip(noise_m / typical_m, 1.0, 2.0)
    return np.clip(claimed_m * truer, SIGMA_MIN_M, SIGMA_MAX_M)


def _noise_m(time_s: Floats, xy: Floats) -> float:
    """Return a robust noise level from second differences, made comparable for uneven steps."""
    before, after = np.diff(time_s)[:-1], np.diff(time_s)[1:]
    weight = before / (before + after)
    between = xy[:-2] * (1.0 - weight)[:, np.newaxis] + xy[2:] * weight[:, np.newaxis]
    scale = np.sqrt(1.0 + weight**2 + (1.0 - weight) ** 2)
    residual = (xy[1:-1] - between) / scale[:, np.newaxis]
    # Stuck coordinates repeat exactly: they say nothing about noise.
    moved = np.abs(residual[residual != 0.0])
    return float(1.4826 * np.median(moved)) if len(moved) else SIGMA_MIN_M


def _feasible(time_s: Floats, xy: Floats, parameters: Parameters) -> Flags:
    """Flag the longest chain of fixes a vehicle could have driven.

    "Compare with the last kept fix" would let one false fix drop all good ones after it.
    """
    kept = np.arange(len(time_s))
    broken = _broken(time_s, xy, parameters)
    if len(broken):
        kept = np.delete(kept, _lone_jumps(time_s, xy, broken, parameters))
        broken = _broken(time_s[kept], xy[kept], parameters)
    believed = np.zeros(len(time_s), dtype=bool)
    believed[kept] = True
    if not len(broken):
        return believed
    starts = np.maximum(broken - LOOK_BACK_FIXES, 0)
    ends = np.minimum(broken + LOOK_BACK_FIXES + 2, len(kept))
    apart = np.flatnonzero(starts[1:] > ends[:-1])
    firsts = starts[np.concatenate([[0], apart + 1])]
    lasts = ends[np.concatenate([apart, [len(ends) - 1]])]
    for first, last in zip(firsts, lasts, strict=True):
        block = kept[first:last]
        believed[block] = _longest_chain(time_s[block], xy[block], parameters)
    return believed


def _reach_m(dt_s: Floats, parameters: Parameters) -> Floats:
    return parameters.feasible_speed_mps * dt_s + parameters.feasible_slack_m


def _broken(time_s: Floats, xy: Floats, parameters: Parameters) -> Indices:
    """Return the steps that no vehicle drives."""
    return np.flatnonzero(norms(np.diff(xy, axis=0)) > _reach_m(np.diff(time_s), parameters))


def _lone_jumps(time_s: Floats, xy: Floats, broken: Indices, parameters: Parameters) -> Indices:
    """Return the fixes of short runs that jump out and back, far from any other broken step.

    Around each the longest chain is what lies on both sides: no need to look for it.
    """
    out, back = broken[:-1], broken[1:]
    calm = np.diff(broken, prepend=-np.inf, append=np.inf) > 2 * SPIKE_FIXES_MAX
    short = (back - out <= SPIKE_FIXES_MAX) & calm[:-2] & calm[2:]
    short &= (out >= SPIKE_FIXES_MAX) & (back + SPIKE_FIXES_MAX + 1 < len(time_s))
    out, back = out[short], back[short]
    fits = norms(xy[back + 1] - xy[out]) <= _reach_m(time_s[back + 1] - time_s[out], parameters)
    out, back = out[fits], back[fits]
    inside = out[:, np.newaxis] + 1 + np.arange(SPIKE_FIXES_MAX)
    return inside[inside <= back[:, np.newaxis]]


def _longest_chain(time_s: Floats, xy: Floats, parameters: Parameters) -> Flags:
    count = len(time_s)
    # Which of the fixes just before, latest first, each could have been driven to from.
    earlier = np.arange(count)[:, np.newaxis] - np.arange(1, min(LOOK_BACK_FIXES, count) + 1)
    exists, earlier = earlier >= 0, np.maximum(earlier, 0)
    way_m = norms(xy[earlier] - xy[:, np.newaxis])
    possible = exists & (way_m <= _reach_m(time_s[:, np.newaxis] - time_s[earlier], parameters))
    length = np.ones(count)
    came_from = np.full(count, -1)
    for j in range(1, count):
        reach = possible[j] * length[earlier[j]]
        best = int(reach.argmax())  # of equals the latest
        if reach[best] > 0.0:
            length[j], came_from[j] = reach[best] + 1.0, earlier[j, best]
    at = int(count - 1 - np.argmax(length[::-1]))
    chain = np.zeros(count, dtype=bool)
    while at >= 0:
        chain[at] = True
        at = int(came_from[at])
    return chain
