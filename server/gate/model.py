"""The gate: whether positions of a driver may be stored now, and when they may be recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from server.kit.errors import NotFound, Unavailable

LOCK: Final = "FOR SHARE OF g"
LOCK_OR_SKIP: Final = "FOR SHARE OF g SKIP LOCKED"
"""What a statement that stores or moves positions holds the gate ``g`` with, until it commits."""


class Purpose(StrEnum):
    """What a driver's positions may be used for; each is a consent of its own."""

    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"


class GateItem(StrEnum):
    """The consents that bind positions. Only a change of these bumps the epoch."""

    LOCATION = "location"
    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"


class Source(StrEnum):
    """How a position was found out."""

    GPS = "gps"
    WIFI = "wifi"
    CELL = "cell"
    BEACON = "beacon"
    FUSED = "fused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the consent to location covers beside the time."""

    always: bool = False
    """Also off shift."""
    sources: frozenset[Source] = frozenset(Source)
    background: bool = True
    """Also while the app is not on the screen."""


CLOCK_AHEAD_MAX: Final = timedelta(seconds=30)
"""How far ahead of ours the clock of a phone may be whose positions are kept."""
USUAL_REACH: Final = Reach()
"""On shift, of every source: what is in force where nothing else was agreed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An interval in which positions may be recorded: half open, ``[opened_at, end)``."""

    opened_at: datetime
    end: datetime
    """When it closed, or else when it will close by itself."""

    def contains(self, at: datetime) -> bool:
        return self.opened_at <= at < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One driver's gate as it was read. Only the storing statement knows whether it still holds."""

    company_id: UUID
    driver_id: UUID
    account_active: bool
    location_since: datetime | None
    dispatch_since: datetime | None
    plan_fact_since: datetime | None
    epoch: int
    rev: int
    credential_epoch: int
    key_epoch: int
    closing: bool
    """A negative act is under way; nothing is stored until it is over."""
    reach: Reach = USUAL_REACH
    """Of the consent to location; a change of it bumps the epoch."""
    location_until: datetime | None = None
    """When the consent runs out by itself; None where it does not, or is not given."""
    dispatch_until: datetime | None = None
    plan_fact_until: datetime | None = None
    stopped: bool = False
    """Recording waits until the driver starts or resumes a shift, whatever the scope is."""
    acted_at: datetime | None = field(default=None, compare=False)
    """When it was acted on last; it lets nothing through and holds nothing back."""

    @property
    def is_consented(self) -> bool:
        """The driver's own part: location, and at least one purpose it may be used for.

        Whether these still run at some moment is :meth:`since`'s and ``consented_until``'s.
        """
        return self.location_since is not None and (
            self.dispatch_since is not None or self.plan_fact_since is not None
        )

    @property
    def is_open(self) -> bool:
        return self.account_active and self.is_consented and not self.closing

    @property
    def always(self) -> bool:
        """Whether positions may be recorded off shift too: a window is then open all the time."""
        return self.is_consented and self.reach.always

    @property
    def consented_until(self) -> datetime | None:
        """When it closes by itself: as location runs out, or the last of the purposes.

        None where it is not consented to, or nothing of it runs out.
        """
        if not self.is_consented:
            return None
        purposes = [
            until
            for since, until in (
                (self.dispatch_since, self.dispatch_until),
                (self.plan_fact_since, self.plan_fact_until),
            )
            if since is not None
        ]
        return _first(self.location_until, None if None in purposes else max(_known(purposes)))

    def until(self, purpose: Purpose) -> datetime | None:
        """Return when the purpose covers nothing any more by itself; None where that never is."""
        if purpose is Purpose.PLAN_FACT:
            return _first(self.location_until, self.plan_fact_until)
        return _first(self.location_until, self.dispatch_until)

    def since(self, purpose: Purpose, at: datetime) -> datetime | None:
        """Return the earliest time whose positions the purpose covers at ``at``; None if none is.

        What was recorded before the present consents were given stays hidden for good.
        """
        given = self.plan_fact_since if purpose is Purpose.PLAN_FACT else self.dispatch_since
        if self.location_since is None or given is None or not self.account_active:
            return None
        until = self.until(purpose)
        return max(self.location_since, given) if until is None or at < until else None


Windows: TypeAlias = tuple[Window, ...]


def _known(ends: Iterable[datetime | None]) -> list[datetime]:
    return [end for end in ends if end is not None]


def _first(*ends: datetime | None) -> datetime | None:
    return min(_known(ends), default=None)


class GateMissing(NotFound):
    slug = "driver-not-found"
    title = "No such driver"


class GateBusy(Unavailable):
    slug = "gate-busy"
    title = "The driver's consent is changing just now"
    retry_after_s = 1.0
