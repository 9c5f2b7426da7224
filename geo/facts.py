"""The parts of the report beside the stops, read from a day."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely

from geo.account import between, sums
from geo.along_plan import AlongPlan
from geo.assign import in_order
from geo.day import Day
from geo.deviation import (
    against_direction,
    beside_plan,
    leave_m,
    off_corridor,
    out_of_sequence,
    skipped,
)
from geo.hours import hours
from geo.progress import Line
from geo.report import (
    Deviation,
    DeviationKind,
    Leg,
    Method,
    Speeding,
    StopFact,
    Totals,
    UnplannedStay,
)
from geo.speeding import speeding
from geo.stop_facts import middle_s
from geo.types import Floats, Indices

# The way beside a part left out begins and ends so many fixes before and after it.
BESIDE_FIXES: Final = 3


def unplanned(day: Day) -> tuple[UnplannedStay, ...]:
    """Return the stays that served no stop."""
    visits = day.served.visits
    dwell_s = visits.to_s - visits.from_s
    free = (visits.own_stop < 0) & ~day.served.used & (dwell_s >= day.parameters.unplanned_min_s)
    at = np.flatnonzero(free)
    lon_lat = day.ground.plane.to_lon_lat(visits.xy[at])
    return tuple(
        UnplannedStay(
            lon=float(lon),
            lat=float(lat),
            from_s=float(visits.from_s[i]),
            to_s=float(visits.to_s[i]),
            dwell_s=float(dwell_s[i]),
        )
        for i, (lon, lat) in zip(at, lon_lat, strict=True)
    )


def legs(day: Day, stops: tuple[StopFact, ...]) -> tuple[Leg, ...]:
    """Return the ways between the stops, as planned and as driven."""
    account = day.account
    summed = _Sums(
        gps_m=sums(account.gps_m),
        plan_m=sums(account.plan_m),
        gap_m=sums(account.gap_m),
        moving_s=sums(account.moving_s),
        idle_s=sums(account.idle_s),
        interrupted=sums((~day.driven.shared).astype(np.float64)),
    )
    next_halt = np.diff(_halts(day, stops)) == 1.0
    return tuple(
        _leg(day, summed, here, there, driven=bool(follows))
        for (here, there), follows in zip(itertools.pairwise(stops), next_halt, strict=True)
    )


def _halts(day: Day, stops: tuple[StopFact, ...]) -> Floats:
    """Return the halts numbered by time, NaN = not visited; stops of one halt have one number."""
    halt = np.full(len(stops), np.nan)
    number, before = 0, -1
    for _, stop in sorted(_seen_key([one for one in stops if one.status == "visited"])):
        visit = int(day.served.visit[stop])
        number += visit < 0 or visit != before
        halt[stop], before = number, visit
    return halt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """The account summed up to each fix, all ``(n,)``."""

    gps_m: Floats
    plan_m: Floats
    gap_m: Floats
    moving_s: Floats
    idle_s: Floats
    interrupted: Floats


def _leg(day: Day, summed: _Sums, here: StopFact, there: StopFact, *, driven: bool) -> Leg:
    plan, time_s = day.ground.plan, day.driven.time_s
    i, j = here.planned_sequence, there.planned_sequence
    # Planned is driving only: neither the service nor the wait for a window before it.
    opens_s = np.nan_to_num(plan.window_from_s[i], nan=-np.inf)
    leave_s = np.maximum(plan.planned_arrival_s[i], opens_s) + np.nan_to_num(plan.service_s[i])
    planned_s = float(plan.planned_arrival_s[j] - leave_s)
    planned = Leg(
        planned_m=float(day.ground.stops_m[j] - day.ground.stops_m[i]),
        actual_m=None,
        method=None,
        # Services longer than the plan leaves time for say nothing of the way; NaN is not >= 0.
        planned_s=planned_s if planned_s >= 0.0 else None,
        actual_s=None,
        moving_s=None,
        idle_s=None,
    )
    from_s, to_s = here.departed_s, there.arrived_s
    # Metres from the middle of one halt to that of the next: then it does not matter that the
    # estimated halts and starts lie between fixes, on the way.
    begin_s, end_s = middle_s(day, here), middle_s(day, there)
    if from_s is None or to_s is None or begin_s is None or end_s is None:
        return planned
    if not driven or from_s >= to_s:
        return planned
    if not len(time_s):  # only the driver's word
        return replace(planned, actual_s=to_s - from_s)
    gps_m = between(time_s, summed.gps_m, begin_s, end_s)
    plan_m = between(time_s, summed.plan_m, begin_s, end_s)
    gap_m = between(time_s, summed.gap_m, begin_s, end_s)
    lost = gap_m > 0.0 or between(time_s, summed.interrupted, begin_s, end_s) > 0.0
    # What came before the first fix and after the last one was not seen.
    lost |= begin_s < time_s[0] or end_s > time_s[-1]
    method: Method = "gap" if lost else "plan" if plan_m > gps_m else "gps"
    return replace(
        planned,
        actual_m=gps_m + plan_m + gap_m,
        method=method,
        actual_s=to_s - from_s,
        moving_s=between(time_s, summed.moving_s, from_s, to_s),
        idle_s=between(time_s, summed.idle_s, from_s, to_s),
    )


def deviations(day: Day) -> tuple[Deviation, ...]:
    """Report what was driven otherwise than the planned line, by time.

    Straight legs are no line anybody could follow.
    """
    held, line = day.account.held, day.ground.line
    if line is None or held is None:
        return ()
    driven, sigma_m, parameters = day.driven, day.driven.sigma_m, day.parameters
    time_s = driven.time_s[held.fix]
    _, outside = off_corridor(
        time_s,
        driven.place_xy[held.fix],
        driven.span[held.fix],
        held.distance_m,
        sigma_m=sigma_m,
        parameters=parameters,
    )
    shift = beside_plan(held, time_s, outside, sigma_m=sigma_m, parameters=parameters)
    again = out_of_sequence(held, sigma_m=sigma_m, parameters=parameters)
    against = against_direction(held, sigma_m=sigma_m, parameters=parameters)
    found = _left_out(day, line, held)
    found += _driven_otherwise(
        day, held, {"off_corridor": outside[~shift], "off_sequence": again, "reverse": against}
    )
    return tuple(sorted(found, key=lambda one: (one.from_s, one.to_s, one.kind)))


def _left_out(day: Day, line: Line, held: AlongPlan) -> list[Deviation]:
    """Return the parts of the plan left out that lead out of the corridor of what was driven."""
    driven, parameters = day.driven, day.parameters
    parts = skipped(held, parameters=parameters)
    found: list[Deviation] = []
    for i, (first, last) in enumerate(parts.fixes.tolist()):
        planned_xy = line.between(float(parts.from_m[i]), float(parts.to_m[i]))
        begin = held.fix[max(first - BESIDE_FIXES, 0)]
        end = held.fix[min(last + BESIDE_FIXES, len(held.fix) - 1)]
        way = shapely.linestrings(driven.xy[begin : end + 1])
        away_m = float(shapely.distance(shapely.points(planned_xy), way).max())
        if away_m > leave_m(driven.sigma_m, parameters):
            found.append(
                Deviation(
                    kind="skipped_segment",
                    from_s=float(driven.time_s[held.fix[first]]),
                    to_s=float(driven.time_s[held.fix[last]]),
                    length_m=float(parts.length_m[i]),
                    max_m=away_m,
                    lon_lat=day.ground.plane.to_lon_lat(planned_xy),
                )
            )
    return found


def _driven_otherwise(
    day: Day, held: AlongPlan, runs: Mapping[DeviationKind, Indices]
) -> list[Deviation]:
    """Return the deviations of each kind between fixes of the held plan, ``(k, 2)``."""
    driven = day.driven
    driven_m = sums(day.account.gps_m + day.account.plan_m)
    # Where it began and ended is not known better than to half a step.
    middle_m = (driven_m[held.fix][1:] + driven_m[held.fix][:-1]) / 2.0
    begins_m = np.append(driven_m[held.fix[0]], middle_m)
    ends_m = np.append(middle_m, driven_m[held.fix[-1]])
    found: list[Deviation] = []
    for kind, begin, end in ((of, *run) for of in runs for run in runs[of].tolist()):
        first, last = held.fix[begin], held.fix[end]
        found.append(
            Deviation(
                kind=kind,
                from_s=float(driven.time_s[first]),
                to_s=float(driven.time_s[last]),
                length_m=float(ends_m[end] - begins_m[begin]),
                max_m=float(held.distance_m[begin : end + 1].max()),
                lon_lat=day.ground.plane.to_lon_lat(driven.place_xy[held.fix[begin : end + 1]]),
            )
        )
    return found


def too_fast(day: Day) -> tuple[Speeding, ...]:
    """Report where the vehicle was faster than the company allows."""
    limit_mps, driven = day.parameters.speed_limit_mps, day.driven
    if limit_mps is None or not len(driven.time_s):
        return ()
    runs, max_mps = speeding(driven, limit_mps=limit_mps, gap_s=day.parameters.gap_s)
    driven_m = sums(day.account.gps_m + day.account.plan_m)
    return tuple(
        Speeding(
            from_s=float(driven.time_s[first]),
            to_s=float(driven.time_s[last]),
            length_m=float(driven_m[last] - driven_m[first]),
            max_mps=float(fastest_mps),
            limit_mps=limit_mps,
            lon_lat=day.ground.plane.to_lon_lat(driven.place_xy[first : last + 1]),
        )
        for (first, last), fastest_mps in zip(runs.tolist(), max_mps, strict=True)
    )


def totals(day: Day, stops: tuple[StopFact, ...]) -> Totals:
    """Return the sums over the day."""
    account = day.account
    seen = [stop for stop in stops if stop.status == "visited"]
    known = len(seen) + sum(stop.status == "missed" for stop in stops)
    windowed = [stop for stop in seen if stop.window_status != "none"]
    on_time = sum(stop.window_status == "on_time" for stop in windowed)
    order = in_order(np.array(sorted(_seen_key(seen)))[:, 1]) if seen else np.zeros(0, dtype=bool)
    spent = hours(day, stops)
    gps_m, matched_m = float(account.gps_m.sum()), max(float(account.plan_m.sum()), 0.0)
    actual_m = gps_m + matched_m
    return Totals(
        planned_m=day.ground.length_m,
        actual_m=actual_m,
        matched_m=matched_m,
        gap_m=float(account.gap_m.sum()),
        drive_s=spent.drive_s,
        service_s=spent.service_s,
        wait_s=spent.wait_s,
        idle_s=spent.idle_s,
        on_time_rate=on_time / len(windowed) if windowed else None,
        completion=len(seen) / known if known else None,
        order_score=float(order.mean()) if seen else None,
        compliance=(
            min(matched_m / actual_m, 1.0)
            if day.ground.line is not None and actual_m > 0.0
            else None
        ),
    )


def _seen_key(seen: list[StopFact]) -> list[tuple[int, int]]:
    """Return (actual, planned) sequence of visited stops."""
    return [(stop.actual_sequence or 0, stop.planned_sequence) for stop in seen]
