"""Opaque cursors of lists that are ordered by an id."""

import base64
import binascii
from uuid import UUID

from server.kit.errors import Invalid


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
