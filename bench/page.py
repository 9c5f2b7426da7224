"""The figures in docs/explanation/performance.md: each between two comments, the rest by hand."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.targets import Target
from tests.proofs import ROOT, Row

PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
NOT_MEASURED: Final = "not measured"
COMMIT_SHOWN: Final = 12
MET: Final = {True: "yes", False: "**no**", None: ""}


def rewrite(section: str, text: str, page: Path = PAGE) -> None:
    """Put the text between the section's two comments."""
    begin, end = _marks(section)
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no place for the figures of {section}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def section_of(section: str, page: Path = PAGE) -> str:
    """Return what stands between the section's two comments."""
    begin, end = _marks(section)
    return page.read_text("utf-8").partition(begin)[2].partition(end)[0]


def _marks(section: str) -> tuple[str, str]:
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def written(published: Path, targets: Sequence[Target], rows: Sequence[Row]) -> str:
    """Return what a page says of a run: its targets first, then every figure."""
    head = measured_on(published)
    return "\n\n".join((head, target_table(targets, rows), "All figures:", figure_table(rows)))


def measured_on(published: Path) -> str:
    """Return the sentence that says when a run was, of what, and on which machine."""
    told: dict[str, Any] = json.loads(published.read_text("utf-8"))
    return (
        f"Measured on {told['started_at'][:10]} in {told['seconds'] / 60:.0f} min at commit"
        f" {_commit(told['commit'])}, size {told['size']}: {told['machine']}."
    )


def _commit(told: str) -> str:
    """Return the commit in short, and whether files differed from it: then it is not what ran."""
    short = f"`{told.removesuffix('+')[:COMMIT_SHOWN]}`"
    return f"{short} with changes" if told.endswith("+") else short


def target_table(targets: Sequence[Target], rows: Iterable[Row]) -> str:
    by_name = {row.figure: row for row in rows}
    lines = []
    for target in targets:
        found = [by_name.get(figure) for figure in target.figures]
        lines.append(
            (
                target.name,
                target.target,
                " / ".join(_measured(row) for row in found),
                " / ".join(_baseline(row) for row in found).strip(" /"),
                " / ".join("" if row is None else MET[row.met] for row in found).strip(" /"),
            )
        )
    return _table(("figure", "target", "measured", "baseline", "met"), lines)


def figure_table(rows: Iterable[Row]) -> str:
    lines = [
        (row.figure, _measured(row), _baseline(row), row.target or "", MET[row.met], row.note)
        for row in rows
    ]
    return _table(("figure", "measured", "baseline", "target", "met", "note"), lines)


def _measured(row: Row | None) -> str:
    return NOT_MEASURED if row is None else _value(row.value, row.unit)


def _baseline(row: Row | None) -> str:
    return "" if row is None or row.baseline is None else _value(row.baseline, row.unit)


def _value(value: float | str, unit: str) -> str:
    said = value if isinstance(value, str) else f"{value:,.10g}"
    return said if not unit else f"{said}{'' if unit in ('x', '%') else ' '}{unit}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|" + "---|" * len(head)
    return "\n".join((_line(head), rule, *(_line(line) for line in lines)))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
