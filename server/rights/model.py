"""What a person is told of what was done with their data. Pure."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.kit.cursors import CursorInvalid
from server.ledger.model import Actor, ActorKind
from server.reads.model import BUCKET, ReadPurpose, Screen, View

SHOWN_FOR: Final = timedelta(days=30)
"""How far back the list goes, if nobody says otherwise."""
CURSOR_CHARS_MAX: Final = 512
YEARS: Final = range(2000, 2101)
"""Of what was given out; earlier or later times do not fit every clock's zone."""


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


UNKNOWN_IDS_MAX: Final = 50
"""So many ids that do not exist are taken for mistakes, of one caller in one hour."""
CALLERS_MAX: Final = 10_000


class UnknownIds:
    """Which ids that do not exist were asked for in the running hour."""

    def __init__(self) -> None:
        self._hour_at: datetime | None = None
        self._asked: dict[tuple[UUID, Actor], set[int]] = {}
        self._reported: set[tuple[UUID, Actor]] = set()

    def too_many(self, company_id: UUID, caller: Actor, asked: str, now: datetime) -> int | None:
        """Count one more; return how many there are while they are too many and unreported."""
        known = self.count(company_id, caller, fingerprint(asked), now)
        if known <= UNKNOWN_IDS_MAX or (company_id, caller) in self._reported:
            return None
        return known

    def count(self, company_id: UUID, caller: Actor, asked: int, now: datetime) -> int:
        """Count one more, by its fingerprint; return how many different ones there are."""
        hour_at = now.replace(minute=0, second=0, microsecond=0)
        if self._hour_at != hour_at or len(self._asked) >= CALLERS_MAX:
            self._hour_at = hour_at
            self._asked.clear()
            self._reported.clear()
        known = self._asked.setdefault((company_id, caller), set())
        if len(known) <= UNKNOWN_IDS_MAX:
            known.add(asked)
        return len(known)

    def reported(self, company_id: UUID, caller: Actor) -> None:
        self._reported.add((company_id, caller))


def fingerprint(asked: str) -> int:
    """Return what is counted of an id: a caller may ask for something very long."""
    return int.from_bytes(hashlib.sha256(asked.encode("utf-8", "surrogateescape")).digest()[:8])


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
            viewer_kind=ActorKind(viewer_kind).value,
            viewer_id=UUID(viewer_id),
            viewer_member_id=None,
            purpose=ReadPurpose(purpose).value,
            screen=Screen(screen).value,
            read_at=at,
        )
        same = cursor_after(last) == cursor and at.tzinfo is not None and at.year in YEARS
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        raise CursorInvalid from None
    if not same:
        raise CursorInvalid
    return last
