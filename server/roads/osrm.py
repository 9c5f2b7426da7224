"""OSRM over HTTP, its API v1: https://project-osrm.org/docs/v5.24.0/api/.

It takes no POST: places stand in the path of each request, and so in that server's access log.
Times of fixes are never sent; OSRM does without.
"""

from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from geo.spacing import claimed_sigmas_m
from geo.types import Floats
from geo.values import Track
from server.roads import matching
from server.roads.asking import Router, Told
from server.roads.model import Matched, Matrix, Road, RoadsUnavailable, Trouble, refuse_elsewhere
from server.roads.polyline import decoded

POINTS_MAX: Final = 100
"""Of one question: what OSRM takes as it comes out of the box, and a path of 3 kB."""
LINE: Final = "overview=full&geometries=polyline6&generate_hints=false"

Amount = Annotated[float, Field(ge=0)]
Point = tuple[
    Annotated[float, Field(ge=-180, le=180)],
    Annotated[float, Field(ge=-90, le=90)],
]


class _Leg(Told):
    distance: Amount
    duration: Amount


class _Route(Told):
    geometry: str
    legs: list[_Leg]


class _Waypoint(Told):
    location: Point


class _Routes(Told):
    code: Literal["Ok"]
    routes: list[_Route] = Field(min_length=1)
    waypoints: list[_Waypoint]


class _Matching(Told):
    geometry: str


class _Matchings(Told):
    code: Literal["Ok"]
    matchings: list[_Matching] = Field(min_length=1)
    tracepoints: list[_Waypoint | None]


class _Table(Told):
    code: Literal["Ok"]
    durations: list[list[Amount | None]]
    distances: list[list[Amount | None]]


class Osrm:
    """A :class:`server.roads.model.RoadMatcher`. Which vehicle drives is set up in OSRM itself."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def route(self, points: Floats) -> Road:
        return await matching.routed(points, self._route, points_max=POINTS_MAX)

    async def match(self, track: Track) -> Matched:
        return await matching.matched(track, self._match, points_max=POINTS_MAX)

    async def matrix(self, points: Floats) -> Matrix:
        def read(body: bytes) -> Matrix:
            told = _Table.model_validate_json(body)
            return Matrix(
                seconds=_square(told.durations, len(points)),
                metres=_square(told.distances, len(points)),
            )

        path = f"/table/v1/driving/{_path(points)}?annotations=duration,distance"
        return await self._router.ask(f"{path}&generate_hints=false", read=read)

    async def _route(self, points: Floats) -> Road:
        def read(body: bytes) -> Road:
            told = _Routes.model_validate_json(body)
            best, snapped = told.routes[0], np.array([one.location for one in told.waypoints])
            if len(best.legs) != len(points) - 1 or len(snapped) != len(points):
                raise RoadsUnavailable(Trouble.UNREADABLE)
            line = decoded(best.geometry)
            refuse_elsewhere(points, snapped)
            refuse_elsewhere(points[[0, -1]], line[[0, -1]])
            return Road(
                line=line,
                legs_m=np.array([leg.distance for leg in best.legs]),
                legs_s=np.array([leg.duration for leg in best.legs]),
            )

        path = f"/route/v1/driving/{_path(points)}?{LINE}&steps=false&alternatives=false"
        return await self._router.ask(path, read=read)

    async def _match(self, track: Track) -> list[Floats]:
        def read(body: bytes) -> list[Floats]:
            told = _Matchings.model_validate_json(body)
            on_road = np.array([one is not None for one in told.tracepoints])
            if len(on_road) != len(track.lon_lat) or not on_road.any():
                raise RoadsUnavailable(Trouble.UNREADABLE)
            first, last = np.flatnonzero(on_road)[[0, -1]]
            snapped = [one.location for one in told.tracepoints if one is not None]
            refuse_elsewhere(track.lon_lat[on_road], np.array(snapped))
            lines = [decoded(one.geometry) for one in told.matchings]
            # A fix in the middle that is on no road is an outlier; at the ends the way goes on.
            ends = [track.lon_lat[:first]], [track.lon_lat[last + 1 :]]
            return [piece for piece in (*ends[0], *lines, *ends[1]) if len(piece)]

        # Thinned fixes have silences that are none: without "ignore" OSRM splits at 60 s.
        radiuses = ";".join(f"{sigma:.0f}" for sigma in claimed_sigmas_m(track))
        path = f"/match/v1/driving/{_path(track.lon_lat)}?{LINE}&gaps=ignore&radiuses={radiuses}"
        return await self._router.ask(path, read=read)


def _path(points: Floats) -> str:
    return ";".join(f"{lon:.6f},{lat:.6f}" for lon, lat in points)


def _square(rows: list[list[float | None]], size: int) -> Floats:
    found = np.array([[np.nan if one is None else one for one in row] for row in rows])
    if found.shape != (size, size):
        raise RoadsUnavailable(Trouble.UNREADABLE)
    return found
