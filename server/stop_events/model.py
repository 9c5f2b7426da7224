"""What drivers say of their stops: arrived, done, a problem, a comment. Pure.

None of it is a position: it is said by the driver, by hand, and holds no coordinates.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.kit import errors

TEXT_CHARS_MAX: Final = 500
EVENTS_OF_ROUTE_MAX: Final = 2_000
"""Of one driver: four for each of the most stops a plan may have."""
AHEAD_MAX: Final = timedelta(minutes=5)
"""How far ahead of ours the clock of a phone may be."""
LATE_MAX: Final = timedelta(days=3)
"""How long a phone may have been without a connection."""
KEPT: Final = timedelta(days=365)


class EventKind(StrEnum):
    ARRIVED = "arrived"
    DONE = "done"
    PROBLEM = "problem"
    """The stop could not be served."""
    COMMENT = "comment"


class StopState(StrEnum):
    """What a stop is by what was said of it last."""

    PLANNED = "planned"
    ARRIVED = "arrived"
    DONE = "done"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a driver says of a stop. ``event_id`` is the phone's: sent again, it is the same."""

    event_id: UUID
    route_id: UUID
    stop_id: UUID
    kind: EventKind
    at: datetime
    """By the phone's clock."""
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEvent:
    """What was said, as it is kept."""

    stop_event_id: UUID
    driver_id: UUID
    received_at: datetime
    said: Said

    @property
    def happened_at(self) -> datetime:
        """When it was said: nothing is received before, however wrong the phone's clock is."""
        return min(self.said.at, self.received_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvent:
    """As it is stored. Kind, time and text are sealed under the driver's key."""

    stop_event_id: UUID
    driver_id: UUID
    event_id: UUID
    route_id: UUID
    stop_id: UUID
    received_at: datetime
    event_sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopNews:
    """That a driver said something of a stop; what it was is read where it is listed."""

    stop_event_id: UUID
    route_id: UUID
    stop_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTaps:
    """When a driver came to a stop, and was done with it or failed, as they said. None: never.

    Of several the last one holds; what was done or failed before the last arrival holds no more.
    """

    arrived_at: datetime | None = None
    done_at: datetime | None = None
    failed_at: datetime | None = None

    @property
    def state(self) -> StopState:
        if self.done_at is not None:
            return StopState.DONE
        if self.failed_at is not None:
            return StopState.PROBLEM
        return StopState.PLANNED if self.arrived_at is None else StopState.ARRIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The driver's day, by the company's clock."""

    date: date
    time_zone: str


class StopOfRouteMissing(errors.NotFound):
    slug = "stop-of-route-not-found"
    title = "The route has no such stop"


class StopEventDiffers(errors.Conflict):
    slug = "stop-event-differs"
    title = "Something else was said under this id"

    def __init__(self) -> None:
        super().__init__("Each event has an id of its own; sent again, it says the same.")


class StopEventsTooMany(errors.Conflict):
    slug = "stop-events-too-many"
    title = "Too much was said of this route"

    def __init__(self) -> None:
        super().__init__(f"A driver reports at most {EVENTS_OF_ROUTE_MAX} events of a route.")


class StopEventBlank(errors.Invalid):
    slug = "stop-event-blank"
    title = "A comment needs words"


class StopEventTimeInvalid(errors.Invalid):
    slug = "stop-event-time-invalid"
    title = "The event is too old, or still to come"

    def __init__(self) -> None:
        ahead_min = AHEAD_MAX // timedelta(minutes=1)
        super().__init__(f"It is at most {LATE_MAX.days} days old, or {ahead_min} minutes ahead.")


def refuse_unsayable(said: Said, *, now: datetime) -> None:
    """Check what a driver says.

    Raises
    ------
    StopEventBlank, StopEventTimeInvalid
    """
    is_wordless = said.text is None and said.kind is EventKind.COMMENT
    if is_wordless or (said.text is not None and not said.text.strip()):
        raise StopEventBlank
    if not now - LATE_MAX <= said.at <= now + AHEAD_MAX:
        raise StopEventTimeInvalid


def taps_of(events: Iterable[StopEvent]) -> StopTaps:
    """Return what a driver's events of one stop come to."""
    # An arrival of the same second comes before what was done there.
    told = sorted(
        events,
        key=lambda one: (
            one.happened_at,
            one.said.kind is not EventKind.ARRIVED,
            one.received_at,
            one.stop_event_id,
        ),
    )
    taps = StopTaps()
    for one in told:
        match one.said.kind:
            case EventKind.ARRIVED:
                taps = StopTaps(arrived_at=one.happened_at)
            case EventKind.DONE:
                taps = StopTaps(arrived_at=taps.arrived_at, done_at=one.happened_at)
            case EventKind.PROBLEM:
                taps = StopTaps(arrived_at=taps.arrived_at, failed_at=one.happened_at)
            case EventKind.COMMENT:
                pass
    return taps


def to_bytes(said: Said) -> bytes:
    """Return what of it is sealed."""
    content = {"kind": said.kind.value, "at": said.at.isoformat(), "text": said.text}
    return json.dumps(content, ensure_ascii=False).encode()


def from_bytes(raw: bytes, sealed: SealedEvent) -> StopEvent:
    """Return the event that :func:`to_bytes` wrote."""
    content = json.loads(raw)
    return StopEvent(
        stop_event_id=sealed.stop_event_id,
        driver_id=sealed.driver_id,
        received_at=sealed.received_at,
        said=Said(
            event_id=sealed.event_id,
            route_id=sealed.route_id,
            stop_id=sealed.stop_id,
            kind=EventKind(content["kind"]),
            at=datetime.fromisoformat(content["at"]),
            text=content["text"],
        ),
    )
