"""Synthetic working days whose truth is known: a road, a drive along it, a phone's view of it."""

from dataclasses import dataclass

import numpy as np

from geo.plane import Plane
from geo.types import Floats, Indices
from geo.values import Plan, Track

START_S = 1_790_000_000.0
HOME = np.array([76.9, 43.24])  # Almaty
BRAKING_MPS2 = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What was planned, what was seen and what was true."""

    plan: Plan
    track: Track
    arrived_s: Floats  # per stop, NaN = not served
    departed_s: Floats
    driven_m: float
    true_along_m: Floats  # per fix, along the line
    shared_s: Floats
    until_s: float


def plane_at(lon_lat: Floats = HOME) -> Plane:
    return Plane.around(lon_lat[np.newaxis])


def road(rng: np.random.Generator, turns: int, *, block: tuple[float, float]) -> Floats:
    """Draw a road of straight blocks and corners, ``(turns + 1, 2)`` metres."""
    heading = np.cumsum(rng.choice([-1.0, 0.0, 1.0, 0.2, -0.2], size=turns)) * np.pi / 2
    legs = rng.uniform(*block, size=turns)[:, np.newaxis]
    steps = legs * np.column_stack([np.cos(heading), np.sin(heading)])
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def along(xy: Floats) -> Floats:
    return np.append(0.0, np.cumsum(np.hypot(*np.diff(xy, axis=0).T)))


def at(xy: Floats, along_m: Floats) -> Floats:
    return np.column_stack([np.interp(along_m, along(xy), xy[:, axis]) for axis in (0, 1)])


def drive(
    rng: np.random.Generator, length_m: float, halts_m: Floats, dwell_s: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return knots (time_s, along_m) and when each halt began.

    Between halts: accelerate, cruise, brake, all at 1.5 m/s2, drawn 10 points a phase.
    """
    times, places, begun = [0.0], [0.0], []
    for halt_m, stand_s in zip(np.append(halts_m, length_m), np.append(dwell_s, 0.0), strict=True):
        leg_m = halt_m - places[-1]
        top_mps = min(rng.uniform(8.0, 15.0), np.sqrt(BRAKING_MPS2 * max(leg_m, 1e-6)))
        ramp_s = top_mps / BRAKING_MPS2
        cruise_s = max(leg_m / top_mps - ramp_s, 0.0)
        phase = np.linspace(0.1, 1.0, 10)
        up_m = 0.5 * BRAKING_MPS2 * (phase * ramp_s) ** 2
        down_m = leg_m - 0.5 * BRAKING_MPS2 * ((1.0 - phase) * ramp_s) ** 2
        start_s, start_m = times[-1], places[-1]
        times += [*(start_s + phase * ramp_s), *(start_s + ramp_s + cruise_s + phase * ramp_s)]
        places += [*(start_m + up_m), *(start_m + down_m)]
        begun.append(times[-1])
        times.append(times[-1] + stand_s + 1e-6)
        places.append(places[-1])
    return np.array(times), np.array(places), np.array(begun[:-1])


def noise(
    rng: np.random.Generator, time_s: Floats, sigma_m: float, *, memory_s: float = 30.0
) -> Floats:
    """Draw position errors: 70 % of the variance lasts for half a minute, as with real phones."""
    slow, fast = sigma_m * np.sqrt(0.7), sigma_m * np.sqrt(0.3)
    keep = np.exp(-np.diff(time_s, prepend=-np.inf) / memory_s)
    fresh = rng.normal(size=(len(time_s), 2)) * (slow * np.sqrt(1.0 - keep**2))[:, np.newaxis]
    error = np.zeros((len(time_s), 2))
    for i in range(len(time_s)):
        error[i] = keep[i] * error[i - 1] + fresh[i]
    return np.asarray(error + rng.normal(size=error.shape) * fast)


def make_day(  # noqa: PLR0913  # a day has many properties, all with a default
    seed: int,
    *,
    stops: int = 8,
    step_s: float = 5.0,
    sigma_m: float = 5.0,
    dwell_s: tuple[float, float] = (90.0, 600.0),
    missed: tuple[int, ...] = (),
    order: Indices | None = None,
    outliers: float = 0.005,
    home: Floats = HOME,
    with_line: bool = True,
) -> Day:
    """Draw a day. The stops ``missed`` are driven past; ``order`` is the driven order.

    The road is the driven one; the plan's line is it, too. With ``order`` the plan visits the
    stops of the road in another order and has no line.
    """
    rng = np.random.default_rng(seed)
    plane = plane_at(home)
    xy = road(rng, 5 * stops, block=(150.0, 500.0))
    length_m = along(xy)[-1]
    # Stops keep 250 m apart, so which halt serves which stop is beyond doubt.
    places_m = length_m * (np.arange(stops) + rng.uniform(0.3, 0.7, stops)) / stops
    stand_s = rng.uniform(*dwell_s, size=stops)
    served = ~np.isin(np.arange(stops), missed)
    knots_s, knots_m, begun_s = drive(rng, length_m, places_m[served], stand_s[served])
    arrived_s = np.full(stops, np.nan)
    arrived_s[served] = START_S + begun_s
    departed_s = arrived_s + stand_s
    stop_xy = at(xy, places_m) + rng.normal(0.0, 8.0, (stops, 2))
    expected_s = START_S + np.interp(places_m, knots_m[1:], knots_s[1:])
    planned_s = np.where(served, arrived_s, expected_s) - 120.0

    time_s = np.arange(0.0, knots_s[-1], step_s)
    true_m = np.interp(time_s, knots_s, knots_m)
    seen = at(xy, true_m) + noise(rng, time_s, sigma_m)
    wild = rng.random(len(time_s)) < outliers
    angle = rng.uniform(0.0, 2 * np.pi, len(time_s))
    seen[wild] += 500.0 * np.column_stack([np.cos(angle), np.sin(angle)])[wild]
    track = Track(
        time_s=START_S + time_s,
        lon_lat=np.round(plane.to_lon_lat(seen), 7),
        accuracy_m=np.full(len(time_s), np.round(1.5 * sigma_m, 1)),
    )
    sequence = np.arange(stops) if order is None else order
    plan = make_plan(
        plane.to_lon_lat(stop_xy[sequence]),
        service_s=stand_s[sequence],
        planned_arrival_s=planned_s if order is None else np.full(stops, np.nan),
        line=plane.to_lon_lat(xy) if with_line and order is None else None,
    )
    return Day(
        plan=plan,
        track=track,
        arrived_s=arrived_s[sequence],
        departed_s=departed_s[sequence],
        driven_m=float(length_m),
        true_along_m=true_m,
        shared_s=np.array([[START_S, START_S + knots_s[-1]]]),
        until_s=START_S + knots_s[-1],
    )


def make_plan(
    lon_lat: Floats,
    *,
    service_s: Floats | float = 120.0,
    planned_arrival_s: Floats | float = np.nan,
    window_from_s: Floats | float = np.nan,
    window_to_s: Floats | float = np.nan,
    radius_m: Floats | float = 40.0,
    line: Floats | None = None,
) -> Plan:
    """Make a plan of stops that may share each value."""

    def each(value: Floats | float) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (len(lon_lat),)).copy()

    return Plan(
        lon_lat=lon_lat,
        radius_m=each(radius_m),
        service_s=each(service_s),
        planned_arrival_s=each(planned_arrival_s),
        window_from_s=each(window_from_s),
        window_to_s=each(window_to_s),
        line=line,
    )
