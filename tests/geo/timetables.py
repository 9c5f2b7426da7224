"""Days as seconds only: what was planned, what then happened, and what was known in between."""

from dataclasses import dataclass

import numpy as np

from geo.eta import Outlook
from geo.types import Floats
from geo.values import Plan
from tests.geo.days import START_S, make_plan

SPEED_MPS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetabled:
    """A plan with its places along the road, and the true times; all ``(m,)``."""

    plan: Plan
    stops_m: Floats
    arrived_s: Floats
    departed_s: Floats

    def outlook(self, now_s: float) -> Outlook:
        """Return what a perfect observer knows then."""
        came, left = self.arrived_s <= now_s, self.departed_s <= now_s
        here = np.flatnonzero(came & ~left)
        knots_s = np.column_stack([self.arrived_s, self.departed_s]).ravel()
        along_m = float(np.interp(now_s, knots_s, np.repeat(self.stops_m, 2)))
        return Outlook(
            now_s=now_s,
            at_s=now_s,
            along_m=along_m,
            arrived_s=np.where(came, self.arrived_s, np.nan),
            departed_s=np.where(left, self.departed_s, np.nan),
            passed_s=np.full(len(came), np.nan),
            pending=~came,
            here=int(here[0]) if len(here) else None,
        )


def make_timetabled(
    seed: int,
    *,
    stops: int = 20,
    day_spread: float = 0.25,
    leg_spread: float = 0.2,
    service_spread: float = 0.35,
    windows: float = 0.3,
) -> Timetabled:
    """Draw a day whose legs and services take other times than planned.

    Both have a factor for the whole day and one of their own, log-normal with the given spreads.
    A share ``windows`` of the stops opens a quarter of an hour around the planned arrival at random
    and is waited for.
    """
    rng = np.random.default_rng(seed)
    legs_s = rng.uniform(120.0, 900.0, stops)
    service_s = np.clip(np.exp(rng.normal(5.5, 0.6, stops)), 60.0, 1_800.0)
    planned_s = START_S + np.cumsum(legs_s) + np.append(0.0, np.cumsum(service_s)[:-1])
    opens_s = np.where(
        rng.random(stops) < windows, planned_s + rng.uniform(-900.0, 900.0, stops), np.nan
    )
    # Who plans a window plans to wait for it.
    for stop in range(1, stops):
        earliest_s = np.fmax(planned_s[stop - 1], opens_s[stop - 1])
        earliest_s += service_s[stop - 1] + legs_s[stop]
        planned_s[stop] = max(planned_s[stop], earliest_s)

    def really(planned: Floats, spread: float) -> Floats:
        day, own = rng.normal(0.0, day_spread), rng.normal(0.0, spread, stops)
        return np.asarray(planned * np.exp(day + own))

    actual_legs_s, actual_service_s = really(legs_s, leg_spread), really(service_s, service_spread)
    arrived_s, departed_s = np.empty(stops), np.empty(stops)
    clock_s = START_S
    for stop in range(stops):
        arrived_s[stop] = clock_s + actual_legs_s[stop]
        clock_s = np.fmax(arrived_s[stop], opens_s[stop]) + actual_service_s[stop]
        departed_s[stop] = clock_s
    stops_m = np.cumsum(legs_s) * SPEED_MPS
    return Timetabled(
        plan=make_plan(
            np.column_stack([76.9 + stops_m / 81_200.0, np.full(stops, 43.24)]),
            service_s=service_s,
            planned_arrival_s=planned_s,
            window_from_s=opens_s,
            line=np.array([[76.9, 43.24], [77.9, 43.24]]),
        ),
        stops_m=stops_m,
        arrived_s=arrived_s,
        departed_s=departed_s,
    )
