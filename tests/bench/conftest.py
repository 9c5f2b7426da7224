"""A running server with a small fleet, as an installation of one's own would be."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from bench.fleet import FleetDriver, make_fleet
from bench.servers import Served, jolda
from tests.conftest import copy_databases
from tests.stage import Place, Stage, stage_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    at: Stage
    served: Served
    fleet: list[FleetDriver]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.served.port}"


@pytest.fixture(scope="package")
async def installation(server_dsn: str, kek_folder: Path) -> AsyncGenerator[Installation]:
    databases = await copy_databases(server_dsn, f"bench_{uuid4().hex}")
    place = Place(main=databases.main, keys=databases.keys, kek=kek_folder / "kek")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JOLDA_ALLOW_UNSAFE_POSTGRES", "for-tests-only")
        async with stage_on(place) as at:
            fleet = await make_fleet(at, 4, companies=1)
            async with jolda(at) as served:
                yield Installation(at=at, served=served, fleet=fleet)


@pytest.fixture(scope="package")
def kek_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("installation")
