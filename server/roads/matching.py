"""Asking in stretches: no router takes a whole day at once."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import numpy as np

from geo.types import Floats
from geo.values import Track
from server.roads.model import (
    ROAD_POINTS_MAX,
    Matched,
    Method,
    Road,
    RoadsUnavailable,
    Trouble,
    joined,
    straight_match,
    stretches,
)

AskRoad: TypeAlias = Callable[[Floats], Awaitable[Road]]
AskPieces: TypeAlias = Callable[[Track], Awaitable[list[Floats]]]

_NO_ROAD_HERE: Final = frozenset({Trouble.REFUSED, Trouble.OFF_THE_MAP})


async def routed(points: Floats, ask: AskRoad, *, points_max: int) -> Road:
    """Return the way through all places, asked for in stretches, one after the other.

    Raises
    ------
    RoadsUnavailable
    """
    parts: list[Road] = []
    for part in stretches(len(points), points_max=points_max):
        parts.append(await ask(points[part]))
        if sum(len(one.line) for one in parts) > ROAD_POINTS_MAX:
            raise RoadsUnavailable(Trouble.TOO_LARGE)
    return Road(
        line=_without_repeats(np.concatenate([one.line for one in parts])),
        legs_m=np.concatenate([one.legs_m for one in parts]),
        legs_s=np.concatenate([one.legs_s for one in parts]),
    )


async def matched(track: Track, ask: AskPieces, *, points_max: int) -> Matched:
    """Lay a track on roads, stretch by stretch.

    ``ask`` returns lines of one stretch; more than one means that it could not tell how they hang
    together. Where there is no road at all the track stays as it is.

    Raises
    ------
    RoadsUnavailable
    """
    pieces: list[Floats] = []
    on_roads = 0
    whole = True
    for part in stretches(len(track.time_s), points_max=points_max):
        stretch = Track(
            time_s=track.time_s[part],
            lon_lat=track.lon_lat[part],
            accuracy_m=track.accuracy_m[part],
        )
        try:
            found = await ask(stretch)
        except RoadsUnavailable as failed:
            if failed.trouble not in _NO_ROAD_HERE:
                raise
            found, whole = [stretch.lon_lat], False
        else:
            on_roads += 1
            whole = whole and len(found) == 1
        pieces += found
    if not on_roads:
        return straight_match(track)
    return joined(pieces, Method.ROADS if whole else Method.PARTLY)


def _without_repeats(line: Floats) -> Floats:
    """Drop points that repeat the one before, as where two legs meet; two points stay at least."""
    fresh = np.concatenate([[True], (np.diff(line, axis=0) != 0.0).any(axis=1)])
    return line[fresh] if fresh.sum() > 1 else line[[0, -1]]
