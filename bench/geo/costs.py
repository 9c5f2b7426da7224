"""What it costs: processor time per fix of the stages, and of the whole report of a day."""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from bench.geo import libraries, naive, stages
from bench.geo.days import plan
from bench.geo.driving import drive
from bench.geo.findings import Cell, Finding, generator
from bench.geo.phone import START_S, Seen, see
from bench.geo.roads import Road, city
from geo.values import Plan

CLEAN: Final = "cost per fix at 5 s, clean"
STAYS: Final = "cost per fix at 5 s, stays with smoothing"
PROGRESS: Final = "cost per fix at 5 s, progress and account"
REPORT: Final = "cost of the whole report, 6.4 h at 5 s"
LONG_REPORT: Final = "cost of the whole report, 100,000 fixes at 1 s"
CELLS: Final = (Cell(5.0, 8.0),)
STOPS: Final = 20
BLOCKS: Final = 200
REPEATS: Final = 15
HOURS_S: Final = 6.4 * 3600.0
LONG_FIXES: Final = 100_000


def day(seed: int, cell: Cell) -> tuple[Plan, Road, Seen]:
    """Draw a day of about 100 km and 20 stops that lasts 6.4 h."""
    rng = generator(seed, "costs", cell)
    road = city(rng, BLOCKS, (100.0, 900.0))
    halts_m = np.sort(rng.uniform(0.02, 0.98, STOPS)) * road.length_m
    way_s = drive(rng, road, halts_m, np.zeros(STOPS), lights=False).end_s
    dwell_s = rng.uniform(0.5, 1.5, STOPS) * max(HOURS_S - 1.15 * way_s, 3600.0) / STOPS
    driven = drive(rng, road, halts_m, dwell_s)
    seen = see(rng, cell.phone, road, driven)
    stops_xy = road.at(halts_m) + rng.normal(0.0, 8.0, (STOPS, 2))
    wanted = plan(stops_xy, service_s=dwell_s, planned_s=START_S + driven.arrived_s, road=road)
    return wanted, road, seen


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median processor time that some work takes, so that others matter less."""
    taken = []
    for _ in range(repeats):
        began_s = time.process_time()
        work()
        taken.append(time.process_time() - began_s)
    return float(np.median(taken))


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Time the stages one after the other; nothing else should run meanwhile."""
    repeats = min(days, REPEATS)
    wanted, road, seen = day(seed, cell)
    fixes = len(seen.track.time_s)
    believed = stages.cleaned(seen)
    driven = stages.stays_of(believed)
    vertices = len(road.xy)

    def per_fix(name: str, work: Callable[[], object], note: str) -> Finding:
        cost_us = seconds(work, repeats) / fixes * 1e6
        return Finding(name=name, value=cost_us, unit="us", note=note)

    found = [
        per_fix(CLEAN, lambda: stages.cleaned(seen), f"{fixes} fixes"),
        per_fix(STAYS, lambda: stages.stays_of(believed), "smoothed for places and for metres"),
        per_fix(PROGRESS, lambda: stages.places_along(driven, road), f"{vertices} vertices"),
        Finding(
            name=REPORT,
            value=seconds(lambda: stages.report(wanted, seen), repeats),
            unit="s",
            note=f"{fixes} fixes, {(seen.until_s - START_S) / 3600.0:.1f} h, {vertices} vertices,"
            f" {STOPS} stops, {road.length_m / 1000.0:.0f} km",
        ),
    ]
    return [*found, *_libraries(seen, repeats), *(_long(seed) if days >= REPEATS else ())]


def _libraries(seen: Seen, repeats: int) -> list[Finding]:
    """Time the stays of the libraries on the same fixes."""
    time_s, xy = naive.tidy(seen.track)
    found = []
    for name in (libraries.TRACKINTEL, libraries.MOVINGPANDAS):
        stays_of = libraries.STAYS.get(name)
        figure = f"cost per fix at 5 s, stays by {name}"
        if stays_of is None:
            found.append(Finding(name=figure, value=float("nan"), unit="us", note="not installed"))
            continue
        took_s = _timed(stays_of, libraries.frame(time_s, xy), repeats)
        found.append(Finding(name=figure, value=took_s / len(time_s) * 1e6, unit="us"))
    return found


def _timed(stays_of: Callable[[Any], object], fixes: Any, repeats: int) -> float:
    return seconds(lambda: stays_of(fixes), min(repeats, 3))


def _long(seed: int) -> list[Finding]:
    """Time a track of 100,000 fixes."""
    cell = Cell(1.0, 8.0)
    rng = generator(seed, "costs", "long")
    road = city(rng, 4 * BLOCKS, (100.0, 900.0))
    halts_m = np.sort(rng.uniform(0.02, 0.98, STOPS)) * road.length_m
    way_s = drive(rng, road, halts_m, np.zeros(STOPS), lights=False).end_s
    dwell_s = np.full(STOPS, max(LONG_FIXES - way_s, 3600.0) / STOPS)
    seen = see(rng, cell.phone, road, drive(rng, road, halts_m, dwell_s))
    took_s = seconds(lambda: stages.report(plan(road.at(halts_m), road=road), seen), 1)
    note = f"{len(seen.track.time_s)} fixes, {len(road.xy)} vertices"
    return [Finding(name=LONG_REPORT, value=took_s, unit="s", note=note)]
