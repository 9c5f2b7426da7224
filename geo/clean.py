"""Deciding which fixes to believe. A dropped fix is counted, never deleted by us."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import LATITUDE_MAX_DEG, LONGITUDE_MAX_DEG, Plane, norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters, Track

# How far back, in fixes, a believable predecessor is looked for. A burst of false fixes
# longer than this is believed: persistence decides, the accuracy a phone claims does not.
LOOK_BACK_FIXES: Final = 30
SPIKE_FIXES_MAX: Final = 3
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
    """
    rows = np.column_stack([track.time_s, track.lon_lat, track.accuracy_m])
    # Sorting whole rows makes the outcome independent of the order of arrival.
    rows = np.unique(np.where(np.isnan(rows), np.inf, rows), axis=0) if len(rows) else rows
    fixes = len(rows)
    interval = interval_of(rows[:, 0], shared_s)
    dropped: dict[str, int] = {}

    def keep(believed: Flags, reason: str) -> None:
        nonlocal rows, interval
        if lost := int(np.count_nonzero(~believed)):
            dropped[reason] = lost
        rows, interval = rows[believed], interval[believed]

    keep(np.asarray(np.isfinite(rows[:, :3]).all(axis=1)), "not_finite")
    longitude_deg, latitude_deg = np.abs(rows[:, 1]), np.abs(rows[:, 2])
    in_range = (longitude_deg <= LONGITUDE_MAX_DEG) & (latitude_deg <= LATITUDE_MAX_DEG)
    keep(in_range, "out_of_range")
    keep((rows[:, 1] != 0.0) | (rows[:, 2] != 0.0), "null_island")
    keep((interval >= 0) & (rows[:, 0] <= until_s), "not_shared")
    keep((rows[:, 3] <= parameters.accuracy_max_m) | np.isinf(rows[:, 3]), "inaccurate")
    order = np.lexsort((np.maximum(rows[:, 3], 0.0), rows[:, 0]))
    rows, interval = rows[order], interval[order]
    keep(np.diff(rows[:, 0], prepend=-np.inf) > 0.0, "same_time")
    keep(_feasible(rows[:, 0], plane.to_xy(rows[:, 1:3]), parameters), "impossible_speed")
    sigma_m = sigmas_m(rows[:, 0], plane.to_xy(rows[:, 1:3]), rows[:, 3], parameters)
    spiky = _spikes(rows[:, 0], plane.to_xy(rows[:, 1:3]), sigma_m, parameters)
    keep(~spiky, "spike")
    return Cleaned(
        time_s=rows[:, 0],
        xy=plane.to_xy(rows[:, 1:3]),
        sigma_m=sigma_m[~spiky],
        interval=interval,
        fixes=fixes,
        dropped=dropped,
    )


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
    """Flag the longest chain of fixes a vehicle could have driven, block by block.

    "Compare with the last kept fix" would let one false fix drop all good ones after it.
    """
    believed = np.ones(len(time_s), dtype=bool)

    def limit_m(dt_s: Floats) -> Floats:
        return parameters.feasible_speed_mps * dt_s + parameters.feasible_slack_m

    broken = np.flatnonzero(norms(np.diff(xy, axis=0)) > limit_m(np.diff(time_s)))
    if not len(broken):
        return believed
    starts = np.maximum(broken - LOOK_BACK_FIXES, 0)
    ends = np.minimum(broken + LOOK_BACK_FIXES + 2, len(time_s))
    apart = np.flatnonzero(starts[1:] > ends[:-1])
    firsts = starts[np.concatenate([[0], apart + 1])]
    lasts = ends[np.concatenate([apart, [len(ends) - 1]])]
    for first, last in zip(firsts, lasts, strict=True):
        t, p = time_s[first:last], xy[first:last]
        length = np.ones(last - first)
        came_from = np.full(last - first, -1)
        for j in range(1, last - first):
            low = max(0, j - LOOK_BACK_FIXES)
            possible = norms(p[low:j] - p[j]) <= limit_m(t[j] - t[low:j])
            reach = np.where(possible, length[low:j], 0.0)[::-1]  # of equals the latest
            best = int(np.argmax(reach))
            if reach[best] > 0.0:
                length[j], came_from[j] = reach[best] + 1.0, j - 1 - best
        at = int(last - first - 1 - np.argmax(length[::-1]))
        chain = np.zeros(last - first, dtype=bool)
        while at >= 0:
            chain[at] = True
            at = int(came_from[at])
        believed[first:last] = chain
    return believed


def _spikes(time_s: Floats, xy: Floats, sigma_m: Floats, parameters: Parameters) -> Flags:
    """Flag runs of one to three fixes that leave the line and come back faster than it moves."""
    spiky = np.zeros(len(time_s), dtype=bool)
    if len(time_s) < SPIKE_FIXES_MAX:
        return spiky
    jump_min_m = max(parameters.spike_min_m, 4.0 * float(np.median(sigma_m)))
    for run in range(1, SPIKE_FIXES_MAX + 1):
        before = np.arange(0, len(time_s) - run - 1)
        after = before + run + 1
        duration_s = time_s[after] - time_s[before]
        base_m = norms(xy[after] - xy[before])
        out_m = norms(xy[before + 1] - xy[before])
        back_m = norms(xy[after] - xy[after - 1])
        out_mps = out_m / np.maximum(time_s[before + 1] - time_s[before], 0.5)
        back_mps = back_m / np.maximum(time_s[after] - time_s[after - 1], 0.5)
        found = (
            (duration_s <= parameters.spike_max_s)
            & (np.minimum(out_m, back_m) > jump_min_m)
            & (base_m < 0.5 * (out_m + back_m))
            & (np.minimum(out_mps, back_mps) > 1.7 * base_m / np.maximum(duration_s, 1.0) + 6.0)
        )
        for offset in range(1, run + 1):
            spiky[before[found] + offset] = True
    return spiky
