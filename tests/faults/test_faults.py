"""The proof of what fails, run small, and each of its controls."""

from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.faults.controls import CONTROLS
from tests.faults.flows import UPLOADS
from tests.faults.nth import FAILURES
from tests.faults.proof import SIZES, prove
from tests.stage import Place


@pytest.fixture
def place(databases: Databases, kek_file: Path, empty: None) -> Place:  # noqa: ARG001 - for its end
    return Place(main=databases.main, keys=databases.keys, kek=kek_file)


async def test_whatever_fails_nothing_is_lost_or_doubled_and_the_controls_are_found(
    place: Place, tmp_path: Path
) -> None:
    report = await prove(place, SIZES["smoke"])

    assert [row.figure + row.note for row in report.unmet] == []
    assert report.publish(tmp_path).exists()


def test_what_is_run_small_and_each_control_has_a_flow_and_a_failure() -> None:
    failures = {one.name for one in FAILURES}
    jobs = {"compaction of an hour", "retention, old tracks"}
    smoke = SIZES["smoke"]

    assert {one.failure for one in CONTROLS} | set(smoke.failures or ()) <= failures
    assert {one.flow for one in CONTROLS} | set(smoke.flows or ()) <= set(UPLOADS) | jobs
