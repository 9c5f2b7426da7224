"""When a company closes, and who may say so. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.kit.errors import Conflict, Invalid, NotFound
from server.ledger.model import ActorKind

DAYS_MAX: Final = 365
DAYS_MIN: Final = 30
"""So long beforehand everybody is told: like of any change to their disadvantage."""
REMINDED: Final = timedelta(days=7)
"""So long before the day everybody is told once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    asked_at: datetime
    asked_by: ActorKind
    """The operator or a main user."""
    closes_at: datetime
    closed_at: datetime | None = None
    """None: not yet; until then it can be kept open."""

    def is_due(self, now: datetime) -> bool:
        return self.closed_at is None and self.closes_at <= now

    def is_soon(self, now: datetime) -> bool:
        return self.closed_at is None and self.closes_at - REMINDED <= now


def refuse_days(days: int) -> None:
    """Refuse a day that leaves too little time to export, or is too far off.

    Raises
    ------
    ClosingDaysInvalid
    """
    if not DAYS_MIN <= days <= DAYS_MAX:
        raise ClosingDaysInvalid


class ClosingDaysInvalid(Invalid):
    slug = "closing-days-invalid"
    title = "A company cannot be closed in so many days"

    def __init__(self) -> None:
        super().__init__(f"{DAYS_MIN} to {DAYS_MAX} days.")


class CompanyClosing(Conflict):
    slug = "company-closing"
    title = "The company closes, so nobody joins it any more"


class ClosingAsked(Conflict):
    slug = "closing-asked"
    title = "The company is to close already, or has closed"


class ClosingMissing(NotFound):
    slug = "closing-not-found"
    title = "The company is not to close"


class AlreadyClosed(Conflict):
    slug = "company-closed"
    title = "The company has closed: it stays so"
