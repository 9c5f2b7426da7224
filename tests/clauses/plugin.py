"""Collects which tests prove which clauses, and lets none of them be skipped."""

import json
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

MARKER: Final = "proves"
OPTION: Final = "--clauses-to"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, help="write which test proves which clause")


def pytest_collection_finish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption(OPTION)
    if path is None:
        return
    proofs = defaultdict(set)
    for item in session.items:
        for marker in item.iter_markers(MARKER):
            for clause in marker.args:
                proofs[clause].add(item.nodeid.split("[")[0])
    path.write_text(json.dumps({clause: sorted(tests) for clause, tests in proofs.items()}))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.get_closest_marker(MARKER) is not None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} proves a clause, so it must run: {report.longrepr}"
    return report
