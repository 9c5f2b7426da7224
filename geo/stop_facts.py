"""What is known of each stop: from the track, and from what the driver said."""

from dataclasses import replace
from typing import Final

import numpy as np

from geo.day import Seen
from geo.report import StopFact, StopStatus, UnknownReason
from geo.schedule import timing
from geo.types import Floats

STAY_CONFIDENCE: Final = 0.95
SLOW_PASS_CONFIDENCE: Final = 0.7
CUT_OFF_CONFIDENCE: Final = 0.5
TAP_CONFIDENCE: Final = 0.6
MISSED_CONFIDENCE: Final = 0.9


def with_taps(
    status: tuple[StopStatus, ...],
    done_s: Floats,
    *,
    seen_s: Floats,
    until_s: float,
    gap_s: float,
) -> tuple[StopStatus, ...]:
    """Return the statuses with the driver believed where the data do not know.

    Parameters
    ----------
    status
        Of the ``m`` stops, by the data.
    done_s
        Shape ``(m,)``: when the driver said that each is done, NaN = never.
    seen_s
        Shape ``(k, 2)``: the disjoint intervals in which positions tell where the vehicle was.
    until_s
        Data counts as complete up to here.
    gap_s
        So long after the tap data that show no visit may only not have come yet.

    Notes
    -----
    Outside ``seen_s``, be it a pause or a silent phone, no data contradict the driver. Within,
    ``missed`` stays ``missed``: the data covered the time and saw no visit. Both are reported.
    """
    said = done_s[:, np.newaxis]
    within = (seen_s[:, 0] <= said) & (said <= seen_s[:, 1])
    covered = np.asarray(within.any(axis=1))
    believed: list[StopStatus] = []
    for found, said_s, seen in zip(status, done_s.tolist(), covered.tolist(), strict=True):
        fits = found == "unknown" or not seen or until_s - said_s < gap_s
        # A comparison with NaN is false: who said nothing is not believed.
        believed.append("visited" if said_s <= until_s and fits else found)
    return tuple(believed)


def stop_facts(
    day: Seen, status: tuple[StopStatus, ...], reasons: tuple[UnknownReason | None, ...]
) -> tuple[StopFact, ...]:
    """Return what is known of each stop, in planned order.

    ``reasons`` say of each why the data do not know it; they count where it is `unknown`.
    """
    rank = _ranks(day, status)
    facts: list[StopFact] = []
    for stop, what in enumerate(status):
        if day.served.visit[stop] >= 0:
            facts.append(_visited(day, stop, int(rank[stop])))
        elif what == "visited":
            facts.append(_tapped(day, stop, int(rank[stop])))
        else:
            reason = reasons[stop] if what == "unknown" else None
            facts.append(_not_visited(day, stop, what, reason))
    return tuple(facts)


def numbered(facts: tuple[StopFact, ...]) -> tuple[StopFact, ...]:
    """Return the facts, the visited ones numbered anew: their times come from two tracks.

    Of an arrival or departure that was not seen the other one counts.
    """
    known_s = [
        next((at for at in (fact.arrived_s, fact.departed_s) if at is not None), np.nan)
        for fact in facts
    ]
    rank = np.full(len(facts), -1)
    visited = np.flatnonzero([fact.status == "visited" for fact in facts])
    rank[visited[np.argsort(np.array(known_s)[visited], kind="stable")]] = np.arange(len(visited))
    return tuple(
        replace(fact, actual_sequence=int(of)) if of >= 0 else fact
        for fact, of in zip(facts, rank, strict=True)
    )


def middle_s(day: Seen, fact: StopFact) -> float | None:
    """Return the middle of the halt at a visited stop, as far as it is known."""
    visit = day.served.visit[fact.planned_sequence]
    if visit >= 0:
        return float(day.served.visits.from_s[visit] + day.served.visits.to_s[visit]) / 2.0
    known = [at for at in (fact.arrived_s, fact.departed_s) if at is not None]
    return sum(known) / len(known) if known else None


def _ranks(day: Seen, status: tuple[StopStatus, ...]) -> Floats:
    """Return the visited stops numbered by their halts; those of one halt in planned order."""
    visit = day.served.visit
    halts_s = np.append(day.served.visits.from_s, np.nan)[visit]  # -1 is the NaN
    said_s = np.where(np.isnan(day.taps.arrived_s), day.taps.done_s, day.taps.arrived_s)
    at_s = np.where(visit >= 0, halts_s, said_s)
    visited = np.flatnonzero([what == "visited" for what in status])
    ranks = np.full(len(status), -1)
    ranks[visited[np.argsort(at_s[visited], kind="stable")]] = np.arange(len(visited))
    return ranks


def _not_visited(
    day: Seen, stop: int, status: StopStatus, reason: UnknownReason | None
) -> StopFact:
    confidence = {"missed": MISSED_CONFIDENCE, "pending": 1.0}.get(status, 0.0)
    return StopFact(
        planned_sequence=stop,
        actual_sequence=None,
        status=status,
        unknown_reason=reason,
        confidence=confidence,
        entered_s=None,
        arrived_s=None,
        departed_s=None,
        exited_s=None,
        arrival_uncertainty_s=None,
        window_status="none",
        early_s=None,
        late_s=None,
        wait_s=None,
        service_s=None,
        service_delta_s=None,
        distance_m=None,
        evidence=None,
        tapped_s=_known(day.taps.done_s[stop]),
    )


def _tapped(day: Seen, stop: int, sequence: int) -> StopFact:
    """Return a stop whose visit only the driver's word tells."""
    plan, arrived_s = day.ground.plan, _known(day.taps.arrived_s[stop])
    done_s = _known(day.taps.done_s[stop])
    if arrived_s is not None and done_s is not None and arrived_s > done_s:
        arrived_s = None
    times = timing(
        arrived_s,
        done_s,
        window_from_s=float(plan.window_from_s[stop]),
        window_to_s=float(plan.window_to_s[stop]),
        planned_service_s=float(plan.service_s[stop]),
    )
    return StopFact(
        planned_sequence=stop,
        actual_sequence=sequence,
        status="visited",
        unknown_reason=None,
        confidence=TAP_CONFIDENCE,
        entered_s=None,
        arrived_s=arrived_s,
        departed_s=done_s,
        exited_s=None,
        arrival_uncertainty_s=None,
        window_status=times.window_status,
        early_s=times.early_s,
        late_s=times.late_s,
        wait_s=times.wait_s,
        service_s=times.service_s,
        service_delta_s=times.service_delta_s,
        distance_m=None,
        evidence="driver_tap",
        tapped_s=done_s,
    )


def _visited(day: Seen, stop: int, sequence: int) -> StopFact:
    plan, visits, at = day.ground.plan, day.served.visits, day.served.visit[stop]
    begin_known, end_known = bool(visits.begin_known[at]), bool(visits.end_known[at])
    arrived_s = float(visits.from_s[at]) if begin_known else None
    departed_s = float(visits.to_s[at]) if end_known else None
    times = timing(
        arrived_s,
        departed_s,
        window_from_s=float(plan.window_from_s[stop]),
        window_to_s=float(plan.window_to_s[stop]),
        # What was planned for all whom the halt served was done in it; of one nothing = NaN.
        planned_service_s=float(plan.service_s[day.served.visit == at].sum()),
    )
    is_stay = bool(visits.own_stop[at] < 0)
    certain = STAY_CONFIDENCE if is_stay else SLOW_PASS_CONFIDENCE
    certain = certain if is_stay or (begin_known and end_known) else CUT_OFF_CONFIDENCE
    distance_m = float(day.served.distance_m[stop])
    beyond_m = max(distance_m - float(plan.radius_m[stop]), 0.0)
    scale_m = float(np.hypot(day.parameters.place_error_m, day.driven.sigma_m))
    entered_s, exited_s = _crossings(day, stop, int(at))
    return StopFact(
        planned_sequence=stop,
        actual_sequence=sequence,
        status="visited",
        unknown_reason=None,
        confidence=certain * float(np.exp(-0.25 * (beyond_m / scale_m) ** 2)),
        entered_s=entered_s,
        arrived_s=arrived_s,
        departed_s=departed_s,
        exited_s=exited_s,
        arrival_uncertainty_s=float(visits.error_s[at]) if begin_known else None,
        window_status=times.window_status,
        early_s=times.early_s,
        late_s=times.late_s,
        wait_s=times.wait_s,
        service_s=times.service_s,
        service_delta_s=times.service_delta_s,
        distance_m=distance_m,
        evidence="stay" if is_stay else "slow_pass",
        tapped_s=_known(day.taps.done_s[stop]),
    )


def _crossings(day: Seen, stop: int, visit: int) -> tuple[float | None, float | None]:
    """Return when the circle of the stop was entered and left around the visit, if it was."""
    passes, visits = day.served.passes, day.served.visits
    around = np.flatnonzero(
        (passes.stop == stop)
        & (passes.entered_s <= visits.to_s[visit])
        & (passes.exited_s >= visits.from_s[visit])
    )
    if not len(around):
        return None, None
    first, last = around[0], around[-1]
    # Between fixes far apart the crossing is the weaker estimate: it gives way to the halt.
    enter_s = min(float(passes.entered_s[first]), float(visits.from_s[visit]))
    exit_s = max(float(passes.exited_s[last]), float(visits.to_s[visit]))
    entered_s = None if passes.begins_inside[first] else enter_s
    exited_s = None if passes.ends_inside[last] else exit_s
    return entered_s, exited_s


def _known(unix_s: np.float64) -> float | None:
    return float(unix_s) if np.isfinite(unix_s) else None
