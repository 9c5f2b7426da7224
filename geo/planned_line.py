"""The planned line, and the places of it that something may be at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import shapely

from geo.plane import Plane, norms
from geo.types import Flags, Floats, Indices

# A road driven there and back six times has twelve passes within reach.
CANDIDATES_MAX: Final = 12
# No vehicle is at a place so much farther off than another one.
FARTHER_M: Final = 100.0
# So many fixes are looked at together, but not so many pairs of a fix and a segment.
FIXES_PER_QUERY: Final = 8_192
PAIRS_MAX: Final = 1_000_000
# More segments than this within reach are a crowd; how often the reach is halved then.
CROWD_MAX: Final = 1_000
HALVINGS_MAX: Final = 4
# What a reach round a point holds lies so many reaches round its cell, which is one wide.
CELL_REACH: Final = 1.71
# Vertices this near to the chord of their neighbours are not looked at, in so many rounds.
STRAIGHT_M: Final = 0.2
STRAIGHT_ROUNDS: Final = 8
# A planned stop further than this from the line is placed by its neighbours' order alone.
STOP_CANDIDATES_MAX: Final = 12
STOP_SCALE_M: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A planned line with its length.

    Attributes
    ----------
    xy
        Shape ``(k, 2)``, ``k >= 2``: metres in the plane, no two neighbours alike; the vertices
        that give the line its shape. It runs at most 1.6 m beside the planned one.
    along_m
        Shape ``(k,)``: metres on the ellipsoid from the beginning, along all that was planned.
    planned_xy, planned_m
        The same with every planned vertex.
    tree
        The segments between ``xy``.
    """

    xy: Floats
    along_m: Floats
    planned_xy: Floats
    planned_m: Floats
    tree: shapely.STRtree

    @classmethod
    def of(cls, xy: Floats, plane: Plane) -> Self | None:
        """Return the line through ``xy``, or None if all of it is one point."""
        moved = np.append(True, norms(np.diff(xy, axis=0)) > 1e-3)  # noqa: PLR2004
        xy = xy[moved]
        if len(xy) < 2:  # noqa: PLR2004
            return None
        along_m = np.append(0.0, np.cumsum(plane.true_lengths_m(xy)))
        kept = _shaping(xy)
        ends = np.stack([xy[kept[:-1]], xy[kept[1:]]], axis=1)
        return cls(
            xy=xy[kept],
            along_m=along_m[kept],
            planned_xy=xy,
            planned_m=along_m,
            tree=shapely.STRtree(np.asarray(shapely.linestrings(ends))),
        )

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
        (_, _), distance_m = self.tree.query_nearest(
            shapely.points(points_xy), return_distance=True, all_matches=False
        )
        return np.asarray(distance_m, dtype=np.float64)

    def between(self, from_m: float, to_m: float) -> Floats:
        """Return the planned line from one place along it to a later one, ``(k, 2)``, k >= 2."""
        inner = self.planned_xy[(self.planned_m > from_m) & (self.planned_m < to_m)]
        ends_m = np.array([from_m, to_m])
        ends = np.column_stack(
            [np.interp(ends_m, self.planned_m, side) for side in self.planned_xy.T]
        )
        return np.concatenate([ends[:1], inner, ends[1:]])


def _shaping(xy: Floats) -> Indices:
    """Return the vertices that give the line its shape: every other straight one is dropped."""
    kept = np.arange(len(xy))
    for turn in range(STRAIGHT_ROUNDS):
        middle = np.arange(1 + turn % 2, len(kept) - 1, 2)
        before, after = xy[kept[middle - 1]], xy[kept[middle + 1]]
        chord, offset = after - before, xy[kept[middle]] - before
        length_m = norms(chord)
        ahead = (offset * chord).sum(axis=1)
        beside = np.abs(chord[:, 0] * offset[:, 1] - chord[:, 1] * offset[:, 0])
        straight = (beside <= STRAIGHT_M * length_m) & (ahead > 0.0) & (ahead < length_m**2)
        kept = np.delete(kept, middle[straight])
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where on the line each of ``n`` fixes may be, nearest first, filled up with infinity.

    Attributes
    ----------
    along_m, distance_m
        Shapes ``(n, c)``: at most twelve local minima of the distance, ``c >= 1``.
    heading
        Shape ``(n, c, 2)``: the direction of the line there, of length 1; 0 where no place is.
    """

    along_m: Floats
    distance_m: Floats
    heading: Floats

    def of(self, fixes: Indices) -> "Places":
        """Return the places of some of the fixes."""
        return Places(
            along_m=self.along_m[fixes],
            distance_m=self.distance_m[fixes],
            heading=self.heading[fixes],
        )


def places(line: Line, xy: Floats, *, reach_m: float) -> Places:
    """Return the places of the line each fix, ``(n, 2)``, may be at, none beyond ``reach_m``.

    Where the line is so crowded that more than 1,000 of its segments lie within reach, as after a
    hundred rounds of one yard, the reach is halved until they do not, at most four times; where
    they do even then, 1,000 of them, evenly chosen, stand for all.
    """
    size = (len(xy), CANDIDATES_MAX)
    along_m, distance_m = np.full(size, np.inf), np.full(size, np.inf)
    heading = np.zeros((*size, 2))
    step = np.diff(line.xy, axis=0)
    direction = step / norms(step)[:, np.newaxis]
    for pairs in _pairs(line, xy, reach_m):
        fix, segment = pairs
        s, d, fraction = line.project(xy[fix], segment)
        lowest = _bottoms(d, fraction, (np.diff(fix) == 0) & (np.diff(segment) == 1))
        fix, segment, s, d = fix[lowest], segment[lowest], s[lowest], d[lowest]
        order = np.lexsort((d, fix))
        fix, segment, s, d = fix[order], segment[order], s[order], d[order]
        rank = np.arange(len(fix)) - np.searchsorted(fix, fix)
        nearest_m = d[np.arange(len(fix)) - rank]
        taken = (rank < CANDIDATES_MAX) & (d <= nearest_m + FARTHER_M)
        at = (fix[taken], rank[taken])
        along_m[at], distance_m[at] = s[taken], d[taken]
        heading[at] = direction[segment[taken]]
    used = max(int(np.isfinite(distance_m).sum(axis=1).max(initial=1)), 1)
    return Places(
        along_m=along_m[:, :used], distance_m=distance_m[:, :used], heading=heading[:, :used]
    )


def _pairs(line: Line, xy: Floats, reach_m: float) -> Iterator[tuple[Indices, Indices]]:
    """Yield bounded tables of a fix and a segment within its reach, by fix and then by segment."""
    reaches_m, crowded = _reaches_m(line, xy, reach_m)
    alone = np.setdiff1d(np.arange(len(xy)), crowded)
    each = int(np.clip(PAIRS_MAX // min(len(line.xy), CROWD_MAX), 1, FIXES_PER_QUERY))
    for begin in range(0, len(alone), each):  # a query's answer is many times its size
        part = alone[begin : begin + each]
        fix, segment = line.tree.query(
            shapely.points(xy[part]), predicate="dwithin", distance=reaches_m[part]
        )
        order = np.lexsort((segment, fix))
        yield part[fix[order]], segment[order]
    if not len(crowded):
        return
    least_m = float(reaches_m[crowded[0]])
    cells, cell = _cells(xy[crowded], least_m)
    groups = np.split(crowded[np.argsort(cell, kind="stable")], np.cumsum(np.bincount(cell))[:-1])
    for centre, fixes in zip(cells, groups, strict=True):
        around = np.sort(
            line.tree.query(
                shapely.Point(centre), predicate="dwithin", distance=CELL_REACH * least_m
            )
        )
        some = around[:: -(-len(around) // CROWD_MAX)]
        for begin in range(0, len(fixes), each):
            part = fixes[begin : begin + each]
            yield np.repeat(part, len(some)), np.tile(some, len(part))


def _reaches_m(line: Line, xy: Floats, reach_m: float) -> tuple[Floats, Indices]:
    """Return how far round each fix at most 1,000 segments lie, and the fixes that is not true of.

    The latter have the least reach.
    """
    reaches_m = np.full(len(xy), reach_m)
    crowded = np.arange(len(xy) if len(line.xy) - 1 > CROWD_MAX else 0)
    for halving in range(HALVINGS_MAX + 1):
        if not len(crowded):
            break
        least_m = reach_m / 2.0**halving
        reaches_m[crowded] = least_m
        cells, cell = _cells(xy[crowded], least_m)
        crowded = crowded[(_segments_near(line, cells, CELL_REACH * least_m) > CROWD_MAX)[cell]]
    return reaches_m, crowded


def _cells(xy: Floats, side_m: float) -> tuple[Floats, Indices]:
    """Return the middles of the cells of a grid that hold a point, and the cell of each point."""
    cells, cell = np.unique(np.floor(xy / side_m), axis=0, return_inverse=True)
    return (cells + 0.5) * side_m, cell.reshape(-1)


def _segments_near(line: Line, points_xy: Floats, reach_m: float) -> Indices:
    """Return how many segments lie within reach of each point, ``(k,)``."""
    count = np.zeros(len(points_xy), dtype=np.intp)
    each = max(PAIRS_MAX // len(line.xy), 1)
    for begin in range(0, len(points_xy), each):
        some = points_xy[begin : begin + each]
        point, _ = line.tree.query(shapely.points(some), predicate="dwithin", distance=reach_m)
        count[begin : begin + len(some)] = np.bincount(point, minlength=len(some))
    return count


def _bottoms(distance_m: Floats, fraction: Floats, joined: Flags) -> Flags:
    """Flag the projections, ``(k,)``, that are local minima of the distance along the line.

    ``joined`` (``(k - 1,)``) says which follow each other on the line. Where a projection ends at
    the common vertex and the neighbour comes nearer, the valley goes on there. Two neighbours with
    their bottoms inside are two valleys: so it is where a road is driven there and back.
    """
    onwards = joined & (fraction[:-1] >= 1.0) & (distance_m[1:] <= distance_m[:-1])
    backwards = joined & (fraction[1:] <= 0.0) & (distance_m[:-1] < distance_m[1:])
    return np.asarray(~(np.append(onwards, False) | np.append(False, backwards))[: len(distance_m)])


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
    segments = np.arange(len(line.xy) - 1)
    for stop in stops_xy:
        s, d, fraction = line.project(stop, segments)
        lowest = np.flatnonzero(_bottoms(d, fraction, np.ones(len(d) - 1, dtype=bool)))
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
