"""What is asked about roads, what comes back, and what is said where no router answers. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from geo.plane import segment_lengths_m
from geo.types import Floats
from geo.values import Track

ROAD_POINTS_MAX: Final = 50_000
MATRIX_POINTS_MAX: Final = 50
"""Both routers answer 50 x 50 places as they come out of the box."""
SNAP_M_MAX: Final = 2_000.0
"""A road farther from a place does not lead to it: the router's map is of elsewhere."""


class Method(StrEnum):
    """Where a line or a length comes from."""

    ROADS = "roads"
    PARTLY = "partly"
    """Some of it was on no road that the router knows: straight there."""
    STRAIGHT = "straight"


class RouterKind(StrEnum):
    OSRM = "osrm"
    VALHALLA = "valhalla"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterAt:
    """A road router, and where it answers."""

    kind: RouterKind
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """The way through ``m`` places in their order.

    Attributes
    ----------
    line
        Shape ``(k, 2)``: longitude, latitude in degrees.
    legs_m, legs_s
        Shape ``(m - 1,)``: length and time of each leg; NaN = not known.
    """

    line: Floats
    legs_m: Floats
    legs_s: Floats
    method: Method = Method.ROADS


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A track laid on roads: its line, shape ``(k, 2)``, and how long that is."""

    line: Floats
    length_m: float
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """From each of ``m`` places (row) to each (column): shapes ``(m, m)``, NaN = not known."""

    seconds: Floats
    metres: Floats
    method: Method = Method.ROADS


class Trouble(StrEnum):
    """Why a router is of no use just now."""

    UNREACHABLE = "unreachable"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    """It answered that there is no way, or that it does not answer such a question."""
    UNREADABLE = "unreadable"
    OFF_THE_MAP = "off_the_map"


class RoadsUnavailable(Exception):
    """A router gave no answer that can be used. Carries no place and no address."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(trouble.value)


class RoadMatcher(Protocol):
    """A road router. What it raises is for :class:`server.roads.service.Roads` to catch."""

    async def route(self, points: Floats) -> Road:
        """Return the way through ``points``, shape ``(m, 2)``, ``m >= 2``.

        Raises
        ------
        RoadsUnavailable
        """
        ...

    async def match(self, track: Track) -> Matched:
        """Lay a thinned track (:func:`geo.spacing.spaced`) of two fixes or more on roads.

        Raises
        ------
        RoadsUnavailable
        """
        ...

    async def matrix(self, points: Floats) -> Matrix:
        """Return the ways between ``points``, at most ``MATRIX_POINTS_MAX``.

        Raises
        ------
        RoadsUnavailable
        """
        ...


def straight_road(points: Floats) -> Road:
    """Return the straight legs: their lengths are known, their times are not."""
    legs_m = segment_lengths_m(points)
    return Road(
        line=points, legs_m=legs_m, legs_s=np.full(len(legs_m), np.nan), method=Method.STRAIGHT
    )


def straight_match(track: Track) -> Matched:
    """Return the chords of a thinned track."""
    return joined([track.lon_lat], Method.STRAIGHT)


def straight_matrix(points: Floats) -> Matrix:
    """Return the distances as the crow flies."""
    pairs = np.stack(np.broadcast_arrays(points[:, None], points[None, :]), axis=2)
    flat = [float(segment_lengths_m(pair).sum()) for row in pairs for pair in row]
    metres = np.array(flat).reshape(len(points), len(points))
    return Matrix(seconds=np.full_like(metres, np.nan), metres=metres, method=Method.STRAIGHT)


def joined(pieces: list[Floats], method: Method) -> Matched:
    """Return one line; between two pieces it is straight."""
    line = np.concatenate(pieces)
    return Matched(line=line, length_m=float(segment_lengths_m(line).sum()), method=method)


def stretches(count: int, *, points_max: int) -> Iterator[slice]:
    """Cut ``count`` places into as few stretches as may be; each begins where the last ended."""
    for first in range(0, max(count - 1, 1), points_max - 1):
        yield slice(first, first + points_max)


def refuse_elsewhere(asked: Floats, answered: Floats) -> None:
    """Check that an answer is about the places that were asked for, both ``(n, 2)``.

    Raises
    ------
    RoadsUnavailable
    """
    pairs = np.stack([asked, answered], axis=1)
    if any(float(segment_lengths_m(pair)[0]) > SNAP_M_MAX for pair in pairs):
        raise RoadsUnavailable(Trouble.OFF_THE_MAP)
