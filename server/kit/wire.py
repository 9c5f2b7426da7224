"""The types of everything on the wire: strict, bounded, and free of tricks.

Every body derives from :class:`Wire`; a test walks every schema and finds floats without
bounds, texts that are not :class:`Text` and times that are not :data:`Instant`.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Generic, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from server.kit.national_ids import holds_national_id


class Wire(BaseModel):
    """Base of every body: immutable, strict about types, unknown members refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        from_attributes=True,
        serialize_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        ser_json_inf_nan="null",
    )


# Control, surrogate, private-use and bidirectional control characters and line separators: they
# hide, reorder or break text further down (PostgreSQL refuses U+0000 only at the very end).
# Written as escapes, which Python, Rust and JavaScript read alike; they have none in common for
# the private planes beyond U+FFFF, which are checked below.
SAFE_TEXT_PATTERN: Final = (
    r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ue000-\uf8ff]*$"
)
_SAFE_TEXT: Final = re.compile(SAFE_TEXT_PATTERN)
SAFE_LINES_PATTERN: Final = SAFE_TEXT_PATTERN.replace(
    r"\u0000-\u001f", r"\u0000-\u0009\u000b-\u001f"
)
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Text:
    """The annotation of a safe text: ``Annotated[str, Text(200)]``, at most 4 bytes a character."""

    max_length: int
    min_length: int = 1
    lines: bool = False
    """Of several lines, each ended by U+000A."""

    @property
    def pattern(self) -> str:
        return SAFE_LINES_PATTERN if self.lines else SAFE_TEXT_PATTERN

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        bounded = core_schema.str_schema(
            min_length=self.min_length,
            max_length=self.max_length,
            pattern=self.pattern,
            strict=True,
        )
        return core_schema.no_info_after_validator_function(self._checked, bounded)

    def _checked(self, value: str) -> str:
        shown = value.replace("\n", "") if self.lines else value
        if _SAFE_TEXT.fullmatch(shown) is None or any(
            unicodedata.category(char) in _UNSAFE_CATEGORIES for char in shown
        ):
            message = "Text must not hold control, private-use or direction-changing characters"
            raise ValueError(message)
        composed = unicodedata.normalize("NFC", value)
        if len(composed) > self.max_length:  # composing may lengthen: U+0958 becomes two
            message = f"Text should have at most {self.max_length} characters when composed (NFC)"
            raise ValueError(message)
        return composed


@dataclass(frozen=True, slots=True)
class ProfileText(Text):
    """A text about a person, or that a person writes of what is theirs: no IIN may stand in it."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        # Not super(): a slotted dataclass is another class than the one that was written.
        text = Text.__get_pydantic_core_schema__(self, source, handler)
        return core_schema.no_info_after_validator_function(_without_national_id, text)


def _without_national_id(value: str) -> str:
    if holds_national_id(value):
        kind, message = "national_id", "A national identity number (IIN) is not kept here"
        raise PydanticCustomError(kind, message)
    return value


# RFC 3339 with an offset, in years where arithmetic in any zone stays in range. In the first and
# the last of them only UTC: what is taken is given back in UTC, and must be takeable again.
_DAY_AND_TIME: Final = (
    r"-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
)
INSTANT_PATTERN: Final = (
    rf"^(20(0[1-9]|[1-8][0-9]|9[0-8]){_DAY_AND_TIME}(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
    rf"|(2000|2099){_DAY_AND_TIME}Z)$"
)
_INSTANT: Final = re.compile(INSTANT_PATTERN, re.ASCII)


def _parse_instant(value: object) -> object:
    if isinstance(value, datetime):  # our own values, on the way out
        return value
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        message = "Input should be a time as in RFC 3339 with an offset, between 2000 and 2099"
        raise ValueError(message)
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:  # 30 February
        message = "Input should be a day that exists"
        raise ValueError(message) from None


def rfc3339(value: datetime) -> str:
    """Return ``value`` in UTC with a ``Z``, to the millisecond if it has any."""
    moment = value.astimezone(UTC)
    whole = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=whole).removesuffix("+00:00") + "Z"


Instant: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_parse_instant),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN}),
]


def _parts(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


listed: Final = BeforeValidator(_parts)
"""Annotates a list in a query: ``name=a&name=b``, or ``name=a,b``."""

Latitude: TypeAlias = Annotated[float, Field(ge=-90, le=90)]
Longitude: TypeAlias = Annotated[float, Field(ge=-180, le=180)]
AccuracyM: TypeAlias = Annotated[float, Field(ge=0, le=100_000)]
SpeedMps: TypeAlias = Annotated[float, Field(ge=0, le=600)]
HeadingDeg: TypeAlias = Annotated[float, Field(ge=0, le=360)]
AltitudeM: TypeAlias = Annotated[float, Field(ge=-1_000, le=100_000)]

Item = TypeVar("Item")


class Page(Wire, Generic[Item]):
    """One page of a list. ``next_cursor`` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None


ITEMS_MAX: Final = 200


class PageQuery(Wire):
    """Which page of a list is wanted."""

    cursor: Annotated[str, Text(64)] | None = None
    limit: Annotated[int, Field(ge=1, le=ITEMS_MAX)] = 50
