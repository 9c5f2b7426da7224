"""When the stops still to come will be reached, and how sure that is."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import erf, sqrt
from typing import Final

import numpy as np

from geo.pace import (
    Paces,
    Record,
    Timetable,
    bounded_leg_s,
    known_s,
    latest_stop,
    leg_variation,
    paces,
    record,
)
from geo.report import Eta
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters, Plan

SCENARIOS: Final = 128
QUANTILES: Final = (0.1, 0.5, 0.9)
# A pending stop this far behind along the plan was driven past: nobody knows when it is next.
PASSED_M: Final = 300.0
# A service of which nothing was planned, and the least that is left of any.
SERVICE_LEFT_MIN_S: Final = 5.0
# Less of a leg says more about its red lights than about the day.
PART_MIN_S: Final = 60.0
# The normal distribution between these is read from a table.
_SCORES: Final = np.linspace(-5.0, 5.0, 2_001)
_SHARES: Final = np.array([0.5 * (1.0 + erf(score / sqrt(2.0))) for score in _SCORES.tolist()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known when looking ahead; ``m`` stops, NaN = not known.

    Attributes
    ----------
    now_s
        The present, unix seconds: nothing is forecast to lie before it.
    at_s, along_m
        The last known place along the plan and its time; None = off the plan.
    arrived_s, departed_s
        Shape ``(m,)``: unix seconds of the visits so far.
    passed_s
        Shape ``(m,)``: when stops were passed (`geo.pace.passing_s`), visited or not.
    pending
        Shape ``(m,)``: true for the stops still to be visited.
    here
        The stop at which the vehicle stands, None = at none.
    standing
        It stands, wherever. Before the first stop it then goes on when planned, not at once.
    to_next_m
        The straight way from the last fix to the first stop ahead, for vehicles off the plan;
        None = not known.
    """

    now_s: float
    at_s: float
    along_m: float | None
    arrived_s: Floats
    departed_s: Floats
    passed_s: Floats
    pending: Flags
    here: int | None
    standing: bool = False
    to_next_m: float | None = None


def etas(
    plan: Plan, stops_m: Floats, outlook: Outlook, *, parameters: Parameters = DEFAULT
) -> tuple[Eta, ...]:
    """Return when the pending stops after the latest visit will be reached.

    Parameters
    ----------
    plan
        The planned stops.
    stops_m
        Shape ``(m,)``: their places along the plan, metres, not decreasing.
    outlook
        What is known now.
    parameters
        Priors and spreads, the ``eta_`` ones and the paces.

    Returns
    -------
    tuple[Eta, ...]
        In planned order, unix seconds, ``now_s <= p10_s <= p50_s <= p90_s``. A pending stop before
        the latest visit, or driven past by more than 300 m, has none: when a driver turns back
        is not in the plan. Empty if neither a place nor a planned arrival is known.

    Notes
    -----
    The plan is rolled forward from the last known place. Driving takes f and serving g times the
    planned seconds, f and g being the day's own ratios shrunk towards 1 by ``pace_prior_s`` and
    ``service_prior_s`` of plan. Nobody is served before a window opens, and waiting for that is
    neither driving nor serving. The quantiles are those of 128 scenarios, a Latin hypercube of
    log-normal factors (McKay, Beckman, Conover (1979), Technometrics 21, 239-245): one for f and
    g each, one per leg and service. What is left of a service under way is conditional on what
    it has lasted. Who stands before the first stop is not expected there before the planned
    arrival.

    On generated days 10 % +-5 % of the arrivals lie before p10 and after p90 each, and p50 errs
    at least 15 % less than the plan shifted by the present delay: ``tests/geo/test_eta.py`` holds
    it to that. On recorded city buses, followed fix by fix, that simple forecast is the better one:
    docs/explanation/plan-fact-scoreboard.md has both.
    """
    table = Timetable.of(plan, stops_m, parameters)
    outlook = _without_visited(outlook)
    latest = latest_stop(known_s(outlook.arrived_s, outlook.departed_s, outlook.passed_s))
    latest = latest if outlook.here is None else max(latest, outlook.here)
    ahead = _ahead(stops_m, outlook, latest)
    clock_s = _clock(table, outlook, latest, ahead, parameters)
    first_planned_s = float(plan.planned_arrival_s[ahead[0]]) if len(ahead) else np.nan
    if not len(ahead) or (clock_s is None and np.isnan(first_planned_s)):
        return ()
    done = _with_present_leg(
        record(table, outlook.arrived_s, outlook.departed_s, outlook.passed_s),
        table,
        outlook,
        latest,
        clock_s,
    )
    learned = paces(done, at_s=outlook.at_s, parameters=parameters)
    normal = _normals(2 * len(ahead) + 3)
    legs_s, services_s = _scenarios(table, ahead, clock_s, learned, normal, parameters)
    begin_s = _begin(table, plan, outlook, learned, normal[:, -1], parameters)
    parked = clock_s is None or outlook.standing
    if latest < 0 and parked and np.isfinite(first_planned_s):
        begin_s = np.maximum(begin_s, first_planned_s - legs_s[:, 0])
    arrival_s = _rolled(begin_s, legs_s, services_s, table.opens_s[ahead])
    found_s = np.maximum(np.quantile(arrival_s, QUANTILES, axis=0), outlook.now_s)
    return tuple(
        Eta(planned_sequence=stop, p10_s=p10_s, p50_s=p50_s, p90_s=p90_s)
        for stop, (p10_s, p50_s, p90_s) in zip(ahead.tolist(), found_s.T.tolist(), strict=True)
    )


def _without_visited(outlook: Outlook) -> Outlook:
    visited = np.isfinite(outlook.arrived_s) | np.isfinite(outlook.departed_s)
    return replace(outlook, passed_s=np.where(visited, np.nan, outlook.passed_s))


def _clock(
    table: Timetable, outlook: Outlook, latest: int, ahead: Indices, parameters: Parameters
) -> float | None:
    """Return where in the planned driving the vehicle is; None = nobody knows."""
    if outlook.here is not None:
        return float(table.clock_s[outlook.here])
    if outlook.along_m is None:
        if outlook.to_next_m is None or not len(ahead):
            return float(table.clock_s[latest]) if latest >= 0 else None
        way_m = outlook.to_next_m * parameters.eta_detour
        return float(table.clock_s[ahead[0]]) - way_m / parameters.eta_speed_mps
    here_s = table.clock_at(outlook.along_m, parameters)
    # Served stops lie behind, whatever the place along a road driven twice seems to say.
    return max(here_s, float(table.clock_s[latest])) if latest >= 0 else here_s


def _ahead(stops_m: Floats, outlook: Outlook, latest: int) -> Indices:
    stops = np.flatnonzero(outlook.pending)
    stops = stops[stops > latest]
    if outlook.along_m is not None and outlook.here is None:
        stops = stops[stops_m[stops] >= outlook.along_m - PASSED_M]
    return np.asarray(stops, dtype=np.intp)


def _with_present_leg(
    done: Record, table: Timetable, outlook: Outlook, latest: int, clock_s: float | None
) -> Record:
    """Add the part of the leg under way that is driven already."""
    if outlook.here is not None or outlook.along_m is None or latest < 0 or clock_s is None:
        return done
    planned_s = clock_s - float(table.clock_s[latest])
    # Where no service is planned, standing belongs to the planned way to the next stop.
    served = table.service_s[latest] > 0.0
    leave_s = outlook.departed_s if served else outlook.arrived_s
    left_s = float(np.fmin(leave_s[latest], outlook.passed_s[latest]))
    part_s = outlook.at_s - left_s
    if not (planned_s >= PART_MIN_S and part_s > 0.0):
        return done
    return replace(
        done,
        leg_planned_s=np.append(done.leg_planned_s, planned_s),
        leg_actual_s=np.append(done.leg_actual_s, bounded_leg_s(part_s, planned_s)),
        leg_ended_s=np.append(done.leg_ended_s, outlook.at_s),
    )


def _scenarios(
    table: Timetable,
    ahead: Indices,
    clock_s: float | None,
    learned: Paces,
    normal: Floats,
    parameters: Parameters,
) -> tuple[Floats, Floats]:
    """Return seconds of the legs to, and the services at, the stops ahead, ``(128, k)`` each."""
    k = len(ahead)
    start_s = table.clock_s[ahead[0]] if clock_s is None else clock_s
    planned_s = np.maximum(np.diff(table.clock_s[ahead], prepend=start_s), 0.0)
    leg_spread = np.sqrt(
        np.log1p((learned.leg_surprise * leg_variation(planned_s, parameters)) ** 2)
    )
    service_spread = learned.service_surprise * parameters.eta_service_variation
    legs_s = (
        learned.drive
        * planned_s
        * _factor(normal[:, 2 * k, np.newaxis], learned.drive_spread, learned.drive_learned)
        * _factor(normal[:, :k], leg_spread, learned.drive_learned)
    )
    services_s = (
        learned.service
        * table.service_s[ahead]
        * _factor(normal[:, 2 * k + 1, np.newaxis], learned.service_spread, learned.service_learned)
        * _factor(normal[:, k : 2 * k], service_spread, learned.service_learned)
    )
    return legs_s, services_s


def _begin(
    table: Timetable,
    plan: Plan,
    outlook: Outlook,
    learned: Paces,
    normal: Floats,
    parameters: Parameters,
) -> Floats:
    """Return when the vehicle moves on from its last known place, ``(128,)``."""
    here = outlook.here
    if here is None:
        return np.full(SCENARIOS, outlook.at_s)
    arrived_s, opens_s = float(outlook.arrived_s[here]), float(table.opens_s[here])
    planned_s = float(table.service_s[here])
    typical_s = learned.service * (planned_s if planned_s > 0.0 else parameters.eta_service_s)
    if np.isnan(arrived_s):
        # The day began here: it goes on when planned.
        leave_s = float(plan.planned_arrival_s[here]) + planned_s
        return np.full(SCENARIOS, np.fmax(leave_s, outlook.at_s + SERVICE_LEFT_MIN_S))
    served_from_s = max(arrived_s, opens_s)
    if outlook.at_s <= served_from_s:
        spread = np.hypot(
            learned.service_spread, learned.service_surprise * parameters.eta_service_variation
        )
        return np.asarray(
            served_from_s + typical_s * _factor(normal, spread, learned.service_learned)
        )
    lasted_s = outlook.at_s - served_from_s
    spread = learned.service_surprise * parameters.eta_service_variation
    median_s = typical_s * float(_factor(np.zeros(1), spread, learned.service_learned)[0])
    score = np.log(lasted_s / median_s) / spread
    gone = min(float(np.interp(score, _SCORES, _SHARES)), 1.0 - 1e-4)
    share = gone + (1.0 - gone) * np.interp(normal, _SCORES, _SHARES)
    whole_s = median_s * np.exp(spread * np.interp(share, _SHARES, _SCORES))
    return np.asarray(outlook.at_s + np.maximum(whole_s - lasted_s, SERVICE_LEFT_MIN_S))


def _rolled(begin_s: Floats, legs_s: Floats, services_s: Floats, opens_s: Floats) -> Floats:
    """Return the arrivals, ``(128, k)``, of a drive that waits where a window is not open yet.

    Without waiting, arrivals are sums. Each wait delays all that follows to the time at which the
    window opens, so the delay is the running maximum of how early the stops before would be.
    """
    busy_s = legs_s.copy()
    busy_s[:, 1:] += services_s[:, :-1]
    straight_s = begin_s[:, np.newaxis] + np.cumsum(busy_s, axis=1)
    early_s = np.maximum.accumulate(np.maximum(opens_s - straight_s, 0.0), axis=1)
    return np.asarray(straight_s + np.column_stack([np.zeros(len(begin_s)), early_s[:, :-1]]))


def _factor(normal: Floats, spread: Floats | float, learned: float) -> Floats:
    """Return log-normal factors whose median is 1 before the day taught anything, then the mean.

    Planned seconds are typical ones, medians; the ratios that the day teaches are of sums, means.
    """
    return np.asarray(np.exp(spread * normal - learned * np.square(spread) / 2.0))


def _normals(columns: int) -> Floats:
    """Return standard normal scenarios, ``(128, columns)``, the same for every call."""
    return _hypercube(1 << (columns - 1).bit_length())[:, :columns]


@lru_cache(maxsize=12)
def _hypercube(columns: int) -> Floats:
    stratum = (np.arange(SCENARIOS) + 0.5) / SCENARIOS
    normal = np.interp(stratum, _SHARES, _SCORES)
    order = np.random.default_rng(0).random((SCENARIOS, columns)).argsort(axis=0)
    drawn: Floats = normal[order]
    drawn.setflags(write=False)
    return drawn
