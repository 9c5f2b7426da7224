"""What a person is told of what was done with their data. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.kit.cursors import CursorInvalid
from server.ledger.model import BUCKET
from server.ledger.reads import View

SHOWN_FOR: Final = timedelta(days=30)
"""How far back the list goes, if nobody says otherwise."""
CURSOR_CHARS_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Somebody saw where the driver was, in these five minutes."""

    view: View
    name: str | None = field(repr=False)
    """Of the member or integration; None for a customer, and for who was erased since."""

    @property
    def at(self) -> datetime:
        return self.view.bucket_at

    @property
    def until(self) -> datetime:
        return self.view.bucket_at + BUCKET


def cursor_after(last: View) -> str:
    """Return the opaque place after a row of the list."""
    place = [
        last.bucket_at.isoformat(),
        last.viewer_kind,
        str(last.viewer_id),
        last.purpose,
        last.screen,
    ]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).rstrip(b"=").decode()


def place_after(cursor: str | None) -> View | None:
    """Return the row to go on after.

    Raises
    ------
    CursorInvalid
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        bucket_at, viewer_kind, viewer_id, purpose, screen = json.loads(raw)
        at = datetime.fromisoformat(bucket_at)
        last = View(
            bucket_at=at,
            viewer_kind=viewer_kind,
            viewer_id=UUID(viewer_id),
            viewer_member_id=None,
            purpose=purpose,
            screen=screen,
            read_at=at,
        )
        same = cursor_after(last) == cursor and at.tzinfo is not None
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        raise CursorInvalid from None
    if not same:
        raise CursorInvalid
    return last
