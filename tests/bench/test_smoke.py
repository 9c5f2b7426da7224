"""The benches at their smallest, so that they cannot rot. What they measure here means nothing."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import ledger, soak
from bench.page import target_table, written
from bench.targets import SOAK_TARGETS, TARGETS
from tests.proofs import Report
from tests.stage import Stage, stage


@pytest.fixture(scope="module")
async def at() -> AsyncGenerator[Stage]:
    async with stage() as made:
        yield made


async def test_the_bench_says_every_figure_that_a_target_names(at: Stage, tmp_path: Path) -> None:
    report = Report(name="bench")
    await bench.measure(at, report, of="smoke")

    page = written(report.publish(tmp_path), TARGETS, report.rows)

    figures = [row.figure for row in report.rows]
    assert len(figures) == len(set(figures))
    assert {name for target in TARGETS for name in target.figures} <= set(figures)
    assert "not measured" not in page
    assert all(f"| {figure} | " in page for figure in figures)


async def test_a_soak_stores_what_it_acknowledges_and_says_what_grew(
    at: Stage, tmp_path: Path
) -> None:
    report = Report(name="soak")
    await soak.measure(at, report, sizes=soak.SMOKE)

    report.publish(tmp_path)

    by_name = {row.figure: row for row in report.rows}
    assert 0 <= int(by_name["soak: uploads not stored"].value) < soak.SMOKE.rate
    assert by_name["soak: acknowledged positions that are not stored"].met
    assert by_name["soak: positions stored unasked"].met
    assert "not measured" not in target_table(SOAK_TARGETS, report.rows)


async def test_the_bench_of_the_ledger_says_every_figure(at: Stage, tmp_path: Path) -> None:
    report = Report(name="ledger")
    await ledger.measure(at, ledger.SIZES["smoke"], report)

    path = report.publish(tmp_path)

    assert len(report.rows) == 10
    assert path.read_text().count('"figure"') == 10
