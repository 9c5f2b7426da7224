"""What devices send and are answered, and the upload that a body says."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic refuses the one of typing before 3.12

from server.kit.api import validated
from server.kit.body import refuse_doubled_keys
from server.kit.problem import FieldFault, InvalidFields
from server.kit.wire import (
    INSTANT_PATTERN,
    AccuracyM,
    AltitudeM,
    HeadingDeg,
    Instant,
    Latitude,
    Longitude,
    SpeedMps,
    Text,
)
from server.tracking import render
from server.tracking.model import MOCK, MOCK_KNOWN, SOURCES, Bytes, Floats, Ints, Positions
from server.uploads.model import (
    UPLOAD_POSITIONS_MAX,
    AppState,
    ConsentAnswer,
    RefusalReason,
    Upload,
)

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
_Battery: TypeAlias = Annotated[int, Field(ge=0, le=100)]
_Source: TypeAlias = Literal["gps", "wifi", "cell", "fused", "beacon"]
_AppState: TypeAlias = Literal["foreground", "background"]
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
    accuracy_m: NotRequired[AccuracyM | None]
    speed_mps: NotRequired[SpeedMps | None]
    heading_deg: NotRequired[HeadingDeg | None]
    altitude_m: NotRequired[AltitudeM | None]
    battery_pct: NotRequired[_Battery | None]
    source: NotRequired[_Source | None]
    mock: NotRequired[bool | None]
    app_state: NotRequired[_AppState | None]


@with_config(_STRICT)
class PositionColumns(TypedDict):
    """Fixes column by column, all of one length: cheaper to send and to read."""

    recorded_at_ms: Annotated[list[_Milliseconds], _SIZE]
    lat: Annotated[list[Latitude], _SIZE]
    lon: Annotated[list[Longitude], _SIZE]
    accuracy_m: NotRequired[Annotated[list[AccuracyM | None], _SIZE] | None]
    speed_mps: NotRequired[Annotated[list[SpeedMps | None], _SIZE] | None]
    heading_deg: NotRequired[Annotated[list[HeadingDeg | None], _SIZE] | None]
    altitude_m: NotRequired[Annotated[list[AltitudeM | None], _SIZE] | None]
    battery_pct: NotRequired[Annotated[list[_Battery | None], _SIZE] | None]
    source: NotRequired[Annotated[list[_Source | None], _SIZE] | None]
    mock: NotRequired[Annotated[list[bool | None], _SIZE] | None]
    app_state: NotRequired[Annotated[list[_AppState | None], _SIZE] | None]


@with_config(_STRICT | _ONE_OF)
class UploadBody(TypedDict):
    """Positions of one device: exactly one of ``positions`` and ``columns``."""

    batch_id: NotRequired[_BatchId | None]
    sent_at: NotRequired[Instant | None]
    positions: NotRequired[Annotated[list[Position], _SIZE]]
    columns: NotRequired[PositionColumns]


_BODY: Final = TypeAdapter[UploadBody](UploadBody)
_WORDS: Final = ("source", "mock", "app_state")
_Words: TypeAlias = Mapping[str, list[Any]]
_numbers_of: Final = itemgetter(*render.COLUMNS)
_MEMBERS_WITHOUT_WORDS: Final = 1 + len(render.COLUMNS)
_SOURCE_CODES: Final[dict[Any, int]] = {None: 0} | {
    one.value: 1 + place for place, one in enumerate(SOURCES)
}
_MOCK_CODES: Final[dict[Any, int]] = {None: 0, False: MOCK_KNOWN, True: MOCK_KNOWN | MOCK}
_APP_STATES: Final = {
    None: AppState.UNKNOWN,
    "foreground": AppState.FOREGROUND,
    "background": AppState.BACKGROUND,
}


@with_config(_STRICT)
class RefusalView(TypedDict):
    index: int
    reason: RefusalReason


@with_config(_STRICT)
class UploadView(TypedDict):
    """What became of the upload. Drop from the buffer whatever this answers for."""

    accepted: int
    duplicate: int
    refused: list[RefusalView]
    consent: ConsentAnswer
    collect: Annotated[bool, Field(description="Whether the app should go on recording.")]
    purge: Annotated[bool, Field(description="Whether the app should drop what it has not sent.")]


def parse_upload(body: bytes) -> Upload:
    """Return the upload that the JSON says.

    Raises
    ------
    InvalidFields, JsonKeyTwice
    """
    parsed: UploadBody = validated(_BODY, body)
    rows, columns = parsed.get("positions"), parsed.get("columns")
    if rows is not None and columns is None:
        time_ms = _times_of(rows)
        members, strings = len(parsed) + sum(map(len, rows)), len(rows)
        values, words = _of_rows(rows, members - len(parsed))
    elif columns is not None and rows is None:
        time_ms = np.array(columns["recorded_at_ms"], dtype=np.int64)
        members, strings = len(parsed) + len(columns), 0
        values, words = _of_columns(columns, time_ms.size)
    else:
        fault = FieldFault(path="", code="one_of", detail="Send either positions or columns")
        raise InvalidFields([fault])
    for name in ("source", "app_state"):
        if name in words:
            strings += len(words[name]) - words[name].count(None)
    batch_id, sent_at = parsed.get("batch_id"), parsed.get("sent_at")
    strings += (batch_id is not None) + (sent_at is not None)
    _refuse_doubled_keys(body, quotes=2 * (members + strings))
    return Upload(
        positions=Positions(time_ms=time_ms, values=values, flags=_flags(time_ms.size, words)),
        batch_id=batch_id,
        sent_at=sent_at,
        app_state=_app_states(words.get("app_state")),
    )


def _of_rows(rows: list[Position], members: int) -> tuple[Floats, _Words]:
    """Return the columns of numbers, and those of words if there are any."""
    try:
        numbers = [_numbers_of(row) for row in rows]  # what most phones send: all of them
        has_words = members > len(rows) * _MEMBERS_WITHOUT_WORDS
    except KeyError:
        numbers = [tuple(row.get(name) for name in render.COLUMNS) for row in rows]
        has_words = True
    values = np.ascontiguousarray(np.array(numbers, np.float64).T)
    return values, {name: [row.get(name) for row in rows] for name in _WORDS} if has_words else {}


def _of_columns(columns: PositionColumns, size: int) -> tuple[Floats, _Words]:
    lists: dict[str, Any] = {name: listed for name, listed in columns.items() if listed is not None}
    for listed in lists.values():
        if len(listed) != size:
            raise InvalidFields(_wrong_lengths(lists, size))
    unknown = [None] * size
    values = np.array([lists.get(name, unknown) for name in render.COLUMNS], np.float64)
    return values, {name: lists[name] for name in _WORDS if name in lists}


def _wrong_lengths(lists: dict[str, Any], size: int) -> Iterator[FieldFault]:
    for name, listed in lists.items():
        if len(listed) != size:
            yield FieldFault(
                path=f"/columns/{name}", code="length", detail=f"Should have {size} items"
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


def _flags(size: int, words: _Words) -> Bytes:
    flags = np.zeros(size, np.uint8)
    for name, codes in (("source", _SOURCE_CODES), ("mock", _MOCK_CODES)):
        if name in words:
            flags |= np.array([codes[one] for one in words[name]], np.uint8)
    return flags


def _app_states(listed: list[str | None] | None) -> Bytes | None:
    if listed is None or not any(listed):
        return None
    return np.array([_APP_STATES[one] for one in listed], np.uint8)
