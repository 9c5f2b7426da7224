"""The scoreboard of plan versus fact in one run: every row, each cell, each beside its baseline.

``python -m bench.geo`` measures everything on fixed seeds, in two processes, and in full size
writes docs/explanation/plan-fact-scoreboard.md. ``--row visits --cell 5,10,multipath`` measures
one thing in seconds, ``--days`` draws fewer or more days. ``--fresh`` draws days that
nobody has seen and leaves the page alone. ``SIZE=smoke`` is a run of seconds that means nothing.
"""

import argparse
import secrets
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, NamedTuple

from bench.geo.board import SECTIONS, SMOKE_DAYS, TARGETS, row_of, summaries
from bench.geo.findings import Cell, Finding
from bench.geo.grids import grids, others
from bench.page import figure_table, measured_on, rewrite, target_table
from tests.proofs import FOLDER, ROOT, Progress, Report, Row, Size, size

NAME: Final = "geo"
PAGE: Final = ROOT / "docs" / "explanation" / "plan-fact-scoreboard.md"
SEED: Final = 2026
PROCESSES: Final = 2


class Task(NamedTuple):
    """One cell of one section."""

    section: str
    cell: Cell
    days: int
    seed: int

    @property
    def weight(self) -> float:
        """About how long it takes: fixes are what costs."""
        return self.days / max(self.cell.step_s, 1.0)


class Asked(NamedTuple):
    """What to measure; ``None`` = everything, as many days as the full size has."""

    sections: Sequence[str] = tuple(SECTIONS)
    cells: Sequence[Cell] | None = None
    days: int | None = None
    seed: int = SEED


def tasks(asked: Asked) -> list[Task]:
    found = []
    for name in asked.sections:
        section = SECTIONS[name]
        for cell in section.cells if asked.cells is None else asked.cells:
            days = section.days_of(cell) if asked.days is None else asked.days
            found.append(Task(name, cell, days, asked.seed))
    return found


def run(task: Task) -> list[Finding]:
    return SECTIONS[task.section].measure(task.cell, task.days, task.seed)


def measure(asked: Asked, *, processes: int = PROCESSES) -> list[Finding]:
    """Measure all tasks, the slow ones first, and return the findings in the order of the board."""
    wanted = tasks(asked)
    progress = Progress(NAME, len(wanted))
    done: dict[Task, list[Finding]] = {}
    alone = [task for task in wanted if SECTIONS[task.section].alone]
    together = sorted((one for one in wanted if one not in alone), key=lambda one: -one.weight)
    for task in alone:
        done[task] = run(task)
        progress.step()
    for task, found in _each(together, processes):
        done[task] = found
        progress.step()
    findings = [one for task in wanted for one in done[task]]
    return [*findings, *summaries(asked.sections, findings)]


def _each(together: list[Task], processes: int) -> Iterator[tuple[Task, list[Finding]]]:
    if processes == 1 or len(together) == 1:
        for task in together:
            yield task, run(task)
        return
    with ProcessPoolExecutor(processes) as pool:
        of = {pool.submit(run, task): task for task in together}
        for future in as_completed(of):
            yield of[future], future.result()


def written(head: str, findings: list[Finding], rows: list[Row]) -> str:
    """Return what the page says of a run: the targets, the grids, and all that no grid shows."""
    rest = [row_of(one) for one in others(findings)]
    return "\n\n".join(
        (head, target_table(TARGETS, rows), "### Cells", grids(findings), "### All other figures",
         figure_table(rest))
    )  # fmt: skip


def asked_for(words: argparse.Namespace, of: Size) -> Asked:
    cells = [Cell.read(text) for text in words.cell] if words.cell else None
    days = words.days if words.days is not None else SMOKE_DAYS if of == "smoke" else None
    return Asked(
        sections=tuple(words.row) if words.row else tuple(SECTIONS),
        cells=cells,
        days=days,
        seed=words.seed,
    )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.geo", description=__doc__)
    parser.add_argument("--row", action="append", choices=tuple(SECTIONS), help="only this")
    parser.add_argument("--cell", action="append", metavar="STEP,SIGMA[,NOISE]", help="only here")
    parser.add_argument("--days", type=int, help="days to draw in each cell")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--fresh", action="store_true", help="days that nobody has seen")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    words = parser.parse_args(arguments)
    if words.fresh:
        words.seed = secrets.randbelow(2**31)
    return words


def main() -> int:
    words = parsed()
    of = size()
    asked = asked_for(words, of)
    whole = not (words.row or words.cell or words.days is not None)
    known = whole and of == "full" and asked.seed == SEED
    parts = (NAME, "fresh" if words.fresh else "", *(words.row or ()))
    report = Report(name="-".join(part for part in parts if part))
    print(f"seed {asked.seed}")
    findings = measure(asked, processes=words.processes)
    report.rows.extend(row_of(one) for one in findings)
    published = report.publish(FOLDER)
    for row in report.unmet:
        print(f"Falls short: {row.figure}: {row.value} {row.unit} (target {row.target})")
    if known:
        rewrite(NAME, written(measured_on(published), findings, report.rows), PAGE)
    return 0  # how well the methods do proves nothing wrong


if __name__ == "__main__":
    sys.exit(main())
