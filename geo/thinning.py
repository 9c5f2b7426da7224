"""Fewer positions for a map: those that make a difference to the eye at a zoom."""

from typing import Final

import numpy as np
import shapely

from geo.types import Flags, Floats, Indices

ZOOM_MAX: Final = 22
TILE_PX: Final = 512
"""A tile's side in MapLibre and Mapbox GL; where tiles have 256 px, the error is half as large."""
TOLERANCE_PX: Final = 0.5
MERCATOR_LATITUDE_MAX_DEG: Final = 85.051128779806592
"""Where the square Web Mercator map ends."""
RUN_MAX: Final = 8_192
"""So many positions are thinned at once: the worst line of them costs quadratic time."""


def kept_on_map(lon_lat: Floats, starts: Indices, zoom: int) -> Flags:
    """Choose the positions that draw each stretch as good as all of them do.

    Parameters
    ----------
    lon_lat
        Shape ``(n, 2)``: longitude, latitude in degrees, WGS 84, in order of time. ``n`` may be 0.
    starts
        Shape ``(s,)``: where each stretch begins, ascending, the first 0. Stretches are thinned
        apart, so that nothing is drawn from one to the next.
    zoom
        0 to 22, as maps with tiles of 512 px count it: the world is ``512 * 2**zoom`` px wide.

    Returns
    -------
    Flags
        Shape ``(n,)``. The first and the last of each stretch are always chosen.

    Raises
    ------
    ValueError
        If ``lon_lat`` is not ``(n, 2)`` or not finite, or ``zoom`` is out of range.

    Notes
    -----
    The error bound: a position that is left out lies at most 0.5 px (``TOLERANCE_PX``), on the Web
    Mercator map of that zoom, from the straight line between the two chosen ones around it;
    ``tests/geo/test_thinning.py`` holds it to that. On the ground half a pixel is
    ``39,136 m * cos(latitude) / 2**zoom``: at zoom 12 it is 6.0 m at 51 degrees, 3.3 m at 70.
    Longitudes are unrolled first: a line over the antimeridian is one of a few steps, not one
    around the world. Beyond 85.05 degrees, where the map ends, all lie on its edge.

    Thinned by Douglas and Peucker (1973), "Algorithms for the reduction of the number of points",
    Cartographica 10, 112-122, as GEOS does it, in runs of at most 8,192 positions.
    """
    if lon_lat.ndim != 2 or lon_lat.shape[1] != 2 or not np.isfinite(lon_lat).all():  # noqa: PLR2004
        raise ValueError(f"lon_lat must be finite and have shape (n, 2), not {lon_lat.shape}")
    if not 0 <= zoom <= ZOOM_MAX:
        raise ValueError(f"zoom must be within 0 and {ZOOM_MAX}")
    count = len(lon_lat)
    kept = np.zeros(count, np.bool_)
    if not count:
        return kept
    first, last = _runs(starts, count)
    kept[first] = kept[last] = True
    length = last - first + 1
    long = length > 2  # noqa: PLR2004 - between two there is nothing to leave out
    if not long.any():
        return kept
    first, length = first[long], length[long]
    run = np.repeat(np.arange(first.size), length)
    place = np.arange(run.size) - np.repeat(np.cumsum(length) - length, length) + first[run]
    # The place in the track travels as the third coordinate: equal points stay told apart.
    points = np.column_stack([_pixels(lon_lat, zoom)[place], place])
    lines = shapely.linestrings(points, indices=run)
    thinned = shapely.simplify(lines, TOLERANCE_PX, preserve_topology=False)
    kept[shapely.get_coordinates(thinned, include_z=True)[:, 2].astype(np.intp)] = True
    return kept


def _runs(starts: Indices, count: int) -> tuple[Indices, Indices]:
    """Return the first and last place of each run: stretches, the long ones in several.

    A long stretch's runs share their ends, so that the line goes on from one to the next.
    """
    ends = np.append(starts[1:], count)
    runs = -(-np.maximum(ends - starts - 1, 1) // RUN_MAX)
    of_run = np.repeat(np.arange(starts.size), runs)
    number = np.arange(of_run.size) - np.repeat(np.cumsum(runs) - runs, runs)
    first = starts[of_run] + number * RUN_MAX
    return first, np.minimum(first + RUN_MAX, ends[of_run] - 1)


def _pixels(lon_lat: Floats, zoom: int) -> Floats:
    """Return where the positions lie on the map, ``(n, 2)``, x not cut at the antimeridian."""
    world_px = TILE_PX * 2.0**zoom
    steps = np.diff(lon_lat[:, 0], prepend=lon_lat[0, 0])
    # Each step the short way round; one of 180 degrees stays as it is.
    turns = np.round(steps / 360.0)
    longitude = lon_lat[:, 0] - 360.0 * np.cumsum(turns)
    latitude = np.clip(lon_lat[:, 1], -MERCATOR_LATITUDE_MAX_DEG, MERCATOR_LATITUDE_MAX_DEG)
    north = np.arcsinh(np.tan(np.radians(latitude)))
    return world_px * np.column_stack([longitude / 360.0, -north / (2.0 * np.pi)])
