"""Figures of many cells as tables: steps downwards, noise sideways."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from bench.geo.findings import SIGMAS_M, Cell, Finding

CELLS_MIN: Final = 12


def grids(findings: Sequence[Finding]) -> str:
    """Return a table for each figure that was measured in many cells of one noise."""
    return "\n\n".join(_grid(group) for group in _groups(findings))


def others(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that no grid shows."""
    shown = {one.figure for group in _groups(findings) for one in group.values()}
    return [one for one in findings if one.figure not in shown]


def _groups(findings: Sequence[Finding]) -> Iterator[dict[Cell, Finding]]:
    with_cell = [(one, one.cell) for one in findings if one.cell is not None]
    for name, noise in dict.fromkeys((one.name, cell.noise) for one, cell in with_cell):
        group = {cell: one for one, cell in with_cell if (one.name, cell.noise) == (name, noise)}
        if len(group) >= CELLS_MIN:
            yield group


def _grid(group: dict[Cell, Finding]) -> str:
    cell, first = next(iter(group.items()))
    unit = f", {first.unit}" if first.unit else ""
    noise = "" if cell.noise == "usual" else f", {cell.noise} noise"
    lines = [
        f"**{first.name}{unit}**{noise}",
        "",
        "| step | " + " | ".join(f"sigma {sigma_m:g}" for sigma_m in SIGMAS_M) + " |",
        "|---|" + "---|" * len(SIGMAS_M),
    ]
    for step_s in sorted({cell.step_s for cell in group}):
        row = [group.get(Cell(step_s, sigma_m, cell.noise)) for sigma_m in SIGMAS_M]
        lines.append(f"| {step_s:g} s | " + " | ".join(_value(one) for one in row) + " |")
    return "\n".join(lines)


def _value(found: Finding | None) -> str:
    if found is None or not np.isfinite(found.value):
        return ""
    simple = found.baseline
    beside = "" if simple is None or not np.isfinite(simple) else f" ({_short(simple)})"
    return f"{_short(found.value)}{beside}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"  # noqa: PLR2004
