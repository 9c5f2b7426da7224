"""What a phone makes of a drive: noise of several kinds, silences, wrong clocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from bench.geo.driving import Drive
from bench.geo.roads import PLANE, Road
from geo.types import Flags, Floats
from geo.values import Track

Range: TypeAlias = tuple[float, float]

START_S: Final = 1_790_000_000.0
HOUR_S: Final = 3600.0
SLOW_SHARE: Final = 0.7
MEMORY_S: Final = 30.0
JITTER: Final = 0.1
OUTLIER_M: Final = np.array([120.0, 250.0, 600.0, 3000.0])
BURST_RAMP_S: Final = 5.0
ACCURACY_PER_SIGMA: Final = 1.5
ACCURACY_SPREAD: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """Its step and its faults.

    Errors of a coordinate have the standard deviation ``sigma_m``: 70 % of the variance lasts for
    half a minute (AR(1)), the rest is white. Shares are of fixes, ranges are drawn from evenly.
    """

    step_s: float
    sigma_m: float
    outliers: float = 0.01
    outlier_claims_m: Range | None = None
    lost: float = 0.02
    repeated: float = 0.01
    late: float = 0.01
    silences: int = 2
    silence_s: Range = (60.0, 300.0)
    bursts_per_hour: float = 0.0
    burst_s: Range = (20.0, 90.0)
    burst_m: Range = (30.0, 80.0)
    stuck_per_hour: float = 0.0
    stuck_s: Range = (20.0, 60.0)
    clock_jumps: int = 0
    clock_jump_s: Range = (60.0, 600.0)
    clock_wrong_s: Range = (60.0, 300.0)


NOISES: Final[Mapping[str, Phone]] = {
    "plain": Phone(step_s=5, sigma_m=10, outliers=0, lost=0, repeated=0, late=0, silences=0),
    "usual": Phone(step_s=5, sigma_m=10),
    "multipath": Phone(step_s=5, sigma_m=10, bursts_per_hour=6.0),
    "stuck": Phone(step_s=5, sigma_m=10, stuck_per_hour=6.0),
    "overconfident": Phone(step_s=5, sigma_m=10, outliers=0.03, outlier_claims_m=(1.9, 5.0)),
    "silent": Phone(step_s=5, sigma_m=10, silences=1, silence_s=(1800.0, 1800.0)),
    "clock": Phone(step_s=5, sigma_m=10, clock_jumps=3),
}
"""``usual`` is what the targets are held against; each of the rest adds one fault to it."""


def phone(noise: str, step_s: float, sigma_m: float) -> Phone:
    return replace(NOISES[noise], step_s=step_s, sigma_m=sigma_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was recorded, and the end of the day in unix seconds."""

    track: Track
    until_s: float

    @property
    def shared_s(self) -> Floats:
        return np.array([[START_S, self.until_s]])


def see(rng: np.random.Generator, phone: Phone, road: Road, drive: Drive) -> Seen:
    """Record a drive that began at 0 s; the recorded times begin at `START_S`."""
    count = int(drive.end_s / phone.step_s) + 1
    jitter = np.append(0.0, rng.uniform(-JITTER, JITTER, count - 1))
    time_s: Floats = phone.step_s * (np.arange(count) + jitter)
    time_s = time_s[time_s <= drive.end_s]
    xy = road.at(drive.place_m(time_s))
    xy += errors(rng, time_s, phone.sigma_m) + _bursts(rng, phone, time_s)
    accuracy_m = _claimed(rng, phone, len(time_s))
    wild = rng.random(len(time_s)) < phone.outliers
    count = int(np.count_nonzero(wild))
    xy[wild] += _outliers(rng, count)
    if phone.outlier_claims_m is not None:
        accuracy_m[wild] = rng.uniform(*phone.outlier_claims_m, count)
    xy = xy[_stuck(rng, phone, time_s)]
    kept = _heard(rng, phone, time_s)
    rows = np.column_stack([_clocked(rng, phone, time_s), PLANE.to_lon_lat(xy), accuracy_m])[kept]
    rows = rows[_arriving(rng, phone, len(rows))]
    return Seen(
        track=Track(
            time_s=np.round(START_S + rows[:, 0], 3),
            lon_lat=np.round(rows[:, 1:3], 7),
            accuracy_m=np.round(rows[:, 3], 1),
        ),
        until_s=START_S + drive.end_s,
    )


def errors(rng: np.random.Generator, time_s: Floats, sigma_m: float) -> Floats:
    """Draw the errors of both coordinates, ``(n, 2)``."""
    slow_m, fast_m = sigma_m * np.sqrt(SLOW_SHARE), sigma_m * np.sqrt(1.0 - SLOW_SHARE)
    kept = np.exp(-np.diff(time_s, prepend=-np.inf) / MEMORY_S)[:, np.newaxis]
    fresh = rng.normal(0.0, slow_m, (len(time_s), 2)) * np.sqrt(1.0 - kept**2)
    error = np.zeros_like(fresh)
    last = np.zeros(2)
    for i in range(len(time_s)):
        last = error[i] = kept[i] * last + fresh[i]
    return np.asarray(error + rng.normal(0.0, fast_m, error.shape))


def _claimed(rng: np.random.Generator, phone: Phone, count: int) -> Floats:
    """Draw what the phone says of its accuracy: about right, whatever befalls the fix."""
    spread = np.exp(rng.normal(0.0, ACCURACY_SPREAD, count))
    return np.asarray(ACCURACY_PER_SIGMA * phone.sigma_m * spread)


def _outliers(rng: np.random.Generator, count: int) -> Floats:
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    away_m = rng.choice(OUTLIER_M, count)[:, np.newaxis]
    return np.asarray(away_m * np.column_stack([np.cos(angle), np.sin(angle)]))


def _episodes(
    rng: np.random.Generator, per_hour: float, lasting_s: Range, time_s: Floats
) -> list[Flags]:
    """Draw stretches of time and flag the fixes of each."""
    count = rng.poisson(per_hour * time_s[-1] / HOUR_S)
    begin_s = rng.uniform(0.0, time_s[-1], count)
    end_s = begin_s + rng.uniform(*lasting_s, count)
    return [(time_s >= a) & (time_s <= b) for a, b in zip(begin_s, end_s, strict=True)]


def _bursts(rng: np.random.Generator, phone: Phone, time_s: Floats) -> Floats:
    """Draw reflections: for a while all fixes are off to one side, coming and going in seconds."""
    offset = np.zeros((len(time_s), 2))
    for within in _episodes(rng, phone.bursts_per_hour, phone.burst_s, time_s):
        angle = rng.uniform(0.0, 2.0 * np.pi)
        away_m = rng.uniform(*phone.burst_m) * np.array([np.cos(angle), np.sin(angle)])
        inside_s = time_s[within]
        if len(inside_s):
            edge_s = np.minimum(inside_s - inside_s[0], inside_s[-1] - inside_s)
            ramp = np.clip((edge_s + 1.0) / BURST_RAMP_S, 0.0, 1.0)
            offset[within] += ramp[:, np.newaxis] * away_m
    return offset


def _stuck(rng: np.random.Generator, phone: Phone, time_s: Floats) -> np.typing.NDArray[np.intp]:
    """Return which position each fix shows: for a while the phone repeats the last one."""
    shown = np.arange(len(time_s))
    for within in _episodes(rng, phone.stuck_per_hour, phone.stuck_s, time_s):
        at = np.flatnonzero(within)
        shown[at] = shown[at[0]] if len(at) else 0
    return shown


def _heard(rng: np.random.Generator, phone: Phone, time_s: Floats) -> Flags:
    """Flag the fixes that were not lost."""
    kept = rng.random(len(time_s)) >= phone.lost
    for _ in range(phone.silences):
        length_s = min(rng.uniform(*phone.silence_s), time_s[-1] / 2.0)
        begin_s = rng.uniform(0.0, time_s[-1] - length_s)
        kept &= (time_s < begin_s) | (time_s > begin_s + length_s)
    kept[[0, -1]] = True
    return np.asarray(kept)


def _clocked(rng: np.random.Generator, phone: Phone, time_s: Floats) -> Floats:
    """Return the times that the phone's clock told: now and then it is off for some minutes."""
    told_s = time_s.copy()
    for _ in range(phone.clock_jumps):
        begin_s = rng.uniform(0.0, time_s[-1])
        within = (time_s >= begin_s) & (time_s <= begin_s + rng.uniform(*phone.clock_wrong_s))
        told_s[within] += rng.choice([-1.0, 1.0]) * rng.uniform(*phone.clock_jump_s)
    return told_s


def _arriving(rng: np.random.Generator, phone: Phone, count: int) -> np.typing.NDArray[np.intp]:
    """Return which fix arrives when: some twice, some later than those after them."""
    again = np.flatnonzero(rng.random(count) < phone.repeated)
    fixes = np.sort(np.concatenate([np.arange(count), again]))
    late = np.where(rng.random(len(fixes)) < phone.late, rng.uniform(2.0, 6.0, len(fixes)), 0.0)
    return np.asarray(fixes[np.argsort(np.arange(len(fixes)) + late, kind="stable")])
