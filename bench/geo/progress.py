"""Progress along an out-and-back plan, a spur left out and a way round."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import shapely

from bench.geo import naive, stages
from bench.geo.days import plan
from bench.geo.driving import Drive, drive
from bench.geo.findings import SIGMAS_M, Cell, Finding, Hits, generator
from bench.geo.phone import START_S, Seen, see
from bench.geo.roads import PLANE, Road, city, way_round
from geo.report import Deviation
from geo.types import Flags, Floats
from geo.values import Plan

WRONG: Final = "progress, fixes on the wrong pass"
OFF: Final = "progress, fixes on the plan taken to be off it"
FALSE_PER_HOUR: Final = "deviations on generated days, false ones an hour"
FOUND: Final = "deviations on generated days, ways round found"
SKIPPED: Final = "deviations on generated days, left-out spurs found"

CELLS: Final = (
    *(Cell(step_s, sigma_m) for step_s in (1.0, 5.0, 15.0, 30.0, 60.0) for sigma_m in SIGMAS_M),
    *(
        Cell(step_s, 10.0, noise)
        for noise in ("multipath", "stuck", "overconfident", "silent", "clock")
        for step_s in (5.0, 60.0)
    ),
)
WRONG_M: Final = 150.0
FORK_M: Final = 50.0
CORRIDOR_M: Final = 50.0
HALTS: Final = 3
BLOCK_M: Final = (100.0, 600.0)
AWAY_M: Final = (150.0, 500.0)
# A way round may cross the plan again and again; then it hardly leaves the corridor.
AWAY_MIN_S: Final = 30.0
HOUR_S: Final = 3600.0
SPUR_MIN_M: Final = 200.0
SAME_PLACE_M: Final = 5.0
SPUR: Final = "spur"
ROUND: Final = "way round"
NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A planned road and another one that was driven.

    Attributes
    ----------
    spur_m
        Begin and end of the spur along the planned road; it was left out.
    round_m
        Begin and end of the part the way round replaced, along the main road.
    longer_m
        By how much the way round is longer.
    """

    plan: Plan
    planned: Road
    road: Road
    drive: Drive
    seen: Seen
    spur_m: tuple[float, float]
    round_m: tuple[float, float]
    longer_m: float

    def planned_m(self, time_s: Floats) -> Floats:
        """Return where along the plan the vehicle was, ``(n,)``; NaN on the way round."""
        along_m = self.drive.place_m(time_s - START_S)
        begin_m, end_m = self.round_m
        on_main_m = np.where(along_m <= begin_m, along_m, along_m - self.longer_m)
        on_main_m[(along_m > begin_m) & (along_m < end_m + self.longer_m)] = np.nan
        skipped_m = self.spur_m[1] - self.spur_m[0]
        return np.where(on_main_m > self.spur_m[0], on_main_m + skipped_m, on_main_m)

    def off_m(self, time_s: Floats, along_m: Floats) -> Floats:
        """Return how far along the plan said places are from the vehicle's, ``(n,)``.

        Near the fork its two passes, before and after the spur, are one place: both are right.
        """
        true_m = self.planned_m(time_s)
        before_m, after_m = self.spur_m
        off_m = np.abs(along_m - true_m)
        for fork_m, other_m in ((before_m, after_m), (after_m, before_m)):
            near = np.abs(true_m - fork_m) <= FORK_M
            other = np.abs(along_m - (true_m - fork_m + other_m))
            off_m = np.where(near, np.fmin(off_m, other), off_m)
        return np.asarray(off_m)

    @property
    def replaced_m(self) -> tuple[float, float]:
        """Begin and end, along the planned road, of what the way round replaced."""
        begin_m, end_m = self.round_m
        skipped_m = self.spur_m[1] - self.spur_m[0]
        return begin_m + skipped_m, end_m + skipped_m

    def away(self, time_s: Floats) -> Flags:
        """Flag the times at which the vehicle was out of the corridor, ``(n,)``."""
        xy = self.road.at(self.drive.place_m(time_s - START_S))
        away_m = shapely.distance(shapely.points(xy), shapely.linestrings(self.planned.xy))
        return np.isnan(self.planned_m(time_s)) & (away_m > CORRIDOR_M)


def draw(rng: np.random.Generator, cell: Cell) -> Day:
    """Plan a road there and back with a spur; leave the spur out and drive a way round."""
    there = city(rng, 14, BLOCK_M)
    half = len(there.xy) // 2
    spur = city(rng, 5, (80.0, 400.0)).turned(rng.uniform(0.0, 2.0 * np.pi)).xy + there.xy[half]
    planned = Road.through(
        np.concatenate(
            [there.xy[: half + 1], spur[1:], spur[-2::-1], there.xy[half + 1 :], there.xy[-2::-1]]
        )
    )
    main = there.there_and_back()
    fork_m = float(there.along_m[half])
    rest_m = there.length_m - fork_m
    begin_m = fork_m + 0.15 * rest_m
    end_m = begin_m + min(0.6 * rest_m, rng.uniform(400.0, 1500.0))
    away_m = rng.uniform(*AWAY_M) * rng.choice([-1.0, 1.0])
    road = way_round(main, begin_m, end_m, away_m=float(away_m))
    halts_m = np.sort(rng.uniform(0.05, 0.95, HALTS)) * road.length_m
    driven = drive(rng, road, halts_m, rng.uniform(60.0, 300.0, HALTS))
    spur_m = 2.0 * Road.through(spur).length_m
    return Day(
        plan=plan(planned.xy[-1:], road=planned),
        planned=planned,
        road=road,
        drive=driven,
        seen=see(rng, cell.phone, road, driven),
        spur_m=(fork_m, fork_m + spur_m),
        round_m=(begin_m, end_m),
        longer_m=road.length_m - main.length_m,
    )


@dataclass(slots=True)
class Tally:
    fixes: int = 0
    placed: int = 0
    wrong: int = 0
    naive_fixes: int = 0
    naive_wrong: int = 0
    false: Counter[str] = field(default_factory=Counter)
    hours: float = 0.0
    rounds: Hits = field(default_factory=Hits)
    spurs: Hits = field(default_factory=Hits)

    def add(self, day: Day) -> None:
        self._add_places(day)
        found = stages.report(day.plan, day.seen).deviations
        self.hours += day.drive.end_s / HOUR_S
        away = [_overlaps(one, day) for one in found if one.kind == "off_corridor"]
        skipped = [_skips(one, day) for one in found if one.kind == "skipped_segment"]
        times_s = np.arange(START_S, day.seen.until_s)
        if np.count_nonzero(day.away(times_s)) >= AWAY_MIN_S:
            self.rounds.add(Hits(int(any(away)), 0, int(not any(away))))
        self.false["off_corridor"] += away.count(False)
        self.false["skipped_segment"] += skipped.count(NOTHING)
        for one in found:
            # Nobody drove against the plan or in another order.
            self.false[one.kind] += int(one.kind in ("off_sequence", "reverse"))
        if day.spur_m[1] - day.spur_m[0] >= 2.0 * SPUR_MIN_M:
            told = SPUR in skipped
            self.spurs.add(Hits(int(told), 0, int(not told)))

    def _add_places(self, day: Day) -> None:
        places = stages.places_along(stages.stays_of(stages.cleaned(day.seen)), day.planned)
        known = np.isfinite(day.planned_m(places.time_s))
        off_m = day.off_m(places.time_s, places.along_m)[known]
        self.fixes += len(off_m)
        self.placed += int(np.count_nonzero(np.isfinite(off_m)))
        self.wrong += int(np.count_nonzero(off_m > WRONG_M))
        time_s, xy = naive.filtered(day.seen.track)
        naive_off_m = day.off_m(time_s, naive.nearest_point_m(day.planned, xy))
        self.naive_fixes += int(np.count_nonzero(np.isfinite(naive_off_m)))
        self.naive_wrong += int(np.count_nonzero(naive_off_m > WRONG_M))


def _overlaps(deviation: Deviation, day: Day) -> bool:
    """Return whether the vehicle was out of the corridor meanwhile."""
    times_s = np.arange(deviation.from_s, deviation.to_s + 1.0)
    return bool(day.away(times_s).any())


def _skips(deviation: Deviation, day: Day) -> str:
    """Return which part of the plan was left out where the deviation says so."""
    middle = deviation.lon_lat[[len(deviation.lon_lat) // 2]]
    point = shapely.points(PLANE.to_xy(middle))
    # Both end where the main road goes on: the middle of what was skipped is well inside.
    for part, (begin_m, end_m) in ((SPUR, day.spur_m), (ROUND, day.replaced_m)):
        line = shapely.linestrings(day.planned.at(np.arange(begin_m, end_m)))
        if (shapely.distance(point, line) <= SAME_PLACE_M).all():
            return part
    return NOTHING


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    tally = Tally()
    for number in range(days):
        tally.add(draw(generator(seed, "progress", cell, number), cell))
    told = ", ".join(f"{count} {kind}" for kind, count in tally.false.items() if count)
    return [
        Finding(
            name=WRONG,
            cell=cell,
            value=100.0 * tally.wrong / tally.fixes,
            unit="%",
            baseline=100.0 * tally.naive_wrong / tally.naive_fixes,
            note=f"{days} days, {tally.fixes} fixes",
        ),
        Finding(
            name=OFF,
            cell=cell,
            value=100.0 * (tally.fixes - tally.placed) / tally.fixes,
            unit="%",
            note="not among the wrong ones",
        ),
        Finding(
            name=FALSE_PER_HOUR,
            cell=cell,
            value=tally.false.total() / tally.hours,
            note=f"{tally.hours:.0f} h; {told or 'none'}",
        ),
        Finding(
            name=FOUND,
            cell=cell,
            value=100.0 * tally.rounds.recall,
            unit="%",
            note=f"of {tally.rounds.right + tally.rounds.overlooked}",
        ),
        Finding(
            name=SKIPPED,
            cell=cell,
            value=100.0 * tally.spurs.recall,
            unit="%",
            note=f"of {tally.spurs.right + tally.spurs.overlooked}",
        ),
    ]
