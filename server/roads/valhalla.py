"""Valhalla over HTTP: https://valhalla.github.io/valhalla/api/. Places stand in the body.

Times of fixes are never sent; Valhalla does without.
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

STOPS_MAX: Final = 20
FIXES_MAX: Final = 50
"""Valhalla takes traces of 200 km: 50 fixes at 120 km/h and two minutes apart."""
COSTING: Final = {"costing": "auto", "units": "kilometers"}
GPS_ACCURACY_MAX_M: Final = 100.0

Amount = Annotated[float, Field(ge=0)]


class _Summary(Told):
    length: Amount
    """Kilometres."""
    time: Amount


class _Leg(Told):
    shape: str
    summary: _Summary


class _Trip(Told):
    status: Literal[0]
    units: Literal["kilometers"]
    legs: list[_Leg] = Field(min_length=1)


class _Alternate(Told):
    trip: _Trip


class _Answer(Told):
    trip: _Trip
    alternates: tuple[_Alternate, ...] = ()
    """Of a trace: what follows after a place where it could not be followed."""


class _Cell(Told):
    distance: Amount | None
    time: Amount | None


class _Cells(Told):
    sources_to_targets: list[list[_Cell]]
    units: Literal["kilometers"]


class Valhalla:
    """A :class:`server.roads.model.RoadMatcher`, for a car."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def route(self, points: Floats) -> Road:
        return await matching.routed(points, self._route, points_max=STOPS_MAX)

    async def match(self, track: Track) -> Matched:
        return await matching.matched(track, self._match, points_max=FIXES_MAX)

    async def matrix(self, points: Floats) -> Matrix:
        def read(body: bytes) -> Matrix:
            rows = _Cells.model_validate_json(body).sources_to_targets
            found = np.array([[_numbers(cell) for cell in row] for row in rows])
            if found.shape != (len(points), len(points), 2):
                raise RoadsUnavailable(Trouble.UNREADABLE)
            return Matrix(seconds=found[..., 1], metres=found[..., 0] * 1_000.0)

        asked = COSTING | {"sources": _places(points), "targets": _places(points)}
        return await self._router.ask("/sources_to_targets", asked, read=read)

    async def _route(self, points: Floats) -> Road:
        def read(body: bytes) -> Road:
            legs = _Answer.model_validate_json(body).trip.legs
            if len(legs) != len(points) - 1:
                raise RoadsUnavailable(Trouble.UNREADABLE)
            shapes = [decoded(leg.shape) for leg in legs]
            refuse_elsewhere(points[:-1], np.array([shape[0] for shape in shapes]))
            refuse_elsewhere(points[1:], np.array([shape[-1] for shape in shapes]))
            return Road(
                line=np.concatenate(shapes),
                legs_m=np.array([leg.summary.length * 1_000.0 for leg in legs]),
                legs_s=np.array([leg.summary.time for leg in legs]),
            )

        asked = COSTING | {"locations": _places(points), "directions_type": "none"}
        return await self._router.ask("/route", asked, read=read)

    async def _match(self, track: Track) -> list[Floats]:
        def read(body: bytes) -> list[Floats]:
            told = _Answer.model_validate_json(body)
            trips = [told.trip, *(one.trip for one in told.alternates)]
            lines = [np.concatenate([decoded(leg.shape) for leg in trip.legs]) for trip in trips]
            refuse_elsewhere(track.lon_lat[[0]], lines[0][[0]])
            refuse_elsewhere(track.lon_lat[[-1]], lines[-1][[-1]])
            return lines

        sigma_m = float(np.median(claimed_sigmas_m(track)))
        asked = COSTING | {
            "shape": _places(track.lon_lat),
            "shape_match": "map_snap",
            "directions_type": "none",
            "trace_options": {"gps_accuracy": min(sigma_m, GPS_ACCURACY_MAX_M)},
        }
        return await self._router.ask("/trace_route", asked, read=read)


def _places(points: Floats) -> list[dict[str, float]]:
    return [{"lat": round(float(lat), 6), "lon": round(float(lon), 6)} for lon, lat in points]


def _numbers(cell: _Cell) -> tuple[float, float]:
    nothing = float("nan")
    return (
        nothing if cell.distance is None else cell.distance,
        nothing if cell.time is None else cell.time,
    )
