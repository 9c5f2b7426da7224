"""Plan versus fact while the route is driven: each refresh costs what its new fixes cost.

Fixes of the last minute are provisional: they are looked at again, together with the two minutes
before them (and all of a stay that lasts), whenever new ones come, and by the functions of the
final report. So what arrives in another order within that minute changes next to nothing. What is
older is settled and kept as conclusions, with the last place and those of the last eight halts. Of
positions those stay that may be looked at again: of the last quarter of an hour of track at most,
or nine fixes where they are rarer. A phone that falls silent keeps its last ones.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from geo.clean import clean, interval_of
from geo.course import Course
from geo.eta import Outlook, etas
from geo.ground import Ground, Habits
from geo.halts import nothing
from geo.intervals import merged
from geo.looking import LOOK_BACK_MAX_S, LiveState, looked
from geo.own_time import Order
from geo.pace import latest_served
from geo.plan_fact import refuse_plan
from geo.report import Eta
from geo.served import Stops
from geo.types import Floats, Indices
from geo.values import ALONE, DEFAULT, OwnTime, Parameters, Plan, Track
from geo.whereabouts import (
    at_the_end,
    behind_schedule_s,
    planned_since,
    still_coming,
    straight_place_m,
)

__all__ = ["LiveState", "LiveSummary", "LiveVisit", "advance", "begin", "summary"]

# A clock may run ahead by this much before its fixes are forgotten.
AHEAD_MAX_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVisit:
    """One planned stop visited so far.

    ``arrived_s`` is None if the track began there. ``departed_s`` is None while the vehicle is
    there (``present``), and if it left while nobody looked.
    """

    stop: int
    arrived_s: float | None
    departed_s: float | None
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSummary:
    """The route right now; times are unix seconds, None = not known or not so.

    ``along_m`` of ``length_m`` is the last known place along the plan. ``deviation_s`` is how far
    behind the schedule that is, < 0 = ahead, but at least by how much the next stop is overdue.
    ``visits`` are in the order driven. ``off_route_m`` is the farthest from the planned line since
    ``off_route_since_s``, ``standing_since_s`` since when the vehicle stands where no planned stop
    is.
    """

    last_fix_s: float | None
    along_m: float | None
    length_m: float
    deviation_s: float | None
    next_stop: int | None
    eta: tuple[Eta, ...]
    visits: tuple[LiveVisit, ...]
    off_route_since_s: float | None
    off_route_m: float | None
    standing_since_s: float | None


def begin(plan: Plan, *, own: OwnTime = ALONE, parameters: Parameters = DEFAULT) -> LiveState:
    """Return the state of a route before its first fix; no fix of it is older than ``own.from_s``.

    Raises
    ------
    ValueError
        As `geo.plan_fact.plan_versus_fact`.
    """
    refuse_plan(plan)
    ground = Ground.of(plan).slim()
    m = len(plan.radius_m)
    never, nowhere = np.full(m, np.nan), np.full(m, -1)
    return LiveState(
        ground=ground,
        order=Order.of(plan, own, over=False),
        parameters=parameters,
        recent=np.zeros((0, 4)),
        settled_s=-np.inf,
        shared_s=np.zeros((0, 2)),
        silences_s=(),
        rebuild_due=False,
        habits=Habits(),
        log=nothing(m),
        course=Course.start(m),
        stops=Stops(
            arrived_s=never,
            departed_s=never,
            order=nowhere,
            here=np.zeros(m, dtype=bool),
            stands=False,
            elsewhere_s=None,
            basis=(False, (), ()),
        ),
        present=Course.start(m),
        last_fix_s=None,
        last_xy=None,
        until_s=-np.inf,
    )


def advance(state: LiveState, new_fixes: Track, *, shared_s: Floats, until_s: float) -> LiveState:
    """Return the state after more fixes; the one given stays as it is.

    Parameters
    ----------
    state
        What `begin` or an earlier call returned.
    new_fixes
        Fixes in any order; repeats of earlier ones change nothing.
    shared_s
        Shape ``(w, 2)``: all intervals in which positions could be recorded, as for the final
        report. Nothing is concluded from one to the next.
    until_s
        The present. Later fixes wait for it, up to two minutes.

    Returns
    -------
    LiveState
        With ``rebuild_due`` if the fixes or the intervals contradict what is settled.

    Notes
    -----
    A fix is late if it is older than ``state.settled_s``: by a minute, and three fixes at least.
    Late fixes are dropped where there were others no further apart than ``gap_s``, as they would
    add little. Within a longer silence they are what was missed: they are dropped here, too,
    but ``rebuild_due`` asks to begin again with the whole track. So does an interval that turns
    out to have ended before ``settled_s``.

    On generated days, after the last fix, stops and times of the visits are those of the final
    report for 97 % of the stops at least (95 % at a fix a minute), and on days full of
    neighbours and shared halts 95 % of the stops are visited or not in both:
    ``tests/geo/test_live.py`` holds it to that. Time grows with the fixes of the last three
    minutes, or the stay, and the new ones; so does `LiveState`.
    """
    shared_s = merged(shared_s)
    rows = np.column_stack([new_fixes.time_s, new_fixes.lon_lat, new_fixes.accuracy_m])
    late = rows[:, 0] <= state.settled_s
    rebuild_due = (
        state.rebuild_due
        or _fills_silence(state, rows[late, 0], shared_s)
        or _took_back(state, shared_s)
    )
    fresh = rows[~late & ~(rows[:, 0] > until_s + AHEAD_MAX_S)]
    recent = np.concatenate([state.recent, fresh])
    state = replace(
        state, recent=recent, shared_s=shared_s, until_s=until_s, rebuild_due=rebuild_due
    )
    cleaned = clean(
        Track(time_s=recent[:, 0], lon_lat=recent[:, 1:3], accuracy_m=recent[:, 3]),
        state.ground.plane,
        shared_s=shared_s,
        until_s=until_s,
        parameters=state.parameters,
    )
    if len(cleaned.time_s):
        return looked(state, cleaned)
    # None is believed: the young ones may be, once others stand beside them.
    return replace(state, recent=recent[recent[:, 0] >= until_s - LOOK_BACK_MAX_S])


def _fills_silence(state: LiveState, late_s: Floats, shared_s: Floats) -> bool:
    if not len(late_s) or not state.silences_s:
        return False
    late_s = late_s[interval_of(late_s, shared_s) >= 0]
    return any(
        bool(((late_s > from_s) & (late_s < to_s)).any()) for from_s, to_s in state.silences_s
    )


def _took_back(state: LiveState, shared_s: Floats) -> bool:
    """Tell whether what is settled rests on time that is not shared after all."""
    at = np.array([state.settled_s])
    return bool(np.isfinite(state.settled_s)) and bool(interval_of(at, shared_s)[0] < 0)


def summary(state: LiveState, *, now_s: float) -> LiveSummary:
    """Return where the route stands.

    Parameters
    ----------
    state
        What `advance` returned.
    now_s
        The present, unix seconds: no arrival is forecast to lie before it.

    Returns
    -------
    LiveSummary
        After a silence, too: ``last_fix_s`` says how old it is.
    """
    ground, stops, parameters = state.ground, _in_order(state), state.parameters
    seen = np.flatnonzero(stops.order >= 0)
    driven = seen[np.lexsort((seen, stops.order[seen]))]
    latest = latest_served(stops.order)
    ahead = np.flatnonzero(stops.order < 0)
    ahead = ahead[ahead > latest]
    next_stop = int(ahead[0]) if len(ahead) else None
    along_m, at_s = _along(state, latest, next_stop)
    coming = still_coming(ground, ahead, state.present.passed_s, along_m)
    here = np.flatnonzero(stops.here)
    eta: tuple[Eta, ...] = ()
    if state.last_fix_s is not None:
        off = ground.line is not None and state.present.trail.off
        outlook = Outlook(
            now_s=now_s,
            at_s=state.last_fix_s if off else at_s,
            along_m=None if off else along_m,
            arrived_s=stops.arrived_s,
            departed_s=stops.departed_s,
            passed_s=state.present.passed_s,
            pending=stops.order < 0,
            here=int(here[-1]) if len(here) else None,
            standing=stops.stands,
            to_next_m=_to_stop_m(state, int(coming[0])) if len(coming) else None,
        )
        eta = etas(ground.plan, ground.stops_m, outlook, parameters=parameters)
    off_route = state.present.excursion.confirmed(
        off=state.present.trail.off, sigma_m=state.habits.typical_sigma_m, parameters=parameters
    )
    return LiveSummary(
        last_fix_s=state.last_fix_s,
        along_m=along_m,
        length_m=ground.length_m,
        deviation_s=_late_s(state, stops, coming, next_stop, along_m, at_s),
        next_stop=next_stop,
        eta=eta,
        visits=tuple(_visit(stops, stop) for stop in driven.tolist()),
        off_route_since_s=state.present.excursion.since_s if off_route else None,
        off_route_m=state.present.excursion.farthest_m if off_route else None,
        standing_since_s=stops.elsewhere_s,
    )


def _late_s(
    state: LiveState,
    stops: Stops,
    coming: Indices,
    next_stop: int | None,
    along_m: float | None,
    at_s: float | None,
) -> float | None:
    """Return how late the place is, or at least how overdue the next stop."""
    ground, taken_over_s = state.ground, state.order.own.taken_over_s
    if next_stop is None and state.last_fix_s is not None:
        along_m, at_s = at_the_end(
            ground,
            along_m,
            at_s,
            order=stops.order,
            arrived_s=stops.arrived_s,
            departed_s=stops.departed_s,
            last_fix_s=state.last_fix_s,
        )
    if taken_over_s is not None and (stops.order < 0).all():
        along_m, coming = None, planned_since(ground.plan, coming, taken_over_s)
    return behind_schedule_s(
        ground, along_m=along_m, at_s=at_s, coming=coming, last_fix_s=state.last_fix_s
    )


def _in_order(state: LiveState) -> Stops:
    """Return the stops without those at which the vehicle halted for another route."""
    stops, order = state.stops, state.order
    seen = stops.order >= 0
    if state.last_fix_s is None or not seen.any():
        return stops
    ended_s = np.where(np.isnan(stops.departed_s), state.last_fix_s, stops.departed_s)
    unseen = np.isnan(stops.arrived_s)
    began_s, ended_s = order.halts_s(
        np.where(seen, np.where(unseen, ended_s, stops.arrived_s), np.nan),
        np.where(seen, ended_s, np.nan),
        unseen & (stops.order == stops.order[seen].min()),
    )
    broken = order.broken(began_s, ended_s, first=order.first(began_s))
    return replace(
        stops,
        arrived_s=np.where(broken, np.nan, stops.arrived_s),
        departed_s=np.where(broken, np.nan, stops.departed_s),
        order=np.where(broken, -1, stops.order),
        here=stops.here & ~broken,
    )


def _to_stop_m(state: LiveState, stop: int) -> float | None:
    if state.last_xy is None:
        return None
    return float(np.hypot(*(state.ground.wanted.xy[stop] - state.last_xy)))


def _visit(stops: Stops, stop: int) -> LiveVisit:
    arrived_s, departed_s = float(stops.arrived_s[stop]), float(stops.departed_s[stop])
    return LiveVisit(
        stop=stop,
        arrived_s=None if np.isnan(arrived_s) else arrived_s,
        departed_s=None if np.isnan(departed_s) else departed_s,
        present=bool(stops.here[stop]),
    )


def _along(state: LiveState, latest: int, next_stop: int | None) -> tuple[float | None, float]:
    """Return the last known place along the plan and its time."""
    ground, trail = state.ground, state.present.trail
    now_s = state.last_fix_s if state.last_fix_s is not None else state.until_s
    if ground.line is not None:
        if trail.place_s is None:
            return None, now_s
        # Who stands is where they stood.
        return trail.place_m, trail.place_s if trail.off else now_s
    if state.last_xy is None:
        return None, now_s
    return straight_place_m(ground, latest, next_stop, np.array(state.last_xy)), now_s
