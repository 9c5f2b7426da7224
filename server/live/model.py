"""What a screen may show of a driver now, and what changed since it was told. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from server.alerts.model import AlertNews, AlertWord
from server.credentials.model import MemberState
from server.gate.model import Gate, Purpose
from server.kit.errors import Unavailable
from server.routes.model import Assignment
from server.stop_events.model import StopNews
from server.tracking.model import LatestPosition

LIVE_S_MAX: Final = 60
STALE_S_MAX: Final = 10 * 60
SHOWN_S_MAX: Final = 15 * 60
DRIVING_MPS_MIN: Final = 2.0
"""Faster than a person walks around a parked vehicle, slower than any drive."""
MOVES_PER_FRAME_MAX: Final = 500
"""What a socket takes at once. The rest follows a second later, the longest untold first."""


class Signal(StrEnum):
    """Whether positions arrive, by the server's clock. The last two tell no cause."""

    LIVE = "live"
    STALE = "stale"
    LOST = "lost"
    NOT_SHARED = "not_shared"
    OFF_SHIFT = "off_shift"


class Work(StrEnum):
    """What the speed alone can tell. "At a stop" needs the plan; "break" would betray a pause."""

    DRIVING = "driving"
    IDLE = "idle"


class Topic(StrEnum):
    """What a screen asks to hear."""

    LIVE = "live"
    """Where drivers are, and what became of them."""
    ALERTS = "alerts"
    """What is raised about routes, without any place."""
    ROUTES = "routes"
    """Which routes were changed, and of which stops a driver said something."""
    TRACKS = "tracks"
    """Of whom what they drove may not be shown any more as it was."""


class ErasureWord(StrEnum):
    """What the screens hear of an erasure: enough to take the driver off them."""

    CANCELLED = "cancelled"
    GRACE = "grace"
    ERASING = "erasing"
    ERASED = "erased"


class LiveUnavailable(Unavailable):
    slug = "live-unavailable"
    title = "Live positions cannot be read just now"
    retry_after_s = 2.0


class WatchersFull(Unavailable):
    slug = "watchers-full"
    title = "Too many screens are open"
    retry_after_s = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A driver as the fleet's tables tell, without any position."""

    state: MemberState
    in_window: bool
    at_work: bool
    """On a shift, or the rest of one that a withdrawal ended: the same as a pause."""
    epoch: int
    """What the screens are told to count by: grows by one as it begins and as it ends that
    positions may be shown, by an act or by itself, and with nothing else. The gate's own counters
    would tell the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A position with the counter that stood before it was read."""

    position: LatestPosition = field(repr=False)
    epoch: int
    """As in :class:`Crew`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One driver as a screen shows them. ``position`` is there only while it may be."""

    driver_id: UUID
    signal: Signal
    work: Work | None
    route_id: UUID | None
    vehicle_id: UUID | None
    epoch: int
    shared: bool
    """Whether a position may be shown; ``position`` is None also when there is no fresh one."""
    driven_since: datetime | None
    """From when on what they drove may be compared with a plan; None if nothing of it may."""
    position: LatestPosition | None = field(repr=False)


Fixes: TypeAlias = Mapping[UUID, Fix]
Sights: TypeAlias = Mapping[UUID, Sight]


def may_show(gate: Gate, crew: Crew, now: datetime) -> bool:
    """Tell whether the company's screens may show the driver's positions now."""
    return crew.in_window and gate.since(Purpose.DISPATCH_TRACKING, now) is not None


def still_known(fix: Fix, gate: Gate, crew: Crew, now: datetime) -> bool:
    """Tell whether a position that was opened before may be taken over, if none newer came."""
    same = (fix.epoch, fix.position.epoch) == (crew.epoch, gate.epoch)
    return same and (now - fix.position.recorded_at).total_seconds() <= SHOWN_S_MAX


def sights_of(
    gates: Iterable[Gate],
    crews: Mapping[UUID, Crew],
    fixes: Fixes,
    assigned: Mapping[UUID, Assignment],
    *,
    now: datetime,
) -> dict[UUID, Sight]:
    """Return every driver whose account is active, with a position where one may be shown."""
    return {
        gate.driver_id: _sight(
            gate,
            crews[gate.driver_id],
            fixes.get(gate.driver_id),
            assigned.get(gate.driver_id),
            now,
        )
        for gate in gates
        if gate.account_active and gate.driver_id in crews
    }


def _sight(
    gate: Gate, crew: Crew, fix: Fix | None, assignment: Assignment | None, now: datetime
) -> Sight:
    position = _shown(gate, crew, fix, now)
    signal = Signal.NOT_SHARED if crew.in_window or crew.at_work else Signal.OFF_SHIFT
    work = None
    if position is not None:
        signal = _signal(position, now)
        work = _work(position) if signal is Signal.LIVE else None
    return Sight(
        driver_id=gate.driver_id,
        signal=signal,
        work=work,
        route_id=None if assignment is None else assignment.route_id,
        vehicle_id=None if assignment is None else assignment.vehicle_id,
        epoch=crew.epoch,
        shared=may_show(gate, crew, now),
        driven_since=gate.since(Purpose.PLAN_FACT, now),
        position=position,
    )


def _shown(gate: Gate, crew: Crew, fix: Fix | None, now: datetime) -> LatestPosition | None:
    if fix is None or not may_show(gate, crew, now):
        return None
    # Read before the barrier: what began or ended since makes it worthless. An act on anything
    # else must not: the position would go and come back, and tell of the act.
    if fix.epoch != crew.epoch:
        return None
    since = gate.since(Purpose.DISPATCH_TRACKING, now)
    if since is None or fix.position.recorded_at < since:
        return None
    age_s = (now - fix.position.recorded_at).total_seconds()
    return fix.position if age_s <= SHOWN_S_MAX else None


def _signal(position: LatestPosition, now: datetime) -> Signal:
    age_s = (now - position.recorded_at).total_seconds()
    if age_s <= LIVE_S_MAX:
        return Signal.LIVE
    return Signal.STALE if age_s <= STALE_S_MAX else Signal.LOST


def _work(position: LatestPosition) -> Work | None:
    if position.speed_mps is None:
        return None
    return Work.DRIVING if position.speed_mps >= DRIVING_MPS_MIN else Work.IDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the screens were last told of a driver. Never where they were."""

    signal: Signal
    work: Work | None
    route_id: UUID | None
    epoch: int
    shared: bool
    driven_since: datetime | None
    fix_at: datetime | None
    """Of the position they show; None when they show none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Forget the driver's positions of this epoch and before. No cause."""

    driver_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Undriven:
    """Forget the lines of what the driver drove, and what was counted of them. No cause."""

    driver_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    driver_id: UUID
    state: ErasureWord


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteNews:
    """That a route was planned, changed or removed; as what it is now is read where it is shown."""

    route_id: UUID
    plan_version: int | None
    """None: it was removed, or is of another time now."""


Event: TypeAlias = Gone | Undriven | Sight | Erasure | AlertNews | StopNews | RouteNews
"""A sight stands for the driver's state: its position is never part of an event."""


def topic_of(event: Event) -> Topic:
    match event:
        case AlertNews():
            return Topic.ALERTS
        case StopNews() | RouteNews():
            return Topic.ROUTES
        case Undriven():
            return Topic.TRACKS
        case _:
            return Topic.LIVE


def is_look(event: Event) -> bool:
    """Tell whether who hears it looks at somebody: it says how they drive now."""
    return isinstance(event, AlertNews) and event.state is not AlertWord.CLEARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the screens of a company were told so far."""

    told: Mapping[UUID, Told]
    states: Mapping[UUID, MemberState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to tell, and the picture that the screens have afterwards."""

    events: tuple[Event, ...]
    moves: tuple[Sight, ...]
    after: Picture


def picture_of(sights: Sights, crews: Mapping[UUID, Crew]) -> Picture:
    """Return the picture of screens that took a snapshot now."""
    return Picture(
        told={driver_id: _told(sight) for driver_id, sight in sights.items()},
        states={driver_id: crew.state for driver_id, crew in crews.items()},
    )


def changes(before: Picture, sights: Sights, crews: Mapping[UUID, Crew]) -> Changes:
    """Compare what is with what was told: erasures, whose positions and lines go, states, moves."""
    now = picture_of(sights, crews)
    gone = [
        Gone(driver_id=driver_id, epoch=told.epoch)
        for driver_id, told in before.told.items()
        if told.fix_at is not None and _lost_sight(told, now.told.get(driver_id))
    ]
    undriven = [
        Undriven(driver_id=driver_id)
        for driver_id, told in before.told.items()
        if told.driven_since is not None and _lost_lines(told, now.told.get(driver_id))
    ]
    states = [
        sight for sight in sights.values() if _differs(before.told.get(sight.driver_id), sight)
    ]
    moved = [sight for sight in sights.values() if _moved(before.told.get(sight.driver_id), sight)]
    moved.sort(key=lambda sight: _told_fix(before.told.get(sight.driver_id)))
    later = moved[MOVES_PER_FRAME_MAX:]
    return Changes(
        events=(*_erasures(before.states, now.states), *gone, *undriven, *states),
        moves=tuple(moved[:MOVES_PER_FRAME_MAX]),
        after=replace(now, told={**now.told, **_untold(before, later)}),
    )


def _lost_sight(told: Told, now: Told | None) -> bool:
    # Not for a position that only grew old: the next one comes under the same epoch.
    return now is None or not now.shared or now.epoch != told.epoch


def _lost_lines(told: Told, now: Told | None) -> bool:
    # Also where they agreed anew in the same act: what was driven before stays hidden.
    return now is None or now.driven_since != told.driven_since


def _differs(told: Told | None, sight: Sight) -> bool:
    return told is None or (told.signal, told.work, told.route_id, told.epoch) != (
        sight.signal,
        sight.work,
        sight.route_id,
        sight.epoch,
    )


def _moved(told: Told | None, sight: Sight) -> bool:
    if sight.position is None:
        return False
    return told is None or (told.fix_at, told.epoch) != (sight.position.recorded_at, sight.epoch)


def _told_fix(told: Told | None) -> tuple[bool, float]:
    if told is None or told.fix_at is None:
        return (False, 0.0)
    return (True, told.fix_at.timestamp())


def _untold(before: Picture, later: Iterable[Sight]) -> dict[UUID, Told]:
    """Return what the screens know of those whose move waits: the new state, the old position."""
    untold = {}
    for sight in later:
        known = before.told.get(sight.driver_id)
        kept = known is not None and known.epoch == sight.epoch
        fix_at = known.fix_at if known is not None and kept else None
        untold[sight.driver_id] = replace(_told(sight), fix_at=fix_at)
    return untold


def _told(sight: Sight) -> Told:
    return Told(
        signal=sight.signal,
        work=sight.work,
        route_id=sight.route_id,
        epoch=sight.epoch,
        shared=sight.shared,
        driven_since=sight.driven_since,
        fix_at=None if sight.position is None else sight.position.recorded_at,
    )


_WORD: Final = {
    MemberState.GRACE: ErasureWord.GRACE,
    MemberState.ERASING: ErasureWord.ERASING,
}


def _erasures(
    before: Mapping[UUID, MemberState], now: Mapping[UUID, MemberState]
) -> Iterable[Erasure]:
    for driver_id, was in before.items():
        state = now.get(driver_id)
        if state is was:
            continue
        if state is None:  # an erased member has no row
            yield Erasure(driver_id=driver_id, state=ErasureWord.ERASED)
        elif state in _WORD:
            yield Erasure(driver_id=driver_id, state=_WORD[state])
        elif was in _WORD:
            yield Erasure(driver_id=driver_id, state=ErasureWord.CANCELLED)
