"""The proof of hostile clients, run small."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import copy_databases
from tests.stage import Place, stage_on
from tests.uploads.hostile_clients import SIZES, prove


@pytest.mark.skipif(os.geteuid() != 0, reason="opens more files than ordinary users may here")
async def test_hostile_clients_are_cut_off_and_an_honest_phone_is_answered(
    server_dsn: str, tmp_path: Path
) -> None:
    databases = await copy_databases(server_dsn, f"hostile_{uuid4().hex}")
    place = Place(main=databases.main, keys=databases.keys, kek=tmp_path / "kek")
    async with stage_on(place) as at:
        report = await prove(at, SIZES["smoke"])

    assert [(row.figure, row.value, row.note) for row in report.unmet] == []
    assert report.publish(tmp_path).exists()
