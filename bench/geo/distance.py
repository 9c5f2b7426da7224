"""The odometer: metres of a driven day, and metres that a parked hour adds."""

from typing import Final

import numpy as np

from bench.geo import naive, stages
from bench.geo.days import plan
from bench.geo.driving import Drive, drive
from bench.geo.findings import GRID, SIGMAS_M, Cell, Finding, generator, mean
from bench.geo.phone import START_S, Seen, see
from bench.geo.roads import Road, city
from geo.report import PlanFact
from geo.types import Floats

BIAS: Final = "odometer, bias without a planned line"
BIAS_ON_LINE: Final = "odometer, bias with the planned line"
BIAS_HEARD: Final = "odometer, bias without a planned line, silences apart"
SPREAD: Final = "odometer, mean error without a planned line"
SPREAD_ON_LINE: Final = "odometer, mean error with the planned line"
PARKED: Final = "parked for 1 h, most metres counted"
PARKED_WORST: Final = "parked for 1 h, most metres counted in any cell"
PARKED_PLAIN: Final = f"{PARKED_WORST}, plain noise"

HARD: Final = ("multipath", "stuck", "overconfident", "silent", "clock")
CELLS: Final = (
    *GRID,
    *(Cell(step_s, 10.0, noise) for noise in HARD for step_s in (5.0, 30.0)),
)
PARKED_STEP_MAX_S: Final = 60.0
PARKED_GRIDS: Final = {PARKED_WORST: "usual", PARKED_PLAIN: "plain"}
"""Which noise the worst of all steps and sigmas is told of."""
PARKED_CELLS: Final = (
    *(
        Cell(step_s, sigma_m, noise)
        for noise in PARKED_GRIDS.values()
        for step_s in (1.0, 5.0, 15.0, 30.0, PARKED_STEP_MAX_S)
        for sigma_m in SIGMAS_M
    ),
    *(Cell(step_s, 10.0, noise) for noise in HARD for step_s in (5.0, 30.0)),
)
HOUR_S: Final = 3600.0
# A longer step is a silence: what was driven then nobody measured.
SILENCE_S: Final = 120.0
SILENCE_STEPS: Final = 2.5
HALTS: Final = 8
DWELL_S: Final = (120.0, 900.0)


def metres(found: PlanFact) -> float:
    """Return all that the report counts, across gaps as well."""
    return found.totals.actual_m + found.totals.gap_m


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Drive 8 halts on a road of 60 blocks, about 29 km."""
    rows = []
    for number in range(days):
        rng = generator(seed, "odometer", cell, number)
        road = city(rng, 60, (60.0, 900.0))
        halts_m = np.sort(rng.uniform(0.05, 0.98, HALTS)) * road.length_m
        driven = drive(rng, road, halts_m, rng.uniform(*DWELL_S, HALTS))
        seen = see(rng, cell.phone, road, driven)
        stops_xy = road.at(halts_m)
        without_line = stages.report(plan(stops_xy), seen)
        counted_m = (
            metres(without_line),
            metres(stages.report(plan(stops_xy, road=road), seen)),
            naive.haversine_m(seen.track),
            naive.traccar_m(seen.track),
            without_line.totals.actual_m / heard_share(cell, seen, road, driven),
        )
        rows.append(np.array(counted_m) / road.true_length_m - 1.0)
    return _findings(cell, 100.0 * np.array(rows))


def heard_share(cell: Cell, seen: Seen, road: Road, driven: Drive) -> float:
    """Return which share of the road was driven outside silences."""
    time_s = np.unique(seen.track.time_s) - START_S
    silent = np.diff(time_s) > max(SILENCE_S, SILENCE_STEPS * cell.step_s)
    return 1.0 - float(np.diff(driven.place_m(time_s))[silent].sum()) / road.length_m


def _findings(cell: Cell, errors: Floats) -> list[Finding]:
    """Tell the errors, ``(days, 5)`` per cent.

    They are: without and with the planned line, all steps, Traccar, and without silences.
    """
    bias, spread = errors.mean(axis=0), np.abs(errors).mean(axis=0)
    note = f"{len(errors)} days; all steps {bias[2]:+.1f} %, Traccar's filter {bias[3]:+.1f} %"
    return [
        Finding(name=BIAS, cell=cell, value=bias[0], unit="%", baseline=bias[2], note=note),
        Finding(name=BIAS_HEARD, cell=cell, value=bias[4], unit="%"),
        Finding(name=BIAS_ON_LINE, cell=cell, value=bias[1], unit="%", baseline=bias[2]),
        Finding(name=SPREAD, cell=cell, value=spread[0], unit="%", baseline=spread[3]),
        Finding(name=SPREAD_ON_LINE, cell=cell, value=spread[1], unit="%", baseline=spread[3]),
    ]


def parked(cell: Cell, seed: int, number: int) -> Seen:
    """Stand at one place for an hour."""
    road = Road.through(np.array([[0.0, 0.0], [1.0, 0.0]]))
    standing = Drive(
        time_s=np.array([0.0, HOUR_S]),
        along_m=np.zeros(2),
        arrived_s=np.zeros(1),
        departed_s=np.full(1, HOUR_S),
    )
    return see(generator(seed, "parked", cell, number), cell.phone, road, standing)


def measure_parked(cell: Cell, days: int, seed: int) -> list[Finding]:
    at_home = plan(np.zeros((1, 2)))
    ours, simple = [], []
    for number in range(days):
        seen = parked(cell, seed, number)
        ours.append(metres(stages.report(at_home, seen)))
        simple.append(naive.haversine_m(seen.track))
    note = f"{days} hours, on average {mean(ours):.1f} m"
    return [
        Finding(name=PARKED, cell=cell, value=max(ours), unit="m", baseline=max(simple), note=note)
    ]


def summary(findings: list[Finding]) -> list[Finding]:
    """Return the worst cell of usual and of plain noise, each if all of it was measured."""
    parked = {one.cell: one for one in findings if one.name == PARKED}
    summed = []
    for name, noise in PARKED_GRIDS.items():
        cells = [cell for cell in PARKED_CELLS if cell.noise == noise]
        if all(cell in parked for cell in cells):
            summed.append(_worst(name, [parked[cell] for cell in cells]))
    return summed


def _worst(name: str, parked: list[Finding]) -> Finding:
    worst = max(parked, key=lambda one: one.value)
    return Finding(
        name=name,
        value=worst.value,
        unit="m",
        baseline=worst.baseline,
        note=f"{worst.cell}, {worst.note}; of {len(parked)} cells up to {PARKED_STEP_MAX_S:g} s",
    )
