"""The benches at their smallest, so that they cannot rot. What they measure here means nothing."""

from pathlib import Path

import pytest

from bench import ingest, ledger
from bench.measured import Measure
from tests.proofs import Report
from tests.stage import stage


@pytest.mark.parametrize(
    ("name", "measure", "figures"),
    [
        ("ingest", lambda at, report: ingest.measure(at, ingest.SIZES["smoke"], report), 48),
        ("ledger", lambda at, report: ledger.measure(at, ledger.SIZES["smoke"], report), 10),
    ],
    ids=["ingest", "ledger"],
)
async def test_the_bench_runs_and_says_every_figure(
    tmp_path: Path, name: str, measure: Measure, figures: int
) -> None:
    report = Report(name=name)
    async with stage() as at:
        await measure(at, report)

    path = report.publish(tmp_path)

    assert len(report.rows) == figures
    assert path.read_text().count('"figure"') == figures
