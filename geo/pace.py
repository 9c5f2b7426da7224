"""How fast a plan is being carried out: its seconds against those really needed."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from geo.types import Flags, Floats, Indices
from geo.values import Parameters, Plan

# A lunch within a leg is no traffic: one leg counts as at most so much slower than planned.
SLOWER_MAX: Final = 2.5
SLOWER_SLACK_S: Final = 300.0
SERVICE_SLOWER_MAX: Final = 4.0
# Legs vary less, relatively, the longer they are: their parts are independent.
LEG_SCALE_S: Final = 300.0
LEG_VARIATION_MAX: Final = 1.0
# One wild leg must not make the whole forecast wild.
SURPRISE_MAX: Final = 9.0
SURPRISE_PRIOR: Final = 8.0
# Along the plan nobody jumps further.
JUMP_MPS: Final = 40.0
JUMP_M: Final = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """What the plan says in seconds, ``m`` stops.

    Attributes
    ----------
    stops_m
        Shape ``(m,)``: places along the plan, not decreasing.
    clock_s
        Shape ``(m,)``: planned seconds of driving from the first stop to each.
    service_s
        Shape ``(m,)``: planned seconds at each; 0 = none planned, then they are part of driving.
    opens_s
        Shape ``(m,)``: unix seconds before which nobody is served, -inf = always open.
    """

    stops_m: Floats
    clock_s: Floats
    service_s: Floats
    opens_s: Floats

    @classmethod
    def of(cls, plan: Plan, stops_m: Floats, parameters: Parameters) -> Self:
        """Return the timetable of a plan.

        Driving is planned as the time from being allowed to leave (served, and the window was
        open) to the next arrival; where no arrivals are planned, or they leave no time, as
        the length at ``parameters.eta_speed_mps``.
        """
        service_s = np.nan_to_num(plan.service_s, nan=0.0)
        timed = bool(np.isfinite(plan.planned_arrival_s).any())
        if not timed:
            service_s = np.where(service_s > 0.0, service_s, parameters.eta_service_s)
        opens_s = np.where(np.isnan(plan.window_from_s), -np.inf, plan.window_from_s)
        leave_s = np.maximum(plan.planned_arrival_s, opens_s) + service_s
        straight = 1.0 if plan.line is not None else parameters.eta_detour
        by_length_s = np.diff(stops_m) * straight / parameters.eta_speed_mps
        by_plan_s = plan.planned_arrival_s[1:] - leave_s[:-1]
        drive_s = np.where(by_plan_s > 0.0, by_plan_s, by_length_s)
        return cls(
            stops_m=stops_m,
            clock_s=np.append(0.0, np.cumsum(drive_s)),
            service_s=service_s,
            opens_s=opens_s,
        )

    def clock_at(self, along_m: float, parameters: Parameters) -> float:
        """Return the planned seconds of driving from the first stop to a place, < 0 before it."""
        if along_m < self.stops_m[0]:
            return float(along_m - self.stops_m[0]) / parameters.eta_speed_mps
        return float(np.interp(along_m, self.stops_m, self.clock_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """What the day taught so far.

    Attributes
    ----------
    drive, service
        Actual over planned seconds, shrunk towards 1.
    drive_learned, service_learned
        How much of them the day taught, 0 = nothing, 1 = all.
    drive_spread, service_spread
        How uncertain they still are: standard deviations of their logarithms.
    leg_surprise, service_surprise
        How much more single legs and services vary than expected, 1 = as expected.
    """

    drive: float
    service: float
    drive_learned: float
    service_learned: float
    drive_spread: float
    service_spread: float
    leg_surprise: float
    service_surprise: float


def leg_variation(planned_s: Floats, parameters: Parameters) -> Floats:
    """Return the expected relative standard deviation of legs, any shape."""
    long = np.sqrt(LEG_SCALE_S / np.maximum(planned_s, 1.0))
    return np.minimum(parameters.eta_leg_variation * long, LEG_VARIATION_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Legs and services done: planned and actual seconds, and when, in time order."""

    leg_planned_s: Floats
    leg_actual_s: Floats
    leg_ended_s: Floats
    service_planned_s: Floats
    service_actual_s: Floats


def record(table: Timetable, arrived_s: Floats, departed_s: Floats, passed_s: Floats) -> Record:
    """Return what was done.

    Parameters
    ----------
    table
        The plan.
    arrived_s, departed_s
        Shape ``(m,)``: unix seconds, NaN = not visited or not known.
    passed_s
        Shape ``(m,)``: when a stop that was not visited was passed; NaN = not known.

    Returns
    -------
    Record
        A leg counts if both ends are known and it went forward in the plan. Stops served by one
        halt are one service.
    """
    came_s = known_s(arrived_s, departed_s, passed_s)
    seen = np.flatnonzero(np.isfinite(came_s))
    seen = seen[np.argsort(came_s[seen], kind="stable")]
    visited = np.isfinite(arrived_s[seen]) | np.isfinite(departed_s[seen])
    # Stops reached at the same instant were served by one halt.
    new = np.diff(came_s[seen], prepend=-np.inf) > 0.0
    halt = np.cumsum(new) - 1
    first, latest = seen[new], seen[np.append(new[1:], True)[: len(new)]]
    planned_service_s = np.zeros(len(first))
    np.add.at(planned_service_s, halt, np.where(visited, table.service_s[seen], 0.0))
    opens_s = np.full(len(first), -np.inf)
    np.maximum.at(opens_s, halt, table.opens_s[seen])
    from_s = np.where(np.isfinite(passed_s), passed_s, arrived_s)[first]
    to_s = np.where(np.isfinite(passed_s), passed_s, departed_s)[first]
    # Where no service is planned, standing belongs to the planned way to the next stop.
    leave_s = np.where(planned_service_s > 0.0, to_s, from_s)
    planned_s = table.clock_s[first[1:]] - table.clock_s[latest[:-1]]
    actual_s = from_s[1:] - leave_s[:-1]
    usable = (planned_s > 0.0) & (actual_s > 0.0)
    serving_s = to_s - np.maximum(from_s, opens_s)
    served = (planned_service_s > 0.0) & (serving_s > 0.0)
    return Record(
        leg_planned_s=planned_s[usable],
        leg_actual_s=bounded_leg_s(actual_s[usable], planned_s[usable]),
        leg_ended_s=from_s[1:][usable],
        service_planned_s=planned_service_s[served],
        service_actual_s=np.minimum(serving_s, SERVICE_SLOWER_MAX * planned_service_s)[served],
    )


def known_s(arrived_s: Floats, departed_s: Floats, passed_s: Floats) -> Floats:
    """Return when each stop was reached as far as known, ``(m,)``; NaN = it was not.

    Where the track began within a visit only its end is known.
    """
    return np.asarray(np.fmin(np.fmin(arrived_s, departed_s), passed_s))


def passing_s(
    time_s: Floats, along_m: Floats, stops_m: Floats, *, linked: Flags | None = None
) -> Floats:
    """Return when each stop was passed first, visited or not.

    Parameters
    ----------
    time_s, along_m
        Shape ``(n,)``: places along the plan; NaN = off it.
    stops_m
        Shape ``(m,)``: the stops.
    linked
        Shape ``(max(n - 1, 0),)``: false where nothing may be concluded across a step; None = all
        are true.

    Returns
    -------
    Floats
        Shape ``(m,)``: unix seconds, linear between fixes; NaN = not passed, or within a jump
        that no vehicle drives.
    """
    on = np.isfinite(along_m)
    broken = np.zeros(len(time_s)) if linked is None else np.append(0.0, np.cumsum(~linked))
    part = broken[on]
    time_s, along_m = time_s[on], np.maximum.accumulate(along_m[on])
    if len(time_s) < 2:  # noqa: PLR2004  # passing takes two fixes
        return np.full(len(stops_m), np.nan)
    after = np.searchsorted(along_m, stops_m)
    inside = (after > 0) & (after < len(along_m))
    after = np.clip(after, 1, len(along_m) - 1)
    before = after - 1
    step_m, step_s = along_m[after] - along_m[before], time_s[after] - time_s[before]
    drivable = (step_m <= JUMP_MPS * step_s + JUMP_M) & (part[after] == part[before])
    share = (stops_m - along_m[before]) / np.where(step_m > 0.0, step_m, 1.0)
    passed_s = time_s[before] + np.clip(share, 0.0, 1.0) * step_s
    return np.where(inside & drivable, passed_s, np.nan)


def paces(done: Record, *, at_s: float, parameters: Parameters) -> Paces:
    """Return the paces behind what was done.

    Parameters
    ----------
    done
        Legs and services; the one being driven may be among them.
    at_s
        The present: legs of an hour ago say less about it.
    parameters
        Priors and spreads.

    Notes
    -----
    A ratio of sums, shrunk by the prior as if so many seconds had gone exactly as planned:
    the posterior mean of a gamma-distributed rate. ``geo.eta`` says what it is worth.
    """
    weight = np.exp(-np.maximum(at_s - done.leg_ended_s, 0.0) / parameters.pace_memory_s)
    drive_prior_s, service_prior_s = parameters.pace_prior_s, parameters.service_prior_s
    planned_s = float((weight * done.leg_planned_s).sum())
    actual_s = float((weight * done.leg_actual_s).sum())
    drive = (actual_s + drive_prior_s) / (planned_s + drive_prior_s)
    serving_planned_s = float(done.service_planned_s.sum())
    serving_s = float(done.service_actual_s.sum())
    service = (serving_s + service_prior_s) / (serving_planned_s + service_prior_s)

    expected_s = drive * done.leg_planned_s
    varied_s = expected_s * leg_variation(done.leg_planned_s, parameters)
    legs = (done.leg_actual_s - expected_s) / np.maximum(varied_s, 1.0)
    drive_learned = planned_s / (planned_s + drive_prior_s)
    service_learned = serving_planned_s / (serving_planned_s + service_prior_s)
    relative = np.log(done.service_actual_s / (service * done.service_planned_s))
    return Paces(
        drive=drive,
        service=service,
        drive_learned=drive_learned,
        service_learned=service_learned,
        drive_spread=parameters.pace_spread * float(np.sqrt(1.0 - drive_learned)),
        service_spread=parameters.service_spread * float(np.sqrt(1.0 - service_learned)),
        leg_surprise=_surprise(legs),
        service_surprise=_surprise(relative / parameters.eta_service_variation),
    )


def _surprise(scores: Floats) -> float:
    """Return the spread of standard scores, ``(k,)``, shrunk towards 1."""
    squared = np.minimum(scores**2, SURPRISE_MAX).sum()
    return float(np.sqrt((SURPRISE_PRIOR + squared) / (SURPRISE_PRIOR + len(scores))))


def latest_stop(came_s: Floats) -> int:
    """Return the stop reached last, -1 = none yet; of one halt the last in the plan."""
    known = np.isfinite(came_s)
    if not known.any():
        return -1
    return int(np.flatnonzero(came_s == came_s[known].max())[-1])


def latest_served(order: Indices) -> int:
    """Return the stop visited last, -1 = none yet; of one halt the last in the plan.

    What is next in the plan comes after it, whatever was left out before.

    Parameters
    ----------
    order
        Shape ``(m,)``: the visits of the stops numbered by time, -1 = none.
    """
    return latest_stop(np.where(order >= 0, order, np.nan))


def bounded_leg_s(actual_s: Floats | float, planned_s: Floats | float) -> Floats:
    """Return the seconds of legs as far as they speak of traffic, any shape."""
    return np.asarray(np.minimum(actual_s, SLOWER_MAX * np.asarray(planned_s) + SLOWER_SLACK_S))
