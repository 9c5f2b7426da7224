from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from server.kek.key_file import load
from server.kek.model import Keks
from server.rekeying import service
from server.rekeying.model import SETTLES, Rekeying
from server.rekeying.service import Rekeyer
from tests.conftest import Databases
from tests.world import NOW, World

HOUR = timedelta(hours=1)


async def nothing_to_index() -> None:
    """Index no log-in anew."""


@dataclass
class Exchange:
    """Exchanges keys by a clock that is moved by hand."""

    rekeyer: Rekeyer
    keys_owner: "asyncpg.Connection[asyncpg.Record]"
    at: datetime = NOW

    async def due(self) -> Rekeying | None:
        return await service.run_due(self.rekeyer, every=HOUR, now=self.at)

    async def whole(self) -> Rekeying:
        """Begin one, due or not, and go on to its end."""
        await service.begin(self.rekeyer, now=self.at)
        self.at += SETTLES
        done = await self.due()
        assert done is not None
        assert done.ended_at is not None
        return done


@pytest.fixture
def keks(kek_file: Path) -> Keks:
    return load(kek_file)


@pytest.fixture
def exchange(
    world: World,  # noqa: ARG001 - has the keys
    databases: Databases,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    keks: Keks,
) -> Exchange:
    rekeyer = Rekeyer(keys_dsn=databases.keys, keks=keks, reindex=nothing_to_index)
    return Exchange(rekeyer, keys_owner)
