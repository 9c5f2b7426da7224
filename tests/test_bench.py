"""The bench at its smallest, so that it cannot rot. What it measures here means nothing."""

from pathlib import Path

from bench import ingest
from tests.proofs import Report
from tests.stage import stage


async def test_the_bench_runs_and_says_every_figure(tmp_path: Path) -> None:
    report = Report(name="ingest")
    async with stage() as at:
        await ingest.measure(at, ingest.SIZES["smoke"], report)

    path = report.publish(tmp_path)

    assert len(report.rows) == 48
    assert path.read_text().count('"figure"') == 48
