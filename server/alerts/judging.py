"""When an alert is raised, and when it is over. Pure.

What is measured swings about its limit. So an alert is raised at the limit, but counts as over
only well below it, and is cleared only once that has lasted: between the two it stays what it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final, Protocol
from uuid import UUID

from server.alerts.model import AlertHead, AlertKind, Limits, Particulars
from server.gate.model import Gate
from server.routes.model import RouteHead

MINUTE_S: Final = 60.0
CALM_RATIO: Final = 0.8
"""A measure at most so much of its limit is calm."""
CALM_RATIO_OF_TIMES: Final = 0.5
"""For how long something lasted, which falls to nothing at once when it is over."""
CALM_FOR: Final = timedelta(minutes=2)


class Summary(Protocol):
    """What is known of a route under way: of ``geo.live.LiveSummary`` what alerts rest on."""

    @property
    def last_fix_s(self) -> float | None: ...
    @property
    def deviation_s(self) -> float | None: ...
    @property
    def next_stop(self) -> int | None: ...
    @property
    def visits(self) -> Sequence[Any]: ...
    @property
    def off_route_since_s(self) -> float | None: ...
    @property
    def off_route_m(self) -> float | None: ...
    @property
    def standing_since_s(self) -> float | None: ...


class Refreshed(Protocol):
    """A route under way whose driver shares plan versus fact, as it was just computed."""

    @property
    def head(self) -> RouteHead: ...
    @property
    def gate(self) -> Gate:
        """The driver's, as it was when the positions were read."""
        ...

    @property
    def since(self) -> datetime:
        """No earlier position is read for it: it is of another route, or not shared."""
        ...

    @property
    def summary(self) -> Summary: ...
    @property
    def stop_ids(self) -> Sequence[UUID]: ...


class Level(Enum):
    REACHED = auto()
    BETWEEN = auto()
    """Neither: what stands goes on standing."""
    CALM = auto()
    VOID = auto()
    """Nothing to judge: what stands is over at once."""


class Step(Enum):
    """What to do about one kind on one route."""

    RAISE = auto()
    NOTHING = auto()
    BEGIN_CALM = auto()
    END_CALM = auto()
    CLEAR = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one kind stands on one route now."""

    kind: AlertKind
    level: Level
    particulars: Particulars | None = None
    """There where the limit is reached."""


def findings(
    limits: Limits, one: Refreshed, *, recorded_since: datetime | None, now: datetime
) -> Iterator[Finding]:
    """Judge each kind. ``recorded_since``: of the window that is open now; None: there is none."""
    yield _late(limits, one, now)
    yield _off_route(limits, one)
    yield _no_signal(limits, one, recorded_since, now)
    yield _long_stop(limits, one)


def step(standing: AlertHead | None, level: Level, now: datetime) -> Step:
    """Return what to do: ``standing`` is the open alert of the kind, if there is one."""
    if standing is None:
        return Step.RAISE if level is Level.REACHED else Step.NOTHING
    if level is Level.VOID:
        return Step.CLEAR
    if level is not Level.CALM:
        return Step.NOTHING if standing.calm_since is None else Step.END_CALM
    if standing.calm_since is None:
        return Step.BEGIN_CALM
    return Step.CLEAR if now - standing.calm_since >= CALM_FOR else Step.NOTHING


def _late(limits: Limits, one: Refreshed, now: datetime) -> Finding:
    kind, seen = AlertKind.LATE, one.summary
    if limits.late_min is None:
        return Finding(kind=kind, level=Level.VOID)
    if seen.next_stop is None:  # nothing is left to be late for
        return Finding(kind=kind, level=Level.CALM)
    if seen.deviation_s is None:
        return Finding(kind=kind, level=Level.BETWEEN)
    level = _level(seen.deviation_s, limits.late_min * MINUTE_S, CALM_RATIO)
    return _found(kind, level, one, since=now, late_s=seen.deviation_s)


def _off_route(limits: Limits, one: Refreshed) -> Finding:
    kind, seen = AlertKind.OFF_ROUTE, one.summary
    if limits.off_route_m is None or limits.off_route_min is None:
        return Finding(kind=kind, level=Level.VOID)
    lasted_s = _lasted_s(seen.off_route_since_s, seen.last_fix_s)
    if lasted_s is None or seen.off_route_since_s is None or seen.off_route_m is None:
        return Finding(kind=kind, level=Level.CALM)
    level = _level(seen.off_route_m, limits.off_route_m, CALM_RATIO)
    if level is Level.REACHED and lasted_s < limits.off_route_min * MINUTE_S:
        level = Level.BETWEEN
    since = _instant(seen.off_route_since_s)
    return _found(kind, level, one, since=since, off_route_m=seen.off_route_m)


def _no_signal(
    limits: Limits, one: Refreshed, recorded_since: datetime | None, now: datetime
) -> Finding:
    kind, seen = AlertKind.NO_SIGNAL, one.summary
    if limits.no_signal_min is None or recorded_since is None:
        return Finding(kind=kind, level=Level.VOID)
    if seen.next_stop is None and seen.visits:  # the work is done
        return Finding(kind=kind, level=Level.CALM)
    # Before the window opened nothing could come, and what came before is read for another route.
    since = max(recorded_since, one.since)
    if seen.last_fix_s is not None:
        since = max(since, _instant(seen.last_fix_s))
    silent_s = (now - since).total_seconds()
    level = _level(silent_s, limits.no_signal_min * MINUTE_S, CALM_RATIO_OF_TIMES)
    return _found(kind, level, one, since=since)


def _long_stop(limits: Limits, one: Refreshed) -> Finding:
    kind, seen = AlertKind.LONG_STOP, one.summary
    if limits.long_stop_min is None:
        return Finding(kind=kind, level=Level.VOID)
    lasted_s = _lasted_s(seen.standing_since_s, seen.last_fix_s)
    if lasted_s is None or seen.standing_since_s is None:
        return Finding(kind=kind, level=Level.CALM)
    level = _level(lasted_s, limits.long_stop_min * MINUTE_S, CALM_RATIO_OF_TIMES)
    return _found(kind, level, one, since=_instant(seen.standing_since_s))


def _level(value: float, limit: float, calm_ratio: float) -> Level:
    if value >= limit:
        return Level.REACHED
    return Level.CALM if value <= calm_ratio * limit else Level.BETWEEN


def _lasted_s(since_s: float | None, last_fix_s: float | None) -> float | None:
    """Return how long it is known to last: what came after the last position nobody knows."""
    if since_s is None or last_fix_s is None:
        return None
    return last_fix_s - since_s


def _found(
    kind: AlertKind,
    level: Level,
    one: Refreshed,
    *,
    since: datetime,
    late_s: float | None = None,
    off_route_m: float | None = None,
) -> Finding:
    if level is not Level.REACHED:
        return Finding(kind=kind, level=level)
    following = one.summary.next_stop
    return Finding(
        kind=kind,
        level=level,
        particulars=Particulars(
            since=since,
            late_s=None if late_s is None else round(late_s, 1),
            off_route_m=None if off_route_m is None else round(off_route_m, 1),
            next_stop_id=None if following is None else one.stop_ids[following],
        ),
    )


def _instant(unix_s: float) -> datetime:
    return datetime.fromtimestamp(round(unix_s), UTC)
