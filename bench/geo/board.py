"""The rows of the scoreboard: what is measured where, and what was promised of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from bench.geo import arrivals, buses, costs, distance, progress, recorded, visits
from bench.geo.findings import Cell, Finding
from bench.page import NOT_MEASURED
from bench.targets import Target
from tests.proofs import Row

Measure: TypeAlias = Callable[[Cell, int, int], list[Finding]]
NO_CELL: Final = Cell(0.0, 0.0, "recorded")
SMOKE_DAYS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Something to measure: in which cells, and on how many days in each.

    ``measure(cell, days, seed)`` gives the figures of a cell, ``summary`` those of all cells.
    ``alone`` is what must not share the machine, as it takes the time.
    """

    measure: Measure
    cells: tuple[Cell, ...]
    days: int
    more: Mapping[Cell, int]
    summary: Callable[[list[Finding]], list[Finding]] | None = None
    alone: bool = False

    def days_of(self, cell: Cell) -> int:
        return self.more.get(cell, self.days)


SECTIONS: Final[Mapping[str, Section]] = {
    "costs": Section(
        measure=costs.measure, cells=costs.CELLS, days=costs.REPEATS, more={}, alone=True
    ),
    "visits": Section(
        measure=visits.measure,
        cells=visits.CELLS,
        days=60,
        # Promises stand on these: a few stops must not decide them.
        more={Cell(5.0, 10.0): 240, Cell(15.0, 10.0): 240, Cell(5.0, 20.0): 240},
        summary=visits.summary,
    ),
    "hard": Section(measure=visits.measure_hard, cells=visits.HARD_CELLS, days=40, more={}),
    "odometer": Section(
        measure=distance.measure,
        cells=distance.CELLS,
        days=24,
        more={Cell(5.0, 10.0): 200, Cell(30.0, 10.0): 200},
    ),
    "parked": Section(
        measure=distance.measure_parked,
        cells=distance.PARKED_CELLS,
        days=40,
        more={},
        summary=distance.summary,
    ),
    "progress": Section(
        measure=progress.measure,
        cells=progress.CELLS,
        days=30,
        more={Cell(5.0, 10.0): 120, Cell(60.0, 10.0): 240},
    ),
    "eta": Section(measure=arrivals.measure, cells=arrivals.CELLS, days=100, more={}),
    "buses": Section(measure=buses.measure, cells=(NO_CELL,), days=99, more={}),
    "recorded": Section(measure=recorded.measure, cells=(NO_CELL,), days=400, more={}),
}


class Goal(NamedTuple):
    """A limit for the size of a figure."""

    figure: str
    limit: float
    side: Literal["<=", ">="] = "<="


def _at(name: str, step_s: float, sigma_m: float) -> str:
    return f"{name}, {Cell(step_s, sigma_m)}"


GOALS: Final = {
    goal.figure: goal
    for goal in (
        Goal(_at(distance.BIAS, 5, 10), 0.5),
        Goal(_at(distance.BIAS_HEARD, 5, 10), 0.5),
        Goal(_at(distance.BIAS_ON_LINE, 30, 10), 2.0),
        Goal(_at(distance.BIAS, 30, 10), 3.0),
        Goal(distance.PARKED_WORST, 20.0),
        Goal(distance.PARKED_PLAIN, 20.0),
        Goal(_at(visits.F1, 5, 10), 0.95, ">="),
        Goal(visits.MEAN, 0.90, ">="),
        Goal(_at(visits.ARRIVAL, 15, 10), 5.0),
        Goal(_at(visits.ARRIVAL_P90, 15, 10), 20.0),
        Goal(_at(visits.DEPARTURE_P90, 5, 20), 30.0),
        Goal(_at(visits.MISSED_PRECISION, 15, 10), 0.99, ">="),
        Goal(_at(visits.MISSED_RECALL, 15, 10), 0.95, ">="),
        Goal(_at(visits.ORDER_PRECISION, 15, 10), 0.95, ">="),
        Goal(_at(visits.ORDER_RECALL, 15, 10), 0.95, ">="),
        Goal(_at(progress.WRONG, 5, 10), 0.3),
        Goal(_at(progress.WRONG, 60, 10), 2.0),
        Goal(recorded.FALSE_PER_HOUR, 0.1),
        Goal(recorded.FOUND, 97.0, ">="),
        Goal(f"{recorded.METRES} 5 s", 1.0),
        Goal(f"{recorded.METRES} 30 s", 3.0),
        Goal(_at(arrivals.ERROR, 15, 10), 650.0),
        Goal(buses.ERROR, 130.0),
        Goal(costs.CLEAN, 1.0),
        Goal(costs.STAYS, 5.0),
        Goal(costs.PROGRESS, 10.0),
        Goal(costs.REPORT, 0.1),
    )
}
TARGETS: Final = (
    Target(
        "5 s, sigma 10: bias of the odometer, with the silences / without them",
        "<= 0.5 % / <= 0.5 %",
        (_at(distance.BIAS, 5, 10), _at(distance.BIAS_HEARD, 5, 10)),
    ),
    Target(
        "30 s, sigma 10: bias of the odometer, with / without the planned line",
        "<= 2 % / <= 3 %",
        (_at(distance.BIAS_ON_LINE, 30, 10), _at(distance.BIAS, 30, 10)),
    ),
    Target(
        "parked 1 h, any step up to 60 s, any sigma up to 30: most metres, usual / plain noise",
        "<= 20 m / <= 20 m",
        (distance.PARKED_WORST, distance.PARKED_PLAIN),
    ),
    Target("visits, 5 s, sigma 10: F1", ">= 0.95", (_at(visits.F1, 5, 10),)),
    Target("visits, mean of 24 cells (1-120 s, sigma 5-30): F1", ">= 0.90", (visits.MEAN,)),
    Target(
        "arrival error p50 / p90, 15 s, sigma 10",
        "<= 5 s / <= 20 s",
        (_at(visits.ARRIVAL, 15, 10), _at(visits.ARRIVAL_P90, 15, 10)),
    ),
    Target("departure error p90, 5 s, sigma 20", "<= 30 s", (_at(visits.DEPARTURE_P90, 5, 20),)),
    Target(
        "missed stops, precision / recall, 15 s, sigma 10",
        ">= 0.99 / >= 0.95",
        (_at(visits.MISSED_PRECISION, 15, 10), _at(visits.MISSED_RECALL, 15, 10)),
    ),
    Target(
        "out of order, precision / recall, 15 s, sigma 10",
        ">= 0.95 / >= 0.95",
        (_at(visits.ORDER_PRECISION, 15, 10), _at(visits.ORDER_RECALL, 15, 10)),
    ),
    Target(
        "wrong pass on out-and-back, sigma 10, 5 s / 60 s",
        "<= 0.3 % / <= 2 %",
        (_at(progress.WRONG, 5, 10), _at(progress.WRONG, 60, 10)),
    ),
    Target(
        "real vehicle tracks + 20 m noise: false deviations an hour / detours found",
        "<= 0.1 / >= 97 %",
        (recorded.FALSE_PER_HOUR, recorded.FOUND),
    ),
    Target(
        "real vehicle tracks, mean error of metres at 5 / 30 s (promised of matched roads)",
        "<= 1.0 % / <= 3.0 %",
        (f"{recorded.METRES} 5 s", f"{recorded.METRES} 30 s"),
    ),
    Target(
        "ETA, mean error: generated days / Liverpool buses",
        "<= 650 s / <= 130 s",
        (_at(arrivals.ERROR, 15, 10), buses.ERROR),
    ),
    Target(
        "cost per fix at 5 s: clean / stays / progress",
        "<= 1 us / <= 5 us / <= 10 us",
        (costs.CLEAN, costs.STAYS, costs.PROGRESS),
    ),
    Target("whole report: 6.4 h at 5 s, 20 stops", "<= 0.1 s", (costs.REPORT,)),
)
"""Of docs/explanation/plan-fact-scoreboard.md."""


def row_of(found: Finding) -> Row:
    """Return the finding as a row, held against its goal if it has one."""
    goal = GOALS.get(found.figure)
    measured = bool(np.isfinite(found.value))
    met = None
    if goal is not None and measured:
        size = abs(found.value)
        met = bool(size <= goal.limit if goal.side == "<=" else size >= goal.limit)
    return Row(
        figure=found.figure,
        value=_short(found.value) if measured else NOT_MEASURED,
        unit=found.unit if measured else "",
        target=None if goal is None else f"{goal.side} {goal.limit:g}",
        met=met,
        baseline=None if found.baseline is None else _short(found.baseline),
        note=found.note,
    )


def _short(value: float) -> float | int | str:
    if not np.isfinite(value):
        return NOT_MEASURED
    return round(value) if abs(value) >= 1000.0 else float(f"{value:.3g}")  # noqa: PLR2004


def summaries(names: Sequence[str], findings: list[Finding]) -> list[Finding]:
    """Return what is told of all cells together."""
    return [
        one
        for name in names
        if (summary := SECTIONS[name].summary) is not None
        for one in summary(findings)
    ]
