"""An installation of several processes, as an operator starts it, with its KEK in OpenBao."""

import asyncio
from pathlib import Path

from server.kek.places import TransitAt
from tests.kek.openbao import OpenBao
from tests.workers import STOP_S_MAX, fresh_databases, serving, starting


async def test_it_serves_and_while_openbao_is_sealed_it_does_not_start(
    server_dsn: str, openbao: OpenBao, at: TransitAt, tmp_path: Path
) -> None:
    databases = await fresh_databases(server_dsn)
    settings = {
        "JOLDA_KEK_TRANSIT_URL": at.url,
        "JOLDA_KEK_TRANSIT_KEY": f"{at.mount}/{at.key}",
        "JOLDA_KEK_TRANSIT_TOKEN_FILE": str(at.token_file),
        "JOLDA_KEK_TRANSIT_CA_FILE": str(at.ca_file),
    }

    async with serving(tmp_path, databases, **settings) as installation:
        assert len(installation.processes()) == 3
        assert (await installation.health())[0] == 200

    assert not (tmp_path / "kek").exists()
    with openbao.sealed():
        async with (
            starting(tmp_path, databases, **settings) as again,
            asyncio.timeout(STOP_S_MAX),
        ):
            assert await again.process.wait() == 1
    assert f"{at.url} is sealed, or not ready." in again.terminal
    assert "Traceback" not in again.terminal
