"""Where the vehicle is along its plan, how late that is, and what comes next."""

from dataclasses import dataclass, replace

import numpy as np

from geo.day import Day, Seen
from geo.eta import PASSED_M, Outlook, etas
from geo.ground import Ground
from geo.pace import latest_served, passing_s
from geo.report import Progress, StopFact
from geo.schedule import overdue_s, schedule_deviation_s
from geo.types import Floats, Indices
from geo.values import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Which stops were served so far, also while the route before still went on, all ``(m,)``.

    Attributes
    ----------
    order
        Numbers the halts by time, -1 = not served; stops of one halt have one number.
    arrived_s, departed_s
        Unix seconds, NaN = not known.
    """

    order: Indices
    arrived_s: Floats
    departed_s: Floats


def reached(day: Seen, whole: Seen, *, until_s: float) -> Reached:
    """Return what was served by then; ``whole`` has what is of the neighbouring routes, too."""
    own, other = (_halts_s(one) for one in (day, whole))
    other[:, ~(other[0] < until_s)] = np.nan  # what came later is not here yet
    halts_s = np.where(day.served.visit >= 0, own, other)
    served = np.flatnonzero(np.isfinite(halts_s[0]))
    order = np.full(halts_s.shape[1], -1)
    order[served] = np.unique(halts_s[0, served], return_inverse=True)[1]
    return Reached(order=order, arrived_s=halts_s[0], departed_s=halts_s[1])


def _halts_s(seen: Seen) -> Floats:
    """Return when the halt at each stop began, and ended if that is known, ``(2, m)``."""
    visit, visits = seen.served.visit, seen.served.visits
    left_s = np.where(visits.end_known, visits.to_s, np.nan)
    return np.stack([np.append(of, np.nan)[visit] for of in (visits.from_s, left_s)])


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


def whereabouts(day: Day, were: Reached) -> Whereabouts:
    """Return where the vehicle is that served these stops.

    Stops that were left out stay behind: what is next comes after the latest visit.
    """
    latest = latest_served(were.order)
    settled = np.isfinite(day.taps.done_s) | np.isfinite(day.taps.failed_s)
    ahead = np.flatnonzero((were.order < 0) & ~settled)
    ahead = ahead[ahead > latest]
    next_stop = int(ahead[0]) if len(ahead) else None
    along_m, at_s = _along(day, latest, next_stop)
    passed_s = np.full(len(settled), np.nan)
    if day.ground.line is not None:
        passed_s = passing_s(
            day.driven.time_s,
            day.account.along_m,
            day.ground.stops_m,
            linked=np.diff(day.driven.span) == 0,
        )
    return Whereabouts(
        along_m=along_m,
        at_s=at_s,
        is_off=at_s is not None and bool(at_s < day.driven.time_s[-1]),
        next_stop=next_stop,
        coming=still_coming(day.ground, ahead, passed_s, along_m),
        passed_s=passed_s,
    )


def still_coming(
    ground: Ground, ahead: Indices, passed_s: Floats, along_m: float | None
) -> Indices:
    """Return those of the stops ``ahead`` that are waited for: not driven past without a halt."""
    behind_m = -np.inf if along_m is None else along_m - PASSED_M
    return ahead[np.isnan(passed_s[ahead]) & (ground.stops_m[ahead] >= behind_m)]


def progress(
    day: Day, were: Reached, now: Whereabouts, taken_over_s: float | None = None
) -> Progress:
    """Return the progress without looking ahead: how late the place is, or the next stop.

    ``taken_over_s`` as for `geo.values.OwnTime`.
    """
    time_s = day.driven.time_s
    along_m, at_s = now.along_m, now.at_s
    last_fix_s = float(time_s[-1]) if len(time_s) else None
    if now.next_stop is None and last_fix_s is not None:
        along_m, at_s = at_the_end(
            day.ground,
            along_m,
            at_s,
            order=were.order,
            arrived_s=were.arrived_s,
            departed_s=were.departed_s,
            last_fix_s=last_fix_s,
        )
    coming = now.coming
    if taken_over_s is not None and (were.order < 0).all():
        along_m, coming = None, planned_since(day.ground.plan, coming, taken_over_s)
    return Progress(
        along_m=now.along_m,
        length_m=day.ground.length_m,
        deviation_s=behind_schedule_s(
            day.ground,
            along_m=along_m,
            at_s=at_s,
            coming=coming,
            last_fix_s=last_fix_s,
        ),
        next_stop=now.next_stop,
        eta=(),
    )


def planned_since(plan: Plan, coming: Indices, taken_over_s: float) -> Indices:
    """Return those of the stops that are planned since a route was taken over.

    Whoever had it before may have served the others: until the first visit only these tell how
    late its new driver is.
    """
    return coming[plan.planned_arrival_s[coming] >= taken_over_s]


def at_the_end(
    ground: Ground,
    along_m: float | None,
    at_s: float | None,
    *,
    order: Indices,
    arrived_s: Floats,
    departed_s: Floats,
    last_fix_s: float,
) -> tuple[float | None, float | None]:
    """Return the place and time that tell how late a route was of which nothing is to come.

    That is the last stop when its service is over by the plan, or as soon as the vehicle leaves: to
    stand there for longer, or to drive home, makes nobody later. The planned line need not lead to
    it.

    Parameters
    ----------
    ground
        The plan.
    along_m, at_s
        The last known place along it, and its time; they hold where no arrival is known.
    order
        Shape ``(m,)``: the visits numbered by time, -1 = none.
    arrived_s, departed_s
        Shape ``(m,)``: when they began and ended, NaN = not known.
    last_fix_s
        Until then nothing was over yet.
    """
    latest = latest_served(order)
    if latest < 0 or np.isnan(arrived_s[latest]):
        return along_m, at_s
    plan, together = ground.plan, order == order[latest]
    opens_s = np.fmax.reduce(plan.window_from_s[together], initial=-np.inf)
    over_s = max(float(arrived_s[latest]), float(opens_s)) + float(
        np.nan_to_num(plan.service_s[together], nan=0.0).sum()
    )
    left_s = float(np.fmin(over_s, departed_s[latest]))
    return float(ground.stops_m[latest]), min(last_fix_s, left_s)


def behind_schedule_s(
    ground: Ground,
    *,
    along_m: float | None,
    at_s: float | None,
    coming: Indices,
    last_fix_s: float | None,
) -> float | None:
    """Return how late the place is, or at least how overdue the next stop, wherever the vehicle."""
    plan = ground.plan
    late_s: list[float | None] = []
    if along_m is not None and at_s is not None:
        late_s.append(
            schedule_deviation_s(
                at_s,
                along_m,
                stops_m=ground.stops_m,
                arrival_s=plan.planned_arrival_s,
                service_s=plan.service_s,
                window_from_s=plan.window_from_s,
            )
        )
    if len(coming) and last_fix_s is not None:
        over_s = overdue_s(
            last_fix_s,
            int(coming[0]),
            arrival_s=plan.planned_arrival_s,
            service_s=plan.service_s,
            window_from_s=plan.window_from_s,
        )
        late_s.append(over_s if over_s is not None and over_s > 0.0 else None)
    return max((late for late in late_s if late is not None), default=None)


def straight_place_m(ground: Ground, latest: int, next_stop: int | None, xy: Floats) -> float:
    """Return how far along straight legs a vehicle is that was last at the stop ``latest``.

    Roads are not straight: only how much nearer the next stop came says where along it is.
    """
    if latest < 0 or next_stop is None:
        return float(ground.stops_m[latest]) if latest >= 0 else 0.0
    begin_m, end_m = float(ground.stops_m[latest]), float(ground.stops_m[next_stop])
    left_m = float(np.hypot(*(ground.wanted.xy[next_stop] - xy)))
    return float(np.clip(end_m - left_m, begin_m, end_m))


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
        to_next_m = float(np.hypot(*(day.ground.wanted.xy[now.coming[0]] - day.driven.xy[-1])))
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
    return replace(
        known, eta=etas(day.ground.plan, day.ground.stops_m, outlook, parameters=day.parameters)
    )


def _along(day: Day, latest: int, next_stop: int | None) -> tuple[float | None, float | None]:
    """Return the last known place along the plan and its time."""
    driven = day.driven
    if not len(driven.time_s):
        return None, None
    if day.ground.line is not None:
        known = np.flatnonzero(np.isfinite(day.account.along_m))
        if not len(known):
            return None, None
        return float(day.account.along_m[known[-1]]), float(driven.time_s[known[-1]])
    place_m = straight_place_m(day.ground, latest, next_stop, driven.xy[-1])
    return place_m, float(driven.time_s[-1])


def _here(day: Day) -> int | None:
    """Return the stop at which the vehicle stood at the last fix."""
    visits, latest = day.served.visits, latest_served(day.served.visit)
    if latest < 0:
        return None
    at = day.served.visit[latest]
    stands = not visits.end_known[at] and visits.to_s[at] >= day.driven.time_s[-1]
    return latest if stands else None


def _or_nan(times_s: list[float | None]) -> Floats:
    return np.array([np.nan if at is None else at for at in times_s])
