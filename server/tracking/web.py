"""Endpoints of positions: upload, and a driver's track."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias
from uuid import UUID

import numpy as np
from aiohttp import web
from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic refuses the one of typing before 3.12

from server.accounts.access import CALLER, DEVICE, VAULT, everyone
from server.accounts.model import NotAuthenticated, Scope
from server.gate import handover
from server.gate.handover import Drawn, ReadsBusy
from server.gate.model import GateBusy, GateMissing, Purpose
from server.kit.api import Endpoint, Media, endpoint, validated
from server.kit.body import JsonKeyTwice, read_json, refuse_doubled_keys
from server.kit.problem import FieldFault, InvalidFields
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import INSTANT_PATTERN, Instant, Latitude, Longitude, Text, Wire, rfc3339
from server.tracking import committer, render, service
from server.tracking.model import (
    MOCK,
    MOCK_KNOWN,
    SOURCES,
    UPLOAD_POSITIONS_MAX,
    Availability,
    ConsentAnswer,
    Ints,
    Positions,
    ReadPurpose,
    RefusalReason,
    Track,
    TrackSpanInvalid,
    TrackTooLong,
    Upload,
    UploadAnswer,
    UploadsBusy,
)
from server.tracking.uploads import Uploads

UPLOADS: web.AppKey[Uploads] = web.AppKey("UPLOADS")

UPLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
PARSE_ASIDE_BYTES_MIN: Final = 64 * 1024
"""From so many bytes on a body is parsed in a thread: the other uploads must not wait for it."""

_STRICT: Final = ConfigDict(
    extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
)
_ONE_OF: Final = ConfigDict(
    json_schema_extra={"oneOf": [{"required": ["positions"]}, {"required": ["columns"]}]}
)
_Moment: TypeAlias = Annotated[
    str,
    Field(
        pattern=INSTANT_PATTERN,
        max_length=40,
        json_schema_extra={"format": "date-time"},
        description="RFC 3339 with an offset, by the phone's clock.",
    ),
]
_Milliseconds: TypeAlias = Annotated[int, Field(ge=946_684_800_000, lt=4_102_444_800_000)]
_Accuracy: TypeAlias = Annotated[float, Field(ge=0, le=100_000)]
_Speed: TypeAlias = Annotated[float, Field(ge=0, le=600)]
_Heading: TypeAlias = Annotated[float, Field(ge=0, le=360)]
_Altitude: TypeAlias = Annotated[float, Field(ge=-1_000, le=100_000)]
_Battery: TypeAlias = Annotated[int, Field(ge=0, le=100)]
_Source: TypeAlias = Literal["gps", "wifi", "cell", "fused"]
_BatchId: TypeAlias = Annotated[
    str,
    Text(64),
    Field(description="The client's name for the batch: sent again, it counts as a duplicate."),
]
_SIZE: Final = Field(min_length=1, max_length=UPLOAD_POSITIONS_MAX)


# TypedDicts, not models: an object per position would cost three times as much.
@with_config(_STRICT)
class Position(TypedDict):
    """One fix. What the phone does not know is null or absent, never 0."""

    recorded_at: _Moment
    lat: Latitude
    lon: Longitude
    accuracy_m: NotRequired[_Accuracy | None]
    speed_mps: NotRequired[_Speed | None]
    heading_deg: NotRequired[_Heading | None]
    altitude_m: NotRequired[_Altitude | None]
    battery_pct: NotRequired[_Battery | None]
    source: NotRequired[_Source | None]
    mock: NotRequired[bool | None]


@with_config(_STRICT)
class PositionColumns(TypedDict):
    """Fixes column by column, all of one length: cheaper to send and to read."""

    recorded_at_ms: Annotated[list[_Milliseconds], _SIZE]
    lat: Annotated[list[Latitude], _SIZE]
    lon: Annotated[list[Longitude], _SIZE]
    accuracy_m: NotRequired[Annotated[list[_Accuracy | None], _SIZE] | None]
    speed_mps: NotRequired[Annotated[list[_Speed | None], _SIZE] | None]
    heading_deg: NotRequired[Annotated[list[_Heading | None], _SIZE] | None]
    altitude_m: NotRequired[Annotated[list[_Altitude | None], _SIZE] | None]
    battery_pct: NotRequired[Annotated[list[_Battery | None], _SIZE] | None]
    source: NotRequired[Annotated[list[_Source | None], _SIZE] | None]
    mock: NotRequired[Annotated[list[bool | None], _SIZE] | None]


@with_config(_STRICT | _ONE_OF)
class UploadBody(TypedDict):
    """Positions of one device: exactly one of ``positions`` and ``columns``."""

    batch_id: NotRequired[_BatchId | None]
    sent_at: NotRequired[Instant | None]
    positions: NotRequired[Annotated[list[Position], _SIZE]]
    columns: NotRequired[PositionColumns]


_BODY: Final = TypeAdapter[UploadBody](UploadBody)
_LISTED: Final = (*render.COLUMNS, "source", "mock")
_SOURCE_CODES: Final = {None: 0} | {name: 1 + place for place, name in enumerate(SOURCES)}
_MOCK_CODES: Final = {None: 0, False: MOCK_KNOWN, True: MOCK_KNOWN | MOCK}


@with_config(_STRICT)
class RefusalView(TypedDict):
    index: int
    reason: RefusalReason


class UploadView(Wire):
    """What became of the upload. Drop from the buffer whatever this answers for."""

    accepted: int
    duplicate: int
    refused: list[RefusalView]
    consent: ConsentAnswer
    collect: bool = Field(description="Whether the app should go on recording.")
    purge: bool = Field(description="Whether the app should drop what it has not sent.")


class TrackQuery(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    format: Literal["json", "geojson", "gpx"] = "json"


class TrackColumns(Wire):
    recorded_at: list[Instant]
    lat: list[Latitude]
    lon: list[Longitude]
    accuracy_m: list[_Accuracy | None]
    speed_mps: list[_Speed | None]
    heading_deg: list[_Heading | None]
    altitude_m: list[_Altitude | None]
    battery_pct: list[Annotated[float, Field(ge=0, le=100)] | None]
    source: list[_Source | None]


class TrackView(Wire):
    driver_id: UUID
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    purpose: ReadPurpose
    availability: Availability
    count: int
    columns: TrackColumns


@endpoint(
    "POST",
    "/v1/positions",
    access=DEVICE,
    raw_body=UploadBody,
    body_bytes_max=UPLOAD_BYTES_MAX,
    raises=(NotAuthenticated, GateBusy, UploadsBusy, JsonKeyTwice),
)
async def upload_positions(request: web.Request) -> UploadView:
    """Upload positions of a device.

    The answer comes after they are flushed to disk. A position that may not be kept is refused
    with a reason and forgotten; see docs/reference/refusals.md.
    """
    uploads = request.app[UPLOADS]
    headers = request.headers.getall("Authorization", [])
    scheme, _, secret = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    token = uploads.tokens.parsed(secret) if scheme.lower() == "bearer" else None
    if token is None:
        raise NotAuthenticated
    # Before the body is read: a forged token must not cost what reading one costs.
    await uploads.admit(token, now=now(request))
    body = await read_json(request, bytes_max=UPLOAD_BYTES_MAX)
    if len(body) < PARSE_ASIDE_BYTES_MIN:
        upload = parse_upload(body)
    else:
        async with uploads.parsing:
            upload = await asyncio.to_thread(parse_upload, body)
    return _view(await uploads.take(token, upload, now=now(request)))


def parse_upload(body: bytes) -> Upload:
    """Return the upload that the JSON says.

    Raises
    ------
    InvalidFields, JsonKeyTwice
    """
    parsed: UploadBody = validated(_BODY, body)
    rows, columns = parsed.get("positions"), parsed.get("columns")
    if rows is not None and columns is None:
        lists: dict[str, Any] = {name: [row.get(name) for row in rows] for name in _LISTED}
        time_ms = _times_of(rows)
        members = len(parsed) + sum(map(len, rows))
        strings = len(rows)
    elif columns is not None and rows is None:
        lists = _same_length(columns)
        time_ms = np.array(columns["recorded_at_ms"], dtype=np.int64)
        members = len(parsed) + len(columns)
        strings = 0
    else:
        fault = FieldFault(path="", code="one_of", detail="Send either positions or columns")
        raise InvalidFields([fault])
    strings += sum(source is not None for source in lists.get("source") or ())
    strings += sum(parsed.get(name) is not None for name in ("batch_id", "sent_at"))
    _refuse_doubled_keys(body, quotes=2 * (members + strings))
    return Upload(
        positions=_positions(time_ms, lists),
        batch_id=parsed.get("batch_id"),
        sent_at=parsed.get("sent_at"),
    )


def _refuse_doubled_keys(body: bytes, *, quotes: int) -> None:
    """Refuse a member given twice by counting quotes: 1 us for 10 positions, parsing again 20.

    Without a backslash every quote begins or ends a string, and whatever is overwritten by a
    second member of the name was one string more than what was parsed.
    """
    if b"\\" in body or body.count(b'"') != quotes:
        refuse_doubled_keys(body)


def _times_of(rows: list[Position]) -> Ints:
    try:
        times_s = [datetime.fromisoformat(row["recorded_at"]).timestamp() for row in rows]
    except ValueError:
        raise InvalidFields(_impossible_days(rows)) from None
    time_ms: Ints = np.rint(np.array(times_s) * 1000).astype(np.int64)
    return time_ms


def _impossible_days(rows: list[Position]) -> Iterator[FieldFault]:
    for place, row in enumerate(rows):
        try:
            datetime.fromisoformat(row["recorded_at"])
        except ValueError:
            yield FieldFault(
                path=f"/positions/{place}/recorded_at",
                code="value_error",
                detail="Input should be a day that exists",
            )


def _same_length(columns: PositionColumns) -> dict[str, Any]:
    lists = {name: listed for name, listed in columns.items() if listed is not None}
    size = len(columns["recorded_at_ms"])
    faults = [
        FieldFault(path=f"/columns/{name}", code="length", detail=f"Should have {size} items")
        for name, listed in lists.items()
        if isinstance(listed, list) and len(listed) != size
    ]
    if faults:
        raise InvalidFields(faults)
    return lists


def _positions(time_ms: Ints, lists: Mapping[str, Any]) -> Positions:
    unknown = [None] * time_ms.size
    values = np.array([lists.get(name) or unknown for name in render.COLUMNS], dtype=np.float64)
    flags = np.array([_SOURCE_CODES[one] for one in lists.get("source") or unknown], np.uint8)
    if mocks := lists.get("mock"):
        flags |= np.array([_MOCK_CODES[one] for one in mocks], np.uint8)
    return Positions(time_ms=time_ms, values=values, flags=flags)


def _view(answer: UploadAnswer) -> UploadView:
    return UploadView(
        accepted=answer.accepted,
        duplicate=answer.duplicate,
        refused=[RefusalView(index=one.place, reason=one.reason) for one in answer.refused],
        consent=answer.consent,
        collect=answer.collect,
        purge=answer.purge,
    )


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
            )
        # The connection is back by here: uploads and withdrawals wait for no reader.
        return await asyncio.to_thread(_drawn, found, driver_id, query, purpose)

    return await handover.answer(request, Purpose.PLAN_FACT, draw)


def _drawn(
    found: service.SealedTrack, driver_id: UUID, query: TrackQuery, purpose: ReadPurpose
) -> Drawn:
    track = service.opened(found)
    head = {
        "driver_id": str(driver_id),
        "from": rfc3339(query.since),
        "to": rfc3339(query.until),
        "purpose": purpose.value,
        "availability": track.availability.value,
    }
    content_type, write = _FORMATS[query.format]
    return Drawn(
        body=write(track, head),
        content_type=content_type,
        gate=found.gate if found.fenced and len(track) else None,
    )


_FORMATS: Final[Mapping[str, tuple[str, Callable[[Track, dict[str, Any]], bytes]]]] = {
    "json": ("application/json", render.json_track),
    "geojson": ("application/geo+json", render.geojson_track),
    "gpx": ("application/gpx+xml", lambda track, _head: render.gpx_track(track)),
}


def uploading(dsn: str) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return the ``cleanup_ctx`` entry that runs this process's committer.

    Needs POOL and VAULT; sets UPLOADS. ``dsn`` is that of ``main``.
    """

    async def running(app: web.Application) -> AsyncIterator[None]:
        async with committer.running(dsn, app[POOL]) as stores:
            app[UPLOADS] = Uploads(app[POOL], app[VAULT], stores)
            yield

    return running


ENDPOINTS: Final[tuple[Endpoint, ...]] = (upload_positions, read_track)
