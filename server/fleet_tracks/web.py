"""The tracks of many drivers over HTTP, and the search for who was at a place."""

from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from geo.circle import Circle
from geo.thinning import ZOOM_MAX
from server.credentials.access import VAULT, staff
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.fleet_tracks import service
from server.fleet_tracks.model import (
    DRIVERS_MAX,
    RADIUS_M_MAX,
    RADIUS_M_MIN,
    Area,
    AreaSearchTooLong,
    AreaSpanInvalid,
    Found,
    Share,
)
from server.fleet_tracks.service import SealedPage
from server.gate import handover
from server.gate.drawing import ReadsBusy, Turns, in_thread
from server.gate.handover import Drawn
from server.gate.model import GateMissing
from server.kit import db
from server.kit.api import Endpoint, endpoint, json_bytes
from server.kit.cursors import CursorInvalid, cursor_of, place_of
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Latitude, Longitude, Text, Wire, listed, rfc3339
from server.reads.model import ReadPurpose, Screen
from server.tracking import render
from server.tracking import service as tracking
from server.tracking.model import Availability, Track, TrackSpanInvalid
from server.tracking.web import TrackColumns

SEARCHES_WAITING_MAX: Final = 4
SEARCHES_OF_COMPANY_MAX: Final = 2
TOO_LONG: Final = "too_long"

# Of the process: each search keeps a core busy for as long as it takes.
_searches: Final = Turns(1, waiting_max=SEARCHES_WAITING_MAX, company_max=SEARCHES_OF_COMPANY_MAX)


class TracksQuery(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    driver_id: Annotated[list[UUID], listed, Field(max_length=DRIVERS_MAX)] | None = Field(
        None, description="Give it once for each driver. Without it: all who share their tracks."
    )
    zoom: Annotated[int, Field(ge=0, le=ZOOM_MAX)] | None = Field(
        None, description="Only what makes a difference on a map of this zoom (tiles of 512 px)."
    )
    cursor: Annotated[str, Text(64)] | None = Field(
        None, description="`next_cursor` of the page before."
    )
    limit: int = Field(DRIVERS_MAX, ge=1, le=DRIVERS_MAX, description="Drivers on a page.")


class DriverTrack(Wire):
    driver_id: UUID
    availability: Availability | Literal["too_long"]
    """``too_long``: nothing is shown, because it would not fit on a page by itself."""
    count: int
    shown: int
    """Those of them that stand in the columns: fewer where a zoom was given."""
    stretches: list[int]
    """Places in the columns at which a line begins: nothing is to be drawn across."""
    columns: TrackColumns


class TracksView(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    purpose: Literal[ReadPurpose.PLAN_FACT]
    items: list[DriverTrack]
    next_cursor: str | None


class AreaSearch(Wire):
    lat: Latitude
    lon: Longitude
    radius_m: float = Field(ge=RADIUS_M_MIN, le=RADIUS_M_MAX)
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    purpose: Literal["plan_fact"] = Field(
        description="What the positions are looked at for; only for this a past is kept."
    )


class VisitView(Wire):
    entered_at: Instant
    left_at: Instant
    closest_m: float
    accuracy_m: float | None
    positions: int


class FoundView(Wire):
    driver_id: UUID
    visits: list[VisitView]


class AreaAnswer(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    purpose: Literal["plan_fact"]
    drivers_searched: int
    """How many share anything of that time; nobody else can be found."""
    items: list[FoundView]


@endpoint(
    "GET",
    "/v1/tracks",
    access=staff(Scope.TRACKS_READ),
    answer=TracksView,
    raises=(GateMissing, TrackSpanInvalid, CursorInvalid, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def read_tracks(request: web.Request, *, query: TracksQuery) -> web.StreamResponse:
    """Read where several drivers went, each as far as they share it.

    Drivers who were asked for and do not share are answered as `not_shared`; without `driver_id`
    they are left out. A page holds at most 100,000 positions, so it may hold fewer drivers than
    asked for; who alone has more is answered as `too_long`, without any: read their own track.
    """
    seen = _viewing(request, Screen.TRACK)
    after = place_of(query.cursor)

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            await db.one_snapshot(conn)
            page = await service.page(
                conn,
                request.app[VAULT],
                request[COMPANY],
                query.driver_id,
                query.since,
                query.until,
                after=after,
                limit=query.limit,
                now=now(request),
            )
        if query.driver_id is not None:
            for one in page.tracks:
                if one.availability is Availability.NOT_SHARED:
                    await seen.refused(one.gate.driver_id)
        # One thread after the other: so it ends soon for a caller who went away.
        tracks = [await in_thread(tracking.opened, one) for one in page.tracks]
        return await in_thread(_tracks_drawn, page, tracks, query)

    return await handover.answer(request, seen, draw)


def _tracks_drawn(page: SealedPage, tracks: list[Track], query: TracksQuery) -> Drawn:
    items = [
        json_bytes(
            {
                "driver_id": one.gate.driver_id,
                "availability": (
                    TOO_LONG if one.gate.driver_id in page.too_long else track.availability
                ),
                **render.columns_of(track, query.zoom),
            }
        )
        for one, track in zip(page.tracks, tracks, strict=True)
    ]
    head = json_bytes(
        {
            "from": rfc3339(query.since),
            "to": rfc3339(query.until),
            "purpose": ReadPurpose.PLAN_FACT.value,
            "next_cursor": None if page.last is None else cursor_of(page.last),
        }
    )
    return Drawn(
        body=b'%b,"items":[%b]}' % (head[:-1], b",".join(items)),
        gate=None,
        gates=[one.gate for one, track in zip(page.tracks, tracks, strict=True) if len(track)],
    )


@endpoint(
    "POST",
    "/v1/area-searches",
    access=staff(Scope.TRACKS_READ),
    answer=AreaAnswer,
    raises=(AreaSpanInvalid, AreaSearchTooLong, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def search_area(request: web.Request, *, body: AreaSearch) -> web.StreamResponse:
    """Find who was within some metres of a place, and when.

    Searched is what drivers share of their tracks. Between positions at most two minutes apart a
    driver is taken to have driven straight, so whoever only passed is found too. Each driver who
    is found sees the look; the search itself, without the place, stands in the ledger.
    """
    seen = _viewing(request, Screen.AREA_SEARCH)
    area = Area(
        circle=Circle(lat_deg=body.lat, lon_deg=body.lon, radius_m=body.radius_m),
        since=body.since,
        until=body.until,
    )
    noted = False
    # Somebody at a busy place begins a pause every moment: only theirs is looked at again.
    searched: dict[UUID, tuple[Share, Found | None]] = {}

    async def draw() -> Drawn:
        nonlocal noted, searched
        async with transaction(request, readonly=True) as conn:
            shares = await service.searchable(conn, request[COMPANY], area, now=now(request))
        if not noted:
            async with transaction(request) as conn:
                await service.note_search(
                    conn, request[COMPANY], viewer(request), area, len(shares), now=now(request)
                )
            noted = True
        searched = await service.search_again(
            request.app[POOL], request.app[VAULT], request[COMPANY], area, shares, searched
        )
        found = [one for _, one in searched.values() if one is not None]
        return _area_drawn(body, len(shares), found)

    return await handover.answer(request, seen, draw, turns=_searches)


def _area_drawn(body: AreaSearch, drivers_searched: int, found: list[Found]) -> Drawn:
    answer = AreaAnswer(
        since=body.since,
        until=body.until,
        purpose=body.purpose,
        drivers_searched=drivers_searched,
        items=[
            FoundView(
                driver_id=one.gate.driver_id,
                visits=[
                    VisitView(
                        entered_at=visit.entered_at,
                        left_at=visit.left_at,
                        closest_m=round(visit.closest_m, 1),
                        accuracy_m=visit.accuracy_m,
                        positions=visit.positions,
                    )
                    for visit in one.visits
                ],
            )
            for one in found
        ],
    )
    return Drawn(
        body=answer.model_dump_json().encode(),
        gate=None,
        gates=[one.gate for one in found],
    )


def _viewing(request: web.Request, screen: Screen) -> handover.Viewing:
    return handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, screen)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_tracks, search_area)
