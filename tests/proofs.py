"""What a proof or a bench says: a Markdown table, and var/proofs/<name>.json."""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "var" / "proofs"
PROGRESS_EVERY_S: Final = 5.0

Size: TypeAlias = Literal["smoke", "full"]
Value: TypeAlias = float | int | str


def size() -> Size:
    """Return how large the environment asks this to be (SIZE, default full)."""
    asked = os.environ.get("SIZE") or "full"
    if asked not in ("smoke", "full"):
        sys.exit("SIZE must be smoke or full.")
    return "smoke" if asked == "smoke" else "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. ``met`` is None where no target is set."""

    figure: str
    value: Value
    unit: str = ""
    target: str | None = None
    met: bool | None = None
    baseline: Value | None = None
    control: Value | None = None
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """The figures of one run, in the order they came."""

    name: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows: list[Row] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    def add(self, row: Row) -> None:
        self.rows.append(row)

    @property
    def unmet(self) -> list[Row]:
        return [row for row in self.rows if row.met is False]

    def publish(self, folder: Path = FOLDER) -> Path:
        """Print the table and write the file; return its path."""
        seconds = time.monotonic() - self._began_s
        sys.stdout.write(f"\n{markdown(self.rows)}\n\n")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        told = {
            "name": self.name,
            "commit": _commit(),
            "machine": _machine(),
            "started_at": self.started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "seconds": round(seconds, 1),
            "size": size(),
            "rows": [asdict(row) for row in self.rows],
        }
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}\n")
        return path


def ended(report: Report, folder: Path = FOLDER) -> int:
    """Publish what a proof found; return the status its process ends with."""
    report.publish(folder)
    return 1 if report.unmet else 0


def at_most(figure: str, value: float, limit: float, *, unit: str = "", note: str = "") -> Row:
    return Row(
        figure=figure,
        value=_short(value),
        unit=unit,
        target=f"<= {limit:g}",
        met=value <= limit,
        note=note,
    )


def at_least(
    figure: str,
    value: float,
    limit: float,
    *,
    unit: str = "",
    baseline: float | None = None,
    note: str = "",
) -> Row:
    return Row(
        figure=figure,
        value=_short(value),
        unit=unit,
        target=f">= {limit:g}",
        met=value >= limit,
        baseline=None if baseline is None else _short(baseline),
        note=note,
    )


def markdown(rows: list[Row]) -> str:
    """Return the rows as a table whose columns stand under each other."""
    head = ("figure", "value", "unit", "target", "met", "baseline", "control", "note")
    cells = [head, *(tuple(_cell(getattr(row, name)) for name in head) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join((lines[0], rule, *lines[1:]))


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case True:
            return "yes"
        case False:
            return "NO"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _short(value: float) -> float | int:
    """Return three digits that mean something, or the whole number."""
    if isinstance(value, int) or value == 0:
        return value
    return round(value) if abs(value) >= 1000 else float(f"{value:.3g}")


class Progress:
    """Says now and then, on standard error, how far a long run is."""

    def __init__(self, what: str, whole: int) -> None:
        self._what = what
        self._whole = whole
        self._done = 0
        self._began_s = self._said_s = time.monotonic()

    def step(self) -> None:
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._said_s >= PROGRESS_EVERY_S or self._done == self._whole:
            self._said_s = now_s
            took_s = now_s - self._began_s
            sys.stderr.write(f"{self._what}: {self._done}/{self._whole}, {took_s:.0f} s\n")


def _commit() -> str:
    """Return the commit, with a + where files differ from it; unknown outside a clone."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip()


def _machine() -> str:
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores of {_processor()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.machine()
