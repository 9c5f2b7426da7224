"""The endpoint that reads where a driver went."""

import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import Field

from geo.thinning import ZOOM_MAX
from server.credentials.access import CALLER, VAULT, authorize, everyone
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.drawing import in_thread
from server.gate.handover import Drawn, ReadsBusy
from server.gate.model import Gate, GateMissing
from server.kit import db
from server.kit.api import Endpoint, Media, endpoint
from server.kit.cursors import CursorInvalid, bound_cursor, bound_place
from server.kit.downloads import attachment
from server.kit.errors import DomainError
from server.kit.problem import FieldFault, InvalidFields, path_of
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import (
    AccuracyM,
    AltitudeM,
    HeadingDeg,
    Instant,
    Latitude,
    Longitude,
    SpeedMps,
    Text,
    Wire,
    rfc3339,
)
from server.reads import model as reads
from server.tracking import render, service
from server.tracking.model import (
    Availability,
    Track,
    TrackPurpose,
    TrackSpanInvalid,
    ceil_ms,
    from_ms,
    purpose_of,
    to_us,
)
from server.tracking.service import PART_POSITIONS

T = TypeVar("T")

ACCESS: Final = everyone(Scope.TRACKS_READ)
PAGE_POSITIONS_MAX: Final = 100_000
_PLACE: Final = struct.Struct(">qB")
_SPAN: Final = struct.Struct(">qq")
_Source: TypeAlias = Literal["gps", "wifi", "cell", "fused", "beacon"]


class TrackQuery(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    format: Literal["json", "geojson", "gpx", "csv"] = "json"
    limit: Annotated[int, Field(ge=1, le=PAGE_POSITIONS_MAX)] = 10_000
    """Positions of a page of JSON."""
    cursor: Annotated[str, Text(64)] | None = None
    """``next_cursor`` of the page before, with the same driver, ``from`` and ``to``."""
    zoom: Annotated[int, Field(ge=0, le=ZOOM_MAX)] | None = None
    """Of JSON and GeoJSON: only what a map shows of it there."""

    def refuse_unusable(self) -> None:
        """Refuse what was asked for beside a format that does not have it.

        Raises
        ------
        InvalidFields
        """
        usable = {"json": {"limit", "cursor", "zoom"}, "geojson": {"zoom"}}
        asked = self.model_fields_set & {"limit", "cursor", "zoom"}
        faults = [
            FieldFault(
                path=path_of(name, query=True),
                code="not_of_this_format",
                detail="This format does not take it",
            )
            for name in sorted(asked - usable.get(self.format, set()))
        ]
        if faults:
            raise InvalidFields(faults)


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
    """Positions of this page."""
    shown: int
    """Those of them that stand in the columns: fewer where a zoom was given."""
    next_cursor: str | None
    """Null on the last page."""
    stretches: list[int]
    """Places in the columns at which a line begins: nothing is to be drawn across."""
    columns: TrackColumns


@endpoint(
    "GET",
    "/v1/drivers/{driver_id}/track",
    access=ACCESS,
    answer=TrackView,
    media=(
        Media(content_type="application/geo+json", schema={"type": "object"}),
        Media(content_type="application/gpx+xml"),
        Media(content_type="text/csv"),
    ),
    raises=(GateMissing, TrackSpanInvalid, CursorInvalid, ReadsBusy),
    purposes=(TrackPurpose.PLAN_FACT, TrackPurpose.SUBJECT_ACCESS),
)
async def read_track(
    request: web.Request, *, driver_id: UUID, query: TrackQuery
) -> web.StreamResponse:
    """Read where a driver went.

    Staff see what was recorded under the present consent to plan versus fact; drivers see
    everything that is kept of themselves. JSON comes in pages of `limit` positions: read on with
    `next_cursor`. The other formats are files of the whole span; a long one is chunked, and one
    without its last chunk is not whole. With a `zoom`, JSON and GeoJSON hold what a map shows.
    """
    query.refuse_unusable()
    purpose = purpose_of(request[CALLER], driver_id)
    question = Question.of(driver_id, query, purpose)
    # Before anything is read: a cursor of another question is no refusal of the driver's.
    after = None if query.cursor is None else question.place_of(query.cursor)

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.reach(
                conn,
                request[COMPANY],
                driver_id,
                query.since,
                query.until,
                purpose=purpose,
                now=now(request),
            )
        # The connection is back by here: uploads and withdrawals wait for no reader.
        if query.format == "json":
            return await _page(_Reading(request, found, after), question, query)
        return await _file(_Reading(request, replace(found, whole=True), after), question, query)

    seen = None
    if purpose is not TrackPurpose.SUBJECT_ACCESS:
        recorded = reads.ReadPurpose(purpose.value)
        # A file for other programs goes out of our sight: the driver is told that it was one.
        screen = reads.Screen.TRACK if query.format == "json" else reads.Screen.EXPORT
        seen = handover.viewing(request, viewer(request), recorded, screen)
    return await handover.answer(request, seen, draw)


class Place(NamedTuple):
    """Where a position stands in the order of a track; no two stand at the same."""

    time_ms: int
    device: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked for; a cursor is a place in the answers to one question."""

    driver_id: UUID
    since: datetime
    until: datetime
    purpose: TrackPurpose

    @classmethod
    def of(cls, driver_id: UUID, query: TrackQuery, purpose: TrackPurpose) -> "Question":
        return cls(driver_id=driver_id, since=query.since, until=query.until, purpose=purpose)

    def head(self, availability: Availability) -> dict[str, str]:
        return {
            "driver_id": str(self.driver_id),
            "from": rfc3339(self.since),
            "to": rfc3339(self.until),
            "purpose": self.purpose.value,
            "availability": availability.value,
        }

    def file_name(self, ending: str) -> str:
        """Return a name that tells the span and not the person."""
        since, until = (f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}" for at in (self.since, self.until))
        return f"track_{since}_{until}.{ending}"

    def cursor_after(self, last: Place) -> str:
        return bound_cursor(_PLACE.pack(*last), self._bytes())

    def place_of(self, cursor: str) -> Place:
        """Return the place to go on after.

        Raises
        ------
        CursorInvalid
        """
        try:
            place = Place(*_PLACE.unpack(bound_place(cursor, self._bytes())))
        except struct.error:
            raise CursorInvalid from None
        if not ceil_ms(self.since) <= place.time_ms < ceil_ms(self.until):
            raise CursorInvalid
        return place

    def _bytes(self) -> bytes:
        return self.driver_id.bytes + _SPAN.pack(to_us(self.since), to_us(self.until))


class _Reading:
    """Reads the parts of a track, one after the other; between two it holds nothing."""

    def __init__(
        self, request: web.Request, found: service.SealedTrack, after: Place | None
    ) -> None:
        self.found = found
        self.request = request
        self._after = after
        readable = found.availability is Availability.FULL
        self._at = found.since if readable else found.until
        if after is not None:  # others may have the same time
            self._at = max(self._at, from_ms(after.time_ms))

    @property
    def is_over(self) -> bool:
        return self._at >= self.found.until

    async def next(self, use: Callable[[Track], T], positions: int) -> T:
        """Read the next part, and open and use it in a thread."""
        async with transaction(self.request, readonly=True) as conn:
            await db.one_snapshot(conn)
            sealed = await service.part(
                conn, self.request.app[VAULT], self.found, self._at, positions=positions
            )
        self._at = sealed.until
        return await in_thread(lambda: use(self._opened(sealed)))

    def _opened(self, sealed: service.SealedTrack) -> Track:
        track = service.opened(sealed)
        if self._after is None or not len(track):
            return track
        at, device = self._after
        return track.where((track.time_ms > at) | ((track.time_ms == at) & (track.device > device)))

    def gate(self, count: int) -> Gate | None:
        """Return the gate that fences so many positions from the caller."""
        return self.found.gate if self.found.fenced and count else None

    @property
    def refused(self) -> UUID | None:
        shared = self.found.availability is not Availability.NOT_SHARED
        return None if shared else self.found.gate.driver_id


async def _page(reading: _Reading, question: Question, query: TrackQuery) -> Drawn:
    """Draw one page of JSON: one position more is read, to know whether there is another page."""
    tracks = [service.opened(reading.found)]  # none of it is read yet: its windows only
    size = 0
    while size <= query.limit and not reading.is_over:
        missing = query.limit + 1 - size
        tracks.append(await reading.next(lambda one: one, min(missing, PART_POSITIONS)))
        size += len(tracks[-1])
    availability = reading.found.availability
    if availability is not Availability.NOT_SHARED:
        availability = Availability.FULL if size else Availability.NO_POSITIONS
    body = await in_thread(_json, tracks, question, query, availability)
    return Drawn(body=body, gate=reading.gate(size), refused=reading.refused)


def _json(
    tracks: list[Track], question: Question, query: TrackQuery, availability: Availability
) -> bytes:
    page, more = render.page_of(tracks, query.limit)
    following = None
    if more:
        following = question.cursor_after(Place(int(page.time_ms[-1]), int(page.device[-1])))
    return render.json_page(
        page, question.head(availability), zoom=query.zoom, next_cursor=following
    )


async def _file(reading: _Reading, question: Question, query: TrackQuery) -> Drawn:
    """Draw a file up to its first positions; what comes after them is drawn as it leaves."""
    writer = render.FILES[query.format](query.zoom)

    def written(track: Track) -> tuple[int, bytes]:
        return len(track), writer.add(track)

    async def rest() -> AsyncGenerator[bytes]:
        while not reading.is_over:
            _, more = await reading.next(written, PART_POSITIONS)
            if more:
                yield more
        yield writer.end()

    size, first = 0, b""
    while not size and not reading.is_over:
        size, first = await reading.next(written, PART_POSITIONS)
    availability = reading.found.availability
    if availability is not Availability.NOT_SHARED:
        availability = Availability.FULL if size else Availability.NO_POSITIONS
    begun = writer.begin(question.head(availability)) + first
    return Drawn(
        body=begun + writer.end() if reading.is_over else begun,
        rest=None if reading.is_over else rest(),
        may=partial(_still_may, reading.request, question),
        content_type=writer.content_type,
        headers={"Content-Disposition": attachment(question.file_name(query.format))},
        gate=reading.gate(size),
        refused=reading.refused,
    )


async def _still_may(request: web.Request, question: Question) -> bool:
    """Tell whether who asked still is let in, and for the same purpose."""
    try:
        await authorize(request, ACCESS)
        return purpose_of(request[CALLER], question.driver_id) is question.purpose
    except DomainError:
        return False


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_track,)
