"""The endpoint that reads where a driver went."""

import asyncio
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import CALLER, VAULT, everyone
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.handover import Drawn, ReadsBusy
from server.gate.model import GateMissing
from server.kit.api import Endpoint, Media, endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import (
    AccuracyM,
    AltitudeM,
    HeadingDeg,
    Instant,
    Latitude,
    Longitude,
    SpeedMps,
    Wire,
    rfc3339,
)
from server.reads import model as reads
from server.tracking import render, service
from server.tracking.model import Availability, TrackPurpose, TrackSpanInvalid, TrackTooLong

_Source: TypeAlias = Literal["gps", "wifi", "cell", "fused", "beacon"]


class TrackQuery(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    format: Literal["json", "geojson", "gpx"] = "json"


class TrackColumns(Wire):
    recorded_at: list[Instant]
    lat: list[Latitude]
    lon: list[Longitude]
    accuracy_m: list[AccuracyM | None]
    speed_mps: list[SpeedMps | None]
    heading_deg: list[HeadingDeg | None]
    altitude_m: list[AltitudeM | None]
    battery_pct: list[Annotated[float, Field(ge=0, le=100)] | None]
    source: list[_Source | None]


class TrackView(Wire):
    driver_id: UUID
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    purpose: TrackPurpose
    availability: Availability
    count: int
    columns: TrackColumns


@endpoint(
    "GET",
    "/v1/drivers/{driver_id}/track",
    access=everyone(Scope.TRACKS_READ),
    answer=TrackView,
    media=(
        Media(content_type="application/geo+json", schema={"type": "object"}),
        Media(content_type="application/gpx+xml"),
    ),
    raises=(GateMissing, TrackSpanInvalid, TrackTooLong, ReadsBusy),
    purposes=(TrackPurpose.PLAN_FACT, TrackPurpose.SUBJECT_ACCESS),
)
async def read_track(
    request: web.Request, *, driver_id: UUID, query: TrackQuery
) -> web.StreamResponse:
    """Read where a driver went.

    Staff see what was recorded under the present consent to plan versus fact; drivers see
    everything that is kept of themselves.
    """
    purpose = service.purpose_of(request[CALLER], driver_id)

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.gather(
                conn,
                request.app[VAULT],
                request[COMPANY],
                driver_id,
                query.since,
                query.until,
                purpose=purpose,
                now=now(request),
            )
        # The connection is back by here: uploads and withdrawals wait for no reader.
        return await asyncio.to_thread(_drawn, found, driver_id, query, purpose)

    seen = None
    if purpose is not TrackPurpose.SUBJECT_ACCESS:
        recorded = reads.ReadPurpose(purpose.value)
        # A file for other programs goes out of our sight: the driver is told that it was one.
        screen = reads.Screen.TRACK if query.format == "json" else reads.Screen.EXPORT
        seen = handover.viewing(request, viewer(request), recorded, screen)
    return await handover.answer(request, seen, draw)


def _drawn(
    found: service.SealedTrack, driver_id: UUID, query: TrackQuery, purpose: TrackPurpose
) -> Drawn:
    track = service.opened(found)
    head = {
        "driver_id": str(driver_id),
        "from": rfc3339(query.since),
        "to": rfc3339(query.until),
        "purpose": purpose.value,
        "availability": track.availability.value,
    }
    content_type, write = render.FORMATS[query.format]
    return Drawn(
        body=write(track, head),
        content_type=content_type,
        gate=found.gate if found.fenced and len(track) else None,
        refused=driver_id if track.availability is Availability.NOT_SHARED else None,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_track,)
