"""Ways of a vehicle through the circles round the stops."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self, TypeVar

import numpy as np

from geo.plane import norms
from geo.types import Flags, Floats, Indices

# Passes of one circle less than this apart are one: noise at the rim is not a second visit.
MERGE_S: Final = 45.0
# A pass lives on until the vehicle is this much outside the circle it entered.
OUTER_SHARE: Final = 1.3
OUTER_M: Final = 10.0
# Steps of the track that are looked at together when stops are searched for near them.
BOX_STEPS: Final = 32
# So many pairs of a circle and a step are looked at together.
PAIRS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Each way through a circle, by stop and then by time.

    Attributes
    ----------
    stop
        Shape ``(k,)``: whose circle.
    entered_s, exited_s
        Shape ``(k,)``: first and last time inside, between fixes by linear interpolation.
    before, after
        Shape ``(k,)``: the fixes just before entering and just after leaving; the first and
        last fix inside where the track begins or ends there.
    begins_inside, ends_inside
        Shape ``(k,)``: the track (or the part of it without a break) begins or ends inside.
    nearest_xy, nearest_m
        Shapes ``(k, 2)``, ``(k,)``: the nearest point of the way and its distance to the stop.
    travel_m
        Shape ``(k,)``: rim to nearest point to rim, straight: the least the vehicle drove.
    """

    stop: Indices
    entered_s: Floats
    exited_s: Floats
    before: Indices
    after: Indices
    begins_inside: Flags
    ends_inside: Flags
    nearest_xy: Floats
    nearest_m: Floats
    travel_m: Floats

    def __getitem__(self, at: Indices) -> "Passes":
        return Passes(**{name.name: getattr(self, name.name)[at] for name in fields(self)})


def outer_radius_m(radius_m: Floats) -> Floats:
    """Return the circle a vehicle must leave for its pass to be over."""
    return OUTER_SHARE * radius_m + OUTER_M


def find_passes(
    time_s: Floats, xy: Floats, span: Indices, *, stops_xy: Floats, radius_m: Floats
) -> Passes:
    """Return every pass of every stop.

    Parameters
    ----------
    time_s, xy, span
        Shapes ``(n,)``, ``(n, 2)``, ``(n,)``: strictly increasing times, metres in the plane,
        ascending labels; the way between two labels is not known and not used.
    stops_xy, radius_m
        Shapes ``(m, 2)``, ``(m,)``: the circles.

    Returns
    -------
    Passes
        Exact crossings of segments and circles: a pass between two fixes is found, too.

    Notes
    -----
    A pass exists if it enters ``radius_m`` and lives inside 1.3 ``radius_m`` + 10 m.
    O(n + c n / 32) for ``c`` different circles: boxes round 32 steps each tell which are worth a
    look. Where a vehicle stands or drives round inside of a circle nothing is crossed, and only
    the nearest point is looked for; only at a rim each step is laid against the circle. Circles
    are looked at together up to a hundred thousand pairs of a circle and a step, so hundreds of
    stops where a vehicle stood for a day cost time, but no more memory.
    """
    if len(time_s) < 2:  # noqa: PLR2004
        return _none()
    way = _Way.of(time_s, xy, span)
    circles, circle = np.unique(np.column_stack([stops_xy, radius_m]), axis=0, return_inverse=True)
    circle = circle.reshape(-1)
    possible = way.near(circles)
    work = np.cumsum(np.count_nonzero(possible, axis=1)) * BOX_STEPS // PAIRS_MAX
    found = _joined(
        [
            _passes(way, circles, some, possible[some])
            for some in np.split(np.arange(len(circles)), np.flatnonzero(np.diff(work)) + 1)
        ]
    )
    # Stops of one circle are passed alike.
    count = np.bincount(found.stop, minlength=len(circles))
    first, many = (np.cumsum(count) - count)[circle], count[circle]
    stop = np.repeat(np.arange(len(stops_xy)), many)
    rank = np.arange(len(stop)) - np.repeat(np.cumsum(many) - many, many)
    return replace(found[np.repeat(first, many) + rank], stop=stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A track in boxes, ``b`` of them; ``first`` and ``last``, ``(b,)``, are their outer fixes."""

    time_s: Floats
    xy: Floats
    span: Indices
    first: Indices
    last: Indices
    low_xy: Floats
    high_xy: Floats

    @classmethod
    def of(cls, time_s: Floats, xy: Floats, span: Indices) -> Self:
        first = np.arange(0, len(xy) - 1, BOX_STEPS)
        low_xy, high_xy = np.minimum(xy[:-1], xy[1:]), np.maximum(xy[:-1], xy[1:])
        return cls(
            time_s=time_s,
            xy=xy,
            span=span,
            first=first,
            last=np.minimum(first + BOX_STEPS, len(xy) - 1),
            low_xy=np.minimum.reduceat(low_xy, first),
            high_xy=np.maximum.reduceat(high_xy, first),
        )

    def near(self, circles: Floats) -> Flags:
        """Flag the boxes, ``(c, b)``, that may touch each outer circle."""
        reach_m = outer_radius_m(circles[:, 2])[:, np.newaxis]
        possible = np.ones((len(circles), len(self.first)), dtype=bool)
        for axis in (0, 1):
            place = circles[:, axis, np.newaxis]
            possible &= self.low_xy[:, axis] - reach_m <= place
            possible &= self.high_xy[:, axis] + reach_m >= place
        return possible

    def at(self, time_s: Floats, fix: Indices) -> Floats:
        """Return where the vehicle was at each time, within the step after a fix, ``(k, 2)``."""
        step_s = self.time_s[fix + 1] - self.time_s[fix]
        fraction = (time_s - self.time_s[fix]) / step_s
        return _along(self.xy[fix], self.xy[fix + 1] - self.xy[fix], fraction)

    def within(self, circles: Floats, circle: Indices, box: Indices) -> Flags:
        """Flag the boxes without a break that lie inside of a circle each."""
        centre = circles[circle, :2]
        corner = np.maximum(centre - self.low_xy[box], self.high_xy[box] - centre)
        unbroken = self.span[self.first[box]] == self.span[self.last[box]]
        return np.asarray(unbroken & (norms(corner) <= circles[circle, 2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Parts of the way that touch an outer circle, all ``(k,)``.

    ``first`` and ``last`` are the fixes around; ``outer_`` and ``inner_`` the times in the two
    circles, of the inner one NaN = never; ``nearest_m`` how near the way then comes.
    """

    circle: Indices
    first: Indices
    last: Indices
    outer_from_s: Floats
    outer_to_s: Floats
    inner_from_s: Floats
    inner_to_s: Floats
    nearest_m: Floats

    def __getitem__(self, at: Indices) -> "_Parts":
        return _Parts(**{name.name: getattr(self, name.name)[at] for name in fields(self)})


def _passes(way: _Way, circles: Floats, some: Indices, possible: Flags) -> Passes:
    """Return the passes of some of the circles, by circle and then by time."""
    row, box = np.nonzero(possible)
    circle = some[row]
    within = way.within(circles, circle, box)
    inside = _boxes(way, circles, circle[within], box[within])
    circle, box = circle[~within], box[~within]
    at = (way.first[box, np.newaxis] + np.arange(BOX_STEPS)).ravel()
    circle = np.repeat(circle, BOX_STEPS)
    exists = at < len(way.time_s) - 1
    exists[exists] = way.span[at[exists] + 1] == way.span[at[exists]]
    parts = _steps(way, circles, circle[exists], at[exists])
    if len(inside.circle):
        parts = _joined([inside, parts])
        parts = parts[np.lexsort((parts.first, parts.circle))]
    return _merged(way, circles, parts)


def _steps(way: _Way, circles: Floats, circle: Indices, at: Indices) -> _Parts:
    """Return the steps that touch an outer circle, of pairs of a circle and a step."""
    outer_m = outer_radius_m(circles[:, 2])
    start = way.xy[at] - circles[circle, :2]
    step = way.xy[at + 1] - way.xy[at]
    outer = _inside(start, step, outer_m[circle])
    touched = np.flatnonzero(~np.isnan(outer[0]))
    circle, at, start, step = circle[touched], at[touched], start[touched], step[touched]
    inner = _inside(start, step, circles[circle, 2])
    hit = np.flatnonzero(~np.isnan(inner[0]))
    nearest_m = np.full(len(at), np.inf)
    nearest_m[hit] = norms(_nearest(start[hit], step[hit]))
    begin_s = way.time_s[at]
    step_s = way.time_s[at + 1] - begin_s
    return _Parts(
        circle=circle,
        first=at,
        last=at + 1,
        outer_from_s=begin_s + outer[0][touched] * step_s,
        outer_to_s=begin_s + outer[1][touched] * step_s,
        inner_from_s=begin_s + inner[0] * step_s,
        inner_to_s=begin_s + inner[1] * step_s,
        nearest_m=nearest_m,
    )


def _boxes(way: _Way, circles: Floats, circle: Indices, box: Indices) -> _Parts:
    """Return the boxes that lie inside of an inner circle, of pairs of a circle and a box."""
    first, last = way.first[box], way.last[box]
    begin_s, end_s = way.time_s[first], way.time_s[last]
    return _Parts(
        circle=circle,
        first=first,
        last=last,
        outer_from_s=begin_s,
        outer_to_s=end_s,
        inner_from_s=begin_s,
        inner_to_s=end_s,
        nearest_m=norms(_nearest_of(way, circles[circle, :2], first, last)),
    )


def _merged(way: _Way, circles: Floats, parts: _Parts) -> Passes:
    """Return the passes that the parts, by circle and then by time, belong to."""
    span = way.span
    # A pass ends where the circle changes or the vehicle stayed out too long.
    new = np.ones(len(parts.circle), dtype=bool)
    late = parts.outer_from_s[1:] > parts.outer_to_s[:-1] + MERGE_S
    new[1:] = (np.diff(parts.circle) != 0) | late | (np.diff(span[parts.first]) != 0)
    hit = np.flatnonzero(~np.isnan(parts.inner_from_s))
    if not len(hit):
        return _none()
    parts, group = parts[hit], np.cumsum(new)[hit]
    first = np.flatnonzero(np.diff(group, prepend=0) != 0)
    last = np.append(first[1:], len(group)) - 1
    nearest = np.lexsort((parts.nearest_m, group))[first]
    circle, before, after = parts.circle[first], parts.first[first], parts.last[last]
    entered_s, exited_s = parts.inner_from_s[first], parts.inner_to_s[last]
    centre = circles[circle, :2]
    nearest_xy = _nearest_of(way, centre, parts.first[nearest], parts.last[nearest])
    entered_xy = way.at(entered_s, before) - centre
    exited_xy = way.at(exited_s, after - 1) - centre
    return Passes(
        stop=circle,
        entered_s=entered_s,
        exited_s=exited_s,
        before=before,
        after=after,
        begins_inside=_edge(span, before, -1) & (entered_s <= way.time_s[before]),
        ends_inside=_edge(span, after, 1) & (exited_s >= way.time_s[after]),
        nearest_xy=nearest_xy + centre,
        nearest_m=norms(nearest_xy),
        travel_m=norms(nearest_xy - entered_xy) + norms(exited_xy - nearest_xy),
    )


def _nearest_of(way: _Way, centre: Floats, first: Indices, last: Indices) -> Floats:
    """Return the point nearest to a centre between two fixes of a box each, relative to it."""
    at = np.minimum(first[:, np.newaxis] + np.arange(BOX_STEPS), last[:, np.newaxis] - 1).ravel()
    start = way.xy[at] - np.repeat(centre, BOX_STEPS, axis=0)
    points = _nearest(start, way.xy[at + 1] - way.xy[at]).reshape(-1, BOX_STEPS, 2)
    nearest = np.einsum("ksx,ksx->ks", points, points).argmin(axis=1)
    return np.asarray(points[np.arange(len(points)), nearest])


def _inside(start: Floats, step: Floats, radius_m: Floats) -> tuple[Floats, Floats]:
    """Return from and to which fraction each segment is inside the circle, NaN = never.

    ``start`` and ``step`` are ``(k, 2)``, the circle is round the origin.
    """
    squared = _dots(step, step)
    still = squared < 1e-9  # noqa: PLR2004  # a tenth of a millimetre has no direction
    divisor = np.where(still, 1.0, squared)
    along = _dots(start, step) / divisor
    beyond = (_dots(start, start) - radius_m**2) / divisor
    root = np.sqrt(np.maximum(along**2 - beyond, 0.0))
    enter = np.where(still, 0.0, np.clip(-along - root, 0.0, 1.0))
    leave = np.where(still, 1.0, np.clip(-along + root, 0.0, 1.0))
    touches = np.where(still, beyond <= 0.0, (along**2 >= beyond) & (enter < leave))
    return np.where(touches, enter, np.nan), np.where(touches, leave, np.nan)


def _nearest(start: Floats, step: Floats) -> Floats:
    """Return the point of each segment nearest to the origin."""
    squared = np.maximum(_dots(step, step), 1e-12)
    return _along(start, step, np.clip(-_dots(start, step) / squared, 0.0, 1.0))


Table = TypeVar("Table", Passes, _Parts)


def _joined(parts: Sequence[Table]) -> Table:
    """Return all rows of some tables of one kind, in their order."""
    rows = {
        name.name: np.concatenate([getattr(part, name.name) for part in parts])
        for name in fields(parts[0])
    }
    return replace(parts[0], **rows)


def _dots(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("kx,kx->k", one, other))


def _along(start: Floats, step: Floats, fraction: Floats) -> Floats:
    return start + fraction[:, np.newaxis] * step


def _edge(span: Indices, fix: Indices, side: int) -> Flags:
    """Flag the fixes that have no neighbour of the same label on that side."""
    beside = fix + side
    exists = (beside >= 0) & (beside < len(span))
    edge: Flags = ~exists | (span[np.where(exists, beside, fix)] != span[fix])
    return edge


def _none() -> Passes:
    nobody, never = np.zeros(0, dtype=np.intp), np.zeros(0)
    return Passes(
        stop=nobody,
        entered_s=never,
        exited_s=never,
        before=nobody,
        after=nobody,
        begins_inside=np.zeros(0, dtype=bool),
        ends_inside=np.zeros(0, dtype=bool),
        nearest_xy=np.zeros((0, 2)),
        nearest_m=never,
        travel_m=never,
    )
