"""Visits: which stops were served, when, which were missed, which out of order."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from bench.geo import libraries, naive, stages
from bench.geo.days import RECIPES, Day, delivery_day
from bench.geo.findings import GRID, Cell, Finding, Hits, generator, mean, percentile
from geo.report import StopFact
from geo.types import Flags, Floats

F1: Final = "visits, F1"
ARRIVAL: Final = "arrival, error p50"
ARRIVAL_P90: Final = "arrival, error p90"
DEPARTURE_P90: Final = "departure, error p90"
MISSED_PRECISION: Final = "missed stops, precision"
MISSED_RECALL: Final = "missed stops, recall"
MISSED_OTHERWISE: Final = "missed stops, recall, where others end the shift"
MISSED_PARKED: Final = "missed stops, recall, where the phone was silent for 10 min before"
PARKED_S: Final = 600.0
ORDER_PRECISION: Final = "out of order, precision"
ORDER_RECALL: Final = "out of order, recall"
MEAN: Final = "visits, F1, mean of 24 cells"
NAIVE_FOR_TIMES: Final = "2 min in a geofence of 100 m"

HARD_FIGURES: Final = (F1, MISSED_PRECISION, MISSED_RECALL, ORDER_PRECISION, ORDER_RECALL)
HARD: Final = ("plain", "multipath", "stuck", "overconfident", "silent", "clock")
CELLS: Final = (
    *GRID,
    *(Cell(step_s, 10.0, noise) for noise in HARD for step_s in (5.0, 15.0, 60.0)),
)
OTHERWISE_CELL: Final = Cell(15.0, 10.0)
HARD_CELLS: Final = (Cell(5.0, 10.0), Cell(15.0, 10.0), Cell(60.0, 10.0))
# An arrival further off than this belongs to another visit.
TOLERANCE_S: Final = 120.0
TOLERANCE_STEPS: Final = 1.5


@dataclass(slots=True)
class Tally:
    """What one method found on all days of a cell."""

    visits: Hits = field(default_factory=Hits)
    arrival_s: list[float] = field(default_factory=list)
    departure_s: list[float] = field(default_factory=list)

    def add(self, day: Day, found: Floats, step_s: float) -> None:
        """Compare found visits, ``(m, 2)``, with the truth."""
        tolerance_s = max(TOLERANCE_S, TOLERANCE_STEPS * step_s)
        truth = np.column_stack([day.arrived_s, day.departed_s])
        for (from_s, to_s), (arrived_s, departed_s) in zip(found, truth, strict=True):
            seen, served = not np.isnan(from_s), not np.isnan(arrived_s)
            # Where the recording began or ended at a stop, its arrival or departure is not known.
            off_s = from_s - arrived_s if np.isfinite(from_s) else to_s - departed_s
            overlaps = from_s < departed_s and to_s > arrived_s
            right = bool(seen and served and overlaps and abs(off_s) <= tolerance_s)
            self.visits.add(Hits(int(right), int(seen and not right), int(served and not right)))
            if right and np.isfinite(from_s):
                self.arrival_s.append(abs(from_s - arrived_s))
            if right and np.isfinite(to_s):
                self.departure_s.append(abs(to_s - departed_s))


@dataclass(slots=True)
class Tallies:
    """What all methods found."""

    ours: Tally = field(default_factory=Tally)
    missed: Hits = field(default_factory=Hits)
    undecided: int = 0
    out_of_order: Hits = field(default_factory=Hits)
    others: dict[str, Tally] = field(default_factory=dict)

    def add(self, day: Day, cell: Cell, others: naive.Methods) -> None:
        stops = stages.report(day.plan, day.seen).stops
        self.ours.add(day, visits_of(stops), cell.step_s)
        gone = np.isnan(day.arrived_s)
        self.missed.add(_missed(day, stops))
        undecided = np.array([stop.status in ("unknown", "pending") for stop in stops])
        self.undecided += int(np.count_nonzero(undecided & gone))
        self.out_of_order.add(_hits(_displaced(_sequence(stops)), _displaced(day.arrived_s)))
        time_s, xy = naive.filtered(day.seen.track)
        for name, method in others.items():
            found = method(day.plan, time_s, xy)
            self.others.setdefault(name, Tally()).add(day, found, cell.step_s)


def visits_of(stops: Iterable[StopFact]) -> Floats:
    """Return when each stop was visited, ``(m, 2)``; infinite = not known, NaN = not visited."""
    rows = []
    for stop in stops:
        arrived_s = -np.inf if stop.arrived_s is None else stop.arrived_s
        departed_s = np.inf if stop.departed_s is None else stop.departed_s
        visited = stop.status == "visited"
        rows.append((arrived_s, departed_s) if visited else (np.nan, np.nan))
    return np.array(rows)


def _missed(day: Day, stops: Iterable[StopFact]) -> Hits:
    said = np.array([stop.status == "missed" for stop in stops])
    return _hits(said, np.isnan(day.arrived_s))


def _hits(said: Flags, true: Flags) -> Hits:
    return Hits(
        int(np.count_nonzero(said & true)),
        int(np.count_nonzero(said & ~true)),
        int(np.count_nonzero(~said & true)),
    )


def _sequence(stops: Iterable[StopFact]) -> Floats:
    """Return the place of each stop in the driven order, NaN = not visited."""
    return np.array(
        [np.nan if stop.actual_sequence is None else stop.actual_sequence for stop in stops]
    )


def _displaced(key: Floats) -> Flags:
    """Flag the stops outside a longest run that was driven in the planned order."""
    served = np.flatnonzero(np.isfinite(key))
    driven = served[np.argsort(key[served], kind="stable")]
    tails: list[int] = []
    last: list[int] = []
    before: dict[int, int | None] = {}
    for stop in driven.tolist():
        at = bisect_left(tails, stop)
        tails[at : at + 1] = [stop]
        last[at : at + 1] = [stop]
        before[stop] = last[at - 1] if at else None
    displaced = np.isfinite(key)
    stop = last[-1] if last else None
    while stop is not None:
        displaced[stop] = False
        stop = before[stop]
    return displaced


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Draw days and compare every method with the truth."""
    tallies = _tallied(cell, days, seed, naive.VISITS)
    beside = _beside_libraries(days, seed) if cell == libraries.CELL else []
    otherwise = _ended_otherwise(days, seed) if cell == OTHERWISE_CELL else []
    return [*_findings(cell, days, tallies), *otherwise, *beside]


def _tallied(cell: Cell, days: int, seed: int, others: naive.Methods) -> Tallies:
    tallies = Tallies()
    for number in range(days):
        rng = generator(seed, "visits", cell, number)
        tallies.add(delivery_day(rng, cell.phone), cell, others)
    return tallies


def _ended_otherwise(days: int, seed: int) -> list[Finding]:
    """Look at the same days as if not the driver had ended the shift, or a silent phone in hand."""
    otherwise, parked = Hits(), Hits()
    for number in range(days):
        rng = generator(seed, "visits", OTHERWISE_CELL, number)
        day = delivery_day(rng, OTHERWISE_CELL.phone)
        by_others = stages.report(day.plan, day.seen, ended_by_driver=False)
        otherwise.add(_missed(day, by_others.stops))
        silent = stages.report(day.plan, day.seen, parked_s=PARKED_S)
        parked.add(_missed(day, silent.stops))
    return [
        Finding(
            name=name,
            cell=OTHERWISE_CELL,
            value=hits.recall,
            note=f"of {hits.right + hits.overlooked}; {_precision(hits)}",
        )
        for name, hits in ((MISSED_OTHERWISE, otherwise), (MISSED_PARKED, parked))
    ]


def _precision(hits: Hits) -> str:
    return "none is said" if np.isnan(hits.precision) else f"precision {hits.precision:.3f}"


def _beside_libraries(days: int, seed: int) -> list[Finding]:
    """Compare with the libraries on the first days, all methods on the same ones."""
    days = min(days, libraries.DAYS)
    tallies = _tallied(libraries.CELL, days, seed, libraries.VISITS)
    return [
        Finding(
            name=f"{F1}, beside {name}",
            cell=libraries.CELL,
            value=tallies.ours.visits.f1 if name in tallies.others else float("nan"),
            baseline=tallies.others[name].visits.f1 if name in tallies.others else None,
            note=f"the first {days} days" if name in tallies.others else "not installed",
        )
        for name in (libraries.TRACKINTEL, libraries.MOVINGPANDAS)
    ]


def measure_hard(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Draw days of each recipe: what is special about them is on all of them."""
    findings = []
    for name, recipe in RECIPES.items():
        tallies = Tallies()
        for number in range(days):
            rng = generator(seed, "hard", name, cell, number)
            tallies.add(delivery_day(rng, cell.phone, recipe), cell, naive.VISITS)
        findings += [
            replace(one, name=f"{one.name}, {name}")
            for one in _findings(cell, days, tallies)
            if one.name in HARD_FIGURES
        ]
    return findings


def _findings(cell: Cell, days: int, tallies: Tallies) -> list[Finding]:
    ours, missed, order = tallies.ours, tallies.missed, tallies.out_of_order
    naive_times = tallies.others[NAIVE_FOR_TIMES]
    others = {name: tally.visits.f1 for name, tally in tallies.others.items()}
    told = "; ".join(f"{name} {value:.2f}" for name, value in others.items())
    hits = ours.visits
    stops = hits.right + hits.overlooked
    note = (
        f"{days} days, {stops} visits; precision {hits.precision:.3f},"
        f" recall {hits.recall:.3f}; {told}"
    )
    rows = (
        (F1, hits.f1, "", max(others.values()), note),
        (ARRIVAL, percentile(ours.arrival_s, 50), "s", percentile(naive_times.arrival_s, 50),
         f"of {len(ours.arrival_s)} visits found; of the baseline {len(naive_times.arrival_s)}"),
        (ARRIVAL_P90, percentile(ours.arrival_s, 90), "s", percentile(naive_times.arrival_s, 90),
         ""),
        (DEPARTURE_P90, percentile(ours.departure_s, 90), "s",
         percentile(naive_times.departure_s, 90), ""),
        (MISSED_PRECISION, missed.precision, "", None, f"{missed.right + missed.wrong} said"),
        (MISSED_RECALL, missed.recall, "", None,
         f"of {missed.right + missed.overlooked}, {tallies.undecided} said to be unknown"),
        (ORDER_PRECISION, order.precision, "", None, f"{order.right + order.wrong} said"),
        (ORDER_RECALL, order.recall, "", None, f"of {order.right + order.overlooked}"),
    )  # fmt: skip
    return [
        Finding(name=name, cell=cell, value=value, unit=unit, baseline=baseline, note=note)
        for name, value, unit, baseline, note in rows
    ]


def summary(findings: list[Finding]) -> list[Finding]:
    """Return the mean over the grid, if all of it was measured."""
    of_grid = [one for one in findings if one.name == F1 and one.cell in GRID]
    if len(of_grid) < len(GRID):
        return []
    worst = min(of_grid, key=lambda one: one.value)
    return [
        Finding(
            name=MEAN,
            value=mean(one.value for one in of_grid),
            baseline=mean(one.baseline or 0.0 for one in of_grid),
            note=f"least {worst.value:.3f} ({worst.cell}); baseline is the best naive of each cell",
        )
    ]
