"""Opaque cursors of lists that are ordered by an id."""

import base64
import binascii
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from server.kit.errors import Invalid

T = TypeVar("T")


class CursorInvalid(Invalid):
    slug = "cursor-invalid"
    title = "This cursor was not given out here"


def cursor_of(last: UUID) -> str:
    """Return the opaque place after ``last`` in a list ordered by id."""
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def place_of(cursor: str | None) -> UUID:
    """Return the id to go on after.

    Raises
    ------
    CursorInvalid
    """
    if cursor is None:
        return UUID(int=0)
    try:
        last = UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise CursorInvalid from None
    if cursor_of(last) != cursor:
        raise CursorInvalid
    return last


def page_of(found: list[T], limit: int, cursor: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Return at most ``limit`` of what was found, and the cursor of the next page if there is one.

    ``found`` is one more than that where there are more; ``cursor`` gives the place after an item.
    """
    page = found[:limit]
    return page, cursor(page[-1]) if len(found) > limit else None
