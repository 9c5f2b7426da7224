"""The driven line as one draws it: believed fixes only, cut where nothing is known."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from geo.clean import clean
from geo.plane import Plane
from geo.types import Floats
from geo.values import DEFAULT, Parameters, Track

SIMPLIFY_TOLERANCE_M: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenLine:
    """One stretch without a gap: from its first to its last fix, vertices ``(k, 2)``, k >= 2."""

    from_s: float
    to_s: float
    lon_lat: Floats


def driven_lines(
    track: Track,
    plane: Plane,
    *,
    shared_s: Floats,
    until_s: float,
    tolerance_m: float = SIMPLIFY_TOLERANCE_M,
    parameters: Parameters = DEFAULT,
) -> list[DrivenLine]:
    """Return the driven line, cut at silences and where positions could not be recorded.

    Parameters
    ----------
    track
        Fixes in any order.
    plane
        Where they are laid out; its centre should be near.
    shared_s
        Shape ``(w, 2)``: disjoint intervals, ascending, unix seconds.
    until_s
        Later fixes are not drawn.
    tolerance_m
        No believed fix lies farther from the line than this.
    parameters
        ``gap_s`` and what cleaning needs.

    Returns
    -------
    list of DrivenLine
        Oldest first. A stretch of a single fix is no line and is left out.

    Notes
    -----
    Thinned by Douglas and Peucker (1973), "Algorithms for the reduction of the number of points",
    Cartographica 10, 112-122, as GEOS does it, in the given plane.
    """
    cleaned = clean(track, plane, shared_s=shared_s, until_s=until_s, parameters=parameters)
    if len(cleaned.time_s) < 2:  # noqa: PLR2004 - a line has two ends
        return []
    cut = (np.diff(cleaned.time_s) > parameters.gap_s) | (np.diff(cleaned.interval) != 0)
    ends = np.append(np.flatnonzero(cut) + 1, len(cleaned.time_s))
    starts = np.append(0, ends[:-1])
    return [
        DrivenLine(
            from_s=float(cleaned.time_s[start]),
            to_s=float(cleaned.time_s[end - 1]),
            lon_lat=plane.to_lon_lat(_thinned(cleaned.xy[start:end], tolerance_m)),
        )
        for start, end in zip(starts, ends, strict=True)
        if end - start >= 2  # noqa: PLR2004 - a line has two ends
    ]


def _thinned(xy: Floats, tolerance_m: float) -> Floats:
    line = shapely.simplify(shapely.linestrings(xy), tolerance_m, preserve_topology=False)
    return np.asarray(shapely.get_coordinates(line), dtype=np.float64)
