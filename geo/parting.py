"""Whether a vehicle that seems to stand at one place stood at two, one after the other."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.trace import Trace
from geo.types import Floats, Indices

# Errors of phones last: 70 % of their variance for about half a minute. Smoothing leaves that
# part, and the window over which it is measured a little more.
NOISE_MEMORY_S: Final = 30.0
NOISE_LASTING: Final = 0.7
LASTING_SHARE: Final = 1.4
FIXES_MIN: Final = 2
# So many means of neighbouring fixes stand for a long stay: the exact likelihood is cubic.
POINTS_MAX: Final = 80
# So many cuts of one stay are tried at once.
CUTS_MAX: Final = 1_000
# Driving over to a neighbour takes so long, and neighbours are about so far apart.
MOVING_OVER_S: Final = 10.0
NEIGHBOURS_M: Final = 30.0
IN_ORDER_ODDS: Final = 9.0
SERVICE_SPREAD: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A way to cut a stay in two.

    Attributes
    ----------
    at
        The first fix of the second part.
    surprise
        The squared distance of the two centres, in units of the variance it would have at one
        place.
    apart_m
        The distance.
    """

    at: int
    surprise: float
    apart_m: float


def running_sums(xy: Floats) -> Floats:
    """Return the sums of all fixes before each, ``(n + 1, 2)``."""
    return np.concatenate([np.zeros((1, 2)), np.cumsum(xy - xy[:1], axis=0)])


def best_cut(trace: Trace, sums: Floats, run: tuple[int, int], *, part_min_s: float) -> Cut | None:
    """Return the most surprising way to cut a stay in two parts, each long enough.

    Parameters
    ----------
    trace, run
        The track, and the first and last fix of the stay.
    sums
        `running_sums` of the track.
    part_min_s
        Parts are not shorter, and have two fixes at least.

    Returns
    -------
    Cut | None
        None where no cut leaves both parts long enough.

    Notes
    -----
    A change of mean (Hinkley (1970), Biometrika 57, 1-17) in noise that lasts: the mean of
    ``T`` seconds and ``n`` fixes varies by ``1.4 noise_m^2 max(1 / n, min(1, 60 s / T))``. Of a
    stay of more than a thousand fixes a thousand cuts are tried, and all around the best of them:
    cutting off a thousand pieces one by one costs no more than the pieces.
    """
    first, last = run
    time_s = trace.time_s[first : last + 1]
    n = len(time_s)
    low = max(int(np.searchsorted(time_s, time_s[0] + part_min_s)) + 1, FIXES_MIN)
    high = int(np.searchsorted(time_s, time_s[-1] - part_min_s, side="right")) - 1
    high = min(high, n - FIXES_MIN)
    if low > high:
        return None
    each = -(-(high - low + 1) // CUTS_MAX)
    found = _best(trace, sums, run, np.arange(low, high + 1, each))
    if each == 1:
        return found
    size = found.at - first
    around = np.arange(max(low, size - each + 1), min(high, size + each - 1) + 1)
    return _best(trace, sums, run, around)


def _best(trace: Trace, sums: Floats, run: tuple[int, int], size: Indices) -> Cut:
    """Return the best cut among those after ``size`` fixes."""
    first, last = run
    n, begin, at, end = last - first + 1, sums[first], sums[first + size], sums[last + 1]
    left_xy = (at - begin) / size[:, np.newaxis]
    right_xy = (end - at) / (n - size)[:, np.newaxis]
    time_s = trace.time_s
    variance = _variance(trace.noise_m, size, time_s[first + size - 1] - time_s[first])
    variance += _variance(trace.noise_m, n - size, time_s[last] - time_s[first + size])
    squared = ((left_xy - right_xy) ** 2).sum(axis=1)
    surprise = squared / variance
    best = int(np.argmax(surprise))
    return Cut(
        at=first + int(size[best]),
        surprise=float(surprise[best]),
        apart_m=float(np.sqrt(squared[best])),
    )


def _variance(noise_m: float, fixes: Indices, duration_s: Floats) -> Floats:
    lasting = np.minimum(2.0 * NOISE_MEMORY_S / np.maximum(duration_s, 1.0), 1.0)
    variance: Floats = LASTING_SHARE * noise_m**2 * np.maximum(1.0 / fixes, lasting)
    return variance


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two stops, the first planned first.

    ``apart_xy`` leads from the one to the other, ``error_m`` is its standard deviation;
    ``service_s`` is what is planned, NaN = not.
    """

    apart_xy: Floats
    error_m: float
    service_s: tuple[float, float]


def odds_of_two(
    time_s: Floats, xy: Floats, sigma_m: float, pair: Pair, *, part_min_s: float
) -> tuple[float, float]:
    """Return the log odds that two stops were served one after the other, and the time between.

    Parameters
    ----------
    time_s, xy
        Shapes ``(n,)``, ``(n, 2)``: the fixes of a stay, not smoothed.
    sigma_m
        Standard deviation of a coordinate.
    pair
        The stops.
    part_min_s
        Neither visit is shorter.

    Returns
    -------
    tuple[float, float]
        Natural logarithm, against one visit to both from one place; before data the odds are
        even. -inf where there is no room for two. The time is the most probable one.

    Notes
    -----
    Noise is AR(1) with a memory of 30 s and white noise on top, as `odds` of a change of mean
    in it (generalised least squares). How far apart the stops and the two halts are (normal,
    30 m) and the planned services (log-normal) are integrated out in closed form, the instant
    by summing over it: a parting that could be anywhere must be the more evident.
    """
    time_s, xy, white = _thinned(time_s, xy, sigma_m)
    moments_s = (time_s[1:] + time_s[:-1]) / 2.0
    room = (moments_s - time_s[0] >= part_min_s) & (time_s[-1] - moments_s >= part_min_s)
    moments_s = moments_s[room]
    if not len(moments_s):
        return -np.inf, np.nan
    jump_xy, variance = _jumps(time_s, xy, sigma_m, white, moments_s)
    place = np.logaddexp(
        _place_odds(jump_xy, variance, pair.apart_xy, pair.error_m) + np.log(IN_ORDER_ODDS),
        _place_odds(jump_xy, variance, -pair.apart_xy, pair.error_m),
    ) - np.log1p(IN_ORDER_ODDS)
    evidence = place + _time_odds(time_s, moments_s, pair.service_s)
    best = int(np.argmax(evidence))
    return float(np.logaddexp.reduce(evidence)), float(moments_s[best])


def _thinned(time_s: Floats, xy: Floats, sigma_m: float) -> tuple[Floats, Floats, Floats]:
    """Return times, positions and white variance of at most 80 means of neighbouring fixes."""
    size = -(-len(time_s) // POINTS_MAX)
    starts = np.arange(0, len(time_s), size)
    count = np.diff(np.append(starts, len(time_s)))
    white = (1.0 - NOISE_LASTING) * sigma_m**2 / count
    means = np.add.reduceat(np.column_stack([time_s, xy]), starts, axis=0) / count[:, np.newaxis]
    return means[:, 0], means[:, 1:], white


def _jumps(
    time_s: Floats, xy: Floats, sigma_m: float, white: Floats, moments_s: Floats
) -> tuple[Floats, Floats]:
    """Return the best change of place at each moment, ``(k, 2)``, and its variance, ``(k,)``."""
    lasting = np.exp(-np.abs(time_s[:, np.newaxis] - time_s) / NOISE_MEMORY_S)
    noise = NOISE_LASTING * sigma_m**2 * lasting + np.diag(white)
    begin_s = moments_s - MOVING_OVER_S / 2.0
    moved = np.clip((time_s[:, np.newaxis] - begin_s) / MOVING_OVER_S, 0.0, 1.0)
    sides = np.column_stack([np.ones(len(time_s)), moved, xy])
    weighed = np.linalg.solve(noise, sides)
    constant = weighed[:, 0]
    before = constant @ moved  # what the unknown first place takes of it
    level = 1.0 / float(constant.sum())
    precision = (moved * weighed[:, 1:-2]).sum(axis=0) - level * before**2
    jump_xy = moved.T @ weighed[:, -2:] - level * np.outer(before, constant @ xy)
    return jump_xy / precision[:, np.newaxis], 1.0 / precision


def _place_odds(jump_xy: Floats, variance: Floats, apart_xy: Floats, error_m: float) -> Floats:
    """Return the log odds of two places by the jump seen and the distance planned, ``(k,)``."""
    spread = NEIGHBOURS_M**2
    planned = error_m**2
    one, other = variance + spread, planned + spread
    determinant = one * other - spread**2
    seen_squared, planned_squared = (jump_xy**2).sum(axis=1), float((apart_xy**2).sum())
    both = jump_xy @ apart_xy
    two = (other * seen_squared - 2.0 * spread * both + one * planned_squared) / determinant
    alone = seen_squared / variance + planned_squared / planned
    odds: Floats = 0.5 * (alone - two) - np.log(determinant / (variance * planned))
    return odds


def _time_odds(time_s: Floats, moments_s: Floats, service_s: tuple[float, float]) -> Floats:
    """Return the log odds of the services by the durations, and the weight of each moment."""
    weight = np.gradient(moments_s) if len(moments_s) > 1 else np.ones(1)
    whole_s = float(time_s[-1] - time_s[0])
    if not all(service > 0.0 for service in service_s):  # not planned: 0 or NaN
        return np.asarray(np.log(weight / weight.sum()))
    left_s, right_s = moments_s - time_s[0], time_s[-1] - moments_s
    two = _log_density(left_s, service_s[0]) + _log_density(right_s, service_s[1])
    one = _log_density(np.array([whole_s]), sum(service_s))
    return np.asarray(np.log(weight) + two - one)


def _log_density(duration_s: Floats, service_s: float) -> Floats:
    surprise = np.log(duration_s / service_s) / SERVICE_SPREAD
    scale = np.log(duration_s * SERVICE_SPREAD * np.sqrt(2.0 * np.pi))
    return np.asarray(-0.5 * surprise**2 - scale)
