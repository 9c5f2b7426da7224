"""Roads for whoever plans or compares: never an error, and always said where an answer is from."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeAlias, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import numpy as np
import shapely
import structlog

from geo.plane import Plane, refuse_unusable
from geo.spacing import spaced
from geo.types import Floats
from geo.values import Track
from server.kit.problem import where
from server.roads.asking import Router
from server.roads.model import (
    MATRIX_POINTS_MAX,
    Matched,
    Matrix,
    Method,
    Road,
    RoadMatcher,
    RoadsUnavailable,
    RouterAt,
    RouterKind,
    Trouble,
    straight_match,
    straight_matrix,
    straight_road,
)
from server.roads.osrm import Osrm
from server.roads.valhalla import Valhalla

PLAN_S_MAX: Final = 15.0
"""A dispatcher waits for it, behind others' questions too."""
TRACK_S_MAX: Final = 60.0
OF_COMPANY_MAX: Final = 2
"""So many of its plans are laid on roads at once; more wait, and others' go before them."""
TOLERANCE_M: Final = 1.5
"""So far beside the road a plan's line may run: a tenth of the points, and no less of a road."""
DECIMALS: Final = 6

log = structlog.get_logger(__name__)

T = TypeVar("T")
Line: TypeAlias = tuple[tuple[float, float], ...]


class Roads:
    """Asks the router, if there is one; what it does not answer is straight, and marked so."""

    def __init__(
        self, matcher: RoadMatcher | None = None, *, plan_s_max: float = PLAN_S_MAX
    ) -> None:
        self._matcher = matcher
        self._plan_s_max = plan_s_max
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    async def route(self, points: Floats) -> Road:
        """Return the way through ``points``, shape ``(m, 2)``: longitude, latitude, degrees."""
        found = None
        if self._matcher is not None and len(points) > 1 and _is_usable(points):
            found = await _tried(self._matcher.route(points), within_s=self._plan_s_max)
        return straight_road(points) if found is None else found

    async def line(self, company_id: UUID, places: Sequence[tuple[float, float]]) -> Line | None:
        """Return the road through places, each [longitude, latitude], as a plan keeps it.

        None where legs are straight: no router, or no answer of use, with waiting for the turn of
        this company's plan.
        """
        if self._matcher is None:
            return None
        points = np.array(places, dtype=np.float64).reshape(-1, 2)
        road = await _tried(self._in_turn(company_id, points), within_s=self._plan_s_max)
        if road is None or road.method is Method.STRAIGHT:
            return None
        return await asyncio.to_thread(_plain, road.line)

    async def _in_turn(self, company_id: UUID, points: Floats) -> Road:
        async with self._turns.setdefault(company_id, asyncio.Semaphore(OF_COMPANY_MAX)):
            return await self.route(points)

    async def match(self, track: Track) -> Matched:
        """Lay a track (cleaned, in any order) on roads.

        It is thinned before (:func:`geo.spacing.spaced`); where no router answers the chords of
        the thinned track are returned.
        """
        thin = await asyncio.to_thread(spaced, track)
        found = None
        if self._matcher is not None and len(thin.time_s) > 1 and _is_usable(thin.lon_lat):
            found = await _tried(self._matcher.match(thin), within_s=TRACK_S_MAX)
        return straight_match(thin) if found is None else found

    async def matrix(self, points: Floats) -> Matrix:
        """Return seconds and metres between ``points``, shape ``(m, 2)``.

        Raises
        ------
        ValueError
            There are more than ``MATRIX_POINTS_MAX``.
        """
        if len(points) > MATRIX_POINTS_MAX:
            raise ValueError(f"a matrix has at most {MATRIX_POINTS_MAX} places")
        found = None
        if self._matcher is not None and len(points) > 1 and _is_usable(points):
            found = await _tried(self._matcher.matrix(points), within_s=self._plan_s_max)
        return straight_matrix(points) if found is None else found


OFF: Final = Roads()
"""Without a router nothing is asked of anybody."""


def roads_of(router: RouterAt | None) -> Roads:
    """Return what is set up."""
    if router is None:
        return OFF
    asking = Router(router.url)
    return Roads(Osrm(asking) if router.kind is RouterKind.OSRM else Valhalla(asking))


async def _tried(answer: Awaitable[T], *, within_s: float) -> T | None:
    """Return the answer; None if there is none of use. What is logged names no place."""
    try:
        async with asyncio.timeout(within_s):
            return await answer
    except RoadsUnavailable as failed:
        trouble = failed.trouble
    except TimeoutError:
        trouble = Trouble.TOO_SLOW
    except Exception as error:  # noqa: BLE001 - a plan is worth more than its line
        log.error("roads_broken", **where(error))  # noqa: TRY400
        return None
    log.warning("roads_unanswered", error=trouble.value)
    return None


def _plain(line: Floats) -> Line | None:
    plane = Plane.around(line)
    thin = shapely.simplify(
        shapely.linestrings(plane.to_xy(line)), TOLERANCE_M, preserve_topology=False
    )
    shaping = plane.to_lon_lat(shapely.get_coordinates(thin)).round(DECIMALS)
    found = tuple((float(lon), float(lat)) for lon, lat in shaping)
    return found if len(set(found)) > 1 and _is_usable(shaping) else None


def _is_usable(points: Floats) -> bool:
    try:
        refuse_unusable(points, "points")
    except ValueError:
        return False
    return True
