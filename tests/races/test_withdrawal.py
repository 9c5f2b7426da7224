"""The withdrawal proof at its smallest, so that it cannot rot."""

from pathlib import Path

import pytest

from tests.races import withdrawal
from tests.stage import Place, stage_on


@pytest.mark.proves("kargo.az:collection-consent", "qoldau:8-consent")
async def test_no_position_is_stored_after_a_withdrawal_and_the_controls_find_some(
    place: Place, tmp_path: Path
) -> None:
    async with stage_on(place) as at:
        report = await withdrawal.prove(at, withdrawal.SIZES["smoke"])

    # How long a withdrawal takes is for the full run to say: tests share their machine.
    slow = ("withdrawal p99", "withdrawal p99, uploads refused")
    assert [row.figure for row in report.unmet if row.figure not in slow] == []
    assert report.publish(tmp_path).exists()
