"""Which visit served which stop: one optimal assignment, out of order allowed."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import norms
from geo.sharing import Costs, improve
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters

# One parking place may serve three customers at once.
SHARING_MAX: Final = 3
GROUP_MAX: Final = 60
ROUNDS: Final = 2
# A stop's place is as uncertain as its address and as its site is large.
ADDRESS_SHARE: Final = 0.7
SITE_SHARE: Final = 0.3
# Beyond so many standard deviations a place costs linearly: drivers do park far away.
PLACE_SIGMAS: Final = 2.5
DWELL_SPREAD: Final = 0.4
DWELL_COST_MAX: Final = 6.0
# Lights and jams hold a vehicle for a minute; who plans longer work was hardly there for less.
TRAFFIC_COST: Final = 2.0
TRAFFIC_MIN_S: Final = 50.0
TRAFFIC_MAX_S: Final = 90.0
DELAY_COST_MAX: Final = 7.0
DELAY_NEIGHBOURS: Final = 2
IN_ORDER_BONUS: Final = 1.0
DWELL_MIN_S: Final = 10.0
SERVICE_MIN_S: Final = 30.0
# The lasting part of the errors of positions, and for how long it lasts.
LASTING_SHARE: Final = 0.7
LASTING_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The stops, ``m`` of them in planned order; NaN = not planned.

    Attributes
    ----------
    xy, radius_m, service_s, arrival_s
        Shapes ``(m, 2)`` and ``(m,)``: metres in the plane, metres, seconds, unix seconds.
    """

    xy: Floats
    radius_m: Floats
    service_s: Floats
    arrival_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The visits, ``v`` of them by time.

    Attributes
    ----------
    xy, from_s, dwell_s
        Shapes ``(v, 2)`` and ``(v,)``.
    allowed
        Shape ``(m, v)``: false where the visit is no evidence for the stop.
    """

    xy: Floats
    from_s: Floats
    dwell_s: Floats
    allowed: Flags


def assign(
    wanted: Wanted, offered: Offered, *, sigma_m: float, parameters: Parameters = DEFAULT
) -> tuple[Indices, Floats]:
    """Return which visit served each stop.

    Parameters
    ----------
    wanted, offered
        Stops and visits.
    sigma_m
        Noise of the positions of the visits.
    parameters
        Thresholds and costs.

    Returns
    -------
    tuple[Indices, Floats]
        Shapes ``(m,)``: the visit or -1, and the distance in metres to it (NaN without).

    Notes
    -----
    The cost of a pair is its negative log likelihood: place (Gaussian, linear beyond 2.5 standard
    deviations), dwell (log-normal about the planned service; stops that share a visit about the
    sum of theirs) and time against the delay of the stops around, which a monotone alignment
    finds first. The assignment then is the global optimum of what pairs cost (Kuhn (1955),
    Munkres (1957)), with a fixed cost for a stop nobody served, improved by single moves and
    exchanges for what only groups tell. Visits at the same place go to their stops in the order
    of time.
    """
    stops, visits = len(wanted.xy), len(offered.xy)
    if not visits:
        return np.full(stops, -1), np.full(stops, np.nan)
    distance_m = norms(wanted.xy[:, np.newaxis] - offered.xy)
    place = _place_costs(wanted, offered, distance_m, sigma_m, parameters)
    place += np.where(
        (wanted.service_s > TRAFFIC_MAX_S)[:, np.newaxis], _traffic_costs(offered), 0.0
    )
    dwell = _dwell_costs(wanted, offered)
    served = _align(place + dwell, parameters)
    same = _places(wanted, parameters)
    for _ in range(ROUNDS):
        unary = place + _time_costs(served, wanted, offered, same, parameters)
        seen = np.flatnonzero(served >= 0)
        unary[seen, served[seen]] -= IN_ORDER_BONUS
        served = _cheapest(unary + dwell, served, parameters)
        costs = Costs(
            unary=unary,
            service_s=np.where(
                wanted.service_s > 0.0, np.maximum(wanted.service_s, SERVICE_MIN_S), np.nan
            ),
            dwell_s=np.maximum(offered.dwell_s, DWELL_MIN_S),
            arrival_s=wanted.arrival_s,
            miss=parameters.miss_cost,
            share=parameters.share_cost,
            spread=DWELL_SPREAD,
            dwell_max=DWELL_COST_MAX,
        )
        served = improve(served, costs)
    _sort_same_places(served, same, place)
    distances_m = np.where(served >= 0, distance_m[np.arange(stops), served], np.nan)
    return served, distances_m


def stop_error_m(radius_m: Floats, parameters: Parameters) -> Floats:
    """Return how uncertain the place of each stop is: its address, and how large its site is."""
    error_m: Floats = np.hypot(ADDRESS_SHARE * parameters.place_error_m, SITE_SHARE * radius_m)
    return error_m


def _place_costs(
    wanted: Wanted, offered: Offered, distance_m: Floats, sigma_m: float, parameters: Parameters
) -> Floats:
    """Return what the distance of each pair costs, infinite where it cannot be, ``(m, v)``."""
    lasting = np.minimum(LASTING_S / np.maximum(offered.dwell_s, 1.0), 1.0)
    visit_m = sigma_m * np.sqrt(LASTING_SHARE * lasting)
    stop_m = stop_error_m(wanted.radius_m, parameters)
    off = distance_m / np.hypot(stop_m[:, np.newaxis], visit_m)
    cost = np.where(off <= PLACE_SIGMAS, 0.5 * off**2, PLACE_SIGMAS * (off - 0.5 * PLACE_SIGMAS))
    reach_m = np.maximum(parameters.reach_m, wanted.radius_m)[:, np.newaxis] + 2.5 * sigma_m
    return np.where(offered.allowed & (distance_m <= reach_m), cost, np.inf)


def _dwell_costs(wanted: Wanted, offered: Offered) -> Floats:
    """Return what the dwell of a visit costs a stop that has it alone, ``(m, v)``."""
    # Without a planned service any dwell is as likely as any other.
    planned = wanted.service_s > 0.0
    service_s = np.maximum(np.where(planned, wanted.service_s, 1.0), SERVICE_MIN_S)[:, np.newaxis]
    surprise = np.log(np.maximum(offered.dwell_s, DWELL_MIN_S) / service_s) / DWELL_SPREAD
    costs: Floats = np.minimum(0.5 * surprise**2, DWELL_COST_MAX) * planned[:, np.newaxis]
    return costs


def _traffic_costs(offered: Offered) -> Floats:
    """Return what it costs a visit that traffic may have held the vehicle as long, ``(v,)``."""
    spare_s = (TRAFFIC_MAX_S - offered.dwell_s) / (TRAFFIC_MAX_S - TRAFFIC_MIN_S)
    costs: Floats = TRAFFIC_COST * np.clip(spare_s, 0.0, 1.0)
    return costs


def _cheapest(costs: Floats, aligned: Indices, parameters: Parameters) -> Indices:
    """Return the optimum of what pairs cost, ``(m,)``: each group of stops and visits alone.

    The work is cubic in the stops of a group. A hundred orders for one building stay ``aligned``:
    nothing but time tells them apart.
    """
    served = np.full(len(costs), -1)
    for stops, visits in _groups(costs < parameters.miss_cost):
        if len(stops) == 1:
            served[stops] = visits[np.argmin(costs[stops[0], visits])]
            continue
        if len(stops) > GROUP_MAX:
            served[stops] = aligned[stops]
            continue
        block = np.minimum(costs[np.ix_(stops, visits)], parameters.miss_cost)
        shared = [block + copy * parameters.share_cost for copy in range(SHARING_MAX)]
        missed = np.full((len(stops), len(stops)), parameters.miss_cost)
        column = cheapest_columns(np.hstack([*shared, missed]))
        chosen = visits[column % len(visits)]
        real = column < SHARING_MAX * len(visits)
        served[stops] = np.where(real & (costs[stops, chosen] < parameters.miss_cost), chosen, -1)
    return served


def _groups(possible: Flags) -> list[tuple[Indices, Indices]]:
    """Return the stops and visits of each connected part; stops without a visit are left out."""
    label = np.arange(len(possible))
    stop, visit = np.nonzero(possible)
    while True:  # the smallest label wanders along the pairs until nothing changes
        at_visit = np.full(possible.shape[1], len(label))
        np.minimum.at(at_visit, visit, label[stop])
        lowest = label.copy()
        np.minimum.at(lowest, stop, at_visit[visit])
        lowest = lowest[lowest]  # and in leaps: a label is a stop, which has one, too
        if np.array_equal(lowest, label):
            break
        label = lowest
    some = possible.any(axis=1)
    return [
        (stops, np.flatnonzero(possible[stops].any(axis=0)))
        for first in np.unique(label[some])
        if len(stops := np.flatnonzero((label == first) & some))
    ]


def _align(base: Floats, parameters: Parameters) -> Indices:
    """Return the best assignment that keeps the order; consecutive stops may share a visit."""
    stops, visits = base.shape
    miss, share = parameters.miss_cost, parameters.share_cost
    total = np.zeros((stops + 1, visits + 1))
    total[:, 0] = miss * np.arange(stops + 1)
    for i in range(stops):
        take = np.minimum(total[i, :-1], total[i, 1:] + share) + base[i]
        row = np.append(total[i + 1, 0], np.minimum(total[i, 1:] + miss, take))
        total[i + 1] = np.minimum.accumulate(row)
    served = np.full(stops, -1)
    i, j = stops, visits
    while i > 0 and j > 0:
        if total[i, j] == total[i, j - 1]:
            j -= 1
            continue
        fresh = total[i - 1, j - 1] + base[i - 1, j - 1]
        again = total[i - 1, j] + share + base[i - 1, j - 1]
        if min(fresh, again) < total[i - 1, j] + miss:
            served[i - 1] = j - 1
            j -= int(fresh <= again)
        i -= 1
    return served


def _time_costs(
    served: Indices, wanted: Wanted, offered: Offered, same: Indices, parameters: Parameters
) -> Floats:
    """Return what it costs that a visit is off the delay of the stops around, ``(m, v)``.

    A stop does not vouch for itself: its own visit says nothing of the delay it is held against.
    Who stands there when the plan expects them came in time, however early: drivers wait at depots.
    """
    seen = np.flatnonzero((served >= 0) & np.isfinite(wanted.arrival_s))
    lag_s = offered.from_s[served[seen]] - wanted.arrival_s[seen]
    arrival_s = wanted.arrival_s[:, np.newaxis]
    delay_s = _delay_s(seen, lag_s, len(served))[:, np.newaxis]
    off_s = np.abs(offered.from_s - arrival_s - delay_s)
    waited = offered.from_s < arrival_s
    waited &= arrival_s <= offered.from_s + offered.dwell_s
    off_s = np.where(waited, np.minimum(off_s, np.abs(delay_s)), off_s)
    for stop in np.flatnonzero(~np.isfinite(wanted.arrival_s)).tolist():
        off_s[stop] = _off_order_s(stop, served, same, offered.from_s)
    costs: Floats = DELAY_COST_MAX * -np.expm1(-off_s / parameters.delay_scale_s)
    return costs


def _delay_s(seen: Indices, lag_s: Floats, stops: int) -> Floats:
    """Return the median delay of up to two stops before and two after each, itself left out."""
    if not len(seen):
        return np.zeros(stops)
    stop = np.arange(stops)
    at = np.searchsorted(seen, stop)
    after = np.searchsorted(seen, stop, side="right")
    near = np.arange(DELAY_NEIGHBOURS)
    around = np.column_stack([at[:, np.newaxis] - 1 - near, after[:, np.newaxis] + near])
    exists = (around >= 0) & (around < len(seen))
    lags_s = np.sort(np.where(exists, lag_s[np.where(exists, around, 0)], np.inf), axis=1)
    count = np.count_nonzero(exists, axis=1)
    middle = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, np.maximum(count - 1, 0))
    delay_s = (lags_s[stop, middle[0]] + lags_s[stop, middle[1]]) / 2.0
    return np.where(count > 0, delay_s, 0.0)


def _off_order_s(stop: int, served: Indices, same: Indices, from_s: Floats) -> Floats:
    """Return how far each visit lies outside those of the stops around, at other places."""
    others = np.flatnonzero((served >= 0) & (same != same[stop]))
    at = int(np.searchsorted(others, stop))
    before_s = from_s[served[others[at - 1]]] if at else -np.inf
    after_s = from_s[served[others[at]]] if at < len(others) else np.inf
    early_s = min(before_s, after_s) - from_s
    late_s = from_s - max(before_s, after_s)
    return np.maximum(np.maximum(early_s, late_s), 0.0)


def _places(wanted: Wanted, parameters: Parameters) -> Indices:
    """Return the first stop at the place of each, ``(m,)``."""
    apart_m = norms(wanted.xy[:, np.newaxis] - wanted.xy)
    return np.asarray(np.argmax(apart_m <= parameters.same_place_m, axis=1))


def _sort_same_places(served: Indices, same: Indices, place: Floats) -> None:
    """Give visits at one place to its stops in the order of time: nothing else tells them apart."""
    for first in np.flatnonzero(np.bincount(same) > 1):
        here = np.flatnonzero((same == first) & (served >= 0))
        visits = np.sort(served[here])
        if np.isfinite(place[here, visits]).all():
            served[here] = visits


def cheapest_columns(costs: Floats) -> Indices:
    """Solve the assignment problem: each row gets its own column at the least total cost.

    Parameters
    ----------
    costs
        Shape ``(n, m)``, ``n <= m``, finite.

    Returns
    -------
    Indices
        Shape ``(n,)``: the column of each row.

    Notes
    -----
    Shortest augmenting paths, O(n^2 m): Jonker, Volgenant (1987), Computing 38, 325-340.
    """
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        row = start
        best = np.full(columns, np.inf)
        via = np.full(columns, -1)  # the column whose owner reached this column, -1 = start
        done = np.zeros(columns, dtype=bool)
        column, distance = -1, 0.0
        while row >= 0:
            reached = distance + costs[row] - row_price[row] - column_price
            better = ~done & (reached < best)
            best[better] = reached[better]
            via[better] = column
            column = int(np.argmin(np.where(done, np.inf, best)))
            distance = float(best[column])
            done[column] = True
            row = int(owner[column])
        paid = done & (owner >= 0)
        row_price[start] += distance
        row_price[owner[paid]] += distance - best[paid]
        column_price[done] -= distance - best[done]
        while column >= 0:
            owner[column] = start if via[column] < 0 else owner[via[column]]
            column = int(via[column])
    result = np.empty(rows, dtype=np.intp)
    taken = np.flatnonzero(owner >= 0)
    result[owner[taken]] = taken
    return result


def in_order(sequence: Floats) -> Flags:
    """Flag a longest strictly increasing subsequence of ``sequence``, ``(n,)``.

    Fredman (1975), Discrete Mathematics 11, 29-35: O(n log n).
    """
    tails: list[float] = []
    ends: list[int] = []
    before = np.full(len(sequence), -1)
    for i, value in enumerate(sequence.tolist()):
        at = bisect_left(tails, value)
        tails[at : at + 1] = [value]
        ends[at : at + 1] = [i]
        before[i] = ends[at - 1] if at else -1
    flags = np.zeros(len(sequence), dtype=bool)
    i = ends[-1] if ends else -1
    while i >= 0:
        flags[i] = True
        i = int(before[i])
    return flags
