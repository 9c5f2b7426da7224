"""The acts' proof at its smallest, so that it cannot rot."""

from pathlib import Path

import pytest

from tests.races import acts
from tests.stage import Place, stage_on


@pytest.mark.proves("kargo.az:collection-consent")
async def test_no_server_stores_a_position_after_any_stopping_act_and_the_controls_find_some(
    place: Place, tmp_path: Path
) -> None:
    async with stage_on(place) as at:
        report = await acts.prove(at, acts.SIZES["smoke"])

    assert [row.figure for row in report.unmet] == []
    assert report.publish(tmp_path).exists()
