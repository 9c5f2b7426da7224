"""The cleaned track made ready: what is linked, smoothed, silent."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.clean import Cleaned
from geo.plane import norms
from geo.smooth import Drive, smooth
from geo.stays import Stays, find_stays
from geo.trace import place_noise_m
from geo.types import Flags, Floats, Indices
from geo.values import Parameters

NOISE_SIGMAS: Final = 3.0
SILENT_STEPS: Final = 2.5
# Two fixes of one place are seldom further apart.
APART_SIGMAS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """One day of driving, ``n`` fixes.

    Attributes
    ----------
    time_s, xy
        Shapes ``(n,)``, ``(n, 2)``: the cleaned fixes.
    sigma_m
        Typical standard deviation of a coordinate.
    dense
        The median step is at most 20 s: smoothing then tells halts from noise.
    drive
        Agile smoothing, for distances and speeds.
    place_xy
        Shape ``(n, 2)``: calm smoothing where dense, else the fixes, for stays and passes.
    span
        Shape ``(n,)``: ascending labels; a new one begins where sharing was interrupted and
        after a gap whose ends lie apart. Silence at one place is standing.
    gap
        Shape ``(max(n - 1, 0),)``: steps that are silent for too long to be measured.
    shared
        Shape ``(max(n - 1, 0),)``: steps within one shared interval.
    stays
        Where the vehicle stood.
    merge_s
        Interruptions of a stay up to this long are noise.
    """

    time_s: Floats
    xy: Floats
    sigma_m: float
    dense: bool
    drive: Drive
    place_xy: Floats
    span: Indices
    gap: Flags
    shared: Flags
    stays: Stays
    merge_s: float

    @property
    def speed_mps(self) -> Floats:
        """Speed at each fix, ``(n,)``."""
        return norms(self.drive.velocity_mps)

    @property
    def still(self) -> Flags:
        """True for steps within a stay, ``(max(n - 1, 0),)``.

        Between stays less than 3 sigma and ``merge_s`` apart there is noise, no drive.
        """
        first, last, centre = self.stays.first, self.stays.last, self.stays.centre_xy
        marks = np.zeros(len(self.time_s) + 1)
        np.add.at(marks, first, 1.0)
        np.add.at(marks, last, -1.0)
        near = norms(np.diff(centre, axis=0)) <= NOISE_SIGMAS * self.sigma_m
        near &= self.time_s[first[1:]] - self.time_s[last[:-1]] <= self.merge_s
        near &= self.span[first[1:]] == self.span[last[:-1]]
        np.add.at(marks, last[:-1][near], 1.0)
        np.add.at(marks, first[1:][near], -1.0)
        return np.cumsum(marks)[: max(len(self.time_s) - 1, 0)] > 0.0


def prepare(cleaned: Cleaned, parameters: Parameters) -> Driven:
    """Return the day behind the believed fixes."""
    time_s, xy = cleaned.time_s, cleaned.xy
    step_s = np.diff(time_s)
    sigma_m = float(np.median(cleaned.sigma_m)) if len(time_s) else parameters.sigma_default_m
    dense = bool(len(step_s)) and float(np.median(step_s)) <= parameters.dense_step_s
    noise_m = place_noise_m(sigma_m, dense=dense)
    # Noise in two dimensions must fit into 0.6 of the radius.
    radius_m = float(
        np.hypot(parameters.stay_radius_m, 2.0 * sigma_m)
        if dense
        else max(parameters.stay_radius_sparse_m, 4.0 * sigma_m)
    )
    median_step_s = float(np.median(step_s)) if len(step_s) else 0.0
    merge_s = max(parameters.stay_merge_s, 1.5 * median_step_s)
    shared = np.diff(cleaned.interval) == 0
    gap = shared & (step_s > silent_s(step_s, parameters))
    apart = gap & (norms(np.diff(xy, axis=0)) > max(radius_m, APART_SIGMAS * sigma_m))
    together = shared & ~apart
    span = np.append(0, np.cumsum(~together))[: len(time_s)]
    drive = smooth(time_s, xy, cleaned.sigma_m, together, agility=parameters.odometer_agility)
    place_xy = xy
    if dense:
        calm = smooth(
            time_s, xy, cleaned.sigma_m, together, agility=parameters.stay_agility, after=drive
        )
        place_xy = calm.xy
    stays = find_stays(
        time_s,
        place_xy,
        span,
        radius_m=radius_m,
        noise_m=noise_m,
        merge_s=merge_s,
        parameters=parameters,
    )
    return Driven(
        time_s=time_s,
        xy=xy,
        sigma_m=sigma_m,
        dense=dense,
        drive=drive,
        place_xy=place_xy,
        span=span,
        gap=gap,
        shared=shared,
        stays=stays,
        merge_s=merge_s,
    )


def silent_s(step_s: Floats, parameters: Parameters) -> float:
    """Return from which step on nothing is known of it: where fixes are rare, one lost is none."""
    usual_s = float(np.quantile(step_s, 0.25)) if len(step_s) else 0.0
    return max(parameters.gap_s, SILENT_STEPS * usual_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silences:
    """Times without fixes in which a vehicle may have done anything.

    Attributes
    ----------
    from_s, to_s
        Shape ``(k,)``: unix seconds.
    before, after
        Shape ``(k,)``: the fixes on both sides, -1 = none.
    unshared
        Shape ``(k,)``: sharing was interrupted in between: not a fault of the data.
    """

    from_s: Floats
    to_s: Floats
    before: Indices
    after: Indices
    unshared: Flags


def silences(driven: Driven, shared_s: Floats, until_s: float, *, longer_s: float) -> Silences:
    """Return the silences longer than ``longer_s``, and every interruption of the sharing."""
    time_s = driven.time_s
    inner = np.flatnonzero((np.diff(time_s) > longer_s) | ~driven.shared)
    rows: list[tuple[float, float, int, int, bool]] = [
        (time_s[i], time_s[i + 1], i, i + 1, bool(not driven.shared[i])) for i in inner.tolist()
    ]
    shared_s = shared_s[shared_s[:, 0] <= until_s]
    begin_s = shared_s[0, 0] if len(shared_s) else until_s
    end_s = min(until_s, shared_s[-1, 1]) if len(shared_s) else until_s
    if len(time_s):
        interrupted = bool(shared_s[0, 1] < time_s[0]), bool(shared_s[-1, 0] > time_s[-1])
        rows.append((begin_s, time_s[0], -1, 0, interrupted[0]))
        rows.append((time_s[-1], end_s, len(time_s) - 1, -1, interrupted[1]))
    else:
        rows.append((begin_s, end_s, -1, -1, False))
    table = np.array(rows, dtype=np.float64)
    table = table[(table[:, 1] - table[:, 0] > longer_s) | (table[:, 4] > 0.0)]
    return Silences(
        from_s=table[:, 0],
        to_s=table[:, 1],
        before=table[:, 2].astype(np.intp),
        after=table[:, 3].astype(np.intp),
        unshared=table[:, 4] > 0.0,
    )


def coverage(driven: Driven, shared_s: Floats, until_s: float, *, gap_s: float) -> float | None:
    """Return which share of the shared time has fixes no further apart than ``gap_s``."""
    upper_s = np.minimum(shared_s[:, 1], until_s)
    total_s = float(np.maximum(upper_s - shared_s[:, 0], 0.0).sum())
    if not 0.0 < total_s < np.inf:
        return None
    step_s = np.diff(driven.time_s)
    covered_s = float(step_s[driven.shared & (step_s <= gap_s)].sum())
    return min(covered_s / total_s, 1.0)
