"""Visits: the stays and slow passes that may have served a stop."""

from dataclasses import dataclass

import numpy as np

from geo.assign import Offered, Wanted, assign
from geo.drive import Driven
from geo.passes import Passes, find_passes, outer_radius_m
from geo.plane import norms
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

# Only sampling this fine shows that a vehicle really halted for some seconds.
HALT_STEP_MAX_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Candidate visits, ``v`` of them.

    Attributes
    ----------
    xy, from_s, to_s, error_s
        Shapes ``(v, 2)``, ``(v,)``: place, halt and start of the wheels, error of the halt.
    dwell_s
        Shape ``(v,)``: time not explained by driving through.
    begin_known, end_known
        Shape ``(v,)``: false where the track begins or ends within the visit.
    own_stop
        Shape ``(v,)``: the stop whose circle was passed slowly; -1 for a stay.
    """

    xy: Floats
    from_s: Floats
    to_s: Floats
    error_s: Floats
    dwell_s: Floats
    begin_known: Flags
    end_known: Flags
    own_stop: Indices

    def __getitem__(self, at: Indices) -> "Visits":
        return Visits(
            xy=self.xy[at],
            from_s=self.from_s[at],
            to_s=self.to_s[at],
            error_s=self.error_s[at],
            dwell_s=self.dwell_s[at],
            begin_known=self.begin_known[at],
            end_known=self.end_known[at],
            own_stop=self.own_stop[at],
        )


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


def is_short(service_s: Floats, parameters: Parameters) -> Flags:
    """Flag the stops planned to be short, like those of a bus, ``(m,)``."""
    return (service_s > 0.0) & (service_s < parameters.short_service_s)


def required_dwell_s(service_s: Floats, parameters: Parameters) -> Floats:
    """Return how long a vehicle must halt to have visited each stop.

    Parameters
    ----------
    service_s
        Shape ``(m,)``: planned service; 0 or NaN = none planned.
    parameters
        Thresholds.

    Returns
    -------
    Floats
        Shape ``(m,)``: seconds.

    Notes
    -----
    The rule: 50 s, as traffic rarely holds a vehicle that long. A stop *planned* shorter than
    60 s (a bus stop, a letter box) needs half of its planned service, at least 5 s. The price is
    honest: a red light within the circle of such a stop looks like a visit. The evidence then is
    `slow_pass` with a lower confidence, and where fixes are at most 10 s apart the vehicle must
    have been as slow as 2 m/s. Other stops may be served from as far as a driver parks, a short one
    only from within its (outer) circle.
    """
    short = is_short(service_s, parameters)
    scaled_s = np.maximum(parameters.short_halt_min_s, parameters.short_service_share * service_s)
    return np.where(short, scaled_s, parameters.stay_min_s)


def serve(driven: Driven, wanted: Wanted, parameters: Parameters) -> Served:
    """Return the visits of a day and which stop each served."""
    inner_m = np.maximum(wanted.radius_m, 2.0 * driven.sigma_m)
    passes = find_passes(
        driven.time_s, driven.place_xy, driven.span, stops_xy=wanted.xy, radius_m=inner_m
    )
    visits = _joined(_stays(driven), _slow_passes(driven, passes, wanted, parameters))
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
        away_m <= outer_radius_m(inner_m)[:, np.newaxis]
    )
    visit, distance_m = assign(
        wanted,
        Offered(xy=visits.xy, from_s=visits.from_s, dwell_s=visits.dwell_s, allowed=allowed),
        sigma_m=driven.sigma_m,
        parameters=parameters,
    )
    used = np.zeros(len(visits.from_s), dtype=bool)
    used[visit[visit >= 0]] = True
    visits, used = _absorbed(visits, visit, used, passes)
    return Served(visits=visits, visit=visit, distance_m=distance_m, passes=passes, used=used)


def _stays(driven: Driven) -> Visits:
    stays, span, n = driven.stays, driven.span, len(driven.time_s)
    before, after = stays.first - 1, stays.last + 1
    begin_known = (before >= 0) & (span[np.maximum(before, 0)] == span[stays.first])
    end_known = (after < n) & (span[np.minimum(after, n - 1)] == span[stays.last])
    return Visits(
        xy=stays.centre_xy,
        from_s=stays.from_s,
        to_s=stays.to_s,
        error_s=stays.error_s,
        dwell_s=stays.to_s - stays.from_s,
        begin_known=begin_known,
        end_known=end_known,
        own_stop=np.full(len(stays.first), -1),
    )


def _slow_passes(driven: Driven, passes: Passes, wanted: Wanted, parameters: Parameters) -> Visits:
    """Return the passes too slow for a drive-by that no stay explains."""
    stays, time_s = driven.stays, driven.time_s
    crossing_s = passes.travel_m / parameters.passing_speed_mps
    excess_s = passes.exited_s - passes.entered_s - crossing_s
    slow = excess_s >= required_dwell_s(wanted.service_s, parameters)[passes.stop]
    halted = np.zeros(len(slow), dtype=bool)
    from_s, to_s = passes.entered_s + crossing_s / 2.0, passes.exited_s - crossing_s / 2.0
    speed_mps = driven.speed_mps
    fine = np.zeros(len(slow), dtype=bool)
    for i, (before, after) in enumerate(zip(passes.before, passes.after, strict=True)):
        if excess_s[i] < parameters.short_halt_min_s and not (
            passes.begins_inside[i] or passes.ends_inside[i]
        ):
            continue
        fixes = np.arange(before, after + 1)
        inside = fixes[
            (time_s[fixes] >= passes.entered_s[i]) & (time_s[fixes] <= passes.exited_s[i])
        ]
        slowly = inside[speed_mps[inside] <= parameters.halting_speed_mps]
        halted[i] = len(slowly) > 0
        fine[i] = float(np.diff(time_s[fixes]).max(initial=0.0)) <= HALT_STEP_MAX_S
        if fine[i] and halted[i]:
            from_s[i], to_s[i] = time_s[slowly[0]], time_s[slowly[-1]]
    short = is_short(wanted.service_s[passes.stop], parameters)
    slow &= halted | ~fine | ~short
    seen_s = passes.exited_s - passes.entered_s
    seen_long = seen_s >= parameters.short_halt_min_s
    speed_first, speed_last = speed_mps[passes.before], speed_mps[passes.after]
    stood_first = passes.begins_inside & (speed_first <= parameters.halting_speed_mps)
    stood_last = passes.ends_inside & (speed_last <= parameters.halting_speed_mps)
    # A stay near enough for the stop says the same, and better.
    reach_m = np.maximum(parameters.reach_m, wanted.radius_m[passes.stop]) + 2.5 * driven.sigma_m
    away_m = norms(wanted.xy[passes.stop][:, np.newaxis] - stays.centre_xy)
    explained = (
        (stays.from_s < passes.exited_s[:, np.newaxis])
        & (stays.to_s > passes.entered_s[:, np.newaxis])
        & (away_m <= reach_m[:, np.newaxis])
    ).any(axis=1)
    chosen = np.flatnonzero((slow | ((stood_first | stood_last) & seen_long)) & ~explained)
    middle_s = (from_s + to_s) / 2.0
    from_s, to_s = np.minimum(from_s, middle_s), np.maximum(to_s, middle_s)
    step_s = time_s[np.minimum(passes.before + 1, len(time_s) - 1)] - time_s[passes.before]
    return Visits(
        xy=passes.nearest_xy,
        from_s=np.where(passes.begins_inside, passes.entered_s, from_s),
        to_s=np.where(passes.ends_inside, passes.exited_s, to_s),
        error_s=np.maximum.reduce([np.ones(len(slow)), (to_s - from_s) / 2.0, step_s / 2.0]),
        dwell_s=np.maximum(excess_s, 0.0),
        begin_known=~passes.begins_inside,
        end_known=~passes.ends_inside,
        own_stop=passes.stop,
    )[chosen]


def _joined(one: Visits, other: Visits) -> Visits:
    both = Visits(
        xy=np.concatenate([one.xy, other.xy]),
        from_s=np.concatenate([one.from_s, other.from_s]),
        to_s=np.concatenate([one.to_s, other.to_s]),
        error_s=np.concatenate([one.error_s, other.error_s]),
        dwell_s=np.concatenate([one.dwell_s, other.dwell_s]),
        begin_known=np.concatenate([one.begin_known, other.begin_known]),
        end_known=np.concatenate([one.end_known, other.end_known]),
        own_stop=np.concatenate([one.own_stop, other.own_stop]),
    )
    return both[np.lexsort((both.own_stop, both.from_s))]


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
        for i in np.flatnonzero(passes.stop == stop):
            within = (middle_s >= passes.entered_s[i]) & (middle_s <= passes.exited_s[i])
            if not within[chosen]:
                continue
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
