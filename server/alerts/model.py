"""Alerts about routes: their kinds, a company's limits, and what is told of one. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.kit import errors

ALERT_SCHEMA: Final = "alert"


class AlertKind(StrEnum):
    LATE = "late"
    """Behind the plan."""
    OFF_ROUTE = "off_route"
    """Far from the planned road, for a while. A plan without a line has none."""
    NO_SIGNAL = "no_signal"
    """On shift and recorded, and yet no position comes. Never while paused or off shift."""
    LONG_STOP = "long_stop"
    """Standing where no stop is planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a company wants to be alerted. None: not at all. Distance and time go together."""

    late_min: int | None
    off_route_m: int | None
    off_route_min: int | None
    no_signal_min: int | None
    long_stop_min: int | None


USUAL: Final = Limits(
    late_min=15, off_route_m=300, off_route_min=3, no_signal_min=10, long_stop_min=30
)
"""Of a company that never chose."""

Wishes = Mapping[AlertKind, bool]
"""Which kinds a member wants to be told of in a notice."""
EVERYTHING: Final[Wishes] = MappingProxyType(dict.fromkeys(AlertKind, True))
NOTHING: Final[Wishes] = MappingProxyType(dict.fromkeys(AlertKind, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertHead:
    """What of an alert is not sealed. Where anybody was is no part of it."""

    alert_id: UUID
    kind: AlertKind
    route_id: UUID
    driver_id: UUID
    occurrence: int
    """The how-manieth of its kind on this route, from 1."""
    raised_at: datetime
    calm_since: datetime | None = None
    """Since when what it is about is over; it is cleared once that lasts."""
    cleared_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None
    """Stays once whoever it was is no member any more; then nobody knows the name."""

    @property
    def is_open(self) -> bool:
        return self.cleared_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """What is sealed of an alert, as it was raised. None: it does not belong to its kind."""

    since: datetime
    """Since when it was so."""
    late_s: float | None = None
    off_route_m: float | None = None
    next_stop_id: UUID | None = None
    """On the way to which stop; None: not known, or to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAlert:
    head: AlertHead
    particulars_sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAlert:
    """An alert as a dispatcher reads it."""

    head: AlertHead
    particulars: Particulars
    acknowledged_by_name: str | None = field(repr=False)


class AlertWord(StrEnum):
    """What screens hear of an alert."""

    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"
    """Over, or not to be shown any more. The cause is never told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNews:
    """What became of an alert, without any place."""

    alert_id: UUID
    kind: AlertKind
    route_id: UUID
    driver_id: UUID
    state: AlertWord


Standing = Mapping[UUID, AlertHead]
"""The open alerts of a company that may be shown, by id."""


class AlertMissing(errors.NotFound):
    slug = "alert-not-found"
    title = "No such alert"


class AlertLimitsUneven(errors.Invalid):
    slug = "alert-limits-uneven"
    title = "A distance off the route needs a time, and the time a distance"

    def __init__(self) -> None:
        super().__init__("Give both of /off_route_m and /off_route_min, or neither.")


def refuse_uneven(limits: Limits) -> None:
    """Check that off the route is limited by distance and time, or not at all.

    Raises
    ------
    AlertLimitsUneven
    """
    if (limits.off_route_m is None) is not (limits.off_route_min is None):
        raise AlertLimitsUneven


def news(before: Standing, now: Standing) -> list[AlertNews]:
    """Return what screens that knew ``before`` have to hear: what is over first."""
    over = [_told(one, AlertWord.CLEARED) for one in before.values() if one.alert_id not in now]
    new = [_told(one, _word(one)) for one in now.values() if one.alert_id not in before]
    seen = [
        _told(one, AlertWord.ACKNOWLEDGED)
        for one in now.values()
        if one.acknowledged_at is not None
        and (known := before.get(one.alert_id)) is not None
        and known.acknowledged_at is None
    ]
    return [*over, *new, *seen]


def _word(head: AlertHead) -> AlertWord:
    return AlertWord.RAISED if head.acknowledged_at is None else AlertWord.ACKNOWLEDGED


def _told(head: AlertHead, state: AlertWord) -> AlertNews:
    return AlertNews(
        alert_id=head.alert_id,
        kind=head.kind,
        route_id=head.route_id,
        driver_id=head.driver_id,
        state=state,
    )


def to_bytes(particulars: Particulars) -> bytes:
    """Return the particulars as they are sealed."""
    stop_id = particulars.next_stop_id
    content = {
        "since": particulars.since.isoformat(),
        "late_s": particulars.late_s,
        "off_route_m": particulars.off_route_m,
        "next_stop_id": None if stop_id is None else str(stop_id),
    }
    return json.dumps(content).encode()


def from_bytes(raw: bytes) -> Particulars:
    """Return the particulars that :func:`to_bytes` wrote."""
    content = json.loads(raw)
    stop_id = content["next_stop_id"]
    return Particulars(
        since=datetime.fromisoformat(content["since"]),
        late_s=content["late_s"],
        off_route_m=content["off_route_m"],
        next_stop_id=None if stop_id is None else UUID(stop_id),
    )
