"""The withdrawal proof at its smallest, so that it cannot rot."""

from pathlib import Path

import pytest

from tests.conftest import copy_databases
from tests.races import withdrawal
from tests.stage import stage_on


@pytest.mark.proves("kargo.az:collection-consent", "qoldau:8-consent")
async def test_no_position_is_stored_after_a_withdrawal_and_the_controls_find_some(
    server_dsn: str, worker_id: str, kek_file: Path, tmp_path: Path
) -> None:
    databases = await copy_databases(server_dsn, f"withdrawal_{worker_id}")
    async with stage_on(main=databases.main, keys=databases.keys, kek=kek_file) as at:
        report = await withdrawal.prove(at, withdrawal.SIZES["smoke"])

    # How long a withdrawal takes is for the full run to say: tests share their machine.
    slow = ("withdrawal p99", "withdrawal p99, uploads refused")
    assert [row.figure for row in report.unmet if row.figure not in slow] == []
    assert report.publish(tmp_path).exists()
