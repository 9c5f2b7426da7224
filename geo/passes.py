"""Ways of a vehicle through the circles round the stops."""

from dataclasses import dataclass, fields
from typing import Final

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
PAIRS_MAX: Final = 1_000_000


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
    O(n + m n / 32): boxes round 32 steps each tell which are worth a look. A few million pairs of
    a stop and a step are looked at together, so a hundred stops where a vehicle stood for a day
    cost time, but no more memory.
    """
    if len(time_s) < 2:  # noqa: PLR2004
        return _none()
    possible = _nearby(xy, stops_xy, outer_radius_m(radius_m))
    work = np.cumsum(np.count_nonzero(possible, axis=1)) * BOX_STEPS // PAIRS_MAX
    parts = []
    for some in np.split(np.arange(len(stops_xy)), np.flatnonzero(np.diff(work)) + 1):
        stop, box = np.nonzero(possible[some])
        at = (box[:, np.newaxis] * BOX_STEPS + np.arange(BOX_STEPS)).ravel()
        exists = at < len(time_s) - 1
        stop = np.repeat(some[stop], BOX_STEPS)[exists]
        parts.append(_passes(time_s, xy, span, (stop, at[exists]), (stops_xy, radius_m)))
    return Passes(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Passes)
        }
    )


def _passes(
    time_s: Floats,
    xy: Floats,
    span: Indices,
    pairs: tuple[Indices, Indices],
    circles: tuple[Floats, Floats],
) -> Passes:
    """Return the passes among pairs of a stop and a step, by stop and then by step."""
    (stop, at), (stops_xy, radius_m) = pairs, circles
    outer_m = outer_radius_m(radius_m)
    one_span = span[at + 1] == span[at]
    stop, at = stop[one_span], at[one_span]
    start = xy[at] - stops_xy[stop]
    step = xy[at + 1] - xy[at]
    outer = _inside(start, step, outer_m[stop])
    touched = ~np.isnan(outer[0])
    stop, at, start, step = stop[touched], at[touched], start[touched], step[touched]
    outer = outer[0][touched], outer[1][touched]
    inner = _inside(start, step, radius_m[stop])
    step_s = time_s[at + 1] - time_s[at]
    outer_from_s, outer_to_s = (time_s[at] + fraction * step_s for fraction in outer)
    inner_from_s, inner_to_s = (time_s[at] + fraction * step_s for fraction in inner)

    # A pass ends where the stop changes or the vehicle stayed out too long.
    new = np.ones(len(stop), dtype=bool)
    late = outer_from_s[1:] > outer_to_s[:-1] + MERGE_S
    new[1:] = (stop[1:] != stop[:-1]) | late | (span[at[1:]] != span[at[:-1]])
    group = np.cumsum(new) - 1
    hit = ~np.isnan(inner_from_s)
    group, stop, at = group[hit], stop[hit], at[hit]
    first = np.flatnonzero(np.diff(group, prepend=-1) != 0)
    last = np.append(first[1:], len(group)) - 1
    if not len(first):
        return _none()
    nearest_xy = _nearest(start[hit], step[hit])
    distance_m = norms(nearest_xy)
    nearest = np.lexsort((distance_m, group))[first]
    entered_xy = _along(start, step, inner[0])[hit][first]
    exited_xy = _along(start, step, inner[1])[hit][last]
    entered_s, exited_s = inner_from_s[hit][first], inner_to_s[hit][last]
    begins = _edge(span, at[first], -1) & (entered_s <= time_s[at[first]])
    ends_here = _edge(span, at[last] + 1, 1) & (exited_s >= time_s[at[last] + 1])
    centre = nearest_xy[nearest]
    return Passes(
        stop=stop[first],
        entered_s=entered_s,
        exited_s=exited_s,
        before=at[first],
        after=at[last] + 1,
        begins_inside=begins,
        ends_inside=ends_here,
        nearest_xy=centre + stops_xy[stop[first]],
        nearest_m=distance_m[nearest],
        travel_m=norms(centre - entered_xy) + norms(exited_xy - centre),
    )


def _nearby(xy: Floats, stops_xy: Floats, reach_m: Floats) -> Flags:
    """Flag the boxes round steps of the track that may be within reach of each stop."""
    boxes = np.arange(0, len(xy) - 1, BOX_STEPS)
    possible = np.ones((len(stops_xy), len(boxes)), dtype=bool)
    for axis in (0, 1):
        values = xy[:, axis]
        low, high = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
        place = stops_xy[:, axis, np.newaxis]
        possible &= np.minimum.reduceat(low, boxes) - reach_m[:, np.newaxis] <= place
        possible &= np.maximum.reduceat(high, boxes) + reach_m[:, np.newaxis] >= place
    return possible


def _inside(start: Floats, step: Floats, radius_m: Floats) -> tuple[Floats, Floats]:
    """Return from and to which fraction each segment is inside the circle, NaN = never.

    ``start`` and ``step`` are ``(k, 2)``, the circle is round the origin.
    """
    squared = (step**2).sum(axis=1)
    still = squared < 1e-9  # noqa: PLR2004  # a tenth of a millimetre has no direction
    divisor = np.where(still, 1.0, squared)
    along = (start * step).sum(axis=1) / divisor
    beyond = ((start**2).sum(axis=1) - radius_m**2) / divisor
    root = np.sqrt(np.maximum(along**2 - beyond, 0.0))
    enter = np.where(still, 0.0, np.clip(-along - root, 0.0, 1.0))
    leave = np.where(still, 1.0, np.clip(-along + root, 0.0, 1.0))
    touches = np.where(still, beyond <= 0.0, (along**2 >= beyond) & (enter < leave))
    return np.where(touches, enter, np.nan), np.where(touches, leave, np.nan)


def _nearest(start: Floats, step: Floats) -> Floats:
    """Return the point of each segment nearest to the origin."""
    squared = np.maximum((step**2).sum(axis=1), 1e-12)
    return _along(start, step, np.clip(-(start * step).sum(axis=1) / squared, 0.0, 1.0))


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
