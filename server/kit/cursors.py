"""Opaque cursors: of lists that are ordered by an id, and of answers bound to their question.

They hold no secret and give no right: who makes one up reads what they may read anyway.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final, TypeVar
from uuid import UUID

from server.kit.errors import Invalid

T = TypeVar("T")

CHECK_BYTES: Final = 8


class CursorInvalid(Invalid):
    slug = "cursor-invalid"
    title = "This cursor was not given out here"

    def members(self) -> dict[str, object]:
        place = {"path": "?cursor", "code": self.slug, "detail": "Ask without it, from the start"}
        return {"fields": [place]}


def cursor_of(last: UUID) -> str:
    """Return the opaque place after ``last`` in a list ordered by id."""
    return _text_of(last.bytes)


def place_of(cursor: str | None) -> UUID:
    """Return the id to go on after.

    Raises
    ------
    CursorInvalid
    """
    if cursor is None:
        return UUID(int=0)
    raw = _raw_of(cursor)
    if len(raw) != len(UUID(int=0).bytes):
        raise CursorInvalid
    return UUID(bytes=raw)


def bound_cursor(place: bytes, question: bytes) -> str:
    """Return ``place`` as an opaque text that only this ``question`` takes back."""
    return _text_of(place + _check(place, question))


def bound_place(cursor: str, question: bytes) -> bytes:
    """Return the place of a cursor that was given out for this very question.

    Raises
    ------
    CursorInvalid
    """
    raw = _raw_of(cursor)
    place, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
    if check != _check(place, question):
        raise CursorInvalid
    return place


def _check(place: bytes, question: bytes) -> bytes:
    return hashlib.blake2b(place, key=hashlib.sha256(question).digest()).digest()[:CHECK_BYTES]


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw_of(cursor: str) -> bytes:
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CursorInvalid from None
    if _text_of(raw) != cursor:  # one text a place: not with other bits after its end
        raise CursorInvalid
    return raw


def page_of(found: list[T], limit: int, cursor: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Return at most ``limit`` of what was found, and the cursor of the next page if there is one.

    ``found`` is one more than that where there are more; ``cursor`` gives the place after an item.
    """
    page = found[:limit]
    return page, cursor(page[-1]) if len(found) > limit else None
