"""Which visit served which stop: one optimal assignment, out of order allowed."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import DEFAULT, Parameters

IMPOSSIBLE: Final = 1e6
# One parking place may serve three customers at once.
SHARING_MAX: Final = 3
ROUNDS: Final = 2
DWELL_WEIGHT: Final = 0.35
DWELL_COST_MAX: Final = 2.5
DELAY_COST_MAX: Final = 2.5
IN_ORDER_BONUS: Final = 1.0
DWELL_MIN_S: Final = 10.0
SERVICE_MIN_S: Final = 30.0


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
    The cost of a pair is its negative log likelihood: place (Gaussian beyond half the radius),
    dwell (log-normal about the planned service) and time against the delay of the stops around,
    which a monotone alignment finds first. The assignment then is the global optimum
    (Kuhn (1955), Munkres (1957)), with a fixed cost for a stop nobody served. Visits at the
    same place go to their stops in the order of time.
    """
    stops, visits = len(wanted.xy), len(offered.xy)
    if not visits:
        return np.full(stops, -1), np.full(stops, np.nan)
    distance_m = norms(wanted.xy[:, np.newaxis] - offered.xy)
    base = _pair_costs(wanted, offered, distance_m, sigma_m, parameters)
    served = _align(base, parameters)
    for _ in range(ROUNDS):
        costs = base + _delay_costs(served, wanted, offered, parameters)
        seen = np.flatnonzero(served >= 0)
        costs[seen, served[seen]] -= IN_ORDER_BONUS
        shared = [costs + copy * parameters.share_cost for copy in range(SHARING_MAX)]
        missed = np.full((stops, stops), parameters.miss_cost)
        column = cheapest_columns(np.minimum(np.hstack([*shared, missed]), IMPOSSIBLE))
        served = np.where(column < SHARING_MAX * visits, column % visits, -1)
    _sort_same_places(served, wanted, base, parameters)
    distances_m = np.where(served >= 0, distance_m[np.arange(stops), served], np.nan)
    return served, distances_m


def _pair_costs(
    wanted: Wanted, offered: Offered, distance_m: Floats, sigma_m: float, parameters: Parameters
) -> Floats:
    place_m = np.hypot(parameters.place_error_m, 0.6 * sigma_m)
    beyond_m = np.maximum(distance_m - 0.5 * wanted.radius_m[:, np.newaxis], 0.0)
    # Without a planned service any dwell is as likely as any other.
    planned = wanted.service_s > 0.0
    service_s = np.maximum(np.where(planned, wanted.service_s, 1.0), SERVICE_MIN_S)[:, np.newaxis]
    surprise = np.log(np.maximum(offered.dwell_s, DWELL_MIN_S) / service_s) ** 2
    dwell = np.minimum(DWELL_WEIGHT * surprise, DWELL_COST_MAX) * planned[:, np.newaxis]
    reach_m = np.maximum(parameters.reach_m, wanted.radius_m)[:, np.newaxis] + 2.5 * sigma_m
    possible = offered.allowed & (distance_m <= reach_m)
    return np.where(possible, 0.5 * (beyond_m / place_m) ** 2 + dwell, np.inf)


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


def _delay_costs(
    served: Indices, wanted: Wanted, offered: Offered, parameters: Parameters
) -> Floats:
    """Return what it costs that a visit is off the delay of the stops around, ``(m, v)``."""
    stops = np.arange(len(served))
    seen = np.flatnonzero((served >= 0) & np.isfinite(wanted.arrival_s))
    lag_s = offered.from_s[served[seen]] - wanted.arrival_s[seen]
    delay_s = np.interp(stops, seen, lag_s) if len(seen) else np.zeros(len(served))
    off_s = np.abs(offered.from_s - (wanted.arrival_s + delay_s)[:, np.newaxis])
    costs: Floats = DELAY_COST_MAX * -np.expm1(-off_s / parameters.delay_scale_s)
    return np.nan_to_num(costs, nan=0.0)


def _sort_same_places(
    served: Indices, wanted: Wanted, base: Floats, parameters: Parameters
) -> None:
    """Give visits at one place to its stops in the order of time: nothing else tells them apart."""
    apart_m = norms(wanted.xy[:, np.newaxis] - wanted.xy)
    place = np.argmax(apart_m <= parameters.same_place_m, axis=1)
    for first in np.unique(place):
        here = np.flatnonzero((place == first) & (served >= 0))
        visits = np.sort(served[here])
        if np.isfinite(base[here, visits]).all():
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
