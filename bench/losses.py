"""What the crash proof found, taken from the file of its last run: it is no part of the bench."""

import json
from pathlib import Path
from typing import Any, Final

from tests.proofs import FOLDER, Report, Row

FILE: Final = FOLDER / "crash.json"
FIGURE: Final = "acknowledged positions lost by kill -9"
TARGET: Final = "= 0"
LOST: Final = "lost"


def add(report: Report, file: Path = FILE) -> None:
    try:
        told: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        report.add(Row(figure=FIGURE, value="not known", target=TARGET, note="run make crash"))
        return
    rows = [row for row in told["rows"] if LOST in row["figure"] and row["target"] == TARGET]
    lost = sum(int(row["value"]) for row in rows)
    notes = {row["note"] for row in rows if row["note"]}
    run = (
        f"make crash of {told['started_at'][:10]}, size {told['size']},"
        f" commit {told['commit'][:12]}"
    )
    report.add(
        Row(
            figure=FIGURE,
            value=lost if rows else "not known",
            target=TARGET,
            # A short run shows that it runs, not that nothing is lost.
            met=lost == 0 if rows and told["size"] == "full" else None,
            note="; ".join((run, *sorted(notes))),
        )
    )
