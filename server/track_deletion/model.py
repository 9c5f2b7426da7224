"""Deleting a span of one's own track: what stays of windows, until when copies hold it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from server.holds.model import HeldCategory, Hold
from server.kit import errors
from server.retention.model import ACCEPTED_LATE_MAX
from server.routes.model import LEAD, TAIL
from server.tracking.model import end_of_month

SPAN_DAYS_MAX: Final = 366
"""The longest that a company may keep tracks."""
JOB_AND_EXCHANGE: Final = timedelta(days=2)
"""Until the daily job has removed the key of a month that is over, and the keys were exchanged."""
TOLD_LATE_MAX: Final = timedelta(hours=1)
"""By how much later than it was driven an alert may have been raised of it."""
BEFORE_ROUTE: Final = LEAD
AFTER_ROUTE: Final = TAIL


class Ground(StrEnum):
    """Why something that was recorded in the span stays: those of holds, and one more."""

    ORDER_FACTS = "order_facts"
    """What the driver said of stops: it is what became of an order, and holds no position."""
    LEGAL_OBLIGATION = "legal_obligation"
    LEGAL_CLAIM = "legal_claim"
    UNFULFILLED_OBLIGATION = "unfulfilled_obligation"
    IDENTITY_NOT_PROVEN = "identity_not_proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Half open, ``[since, until)``."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """A recording window as it is stored."""

    window_id: UUID
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None

    @property
    def end(self) -> datetime:
        return self.closed_at or self.expires_at

    def with_id(self, window_id: UUID) -> Self:
        return replace(self, window_id=window_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A span that was deleted, or is being."""

    deletion_id: UUID
    driver_id: UUID
    since: datetime
    until: datetime
    asked_at: datetime
    positions: int
    done_at: datetime | None
    backups_hold_until: datetime | None

    @property
    def span(self) -> Span:
        return Span(since=self.since, until=self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    category: HeldCategory
    ground: Ground
    rows: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What became of it, for the driver."""

    deletion: Deletion
    retained: tuple[Retained, ...]

    @property
    def backups_hold_until(self) -> datetime | None:
        """Return until when copies hold it: a hold that outlasts the time of tracks keeps keys."""
        told = self.deletion.backups_hold_until
        ends = [one.until for one in self.retained if one.category is HeldCategory.TRACK]
        if self.deletion.done_at is not None:
            ends.append(self.deletion.done_at)
        return told and max([told, *(at + JOB_AND_EXCHANGE for at in ends)])


def refuse_span(since: datetime, until: datetime, now: datetime) -> None:
    """Refuse what is no span, or is still to come.

    Raises
    ------
    DeletionSpanInvalid
    """
    if not timedelta(0) < until - since <= timedelta(days=SPAN_DAYS_MAX) or until > now:
        raise DeletionSpanInvalid


def latest_by_category(held: Iterable[Hold]) -> Mapping[HeldCategory, Hold]:
    """Return of each category what keeps it longest."""
    found: dict[HeldCategory, Hold] = {}
    for one in sorted(held, key=_end):
        found[one.category] = one
    return found


def _end(hold: Hold) -> datetime:
    return hold.until or datetime.max.replace(tzinfo=UTC)


def cut(window: WindowRow, span: Span) -> tuple[WindowRow | None, WindowRow | None]:
    """Return what of a window lies before the span, and what after it."""
    before = after = None
    if window.opened_at < span.since:
        before = replace(window, closed_at=min(window.end, span.since))
    if window.end > span.until:
        after = replace(window, opened_at=max(window.opened_at, span.until))
    return before, after


def backups_hold_until(span: Span, track_days: int | None) -> datetime | None:
    """Return until when copies of the database from before can still be read there.

    Positions are sealed under a key of their month, which goes when all of the month was kept long
    enough. None: the company sets no time, so not before the driver is erased.
    """
    if track_days is None:
        return None
    return (
        end_of_month(span.until) + timedelta(days=track_days) + ACCEPTED_LATE_MAX + JOB_AND_EXCHANGE
    )


class DeletionSpanInvalid(errors.Invalid):
    slug = "deletion-span-invalid"
    title = "This is no span that can be deleted"

    def __init__(self) -> None:
        super().__init__(
            f"More than nothing, at most {SPAN_DAYS_MAX} days, and nothing that is still to come."
        )


class DeletionUnfinished(errors.Unavailable):
    slug = "deletion-unfinished"
    title = "It is hidden, and being deleted"
    retry_after_s = 60.0

    def __init__(self) -> None:
        super().__init__(
            "The company sees nothing of the span any more, and nothing is recorded there. Some of "
            "it could not be removed yet; that is tried again each minute. To ask again is no harm."
        )
