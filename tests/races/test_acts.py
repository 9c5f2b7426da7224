"""The acts' proof at its smallest, so that it cannot rot."""

from pathlib import Path

import pytest

from tests.conftest import copy_databases
from tests.races import acts
from tests.stage import stage_on


@pytest.mark.proves("kargo.az:collection-consent")
async def test_no_server_stores_a_position_after_any_stopping_act_and_the_controls_find_some(
    server_dsn: str, worker_id: str, kek_file: Path, tmp_path: Path
) -> None:
    databases = await copy_databases(server_dsn, f"acts_{worker_id}")
    async with stage_on(main=databases.main, keys=databases.keys, kek=kek_file) as at:
        report = await acts.prove(at, acts.SIZES["smoke"])

    assert [row.figure for row in report.unmet] == []
    assert report.publish(tmp_path).exists()
