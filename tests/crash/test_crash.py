"""The crash proof at its smallest, so that it cannot rot."""

from pathlib import Path
from typing import Final

from tests.crash.proof import SIZES, prove

SEED: Final = 17
"""Draws kills after which not everything has to be started again."""


async def test_nothing_acknowledged_is_lost_or_doubled_and_the_controls_find_some(
    tmp_path: Path,
) -> None:
    report = await prove(SIZES["smoke"], seed=SEED)

    assert [row.figure for row in report.unmet] == []
    assert report.publish(tmp_path).exists()
