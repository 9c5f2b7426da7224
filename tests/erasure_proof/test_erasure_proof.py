"""The proof of erasure, run small, with each of its controls."""

from pathlib import Path

import pytest

from server.erasure.model import Step
from tests.conftest import Databases
from tests.erasure_proof import kills
from tests.erasure_proof.proof import SIZES, prove
from tests.faults.nth import BY_NAME
from tests.stage import Place


@pytest.fixture
def place(databases: Databases, kek_file: Path, empty: None) -> Place:  # noqa: ARG001 - for its end
    return Place(main=databases.main, keys=databases.keys, kek=kek_file)


@pytest.mark.proves("qoldau:14-backups", "relog-driver-manager-apps:2.1.1")
async def test_who_was_erased_is_read_by_nobody_and_everybody_else_as_before(
    place: Place, tmp_path: Path
) -> None:
    report = await prove(place, SIZES["smoke"])

    assert [row.figure + row.note for row in report.unmet] == []
    assert len([row for row in report.rows if "control" in row.figure]) >= 4
    assert report.publish(tmp_path).exists()


def test_the_full_proof_kills_at_every_place_and_knows_its_failures() -> None:
    assert {place.partition(".")[0] for place in kills.PLACES} == {step.value for step in Step}
    for sizes in SIZES.values():
        assert set(sizes.places) <= set(kills.PLACES)
        assert set(sizes.failures) <= BY_NAME.keys()
