"""How a bench runs: on a stage of its own, and told whatever came of it."""

from collections.abc import Awaitable, Callable

from tests.proofs import Report
from tests.stage import Stage, on_a_stage

Measure = Callable[[Stage, Report], Awaitable[None]]


def measured(report: Report, measure: Measure) -> int:
    """Measure on a stage, publish, and say what falls short; return the status to end with.

    That is 0 all the same: how fast a machine is proves nothing wrong.
    """
    try:
        on_a_stage(lambda at: measure(at, report))
    finally:  # what was found until something failed is worth knowing
        report.publish()
    for row in report.unmet:
        print(f"Falls short: {row.figure}: {row.value} {row.unit} (target {row.target})")
    return 0
