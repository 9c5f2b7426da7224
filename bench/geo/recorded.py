"""Real vehicle tracks: false deviations, detours found, metres.

The tracks with known roads may not be copied: they are read from the folder that
``JOLDA_TRUTH_DIR`` names, if it is set (files ``fcd_oberfranken_points.csv`` and
``fcd_oberfranken_ground_truth.csv`` of github.com/iisys-hof/map-matching-2).
"""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import shapely

from bench.geo.buses import REFERENCE, runs, spaced
from bench.geo.findings import Cell, Finding, Hits, generator, mean
from bench.geo.naive import TRACCAR_MIN_M
from bench.geo.phone import errors
from bench.geo.roads import Road, way_round
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.plane import Plane
from geo.types import Floats
from geo.values import Plan, Track
from tests.geo.tracks import munich

FOLDER: Final = "JOLDA_TRUTH_DIR"
FALSE_PER_HOUR: Final = "real tracks + 20 m noise, false deviations an hour"
FOUND: Final = "real tracks + 20 m noise, detours found"
METRES: Final = "real tracks, mean error of metres at"
METRES_ON_ROAD: Final = "real tracks, metres along the planned road against the whole track at"
OWN_FALSE: Final = "Munich and Liverpool + 20 m noise, false deviations an hour"
OWN_METRES: Final = "Munich, mean error of metres at"

NOISE_M: Final = 20.0
CORRIDOR_M: Final = 50.0
FIXES_MIN: Final = 20
ROAD_MIN_M: Final = 800.0
DRIVEN_MIN_M: Final = 700.0
DETOUR_ROAD_MIN_M: Final = 2500.0
DETOUR_M: Final = (500.0, 2000.0)
DETOUR_AWAY_M: Final = (150.0, 400.0)
DETOUR_FIXES_MIN: Final = 3
HOUR_S: Final = 3600.0
STEPS_S: Final = (5.0, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """A recorded drive, ``n`` fixes in order of time, and the road it took."""

    name: str
    time_s: Floats
    xy: Floats
    plane: Plane
    road: Road

    def every(self, step_s: float) -> "Real":
        """Return the drive as if recorded every so many seconds."""
        slot = np.floor((self.time_s - self.time_s[0]) / step_s)
        kept = np.diff(slot, prepend=-1.0) > 0.0
        kept[-1] = True
        return Real(
            name=self.name,
            time_s=self.time_s[kept],
            xy=self.xy[kept],
            plane=self.plane,
            road=self.road,
        )

    def along_m(self) -> Floats:
        """Return where along the road the fixes are, by the nearest point, never backwards."""
        line = shapely.linestrings(self.road.xy)
        return np.maximum.accumulate(shapely.line_locate_point(line, shapely.points(self.xy)))

    def report(self, *, road: Road | None, sigma_m: float = 0.0, seed: int = 0) -> PlanFact:
        """Report on the drive against a plan along ``road``, with noise added."""
        xy = self.xy
        if sigma_m > 0.0:
            xy = xy + errors(generator(seed, "recorded", self.name), self.time_s, sigma_m)
        claimed_m = 1.5 * sigma_m if sigma_m > 0.0 else np.nan
        track = Track(
            time_s=self.time_s,
            lon_lat=self.plane.to_lon_lat(xy),
            accuracy_m=np.full(len(self.time_s), claimed_m),
        )
        nothing = np.full(1, np.nan)
        plan = Plan(
            lon_lat=self.plane.to_lon_lat(self.road.xy[-1:]),
            radius_m=np.full(1, 40.0),
            service_s=nothing,
            planned_arrival_s=nothing,
            window_from_s=nothing,
            window_to_s=nothing,
            line=None if road is None else self.plane.to_lon_lat(road.xy),
        )
        shared_s = self.time_s[[0, -1]][np.newaxis]
        return plan_versus_fact(track, plan, shared_s=shared_s, until_s=float(self.time_s[-1]))


def folder() -> Path | None:
    named = os.environ.get(FOLDER)
    return Path(named) if named else None


def vehicles(of: Path) -> Iterator[Real]:
    """Read the tracks whose road is known."""
    fixes: dict[str, dict[float, str]] = defaultdict(dict)
    with (of / "fcd_oberfranken_points.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            time_s = datetime.fromisoformat(row["time"]).timestamp()
            fixes[row["id"]].setdefault(time_s, row["geometry"])
    csv.field_size_limit(10_000_000)
    with (of / "fcd_oberfranken_ground_truth.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            real = _vehicle(row["id"], fixes[row["id"]], row["WKT"])
            if real is not None:
                yield real


def _vehicle(name: str, fixes: dict[float, str], road_wkt: str) -> Real | None:
    if len(fixes) < FIXES_MIN:
        return None
    time_s = np.array(sorted(fixes))
    lon_lat = shapely.get_coordinates(shapely.from_wkt([fixes[at_s] for at_s in time_s.tolist()]))
    road_lon_lat = shapely.get_coordinates(shapely.from_wkt(road_wkt))
    plane = Plane.around(road_lon_lat)
    road_xy = plane.to_xy(road_lon_lat)
    road = Road.through(road_xy[np.append(True, np.hypot(*np.diff(road_xy, axis=0).T) > 0.0)])
    if road.length_m < ROAD_MIN_M:
        return None
    return Real(name=name, time_s=time_s, xy=plane.to_xy(lon_lat), plane=plane, road=road)


@dataclass(slots=True)
class Tally:
    """What was found on a set of drives."""

    drives: int = 0
    hours: float = 0.0
    false: int = 0
    false_unmade: int = 0
    naive_false: int = 0
    detours: Hits = field(default_factory=Hits)
    errors: dict[float, list[tuple[float, float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add_noisy(self, real: Real, seed: int) -> None:
        """Drive along the plan with noise: whatever leaves it then is false."""
        self.drives += 1
        self.hours += float(np.ptp(real.time_s)) / HOUR_S
        self.false += len(real.report(road=real.road, sigma_m=NOISE_M, seed=seed).deviations)
        self.false_unmade += len(real.report(road=real.road).deviations)
        noise = errors(generator(seed, "recorded", real.name), real.time_s, NOISE_M)
        away_m = shapely.distance(
            shapely.points(real.xy + noise), shapely.linestrings(real.road.xy)
        )
        out = np.diff((away_m > CORRIDOR_M).astype(np.int8), prepend=0)
        self.naive_false += int(np.count_nonzero(out == 1))

    def add_detour(self, real: Real, seed: int) -> None:
        """Plan another road for a part of the drive: the part as driven is the detour."""
        length_m = real.road.length_m
        if length_m < DETOUR_ROAD_MIN_M:
            return
        rng = generator(seed, "detour", real.name)
        begin_m = rng.uniform(0.25, 0.5) * length_m
        end_m = begin_m + rng.uniform(DETOUR_M[0], min(DETOUR_M[1], 0.4 * length_m))
        away_m = float(rng.uniform(*DETOUR_AWAY_M) * rng.choice([-1.0, 1.0]))
        planned = way_round(real.road, begin_m, end_m, away_m=away_m)
        along_m = real.along_m()
        out_m = shapely.distance(shapely.points(real.xy), shapely.linestrings(planned.xy))
        out = (along_m > begin_m) & (along_m < end_m) & (out_m > CORRIDOR_M)
        if np.count_nonzero(out) < DETOUR_FIXES_MIN:
            return
        from_s, to_s = real.time_s[np.flatnonzero(out)[[0, -1]]]
        found = real.report(road=planned, sigma_m=NOISE_M, seed=seed).deviations
        hit = any(
            one.kind == "off_corridor" and one.from_s <= to_s and one.to_s >= from_s
            for one in found
        )
        self.detours.add(Hits(int(hit), 0, int(not hit)))

    def add_metres(self, real: Real, true_m: float) -> None:
        """Compare metres without a plan, along the road as plan, and of Traccar's filter.

        ``true_m`` is measured along the same road, so the second says only how little the places
        along a plan change when most of the fixes are left out; it proves no road matching.
        """
        for step_s in STEPS_S:
            thin = real.every(step_s)
            counted_m = [
                found.totals.actual_m + found.totals.gap_m
                for found in (thin.report(road=None), thin.report(road=real.road))
            ]
            counted_m.append(_traccar_m(thin.xy))
            without, along, simple = (100.0 * (one / true_m - 1.0) for one in counted_m)
            self.errors[step_s].append((without, along, simple))


def _traccar_m(xy: Floats) -> float:
    return float(np.hypot(*np.diff(spaced(xy, TRACCAR_MIN_M), axis=0).T).sum())


def measure(_cell: Cell, days: int, seed: int) -> list[Finding]:
    """Measure up to ``days`` vehicle tracks, and the drives in tests/data/tracks."""
    return [*_with_truth(days, seed), *_own(days, seed)]


def _with_truth(limit: int, seed: int) -> list[Finding]:
    of = folder()
    tally = Tally()
    for number, real in enumerate(vehicles(of) if of is not None else ()):
        if number >= limit:
            break
        tally.add_noisy(real, seed)
        tally.add_detour(real, seed)
        along_m = real.along_m()
        true_m = float(along_m[-1] - along_m[0])
        if true_m >= DRIVEN_MIN_M:
            tally.add_metres(real, true_m)
    missing = "" if of is not None else f"needs {FOLDER}"
    recall = tally.detours.recall
    found = [
        _false(FALSE_PER_HOUR, tally, missing),
        Finding(
            name=FOUND,
            value=100.0 * recall,
            unit="%",
            note=missing or f"of {tally.detours.right + tally.detours.overlooked}",
        ),
    ]
    for step_s in STEPS_S:
        errors_of = np.array(tally.errors[step_s]).reshape(-1, 3)
        without, along, simple = (mean(np.abs(errors_of[:, i])) for i in range(3))
        bias = mean(errors_of[:, 0])
        note = missing or f"{len(errors_of)} tracks, bias {bias:+.2f} %; no road was matched"
        baseline = None if missing else simple
        found += [
            Finding(
                name=f"{METRES} {step_s:g} s", value=without, unit="%", baseline=baseline, note=note
            ),
            Finding(
                name=f"{METRES_ON_ROAD} {step_s:g} s",
                value=along,
                unit="%",
                note=missing or "the plan is the true road and measures the truth, too",
            ),
        ]
    return found


def _false(name: str, tally: Tally, missing: str = "") -> Finding:
    if not tally.hours:
        return Finding(name=name, value=float("nan"), note=missing)
    return Finding(
        name=name,
        value=tally.false / tally.hours,
        baseline=tally.naive_false / tally.hours,
        note=f"{tally.false} on {tally.drives} drives, {tally.hours:.1f} h;"
        f" {tally.false_unmade} without added noise",
    )


def _own(days: int, seed: int) -> list[Finding]:
    """Measure the drives in tests/data/tracks: each is its own road."""
    tally = Tally()
    fine = _along_itself("munich", munich("001"), apart_m=15.0)
    tracks = runs()
    reference = _along_itself("liverpool", tracks[REFERENCE], apart_m=25.0)
    for draw in range(max(days // 20, 1)):
        tally.add_noisy(fine.every(5.0), seed + draw)
        tally.add_noisy(reference, seed + draw)
    whole = Tally()
    raw_m = float(np.hypot(*np.diff(fine.xy, axis=0).T).sum())
    whole.add_metres(fine, raw_m)
    found = [_false(OWN_FALSE, tally)]
    for step_s in STEPS_S:
        without, _, simple = whole.errors[step_s][0]
        found.append(
            Finding(
                name=f"{OWN_METRES} {step_s:g} s",
                value=abs(without),
                unit="%",
                baseline=abs(simple),
                note=f"one drive of {raw_m / 1000.0:.1f} km, against the sum of its steps at 1 Hz",
            )
        )
    return found


def _along_itself(name: str, track: Track, *, apart_m: float) -> Real:
    plane = Plane.around(track.lon_lat)
    xy = plane.to_xy(track.lon_lat)
    return Real(
        name=name,
        time_s=track.time_s,
        xy=xy,
        plane=plane,
        road=Road.through(spaced(xy, apart_m)),
    )
