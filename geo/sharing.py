"""Improving an assignment by what only groups of stops tell: who shares a visit with whom."""

from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Final

import numpy as np

from geo.types import Floats, Indices

SWEEPS_MAX: Final = 8
# Among more stops than this at one visit an exchange changes next to nothing.
EXCHANGED_MAX: Final = 6
GAIN_MIN: Final = 1e-9
NOBODY: Final = -1
WAITING_S: Final = 900.0
WAITING_MAX: Final = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What an assignment costs, in units of half a squared standard deviation.

    Attributes
    ----------
    unary
        Shape ``(m, v)``: what a stop's having a visit costs whoever else has it.
    service_s, dwell_s
        Shapes ``(m,)``, ``(v,)``: planned (NaN = not) and seen. The dwell of a visit is held
        against the sum of the services of its stops: half the squared logarithm of their ratio
        over ``spread``, at most ``dwell_max``.
    arrival_s
        Shape ``(m,)``: planned, NaN = not. Stops of one visit are planned one after the other:
        what lies between them beyond their services is held against it, in ``WAITING_S``.
    miss, share
        A stop without a visit; each stop of a visit beyond its first.
    """

    unary: Floats
    service_s: Floats
    dwell_s: Floats
    arrival_s: Floats
    miss: float
    share: float
    spread: float
    dwell_max: float


def improve(served: Indices, costs: Costs) -> Indices:
    """Return an assignment no single move and no exchange of two stops makes cheaper.

    Parameters
    ----------
    served
        Shape ``(m,)``: the visit of each stop or -1.
    costs
        What to minimise.

    Returns
    -------
    Indices
        Shape ``(m,)``: costs at most what ``served`` does.

    Notes
    -----
    Descent in the order of the plan, at most eight sweeps; a sweep looks at each pair of a stop
    and a visit that costs it less than missing it. Deterministic.
    """
    search = _Search(served, costs)
    for _ in range(SWEEPS_MAX):
        if not (search.move() | search.exchange()):
            break
    return np.array(search.served, dtype=np.intp)


class _Search:
    """The state of the descent, in plain lists: groups have one or two members."""

    def __init__(self, served: Indices, costs: Costs) -> None:
        self.costs = costs
        self.served: list[int] = served.tolist()
        self.members: list[list[int]] = [[] for _ in costs.dwell_s]
        for stop, visit in enumerate(self.served):
            if visit != NOBODY:
                self.members[visit].append(stop)
        self.service_s: list[float] = costs.service_s.tolist()
        self.dwell_s: list[float] = costs.dwell_s.tolist()
        self.arrival_s: list[float] = costs.arrival_s.tolist()
        self.unary: list[dict[int, float]] = [{} for _ in self.served]
        stops, visits = np.nonzero(costs.unary < costs.miss)
        for stop, visit in zip(stops.tolist(), visits.tolist(), strict=True):
            self.unary[stop][visit] = float(costs.unary[stop, visit])

    def group(self, visit: int, members: list[int]) -> float:
        """Return what the stops of a visit cost as a group."""
        if not members:
            return 0.0
        cost = self.costs.share * (len(members) - 1)
        total_s = sum(self.service_s[stop] for stop in members)
        if total_s > 0.0:  # NaN is not: one unplanned service makes the sum unknown
            surprise = log(self.dwell_s[visit] / total_s) / self.costs.spread
            cost += min(0.5 * surprise**2, self.costs.dwell_max)
        planned_s = [self.arrival_s[stop] for stop in members if isfinite(self.arrival_s[stop])]
        if len(planned_s) > 1:
            waiting_s = max(planned_s) - min(planned_s) - max(0.0, total_s)
            cost += min(0.5 * (max(0.0, waiting_s) / WAITING_S) ** 2, WAITING_MAX)
        return cost

    def without(self, stop: int) -> float:
        """Return what is saved by taking the stop from its visit."""
        visit = self.served[stop]
        if visit == NOBODY:
            return self.costs.miss
        rest = [other for other in self.members[visit] if other != stop]
        return (
            self.unary[stop].get(visit, inf)
            + self.group(visit, self.members[visit])
            - self.group(visit, rest)
        )

    def put(self, stop: int, visit: int) -> None:
        if self.served[stop] != NOBODY:
            self.members[self.served[stop]].remove(stop)
        if visit != NOBODY:
            self.members[visit].append(stop)
        self.served[stop] = visit

    def move(self) -> bool:
        """Give each stop the visit that costs least as things are."""
        changed = False
        for stop, candidates in enumerate(self.unary):
            best, least = NOBODY, self.costs.miss
            here = self.served[stop]
            for visit, unary in candidates.items():
                others = [other for other in self.members[visit] if other != stop]
                cost = unary + self.group(visit, [*others, stop]) - self.group(visit, others)
                if cost < least:
                    best, least = visit, cost
            if best != here and least < self.without(stop) - GAIN_MIN:
                self.put(stop, best)
                changed = True
        return changed

    def exchange(self) -> bool:
        """Exchange the visits of two stops where that is cheaper."""
        changed = False
        for stop, candidates in enumerate(self.unary):
            for visit in list(candidates):
                here = self.served[stop]
                if here in (NOBODY, visit) or len(self.members[visit]) > EXCHANGED_MAX:
                    continue
                for other in list(self.members[visit]):
                    changed |= self.exchanged(stop, other, here, visit)
        return changed

    def exchanged(self, stop: int, other: int, here: int, there: int) -> bool:
        if here not in self.unary[other] or self.served[stop] != here:
            return False
        before = self.pair_cost(stop, other, here, there)
        after_here = [other if member == stop else member for member in self.members[here]]
        after_there = [stop if member == other else member for member in self.members[there]]
        after = (
            self.unary[stop][there]
            + self.unary[other][here]
            + self.group(here, after_here)
            + self.group(there, after_there)
        )
        if after >= before - GAIN_MIN:
            return False
        self.put(stop, there)
        self.put(other, here)
        return True

    def pair_cost(self, stop: int, other: int, here: int, there: int) -> float:
        return (
            self.unary[stop].get(here, inf)
            + self.unary[other].get(there, inf)
            + self.group(here, self.members[here])
            + self.group(there, self.members[there])
        )
