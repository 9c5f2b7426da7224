"""Which stops were served so far, while the vehicle drives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from geo.assign import Wanted
from geo.candidates import Visits
from geo.halts import Halt, Log, Way
from geo.passes import Passes, outer_radius_m
from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import Parameters
from geo.visits import choose

# So many halts may still turn out to have served another stop.
HALTS_OPEN_MAX: Final = 8

Basis: TypeAlias = tuple[bool, tuple[tuple[float, ...], ...], tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """The visits so far, all ``(m,)``.

    Attributes
    ----------
    arrived_s, departed_s
        Unix seconds, NaN = not known or not yet.
    order
        Numbers the visits by time, -1 = not visited; stops served by one halt have one number.
    here
        True where the vehicle still stands.
    stands, elsewhere_s
        It stands, anywhere; and since when where no stop is, None = it does not.
    basis
        What it was read from, as far as it matters.
    """

    arrived_s: Floats
    departed_s: Floats
    order: Indices
    here: Flags
    stands: bool
    elsewhere_s: float | None
    basis: Basis


def visited(
    log: Log,
    wanted: Wanted,
    before: Stops,
    *,
    running: bool,
    sigma_m: float,
    parameters: Parameters,
) -> Stops:
    """Return which halt served which stop; ``before`` is what was found the last time.

    Notes
    -----
    `geo.visits.choose`, the rule of the final report, for the halts that may still change and
    the stops near them that no earlier one served.
    """
    basis = _basis(log, running=running)
    if basis == before.basis:
        return before
    arrived_s, departed_s, order = log.arrived_s.copy(), log.departed_s.copy(), log.order.copy()
    here = np.zeros(len(order), dtype=bool)
    first = int(order.max(initial=-1)) + 1
    near = _near(log.halts, wanted, sigma_m, parameters)
    free = near[order[near] < 0]
    position = np.full(len(order), -1)
    position[free] = np.arange(len(free))
    offered = [
        i for i, halt in enumerate(log.halts) if halt.own_stop < 0 or position[halt.own_stop] >= 0
    ]
    if len(free) and offered:
        chosen = choose(
            _visits([log.halts[i] for i in offered], position),
            _passes([way for way in log.ways if position[way.stop] >= 0], position),
            _part(wanted, free),
            sigma_m=sigma_m,
            parameters=parameters,
        )
        own = _in_a_row(chosen.visit, free)
        for stop, visit in zip(free[own].tolist(), chosen.visit[own].tolist(), strict=True):
            to_s = float(chosen.visits.to_s[visit])
            left = to_s < log.twice_s or not running
            order[stop] = first + offered[visit]
            if chosen.visits.begin_known[visit]:
                arrived_s[stop] = chosen.visits.from_s[visit]
            if chosen.visits.end_known[visit] and left:
                departed_s[stop] = to_s
            here[stop] = not left
    last = log.halts[-1] if log.halts else None
    stands = running and last is not None and last.to_s >= log.twice_s
    stays = last is not None and last.own_stop < 0
    away = last is not None and not len(_near([last], wanted, sigma_m, parameters))
    return Stops(
        arrived_s=arrived_s,
        departed_s=departed_s,
        order=order,
        here=here,
        stands=stands,
        elsewhere_s=last.from_s if last is not None and stands and stays and away else None,
        basis=basis,
    )


def _basis(log: Log, *, running: bool) -> Basis:
    """Return what decides: all but how much longer a halt that goes on has lasted, in minutes."""
    halts = tuple(
        (
            halt.own_stop,
            round(halt.from_s),
            round(halt.to_s) if halt.to_s < log.twice_s else round(halt.dwell_s / 60.0) - 1e9,
            halt.begin_known,
            halt.end_known,
        )
        for halt in log.halts
    )
    ways = tuple((way.stop, round(way.entered_s)) for way in log.ways)
    return running, halts, ways


def _in_a_row(visit: Indices, stops: Indices) -> Indices:
    """Return which of the assignments may be believed already.

    One halt serves stops that follow each other in the plan. A later one at the same address has
    its own halt to come, which the final report knows and a running route does not.
    """
    kept: dict[int, int] = {}
    row = []
    for at, (found, stop) in enumerate(zip(visit.tolist(), stops.tolist(), strict=True)):
        if found >= 0 and stop <= kept.get(found, stop - 1) + 1:
            kept[found] = stop
            row.append(at)
    return np.array(row, dtype=np.intp)


def closed(log: Log, found: Stops, until_s: float) -> Log:
    """Return the log without the halts too old to change; what they served is kept."""
    first = int(log.order.max(initial=-1)) + 1
    old = max(len(log.halts) - HALTS_OPEN_MAX, 0)
    while old and log.halts[old - 1].to_s > until_s:
        old -= 1
    if not old:
        return log
    done = (found.order >= first) & (found.order < first + old)
    kept_s = log.halts[old].from_s if old < len(log.halts) else until_s
    return replace(
        log,
        halts=log.halts[old:],
        ways=tuple(way for way in log.ways if way.exited_s >= kept_s),
        arrived_s=np.where(done, found.arrived_s, log.arrived_s),
        departed_s=np.where(done, found.departed_s, log.departed_s),
        order=np.where(done, found.order, log.order),
    )


def _near(halts: Sequence[Halt], wanted: Wanted, sigma_m: float, parameters: Parameters) -> Indices:
    """Return the stops that one of the halts may have served."""
    if not halts:
        return np.zeros(0, dtype=np.intp)
    reach_m = np.maximum(parameters.reach_m, outer_radius_m(wanted.radius_m)) + 2.5 * sigma_m
    places = np.array([halt.xy for halt in halts])
    near = (norms(wanted.xy[:, np.newaxis] - places) <= reach_m[:, np.newaxis]).any(axis=1)
    return np.asarray(np.flatnonzero(near), dtype=np.intp)


def _part(wanted: Wanted, stops: Indices) -> Wanted:
    return Wanted(
        xy=wanted.xy[stops],
        radius_m=wanted.radius_m[stops],
        service_s=wanted.service_s[stops],
        arrival_s=wanted.arrival_s[stops],
    )


def _visits(halts: Sequence[Halt], position: Indices) -> Visits:
    return Visits(
        xy=np.array([halt.xy for halt in halts]),
        from_s=np.array([halt.from_s for halt in halts]),
        to_s=np.array([halt.to_s for halt in halts]),
        error_s=np.array([halt.error_s for halt in halts]),
        dwell_s=np.array([halt.dwell_s for halt in halts]),
        begin_known=np.array([halt.begin_known for halt in halts]),
        end_known=np.array([halt.end_known for halt in halts]),
        own_stop=np.array(
            [position[halt.own_stop] if halt.own_stop >= 0 else -1 for halt in halts]
        ),
    )


def _passes(ways: Sequence[Way], position: Indices) -> Passes:
    """Return the ways as passes; what only one look could tell of them is left out."""
    unknown, nowhere = np.zeros(len(ways), dtype=bool), np.zeros(len(ways), dtype=np.intp)
    return Passes(
        stop=np.array([position[way.stop] for way in ways], dtype=np.intp),
        entered_s=np.array([way.entered_s for way in ways]),
        exited_s=np.array([way.exited_s for way in ways]),
        before=nowhere,
        after=nowhere,
        begins_inside=unknown,
        ends_inside=unknown,
        nearest_xy=np.zeros((len(ways), 2)),
        nearest_m=np.zeros(len(ways)),
        travel_m=np.zeros(len(ways)),
    )
