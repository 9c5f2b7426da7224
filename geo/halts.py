"""Candidate visits found while the vehicle drives: each look sees only the last minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Final

import numpy as np

from geo.assign import Wanted
from geo.candidates import Visits, required_dwell_s
from geo.passes import MERGE_S, Passes
from geo.types import Floats, Indices
from geo.values import Parameters

# Times of one instant computed twice differ by less.
SAME_INSTANT_S: Final = 1e-3
# Of ways through circles the latest are enough: they join the halts of one visit.
WAYS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """One candidate visit; fields as in `geo.visits.Visits`."""

    xy: tuple[float, float]
    from_s: float
    to_s: float
    error_s: float
    dwell_s: float
    begin_known: bool
    end_known: bool
    own_stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way through the circle of a stop."""

    stop: int
    entered_s: float
    exited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at the last minutes showed.

    Attributes
    ----------
    halts, ways
        By time.
    from_s, to_s
        The first and the last fix looked at.
    begins
        The look does not reach back to the beginning: what touches ``from_s`` began earlier.
    goes_on
        What touches ``to_s`` may go on.
    breaks_s
        Shape ``(k,)``: times across which nothing is concluded.
    radius_m, merge_s
        Stays this near and this little apart are one.
    knows_s
        The third fix: of a halt from then on the way to it was seen.
    twice_s
        The second last fix: a vehicle has left where it was seen elsewhere twice.
    """

    halts: tuple[Halt, ...]
    ways: tuple[Way, ...]
    from_s: float
    to_s: float
    begins: bool
    goes_on: bool
    breaks_s: Floats
    radius_m: float
    merge_s: float
    knows_s: float
    twice_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is known about visits.

    Attributes
    ----------
    halts, ways
        Those that may still change; by time.
    arrived_s, departed_s, order
        Shape ``(m,)``: visits that no longer change; ``order`` numbers them by time, -1 = none.
    twice_s
        The second last fix; see `Look`.
    """

    halts: tuple[Halt, ...]
    ways: tuple[Way, ...]
    arrived_s: Floats
    departed_s: Floats
    order: Indices
    twice_s: float


def nothing(stops: int) -> Log:
    """Return the log before the first fix."""
    return Log(
        halts=(),
        ways=(),
        arrived_s=np.full(stops, np.nan),
        departed_s=np.full(stops, np.nan),
        order=np.full(stops, -1),
        twice_s=-np.inf,
    )


def halts_of(visits: Visits, stops: Indices) -> tuple[Halt, ...]:
    """Return the candidates of a look; ``stops`` says which planned stops it was asked about."""
    return tuple(
        Halt(
            xy=(float(visits.xy[i, 0]), float(visits.xy[i, 1])),
            from_s=float(visits.from_s[i]),
            to_s=float(visits.to_s[i]),
            error_s=float(visits.error_s[i]),
            dwell_s=float(visits.dwell_s[i]),
            begin_known=bool(visits.begin_known[i]),
            end_known=bool(visits.end_known[i]),
            own_stop=int(stops[own]) if own >= 0 else -1,
        )
        for i, own in enumerate(visits.own_stop.tolist())
    )


def ways_of(passes: Passes, stops: Indices) -> tuple[Way, ...]:
    """Return the ways through circles of a look, by time."""
    rows = zip(
        passes.entered_s.tolist(),
        passes.exited_s.tolist(),
        stops[passes.stop].tolist(),
        strict=True,
    )
    return tuple(
        Way(stop=stop, entered_s=entered_s, exited_s=exited_s)
        for entered_s, exited_s, stop in sorted(rows)
    )


def glued(log: Log, look: Look, wanted: Wanted, *, sigma_m: float, parameters: Parameters) -> Log:
    """Return the log with what a look showed put in.

    Notes
    -----
    What began within a look is what the look says, whatever earlier ones said. What began before
    takes its end from the look. What a look sees only in part, because it begins or goes on there,
    counts once the part alone is long enough. A stay explains a slow pass of the same time and
    place, as in the final report.
    """
    halts = [halt for halt in log.halts if halt.from_s < look.knows_s]
    open_ends = set(range(len(halts)))
    required_s = required_dwell_s(wanted.service_s, parameters)
    for found in look.halts:
        at = _same(halts, open_ends, found, look)
        if at is not None:
            halts[at] = _joined(halts[at], found, look)
            open_ends.remove(at)
            continue
        cut = (look.begins and not found.begin_known and found.from_s <= look.from_s) or (
            look.goes_on and not found.end_known and found.to_s >= look.to_s
        )
        if not cut or found.own_stop < 0 or found.dwell_s >= required_s[found.own_stop]:
            halts.append(_after(halts, found, look))
    halts.sort(key=lambda halt: (halt.from_s, halt.own_stop))
    return replace(
        log,
        halts=tuple(_unexplained(halts, wanted, sigma_m, parameters)),
        ways=_joined_ways(log.ways, look),
        twice_s=look.twice_s,
    )


def _same(halts: Sequence[Halt], among: set[int], found: Halt, look: Look) -> int | None:
    """Return which halt goes on in the look, None = none: the one that lasts longest in both."""
    # Stays in one place with a break between them are one, unless the look saw all of the later.
    best, longest_s = None, -look.merge_s if found.from_s < look.knows_s else 0.0
    for at in sorted(among):
        known = halts[at]
        both_s = min(known.to_s, found.to_s) - max(known.from_s, found.from_s)
        near = hypot(known.xy[0] - found.xy[0], known.xy[1] - found.xy[1]) <= look.radius_m
        if (
            known.own_stop == found.own_stop
            and (near or found.own_stop >= 0)
            and both_s >= longest_s
            and not _broken(known.to_s, found.from_s, look)
        ):
            best, longest_s = at, both_s
    return best


def _joined(known: Halt, found: Halt, look: Look) -> Halt:
    if found.begin_known and known.from_s >= look.from_s:
        return found
    longer_s = found.to_s - known.to_s
    return replace(
        known,
        to_s=found.to_s,
        dwell_s=max(found.dwell_s, known.dwell_s + longer_s),
        end_known=found.end_known,
    )


def _after(halts: Sequence[Halt], found: Halt, look: Look) -> Halt:
    """Return a halt that the look saw from within: it began when the one before was over."""
    before = max((halt.to_s for halt in halts if halt.to_s < found.to_s), default=-np.inf)
    if found.begin_known or before < look.from_s:
        return found
    from_s = max(found.from_s, before)
    return replace(found, from_s=from_s, dwell_s=found.to_s - from_s, begin_known=True)


def _broken(from_s: float, to_s: float, look: Look) -> bool:
    return bool(((look.breaks_s > from_s) & (look.breaks_s <= to_s)).any())


def _unexplained(
    halts: Sequence[Halt], wanted: Wanted, sigma_m: float, parameters: Parameters
) -> list[Halt]:
    """Leave out the slow passes that a stay of the same time and place explains."""
    stays = [halt for halt in halts if halt.own_stop < 0]
    kept = []
    for halt in halts:
        stop = halt.own_stop
        if stop >= 0:
            reach_m = max(parameters.reach_m, float(wanted.radius_m[stop])) + 2.5 * sigma_m
            x, y = wanted.xy[stop].tolist()
            if any(
                stay.from_s < halt.to_s + SAME_INSTANT_S
                and stay.to_s > halt.from_s - SAME_INSTANT_S
                and hypot(stay.xy[0] - x, stay.xy[1] - y) <= reach_m
                for stay in stays
            ):
                continue
        kept.append(halt)
    return kept


def _joined_ways(known: tuple[Way, ...], look: Look) -> tuple[Way, ...]:
    ways = [way for way in known if way.entered_s < look.knows_s]
    for found in look.ways:
        for at in range(len(ways) - 1, -1, -1):
            way = ways[at]
            if (
                way.stop == found.stop
                and found.entered_s <= way.exited_s + MERGE_S
                and found.exited_s >= way.entered_s
                and not _broken(way.exited_s, found.entered_s, look)
            ):
                ways[at] = Way(
                    stop=way.stop,
                    entered_s=min(way.entered_s, found.entered_s),
                    exited_s=max(way.exited_s, found.exited_s),
                )
                break
        else:
            ways.append(found)
    ways.sort(key=lambda way: (way.entered_s, way.stop))
    return tuple(ways[-WAYS_MAX:])
