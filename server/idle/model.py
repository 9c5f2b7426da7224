"""When an account that nobody uses is warned of, and when it is switched off. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.credentials.model import MemberState
from server.kit.errors import Invalid

IDLE_DAYS_MIN: Final = 90
IDLE_DAYS_MAX: Final = 1095
UNVERIFIED_AFTER: Final = timedelta(days=30)
"""So long after the last invitation an account that nobody has joined is closed."""
WARNED_EARLY: Final = timedelta(days=30)
WARNED_LAST: Final = timedelta(days=7)
"""Nothing is switched off sooner after the last warning."""


class Step(StrEnum):
    WARN_EARLY = "warn_early"
    WARN_LAST = "warn_last"
    SWITCH_OFF = "switch_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A driver's account, and when it was used last; of who has not joined, when invited last."""

    member_id: UUID
    state: MemberState
    used_at: datetime
    warned_at: datetime | None
    """The last warning; one from before the last use counts for nothing."""

    @property
    def last_warned_at(self) -> datetime | None:
        warned = self.warned_at
        return None if warned is None or warned <= self.used_at else warned

    def ends_at(self, idle_days: int, now: datetime) -> datetime:
        """Return when it is switched off if nobody uses it: never before what was said last."""
        is_invited = self.state is MemberState.INVITED
        after = UNVERIFIED_AFTER if is_invited else timedelta(days=idle_days)
        return max(self.used_at + after, (self.last_warned_at or now) + WARNED_LAST)

    def step(self, idle_days: int, now: datetime) -> Step | None:
        """Return what is due at ``now``; None: nothing yet."""
        ends_at = self.ends_at(idle_days, now)
        if self.last_warned_at is not None:
            return Step.SWITCH_OFF if now >= ends_at else None
        if now >= ends_at - WARNED_LAST:
            return Step.WARN_LAST
        is_early = self.state is MemberState.ACTIVE and now >= ends_at - WARNED_EARLY
        return Step.WARN_EARLY if is_early else None


class IdleDaysInvalid(Invalid):
    slug = "idle-days-invalid"
    title = "Accounts cannot be switched off after so many days"

    def __init__(self) -> None:
        super().__init__(f"{IDLE_DAYS_MIN} to {IDLE_DAYS_MAX} days.")
