"""Where along the plan a vehicle is: never simply the nearest point."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import shapely

from geo.plane import Plane, norms
from geo.types import Flags, Floats, Indices

# An out-and-back road driven three times has six passes within reach.
CANDIDATES_MAX: Final = 6
FIXES_PER_QUERY: Final = 8_192
PROGRESS_SCALE_M: Final = 30.0
BACKWARDS_M: Final = 40.0
EXCURSION_COST: Final = 1.0
# A planned stop further than this from the line is placed by its neighbours' order alone.
STOP_CANDIDATES_MAX: Final = 12
STOP_SCALE_M: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A planned line with its length.

    Attributes
    ----------
    xy
        Shape ``(k, 2)``, ``k >= 2``: metres in the plane, no two neighbours alike.
    along_m
        Shape ``(k,)``: metres on the ellipsoid from the beginning.
    """

    xy: Floats
    along_m: Floats

    @classmethod
    def of(cls, xy: Floats, plane: Plane) -> Self | None:
        """Return the line through ``xy``, or None if all of it is one point."""
        moved = np.append(True, norms(np.diff(xy, axis=0)) > 1e-3)  # noqa: PLR2004
        xy = xy[moved]
        if len(xy) < 2:  # noqa: PLR2004
            return None
        return cls(xy=xy, along_m=np.append(0.0, np.cumsum(plane.true_lengths_m(xy))))

    @property
    def length_m(self) -> float:
        """The length on the ellipsoid."""
        return float(self.along_m[-1])

    def project(self, points_xy: Floats, segment: Indices) -> tuple[Floats, Floats, Floats]:
        """Return along_m, distance_m and the fraction of the nearest point of a segment each."""
        start = self.xy[segment]
        step = self.xy[segment + 1] - start
        fraction = ((points_xy - start) * step).sum(axis=-1) / (step**2).sum(axis=-1)
        fraction = np.clip(fraction, 0.0, 1.0)
        distance_m = norms(start + fraction[..., np.newaxis] * step - points_xy)
        begin_m = self.along_m[segment]
        return begin_m + fraction * (self.along_m[segment + 1] - begin_m), distance_m, fraction

    def distance_m(self, points_xy: Floats) -> Floats:
        """Return how far each point, ``(n, 2)``, is from the line."""
        tree = shapely.STRtree(self._segments())
        (_, _), distance_m = tree.query_nearest(
            shapely.points(points_xy), return_distance=True, all_matches=False
        )
        return np.asarray(distance_m, dtype=np.float64)

    def _segments(self) -> np.typing.NDArray[np.object_]:
        ends = np.stack([self.xy[:-1], self.xy[1:]], axis=1)
        return np.asarray(shapely.linestrings(ends))


def candidates(line: Line, xy: Floats, *, reach_m: float) -> tuple[Floats, Floats]:
    """Return the places of the line each fix may be at.

    Parameters
    ----------
    line
        The planned line.
    xy
        Shape ``(n, 2)``: metres in the plane.
    reach_m
        How far from the line a fix may be.

    Returns
    -------
    tuple[Floats, Floats]
        Shapes ``(n, 6)``: along_m and distance_m of the nearest local minima of the distance,
        nearest first, filled up with infinity.
    """
    along_m = np.full((len(xy), CANDIDATES_MAX), np.inf)
    distance_m = np.full((len(xy), CANDIDATES_MAX), np.inf)
    tree = shapely.STRtree(line._segments())  # noqa: SLF001  # this file's own helper
    for begin in range(0, len(xy), FIXES_PER_QUERY):  # a query's answer is 30 times its size
        part = slice(begin, begin + FIXES_PER_QUERY)
        fix, segment = tree.query(shapely.points(xy[part]), predicate="dwithin", distance=reach_m)
        order = np.lexsort((segment, fix))
        fix, segment = fix[order], segment[order]
        s, d, fraction = line.project(xy[part][fix], segment)
        lowest = _bottoms(d, fraction, (np.diff(fix) == 0) & (np.diff(segment) == 1))
        fix, s, d = fix[lowest], s[lowest], d[lowest]
        order = np.lexsort((d, fix))
        fix, s, d = fix[order], s[order], d[order]
        rank = np.arange(len(fix)) - np.searchsorted(fix, fix)
        taken = rank < CANDIDATES_MAX
        along_m[begin + fix[taken], rank[taken]] = s[taken]
        distance_m[begin + fix[taken], rank[taken]] = d[taken]
    return along_m, distance_m


def _bottoms(distance_m: Floats, fraction: Floats, joined: Flags) -> Flags:
    """Flag the projections, ``(k,)``, that are local minima of the distance along the line.

    ``joined`` (``(k - 1,)``) says which follow each other on the line. Where a projection ends at
    the common vertex and the neighbour comes nearer, the valley goes on there. Two neighbours with
    their bottoms inside are two valleys: so it is where a road is driven there and back.
    """
    onwards = joined & (fraction[:-1] >= 1.0) & (distance_m[1:] <= distance_m[:-1])
    backwards = joined & (fraction[1:] <= 0.0) & (distance_m[:-1] < distance_m[1:])
    return np.asarray(~(np.append(onwards, False) | np.append(False, backwards))[: len(distance_m)])


def match(line: Line, xy: Floats, *, sigma_m: float, reach_m: float) -> Floats:
    """Return how far along the line each fix is.

    Parameters
    ----------
    line
        The planned line.
    xy
        Shape ``(n, 2)``: fixes in the order of time, metres in the plane.
    sigma_m
        Standard deviation of a coordinate.
    reach_m
        Further from the line no fix is on it.

    Returns
    -------
    Floats
        Shape ``(n,)``: metres from the beginning, NaN = off the line.

    Notes
    -----
    The Viterbi path over up to six places per fix and one state "off", which remembers where
    the line was left: progress should equal what the wheels did, going backwards costs. On an
    out-and-back road at 5 s fewer than 1 % of the fixes are put on the wrong pass:
    ``tests/geo/test_progress.py`` holds it to that. Newson, Krumm (2009), ACM SIGSPATIAL,
    is the model; here the road is known and only the place on it is not.
    """
    n = len(xy)
    if not n:
        return np.zeros(0)
    along_m, distance_m = candidates(line, xy, reach_m=reach_m)
    places = CANDIDATES_MAX
    limit_m = max(50.0, 4.0 * sigma_m)
    ceiling = 0.5 * (limit_m / sigma_m) ** 2
    fit = np.minimum(0.5 * (distance_m / sigma_m) ** 2, ceiling + distance_m / limit_m)
    off_cost = 1.15 * ceiling + 0.5
    travel_m = norms(np.diff(xy, axis=0))
    # inf - inf and inf * 0 stand for places that do not exist; their fit is infinite anyway.
    known_m = np.where(np.isfinite(along_m), along_m, 0.0)
    moves = _moves(known_m[:-1, :, np.newaxis], known_m[1:, np.newaxis, :], travel_m)
    came_from = np.zeros((n, places + 1), dtype=np.intp)
    # Off before the first contact: the plan begins at its beginning.
    cost = np.append(fit[0] + known_m[0] * 1e-4, off_cost)
    left_at_m = 0.0
    left_m = np.empty(n)
    left_m[0] = left_at_m
    for i in range(1, n):
        back = np.abs(known_m[i] - left_at_m) / 400.0
        back = np.where(known_m[i] < left_at_m - BACKWARDS_M, 25.0 + back, np.minimum(back, 10.0))
        total = cost[:places, np.newaxis] + moves[i - 1]
        best = total.argmin(axis=0)
        arrive = total[best, np.arange(places)]
        rejoin = cost[places] + EXCURSION_COST + back
        came_from[i, :places] = np.where(rejoin < arrive, places, best)
        leave = int(cost[:places].argmin())
        stays_off = cost[places] <= cost[leave] + EXCURSION_COST
        came_from[i, places] = places if stays_off else leave
        if not stays_off:
            left_at_m = float(known_m[i - 1, leave])
        off = min(cost[places], cost[leave] + EXCURSION_COST) + off_cost
        cost = np.append(np.minimum(rejoin, arrive) + fit[i], off)
        cost -= cost.min()
    state = int(cost.argmin())
    result = np.full(n, np.nan)
    for i in range(n - 1, -1, -1):
        if state < places:
            result[i] = along_m[i, state]
        state = int(came_from[i, state])
    return result


def _moves(from_m: Floats, to_m: Floats, travel_m: Floats) -> Floats:
    """Return the cost of each change of place, ``(n - 1, 6, 6)``."""
    progress_m = to_m - from_m
    travel_m = travel_m[:, np.newaxis, np.newaxis]
    surprise = np.abs(progress_m - travel_m) / (PROGRESS_SCALE_M + 0.15 * travel_m)
    backwards = 8.0 + np.abs(progress_m) / PROGRESS_SCALE_M
    costs = np.where(
        progress_m >= 0.0,
        surprise,
        np.where(progress_m >= -BACKWARDS_M, 0.5 + surprise, backwards),
    )
    return np.minimum(costs, 25.0 + np.abs(progress_m) / 400.0)


def place_stops(line: Line, stops_xy: Floats) -> Floats:
    """Return where along the line each stop is, never backwards.

    Parameters
    ----------
    line
        The planned line.
    stops_xy
        Shape ``(m, 2)``: the stops in planned order, metres in the plane.

    Returns
    -------
    Floats
        Shape ``(m,)``: metres from the beginning, not decreasing.

    Notes
    -----
    The cheapest non-decreasing choice among the twelve nearest local minima of each stop, by
    squared distance. If no choice is in order, stops are pushed forward to the one before.
    """
    cost = np.zeros(1)
    place_m = np.zeros(1)
    steps: list[tuple[Floats, Indices]] = []
    for stop in stops_xy:
        s, d, fraction = line.project(stop, np.arange(len(line.xy) - 1))
        lowest = np.flatnonzero(_bottoms(d, fraction, np.ones(max(len(d) - 1, 0), dtype=bool)))
        lowest = lowest[np.argsort(d[lowest], kind="stable")[:STOP_CANDIDATES_MAX]]
        behind = s[lowest] < place_m[:, np.newaxis] - 1.0
        # Being pushed forward is possible, but dearer than any distance.
        total = cost[:, np.newaxis] + np.where(behind, 1e6, 0.0)
        best = total.argmin(axis=0)
        cost = total[best, np.arange(len(lowest))] + (d[lowest] / STOP_SCALE_M) ** 2
        place_m = s[lowest]
        steps.append((place_m, best))
    chosen = np.empty(len(stops_xy))
    at = int(cost.argmin())
    for i in range(len(steps) - 1, -1, -1):
        places_m, best = steps[i]
        chosen[i] = places_m[at]
        at = int(best[at])
    return np.maximum.accumulate(chosen)
