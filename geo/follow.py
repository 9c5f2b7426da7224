"""Following a vehicle along its plan while it drives: `geo.progress`, kept between calls."""

from dataclasses import dataclass
from math import hypot, inf
from operator import itemgetter
from typing import Final, Self, TypeAlias

import numpy as np

from geo.progress import Line
from geo.types import Flags, Floats, Indices

PLACES: Final = 6
# So few fixes lie in a small box, and only the segments in it are looked at.
FIXES_PER_LOOK: Final = 64
# So many pairs of a fix and a segment are looked at together.
PAIRS_MAX: Final = 100_000
THIN_M: Final = 15.0
SIGMA_MIN_M: Final = 8.0
PROGRESS_SCALE_M: Final = 30.0
BACKWARDS_M: Final = 40.0
EXCURSION_COST: Final = 1.0
COST_MAX: Final = 25.0
FAR_SCALE_M: Final = 400.0
REJOIN_COST_MAX: Final = 10.0
BACKWARDS_COST: Final = 8.0
RETREAT_COST: Final = 0.5
PROGRESS_SHARE: Final = 0.15
BEGINNING_PER_M: Final = 1e-4
ON_LINE_M: Final = 50.0
ON_LINE_SIGMAS: Final = 4.0
OFF_SHARE: Final = 1.15
OFF_COST: Final = 0.5

Place: TypeAlias = tuple[float, float]
State: TypeAlias = tuple[tuple[Place, ...], float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The forward state of the Viterbi search.

    Attributes
    ----------
    at
        Up to six places, metres from the beginning, each with its cost.
    off_cost
        The cost of being off the line.
    left_at_m
        Where the line was left for the state "off".
    xy
        The last fix used; None = none yet.
    place_m, place_s
        The last place on the line and its time; None = never on it.
    """

    at: tuple[Place, ...]
    off_cost: float
    left_at_m: float
    xy: tuple[float, float] | None
    place_m: float | None
    place_s: float | None

    @property
    def off(self) -> bool:
        """The vehicle is off the line, or was not seen yet."""
        return all(cost > self.off_cost for _, cost in self.at)

    @classmethod
    def start(cls) -> Self:
        """Return the state before the first fix."""
        return cls(
            at=(),
            off_cost=0.0,
            left_at_m=0.0,
            xy=None,
            place_m=None,
            place_s=None,
        )


def nearby(line: Line, xy: Floats, *, reach_m: float) -> tuple[Floats, Floats]:
    """Return the places of the line each fix may be at.

    Parameters
    ----------
    line
        The planned line.
    xy
        Shape ``(n, 2)``: successive fixes, metres in the plane.
    reach_m
        How far from the line a fix may be.

    Returns
    -------
    tuple[Floats, Floats]
        Shapes ``(n, 6)``: along_m and distance_m of the nearest local minima of the distance,
        nearest first; where there is none along_m is 0 and distance_m infinite.

    Notes
    -----
    What `geo.planned_line.places` finds, but six and however far apart, without a tree: successive
    fixes lie in a small box.
    """
    along_m = np.zeros((len(xy), PLACES))
    distance_m = np.full((len(xy), PLACES), np.inf)
    low_xy = np.minimum(line.xy[:-1], line.xy[1:])
    high_xy = np.maximum(line.xy[:-1], line.xy[1:])
    for begin in range(0, len(xy), FIXES_PER_LOOK):
        part = xy[begin : begin + FIXES_PER_LOOK]
        least, most = part.min(axis=0) - reach_m, part.max(axis=0) + reach_m
        segment = np.flatnonzero(((high_xy >= least) & (low_xy <= most)).all(axis=1))
        if not len(segment):
            continue
        each = max(PAIRS_MAX // len(segment), 1)
        for at in range(begin, begin + len(part), each):
            rows = slice(at, min(at + each, begin + len(part)))
            found = _nearest(line, xy[rows], segment, reach_m)
            width = found[0].shape[1]
            along_m[rows, :width], distance_m[rows, :width] = found
    along_m[np.isinf(distance_m)] = 0.0
    return along_m, distance_m


def _nearest(line: Line, xy: Floats, segment: Indices, reach_m: float) -> tuple[Floats, Floats]:
    """Return along_m and distance_m of the nearest minima among the segments, nearest first."""
    s, d, fraction = line.project(xy[:, np.newaxis], segment)
    # A valley goes on in the neighbour where the projection ends at the common vertex.
    joined = np.diff(segment) == 1
    slope = np.zeros(d.shape, dtype=bool)
    slope[:, :-1] = joined & (fraction[:, :-1] >= 1.0) & (d[:, 1:] <= d[:, :-1])
    slope[:, 1:] |= joined & (fraction[:, 1:] <= 0.0) & (d[:, :-1] < d[:, 1:])
    d = np.where(slope | (d > reach_m), np.inf, d)
    nearest = np.argsort(d, axis=1, kind="stable")[:, :PLACES]
    return np.take_along_axis(s, nearest, axis=1), np.take_along_axis(d, nearest, axis=1)


def distance_m(line: Line, xy: Floats) -> float:
    """Return how far one point, ``(2,)``, is from the line."""
    return float(line.project(xy, np.arange(len(line.xy) - 1))[1].min())


def follow(
    trail: Trail,
    time_s: Floats,
    xy: Floats,
    linked: Flags,
    places: tuple[Floats, Floats],
    *,
    sigma_m: float,
) -> tuple[Trail, Floats]:
    """Return the state after more fixes, and the way along the line.

    Parameters
    ----------
    trail
        The state before them.
    time_s, xy, linked
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: times, metres in the plane, and false where nothing
        may be concluded across the step that leads to the fix.
    places
        `nearby` of them.
    sigma_m
        Standard deviation of a coordinate.

    Returns
    -------
    tuple[Trail, Floats]
        ``place_m`` is the best place given the fixes up to now. Fixes nearer than 15 m to
        the last one used are passed over: standing is no progress. The way is ``(k, 3)``: time
        and place of each fix used that was on the line, when it was the latest, and 0 where nothing
        may be concluded since the one before.

    Notes
    -----
    The model of `geo.progress.follow`, plainer: progress should equal what the wheels did. After an
    interruption only the last place counts, as after a detour.
    """
    fits, off_cost = _costs(places[1], sigma_m)
    columns = (time_s, xy, linked, places[0], fits)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    way: list[tuple[float, float, float]] = []
    unbroken = 1.0
    now, last = (trail.at, trail.off_cost, trail.left_at_m), trail.xy
    place = (trail.place_m, trail.place_s)
    for fix_s, (x, y), is_linked, row_m, row_cost in rows:
        travel_m = 0.0 if last is None else hypot(x - last[0], y - last[1])
        if last is not None and is_linked and travel_m < THIN_M:
            continue
        if not is_linked:
            unbroken = 0.0
            now = ((), 0.0, place[0] or 0.0)
        found = [(m, cost) for m, cost in zip(row_m, row_cost, strict=True) if cost < inf]
        now = _first(found, off_cost) if last is None else _step(now, found, travel_m, off_cost)
        last = (x, y)
        best_m, best = min(now[0], key=itemgetter(1), default=(0.0, inf))
        if best <= now[1]:
            place = (best_m, fix_s)
            way.append((fix_s, best_m, unbroken))
            unbroken = 1.0
    after = Trail(
        at=now[0],
        off_cost=now[1],
        left_at_m=now[2],
        xy=last,
        place_m=place[0],
        place_s=place[1],
    )
    return after, np.array(way).reshape(-1, 3)


def _costs(away_m: Floats, sigma_m: float) -> tuple[Floats, float]:
    """Return what it costs to be so far from a place, and off the line."""
    sigma_m = max(SIGMA_MIN_M, sigma_m)
    limit_m = max(ON_LINE_M, ON_LINE_SIGMAS * sigma_m)
    ceiling = 0.5 * (limit_m / sigma_m) ** 2
    fits = np.minimum(0.5 * (away_m / sigma_m) ** 2, ceiling + away_m / limit_m)
    return fits, OFF_SHARE * ceiling + OFF_COST


def _first(found: list[Place], off_cost: float) -> State:
    # The plan begins at its beginning.
    return _levelled([(m, fit + m * BEGINNING_PER_M) for m, fit in found], off_cost, 0.0)


def _step(before: State, found: list[Place], travel_m: float, off_cost: float) -> State:
    """Return the costs of having moved on to one of the places, or off the line."""
    was_at, was_off, left_at_m = before
    at = []
    for m, fit in found:
        back = abs(m - left_at_m) / FAR_SCALE_M
        behind = m < left_at_m - BACKWARDS_M
        cost = was_off + EXCURSION_COST
        cost += COST_MAX + back if behind else min(back, REJOIN_COST_MAX)
        for from_m, so_far in was_at:
            cost = min(cost, so_far + _move(m - from_m, travel_m))
        at.append((m, cost + fit))
    leave_m, leaving = min(was_at, key=itemgetter(1), default=(left_at_m, inf))
    if leaving + EXCURSION_COST < was_off:
        left_at_m = leave_m
    return _levelled(at, min(was_off, leaving + EXCURSION_COST) + off_cost, left_at_m)


def _move(progress_m: float, travel_m: float) -> float:
    """Return the cost of a change of place while the vehicle moved."""
    most = COST_MAX + abs(progress_m) / FAR_SCALE_M
    if progress_m < -BACKWARDS_M:
        return min(BACKWARDS_COST - progress_m / PROGRESS_SCALE_M, most)
    surprise = abs(progress_m - travel_m) / (PROGRESS_SCALE_M + PROGRESS_SHARE * travel_m)
    return min(surprise + (RETREAT_COST if progress_m < 0.0 else 0.0), most)


def _levelled(at: list[Place], off_cost: float, left_at_m: float) -> State:
    """Return the costs relative to the least, or they would grow all day."""
    least = min(off_cost, min((cost for _, cost in at), default=inf))
    return tuple((m, cost - least) for m, cost in at), off_cost - least, left_at_m
