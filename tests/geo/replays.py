"""Giving a day to geo.live as it would have come."""

import numpy as np

from geo.live import LiveState, LiveSummary, advance, begin, summary
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Floats, Indices
from geo.values import Track
from tests.geo.days import START_S, Day

REFRESH_S = 30.0
OPEN = np.array([[START_S, np.inf]])
NOTHING = Track(time_s=np.zeros(0), lon_lat=np.zeros((0, 2)), accuracy_m=np.zeros(0))


def taken(track: Track, chosen: Indices) -> Track:
    return Track(
        time_s=track.time_s[chosen],
        lon_lat=track.lon_lat[chosen],
        accuracy_m=track.accuracy_m[chosen],
    )


def between(track: Track, from_s: float, to_s: float) -> Track:
    return taken(track, np.flatnonzero((track.time_s > from_s) & (track.time_s <= to_s)))


def replayed(
    day: Day,
    *,
    every_s: float = REFRESH_S,
    shared_s: Floats = OPEN,
    until_s: float | None = None,
) -> LiveState:
    """Give the fixes as they would have come."""
    state = begin(day.plan)
    now_s, end_s = START_S - every_s, day.until_s if until_s is None else until_s
    while now_s < end_s:
        before_s, now_s = now_s, min(now_s + every_s, end_s)
        fresh = between(day.track, before_s, now_s)
        state = advance(state, fresh, shared_s=shared_s, until_s=now_s)
    return state


def closed(day: Day, state: LiveState) -> LiveSummary:
    """End the sharing and look."""
    state = advance(state, NOTHING, shared_s=day.shared_s, until_s=day.until_s)
    return summary(state, now_s=day.until_s)


def final(day: Day) -> PlanFact:
    return plan_versus_fact(day.track, day.plan, shared_s=day.shared_s, until_s=day.until_s)


def same_visit(live_s: float | None, final_s: float | None, tolerance_s: float) -> bool:
    if live_s is None or final_s is None:
        return live_s is None and final_s is None
    return abs(live_s - final_s) <= tolerance_s


def same_visits(one: LiveSummary, other: LiveSummary, tolerance_s: float) -> bool:
    return [visit.stop for visit in one.visits] == [visit.stop for visit in other.visits] and all(
        same_visit(a.arrived_s, b.arrived_s, tolerance_s)
        and same_visit(a.departed_s, b.departed_s, tolerance_s)
        for a, b in zip(one.visits, other.visits, strict=True)
    )
