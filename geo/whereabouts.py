"""Where the vehicle is along its plan, how late that is, and what comes next."""

from dataclasses import dataclass, replace

import numpy as np

from geo.day import Day
from geo.eta import PASSED_M, Outlook, etas
from geo.pace import passing_s
from geo.report import Progress, StopFact
from geo.schedule import overdue_s, schedule_deviation_s
from geo.types import Floats, Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What is known at the last fix.

    Attributes
    ----------
    along_m, at_s
        The last known place along the plan and its time; None = never near it, or no fix.
    is_off
        The vehicle was on the planned line, but is not any more.
    next_stop
        The first stop after the latest visit that is neither visited nor settled by the driver.
    coming
        Those of them that were not driven past.
    passed_s
        Shape ``(m,)``: when each stop was passed along the line, visited or not, NaN = not.
    """

    along_m: float | None
    at_s: float | None
    is_off: bool
    next_stop: int | None
    coming: Indices
    passed_s: Floats


def whereabouts(day: Day) -> Whereabouts:
    """Return where the vehicle is.

    Stops that were left out stay behind: what is next comes after the latest visit.
    """
    visit = day.served.visit
    seen = np.flatnonzero(visit >= 0)
    latest = int(seen[np.argmax(visit[seen])]) if len(seen) else -1
    settled = np.isfinite(day.taps.done_s) | np.isfinite(day.taps.failed_s)
    ahead = np.flatnonzero((visit < 0) & ~settled)
    ahead = ahead[ahead > latest]
    next_stop = int(ahead[0]) if len(ahead) else None
    along_m, at_s = _along(day, latest, next_stop)
    passed_s = np.full(len(visit), np.nan)
    if day.line is not None:
        passed_s = passing_s(day.driven.time_s, day.account.along_m, day.stops_m)
    behind_m = -np.inf if along_m is None else along_m - PASSED_M
    return Whereabouts(
        along_m=along_m,
        at_s=at_s,
        is_off=at_s is not None and bool(at_s < day.driven.time_s[-1]),
        next_stop=next_stop,
        coming=ahead[np.isnan(passed_s[ahead]) & (day.stops_m[ahead] >= behind_m)],
        passed_s=passed_s,
    )


def progress(day: Day, now: Whereabouts) -> Progress:
    """Return the progress without looking ahead: how late the place is, or the next stop."""
    plan = day.plan
    late_s: list[float | None] = []
    if now.along_m is not None and now.at_s is not None:
        at_place_s = schedule_deviation_s(
            now.at_s,
            now.along_m,
            stops_m=day.stops_m,
            arrival_s=plan.planned_arrival_s,
            service_s=plan.service_s,
            window_from_s=plan.window_from_s,
        )
        late_s.append(at_place_s)
    if len(now.coming) and len(day.driven.time_s):
        over_s = overdue_s(
            float(day.driven.time_s[-1]),
            int(now.coming[0]),
            arrival_s=plan.planned_arrival_s,
            service_s=plan.service_s,
            window_from_s=plan.window_from_s,
        )
        late_s.append(over_s if over_s is not None and over_s > 0.0 else None)
    return Progress(
        along_m=now.along_m,
        length_m=float(day.line.length_m if day.line is not None else day.stops_m[-1]),
        deviation_s=max((late for late in late_s if late is not None), default=None),
        next_stop=now.next_stop,
        eta=(),
    )


def looking_ahead(
    day: Day,
    now: Whereabouts,
    known: Progress,
    stops: tuple[StopFact, ...],
    *,
    until_s: float,
) -> Progress:
    """Return the progress with the times at which the pending stops will be reached.

    Parameters
    ----------
    day, now, known
        The day, and what `whereabouts` and `progress` say of it.
    stops
        What is known of the stops; one that the driver could not do is not announced.
    until_s
        The present.
    """
    if not len(day.driven.time_s):
        return known
    last_s = float(day.driven.time_s[-1])
    to_next_m = None
    if len(now.coming):
        to_next_m = float(np.hypot(*(day.wanted.xy[now.coming[0]] - day.driven.xy[-1])))
    pending = np.array([stop.status == "pending" for stop in stops])
    outlook = Outlook(
        now_s=until_s,
        at_s=last_s if now.is_off or now.at_s is None else now.at_s,
        along_m=None if now.is_off else now.along_m,
        arrived_s=_or_nan([stop.arrived_s for stop in stops]),
        departed_s=_or_nan([stop.departed_s for stop in stops]),
        passed_s=now.passed_s,
        pending=pending & np.isnan(day.taps.failed_s),
        here=_here(day),
        standing=bool(day.driven.still[-1:].any()),
        to_next_m=to_next_m,
    )
    return replace(known, eta=etas(day.plan, day.stops_m, outlook, parameters=day.parameters))


def _along(day: Day, latest: int, next_stop: int | None) -> tuple[float | None, float | None]:
    """Return the last known place along the plan and its time."""
    driven = day.driven
    if not len(driven.time_s):
        return None, None
    if day.line is not None:
        known = np.flatnonzero(np.isfinite(day.account.along_m))
        if not len(known):
            return None, None
        return float(day.account.along_m[known[-1]]), float(driven.time_s[known[-1]])
    # Roads are not straight: only how much nearer the next stop came says where along it is.
    now_s = float(driven.time_s[-1])
    if latest < 0 or next_stop is None:
        return (float(day.stops_m[latest]) if latest >= 0 else 0.0), now_s
    begin_m, end_m = float(day.stops_m[latest]), float(day.stops_m[next_stop])
    left_m = float(np.hypot(*(day.wanted.xy[next_stop] - driven.xy[-1])))
    return float(np.clip(end_m - left_m, begin_m, end_m)), now_s


def _here(day: Day) -> int | None:
    """Return the stop at which the vehicle stood at the last fix."""
    visits, visit = day.served.visits, day.served.visit
    seen = np.flatnonzero(visit >= 0)
    if not len(seen):
        return None
    latest = seen[np.argmax(visits.to_s[visit[seen]])]
    at = visit[latest]
    stands = not visits.end_known[at] and visits.to_s[at] >= day.driven.time_s[-1]
    return int(latest) if stands else None


def _or_nan(times_s: list[float | None]) -> Floats:
    return np.array([np.nan if at is None else at for at in times_s])
