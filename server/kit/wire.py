"""The types of everything on the wire: strict, bounded, and free of tricks.

Every body derives from :class:`Wire`; a test walks every schema and finds floats without
bounds, texts that are not :data:`Text` and times that are not :data:`Instant`.
"""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)


class Wire(BaseModel):
    """Base of every body: immutable, strict about types, unknown members refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        from_attributes=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        ser_json_inf_nan="null",
    )


# Control, surrogate, private-use and bidirectional control characters: they hide, reorder or
# break text further down (PostgreSQL refuses U+0000 only at the very end).
_UNSAFE: Final = (
    "\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ue000-\uf8ff"
)
SAFE_TEXT_PATTERN: Final = f"^[^{_UNSAFE}]*$"
_SAFE_TEXT = re.compile(SAFE_TEXT_PATTERN)
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Co"})


def _safe_text(value: str) -> str:
    if _SAFE_TEXT.fullmatch(value) is None or any(
        unicodedata.category(char) in _UNSAFE_CATEGORIES for char in value
    ):
        message = "Text must not hold control, private-use or direction-changing characters"
        raise ValueError(message)
    return unicodedata.normalize("NFC", value)


def text(*, min_length: int = 1, max_length: int) -> Any:
    """Return the annotation of a safe text of so many characters (at most 4 bytes each)."""
    return Annotated[
        str,
        Field(min_length=min_length, max_length=max_length, pattern=SAFE_TEXT_PATTERN),
        AfterValidator(_safe_text),
    ]


# RFC 3339 with an offset, in years where arithmetic in any zone stays in range.
INSTANT_PATTERN: Final = (
    r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
_INSTANT = re.compile(INSTANT_PATTERN, re.ASCII)


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

Latitude: TypeAlias = Annotated[float, Field(ge=-90, le=90)]
Longitude: TypeAlias = Annotated[float, Field(ge=-180, le=180)]

Item = TypeVar("Item")


class Page(Wire, Generic[Item]):
    """One page of a list. ``next_cursor`` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None
