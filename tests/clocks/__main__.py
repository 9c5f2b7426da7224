"""Prints every clock: ``python -m tests.clocks``."""

import sys

from tests.clocks.table import NO_CLOCK, ROWS
from tests.clocks.walk import Row


def line(row: Row) -> str:
    told = ", ".join(sorted(row.told)) or "nobody"
    by = row.job or "whoever uses it"
    how = "tests.clocks" if row.proved is None else row.proved
    return f"| {row.clock} | {row.date} | {row.done} | {told} | {by} | {how} |"


if __name__ == "__main__":
    out = [
        "| clock | strikes | then | told | by | driven by |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(line, ROWS),
        "",
        *(f"- `{job}` has no clock: {why}." for job, why in sorted(NO_CLOCK.items())),
        f"\n{len(ROWS)} clocks, {sum(row.stage is not None for row in ROWS)} of them driven here.",
    ]
    sys.stdout.write("\n".join(out) + "\n")
