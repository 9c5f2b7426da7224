"""Spacing out a track before it is laid on roads."""

from typing import Final

import numpy as np

from geo.clean import ACCURACY_PER_SIGMA, SIGMA_MAX_M, SIGMA_MIN_M
from geo.plane import Plane, norms
from geo.types import Floats
from geo.values import DEFAULT, Track

APART_MIN_M: Final = 40.0
APART_SIGMAS: Final = 5.0
LOOK_AHEAD: Final = 256


def claimed_sigmas_m(track: Track) -> Floats:
    """Return shape ``(n,)``: the standard deviations that the phone claimed, 3 to 60 m.

    Where it claimed none, `geo.values.Parameters.sigma_default_m`.
    """
    claimed_m = track.accuracy_m / ACCURACY_PER_SIGMA
    known = np.isfinite(claimed_m) & (claimed_m > 0.0)
    return np.where(known, np.clip(claimed_m, SIGMA_MIN_M, SIGMA_MAX_M), DEFAULT.sigma_default_m)


def spaced(track: Track) -> Track:
    """Return the fixes, in order of time, that are well apart from the one kept before.

    Parameters
    ----------
    track
        What was recorded, in any order, without outliers (`geo.clean.clean`).

    Returns
    -------
    Track
        The first fix, and then each that is at least ``max(40 m, 5 sigma)`` from the one kept
        before it. The length of the track is cut by less than that at its end.

    Notes
    -----
    A road matcher lays each fix on the road by itself: between fixes that are as near as their
    noise it drives to and fro, and finds 90 % too much of a walk along a straight road.
    O(n); distances as in `geo.plane.Plane`.
    """
    order = np.argsort(track.time_s, kind="stable")
    lon_lat = track.lon_lat[order]
    if not len(lon_lat):
        return track
    xy = Plane.around(lon_lat).to_xy(lon_lat)
    apart_m = np.maximum(APART_MIN_M, APART_SIGMAS * claimed_sigmas_m(track)[order])
    kept, after = [0], 1
    while after < len(xy):
        ahead = slice(after, after + LOOK_AHEAD)
        far = norms(xy[ahead] - xy[kept[-1]]) >= apart_m[ahead]
        if far.any():
            kept.append(after + int(far.argmax()))
            after = kept[-1] + 1
        else:
            after += LOOK_AHEAD
    chosen = order[kept]
    return Track(
        time_s=track.time_s[chosen],
        lon_lat=track.lon_lat[chosen],
        accuracy_m=track.accuracy_m[chosen],
    )
