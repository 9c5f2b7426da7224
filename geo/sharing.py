"""Improving an assignment by what only groups of stops tell: who shares a visit with whom."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import inf, isfinite, log, nan
from typing import Final

import numpy as np

from geo.types import Flags, Floats, Indices

SWEEPS_MAX: Final = 8
# A stop looks at so many visits, those that cost it least.
CANDIDATES_MAX: Final = 12
# Among more stops than this at one visit an exchange changes next to nothing.
EXCHANGED_MAX: Final = 6
# So many exchanges are worked out: on a usual day some hundreds are.
EXCHANGES_MAX: Final = 20_000
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
    """Return an assignment that single moves and exchanges of two stops do not make cheaper.

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
    Descent in the order of the plan, at most eight sweeps; a sweep looks at the twelve visits that
    cost a stop least, and less than missing it. A move takes the same time however many stops
    share a visit. At most 20,000 exchanges are worked out: then the descent ends with moves.
    Deterministic.
    """
    search = _Search(served, costs)
    for _ in range(SWEEPS_MAX):
        if not (search.move() | search.exchange()):
            break
    return np.array(search.served, dtype=np.intp)


@dataclass(slots=True)
class _Group:
    """The stops of one visit, and what their common cost is made of.

    ``service_s`` is the sum of the planned services, ``unplanned`` counts the stops without one;
    ``arrival_s`` are the planned arrivals, ascending. ``cost`` is theirs as a group.
    """

    dwell_s: float
    stops: list[int] = field(default_factory=list)
    service_s: float = 0.0
    unplanned: int = 0
    arrival_s: list[float] = field(default_factory=list)
    cost: float = 0.0


class _Search:
    """The state of the descent. Of a group sums and ends are kept: a hundred may share a visit."""

    def __init__(self, served: Indices, costs: Costs) -> None:
        self.costs = costs
        self.served: list[int] = [NOBODY] * len(served)
        self.groups = [_Group(dwell_s) for dwell_s in costs.dwell_s.tolist()]
        self.service_s: list[float] = np.nan_to_num(costs.service_s).tolist()
        self.unplanned: list[int] = np.isnan(costs.service_s).astype(int).tolist()
        self.arrival_s: list[float] = costs.arrival_s.tolist()
        self.exchanges_left = EXCHANGES_MAX
        self.unary: list[dict[int, float]] = [{} for _ in self.served]
        stops, visits = np.nonzero(_candidates(costs, served))
        values = costs.unary[stops, visits].tolist()
        for stop, visit, value in zip(stops.tolist(), visits.tolist(), values, strict=True):
            self.unary[stop][visit] = value
        for stop, visit in enumerate(served.tolist()):
            self.put(stop, visit)

    def cost(self, group: _Group, *, leaves: int = NOBODY, comes: int = NOBODY) -> float:
        """Return what the stops of a visit cost as a group if one leaves and another comes."""
        count, total_s, unplanned = len(group.stops), group.service_s, group.unplanned
        gone_s = nan
        if leaves != NOBODY:
            count -= 1
            total_s -= self.service_s[leaves]
            unplanned -= self.unplanned[leaves]
            gone_s = self.arrival_s[leaves]
        first_s, last_s = _ends_without(group.arrival_s, gone_s)
        if comes != NOBODY:
            count += 1
            total_s += self.service_s[comes]
            unplanned += self.unplanned[comes]
            if isfinite(arrival_s := self.arrival_s[comes]):
                first_s, last_s = min(first_s, arrival_s), max(last_s, arrival_s)
        if not count:
            return 0.0
        cost = self.costs.share * (count - 1)
        # One unplanned service makes the sum unknown.
        known_s = 0.0 if unplanned else total_s
        if known_s > 0.0:
            surprise = log(group.dwell_s / known_s) / self.costs.spread
            cost += min(0.5 * surprise**2, self.costs.dwell_max)
        waiting_s = last_s - first_s - known_s
        if waiting_s > 0.0:
            cost += min(0.5 * (waiting_s / WAITING_S) ** 2, WAITING_MAX)
        return cost

    def without(self, stop: int) -> float:
        """Return what is saved by taking the stop from its visit."""
        visit = self.served[stop]
        if visit == NOBODY:
            return self.costs.miss
        group = self.groups[visit]
        return self.unary[stop].get(visit, inf) + group.cost - self.cost(group, leaves=stop)

    def put(self, stop: int, visit: int) -> None:
        here, arrival_s = self.served[stop], self.arrival_s[stop]
        if here != NOBODY:
            group = self.groups[here]
            group.cost = self.cost(group, leaves=stop)
            group.stops.remove(stop)
            group.service_s -= self.service_s[stop]
            group.unplanned -= self.unplanned[stop]
            if isfinite(arrival_s):
                del group.arrival_s[bisect_left(group.arrival_s, arrival_s)]
        if visit != NOBODY:
            group = self.groups[visit]
            group.cost = self.cost(group, comes=stop)
            group.stops.append(stop)
            group.service_s += self.service_s[stop]
            group.unplanned += self.unplanned[stop]
            if isfinite(arrival_s):
                insort(group.arrival_s, arrival_s)
        self.served[stop] = visit

    def move(self) -> bool:
        """Give each stop the visit that costs least as things are."""
        changed = False
        for stop, candidates in enumerate(self.unary):
            best, least = NOBODY, self.costs.miss
            here, saved = self.served[stop], self.without(stop)
            for visit, unary in candidates.items():
                group = self.groups[visit]
                cost = saved if visit == here else unary + self.cost(group, comes=stop) - group.cost
                if cost < least:
                    best, least = visit, cost
            if best != here and least < saved - GAIN_MIN:
                self.put(stop, best)
                changed = True
        return changed

    def exchange(self) -> bool:
        """Exchange the visits of two stops where that is cheaper."""
        changed = False
        for stop, candidates in enumerate(self.unary):
            for visit in candidates:
                here = self.served[stop]
                if here in (NOBODY, visit) or len(self.groups[visit].stops) > EXCHANGED_MAX:
                    continue
                for other in list(self.groups[visit].stops):
                    changed |= self.exchanged(stop, other, here, visit)
        return changed

    def exchanged(self, stop: int, other: int, here: int, there: int) -> bool:
        if here not in self.unary[other] or self.served[stop] != here or not self.exchanges_left:
            return False
        this, that = self.groups[here], self.groups[there]
        before = self.unary[stop].get(here, inf) + self.unary[other].get(there, inf)
        after = self.unary[stop][there] + self.unary[other][here]
        # What they cost as groups beyond sharing cannot become less than nothing.
        shared = self.costs.share * (len(this.stops) + len(that.stops) - 2)
        if before - after + this.cost + that.cost - shared <= GAIN_MIN:
            return False
        self.exchanges_left -= 1
        before += this.cost + that.cost
        after += self.cost(this, leaves=stop, comes=other)
        after += self.cost(that, leaves=other, comes=stop)
        if after >= before - GAIN_MIN:
            return False
        self.put(stop, NOBODY)
        self.put(other, here)
        self.put(stop, there)
        return True


def _candidates(costs: Costs, served: Indices) -> Flags:
    """Flag the visits that each stop looks at, ``(m, v)``: those cheapest for it, and its own."""
    possible = costs.unary < costs.miss
    if possible.shape[1] <= CANDIDATES_MAX:
        return possible
    stop = np.arange(len(served))
    cheapest = np.zeros_like(possible)
    least = np.argpartition(costs.unary, CANDIDATES_MAX - 1, axis=1)[:, :CANDIDATES_MAX]
    cheapest[stop[:, np.newaxis], least] = True
    has = served != NOBODY
    cheapest[stop[has], served[has]] = True
    return possible & cheapest


def _ends_without(ascending: list[float], value: float) -> tuple[float, float]:
    """Return the first and the last of some numbers without one of them; NaN is none of them."""
    left = len(ascending) - isfinite(value)
    if left < 1:
        return inf, -inf
    first, last = ascending[0], ascending[-1]
    return (
        ascending[1] if first == value else first,
        ascending[-2] if last == value else last,
    )
