"""Visits: which of the stays and slow passes served which stop."""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from geo.assign import Offered, Wanted, assign, stop_error_m
from geo.candidates import Visits, is_short, joined, of_stays, required_dwell_s, slow_passes
from geo.drive import Driven
from geo.own_time import Order
from geo.parting import Pair, odds_of_two
from geo.passes import Passes, find_passes, outer_radius_m
from geo.plane import norms
from geo.stays import Stays, parted
from geo.trace import Trace, place_noise_m
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

__all__ = [
    "Served",
    "Visits",
    "choose",
    "is_short",
    "offer",
    "required_dwell_s",
    "serve",
]

# Log odds from which a shared stay is two visits, and how often one is parted.
PARTING_ODDS: Final = 0.0
PARTING_ROUNDS: Final = 3
PARTING_STOPS_MAX: Final = 4
# A stop has hardly more halts than these before the plan begins.
REFUSING_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which visit served which stop.

    Attributes
    ----------
    visits
        All candidates, by time.
    visit, distance_m
        Shape ``(m,)``: the visit of each stop or -1, and how far off it was.
    passes
        Every way through the circle of a stop, slow or not.
    used
        Shape ``(v,)``: the visits that served a stop or are part of one that did.
    """

    visits: Visits
    visit: Indices
    distance_m: Floats
    passes: Passes
    used: Flags


def serve(
    driven: Driven,
    wanted: Wanted,
    parameters: Parameters,
    *,
    order: Order | None = None,
    first: int | None = None,
) -> Served:
    """Return the visits of a day and which stop each served; the rest as for `choose`."""
    visits, passes = offer(driven, wanted, parameters)
    return choose(
        visits,
        passes,
        wanted,
        sigma_m=driven.sigma_m,
        parameters=parameters,
        order=order,
        first=first,
    )


def offer(driven: Driven, wanted: Wanted, parameters: Parameters) -> tuple[Visits, Passes]:
    """Return the candidate visits by time, and every way through the circle of a stop.

    Notes
    -----
    A stay that would serve two stops is parted where its positions, the places of the stops and
    their planned services together say that these were two visits, one after the other.
    """
    passes = find_passes(
        driven.time_s,
        driven.place_xy,
        driven.span,
        stops_xy=wanted.xy,
        radius_m=_inner_m(wanted, driven.sigma_m),
    )
    slow = slow_passes(driven, passes, wanted, parameters)
    stays = driven.stays
    visits = joined(of_stays(driven, stays), slow)
    # A single stop shares with nobody.
    rounds = PARTING_ROUNDS if len(wanted.xy) > 1 and len(stays.first) else 0
    for _ in range(rounds):
        visit, _ = _assigned(visits, wanted, driven.sigma_m, parameters)
        parts = _partings(driven, stays, visits, visit, wanted, parameters)
        if not parts:
            break
        stays = parted(_trace(driven), stays, parts)
        visits = joined(of_stays(driven, stays), slow)
    return visits, passes


def choose(
    visits: Visits,
    passes: Passes,
    wanted: Wanted,
    *,
    sigma_m: float,
    parameters: Parameters,
    order: Order | None = None,
    first: int | None = None,
) -> Served:
    """Return which of the candidates ``visits`` served which stop.

    Of ``passes`` only the stops and the times count: a live route has gathered them in several
    looks, in which the fixes had other numbers.

    Parameters
    ----------
    visits, passes
        As `offer` gives them.
    wanted
        The stops.
    sigma_m
        Noise of the positions.
    parameters
        Thresholds.
    order, first
        Which order is believed outside the time of the plan (None = any), and the first stop that
        was served in the route's own time; None = what these visits say.
    """
    visit, distance_m = _assigned(visits, wanted, sigma_m, parameters)
    if order is not None:
        refused = np.zeros((len(visit), len(visits.from_s)), dtype=bool)
        for _ in range(REFUSING_ROUNDS):
            broken = np.flatnonzero(broken_order(order, visits, visit, first))
            if not len(broken):
                break
            refused[broken, visit[broken]] = True
            visit, distance_m = _assigned(visits, wanted, sigma_m, parameters, refused)
        broken = np.flatnonzero(broken_order(order, visits, visit, first))
        visit[broken], distance_m[broken] = -1, np.nan
    used = np.zeros(len(visits.from_s), dtype=bool)
    used[visit[visit >= 0]] = True
    visits, used = _absorbed(visits, visit, used, passes)
    return Served(visits=visits, visit=visit, distance_m=distance_m, passes=passes, used=used)


def broken_order(order: Order, visits: Visits, visit: Indices, first: int | None) -> Flags:
    """Flag the stops whose visits were none of this route, ``(m,)``."""
    began_s, ended_s = order.halts_s(*halts_s(visits, visit))
    return order.broken(began_s, ended_s, first=order.first(began_s) if first is None else first)


def halts_s(visits: Visits, visit: Indices) -> tuple[Floats, Floats, Flags]:
    """Return when the halt at each stop was seen to begin and end, NaN = none, ``(m,)`` each.

    The last ones flag those that had begun before there was any position.
    """
    from_s, to_s = (np.append(of, np.nan)[visit] for of in (visits.from_s, visits.to_s))
    return from_s, to_s, (visit == 0) & ~np.append(visits.begin_known, True)[visit]


def _trace(driven: Driven) -> Trace:
    return Trace(
        time_s=driven.time_s,
        xy=driven.place_xy,
        span=driven.span,
        noise_m=place_noise_m(driven.sigma_m, dense=driven.dense),
    )


def _inner_m(wanted: Wanted, sigma_m: float) -> Floats:
    """Return the circles a vehicle must enter, as wide as the noise at least."""
    return np.maximum(wanted.radius_m, 2.0 * sigma_m)


def _assigned(
    visits: Visits,
    wanted: Wanted,
    sigma_m: float,
    parameters: Parameters,
    refused: Flags | None = None,
) -> tuple[Indices, Floats]:
    same = norms(wanted.xy[:, np.newaxis] - wanted.xy) <= parameters.same_place_m
    stay = visits.own_stop < 0
    allowed = np.where(stay, True, same[:, visits.own_stop])  # noqa: FBT003
    required_s = required_dwell_s(wanted.service_s, parameters)
    # At an edge of the track the dwell is cut off: standing there was proof enough.
    cut = ~visits.begin_known | ~visits.end_known
    allowed &= stay | cut | (visits.dwell_s >= required_s[:, np.newaxis])
    # Nobody parks round the corner for half a minute: that stay is a red light.
    away_m = norms(wanted.xy[:, np.newaxis] - visits.xy)
    allowed &= ~is_short(wanted.service_s, parameters)[:, np.newaxis] | (
        away_m <= outer_radius_m(_inner_m(wanted, sigma_m))[:, np.newaxis]
    )
    if refused is not None:
        allowed &= ~refused
    return assign(
        wanted,
        Offered(xy=visits.xy, from_s=visits.from_s, dwell_s=visits.dwell_s, allowed=allowed),
        sigma_m=sigma_m,
        parameters=parameters,
    )


def _partings(
    driven: Driven,
    stays: Stays,
    visits: Visits,
    visit: Indices,
    wanted: Wanted,
    parameters: Parameters,
) -> dict[int, int]:
    """Return which stays to part, and before which fix."""
    found: dict[int, int] = {}
    stay = np.cumsum(visits.own_stop < 0) - 1
    shared = np.flatnonzero(np.bincount(visit[visit >= 0], minlength=len(stay)) > 1)
    for at in shared[visits.own_stop[shared] < 0].tolist():
        index = int(stay[at])
        within = slice(int(stays.first[index]), int(stays.last[index]) + 1)
        best = PARTING_ODDS
        members = np.flatnonzero(visit == at)[:PARTING_STOPS_MAX].tolist()
        for one, other in combinations(members, 2):
            odds, moment_s = odds_of_two(
                driven.time_s[within],
                driven.xy[within],
                driven.sigma_m,
                _pair(wanted, one, other, parameters),
                part_min_s=0.8 * parameters.stay_min_s,
            )
            if odds > best:
                best = odds
                found[index] = int(np.searchsorted(driven.time_s, moment_s, side="right"))
    return found


def _pair(wanted: Wanted, one: int, other: int, parameters: Parameters) -> Pair:
    error_m = stop_error_m(wanted.radius_m[[one, other]], parameters)
    return Pair(
        apart_xy=wanted.xy[other] - wanted.xy[one],
        error_m=float(np.hypot(*error_m)),
        service_s=(float(wanted.service_s[one]), float(wanted.service_s[other])),
    )


def _absorbed(visits: Visits, visit: Indices, used: Flags, passes: Passes) -> tuple[Visits, Flags]:
    """Join stays that nothing claimed to the visit during the same pass of the same stop.

    Positions creep and drivers repark: two stays in one circle without leaving it are one visit.
    """
    from_s, to_s, error_s = visits.from_s.copy(), visits.to_s.copy(), visits.error_s.copy()
    begin_known, end_known = visits.begin_known.copy(), visits.end_known.copy()
    used = used.copy()
    middle_s = (visits.from_s + visits.to_s) / 2.0
    for stop in np.flatnonzero(visit >= 0):
        chosen = visit[stop]
        during = passes.stop == stop
        during &= (passes.entered_s <= middle_s[chosen]) & (middle_s[chosen] <= passes.exited_s)
        for i in np.flatnonzero(during):
            within = (middle_s >= passes.entered_s[i]) & (middle_s <= passes.exited_s[i])
            for more in np.flatnonzero(within & ~used & (visits.own_stop < 0)):
                used[more] = True
                if from_s[more] < from_s[chosen]:
                    from_s[chosen], error_s[chosen] = from_s[more], error_s[more]
                    begin_known[chosen] = begin_known[more]
                if to_s[more] > to_s[chosen]:
                    to_s[chosen], end_known[chosen] = to_s[more], end_known[more]
    return (
        Visits(
            xy=visits.xy,
            from_s=from_s,
            to_s=to_s,
            error_s=error_s,
            dwell_s=np.maximum(visits.dwell_s, to_s - from_s),
            begin_known=begin_known,
            end_known=end_known,
            own_stop=visits.own_stop,
        ),
        used,
    )
