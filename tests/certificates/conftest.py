"""Drivers who are erased, and the exchange of keys that closes old copies for them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from server.certificates import service
from server.erasure.model import Request
from server.kek.key_file import load
from server.kit.db import Pool
from server.rekeying import service as rekeying
from server.rekeying.model import SETTLES
from server.rekeying.service import Rekeyer
from tests.conftest import Databases
from tests.erasure.person import Person
from tests.erasure.test_saga import LATER, ask, run
from tests.rekeying.conftest import nothing_to_index
from tests.world import World

Issue: TypeAlias = Callable[[World], Awaitable[int]]
Exchange: TypeAlias = Callable[[], Awaitable[None]]
ISSUED = LATER + timedelta(hours=1)


async def erased(world: World, person: Person) -> Request:
    request = await ask(world, person)
    await run(world, request)
    return request


@pytest.fixture
def exchange(databases: Databases, kek_file: Path) -> Exchange:
    """Exchange all keys above persons' own, now."""
    rekeyer = Rekeyer(keys_dsn=databases.keys, keks=load(kek_file), reindex=nothing_to_index)

    async def whole() -> None:
        await rekeying.begin(rekeyer, now=LATER)
        done = await rekeying.run_due(rekeyer, every=SETTLES, now=LATER + SETTLES)
        assert done is not None
        assert done.ended_at == LATER + SETTLES

    return whole


@pytest.fixture
def issue(keys_pool: Pool) -> Issue:
    """Run the job that issues certificates."""

    async def issue_due(world: World) -> int:
        return await service.issue_due(world.pool, keys_pool, world.vault, world.company_id, ISSUED)

    return issue_due
