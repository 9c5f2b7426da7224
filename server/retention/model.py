"""How long what is kept of a driver's movements is kept. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from server.accounts.model import TRACK_DAYS_MAX, TRACK_DAYS_MIN
from server.kit.errors import Conflict, Invalid

ACCEPTED_LATE_MAX: Final = timedelta(hours=1)
"""By how much an upload that was judged may commit later: far more than any deadline of ours."""
CLOCKS_APART_MAX: Final = timedelta(minutes=5)
"""A clock that is wrong by more could remove everything: nothing is removed by it."""

PLAN_DAYS_MIN: Final = 1
PLAN_DAYS_MAX: Final = 3_650
"""Ten years: orders may have to be kept for as long as accounts."""
PLANS_AT_ONCE_MAX: Final = 20_000
"""What is left of a company waits for the next day."""


class PlanDaysInvalid(Invalid):
    slug = "plan-days-invalid"
    title = "Plans cannot be kept that long"

    def __init__(self) -> None:
        super().__init__(f"From {PLAN_DAYS_MIN} to {PLAN_DAYS_MAX} days.")


class TrackDaysInvalid(Invalid):
    slug = "track-days-invalid"
    title = "The tracks cannot be kept that long"

    def __init__(self) -> None:
        super().__init__(
            f"From {TRACK_DAYS_MIN} to {TRACK_DAYS_MAX} days, and no fewer than phones may hold "
            "positions back (the company's buffer_max_s): what is accepted is kept."
        )


class TrackDaysPromised(Conflict):
    slug = "track-days-promised"
    title = "Drivers were told that their tracks are kept for less"

    def __init__(self) -> None:
        super().__init__(
            "Consents to location or to plan versus fact that are in force, or under which "
            "positions are still kept, say a shorter time in their records."
        )


class ClocksApart(Exception):
    """The machine's clock is not the database's. ``str`` is one sentence for a person."""

    def __init__(self) -> None:
        minutes = CLOCKS_APART_MAX.total_seconds() / 60
        super().__init__(
            f"This machine's clock and that of main differ by more than {minutes:.0f} minutes, so "
            "nobody knows what is too old: nothing was removed. Set the clocks right."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What went in one run, or would go."""

    track_rows: int = 0
    positions: int = 0
    oldest_at: datetime | None = None
    """Of these positions."""
    months: int = 0
    """Keys of drivers' months that are over."""
    counters: int = 0
    oldest_day: date | None = None
    """Of these counters of refusals."""


def first_month_kept(kept_since: datetime) -> datetime:
    """Return when the first month began that still may have something of it kept.

    Months are those of the keys: of UTC, whatever the company's time zone.
    """
    month = (kept_since - ACCEPTED_LATE_MAX).astimezone(UTC)
    return month.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
