"""A `main` with people in it is not served with a key database that has never heard of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from server import databases as databases_of
from server import running
from server.__main__ import _parser
from server.backups import fence
from server.backups.model import Behind
from server.kit import db
from server.kit.db import ROLE_KEYS, Pool
from server.kit.migrate import migrate
from server.settings import Settings
from tests.backups.conftest import Backups
from tests.conftest import Databases
from tests.running import say_nothing, settings

SENTENCE = "holds no key of any company in main.*Restore its newest backup"


@asynccontextmanager
async def new_keys(backups: Backups) -> AsyncGenerator[str]:
    """Give a key database that is up to date and empty."""
    async with backups.empty() as dsn:
        await migrate(dsn, "keys")
        yield dsn


@pytest.fixture
def found(tmp_path: Path, databases: Databases, kek_file: Path) -> Settings:
    return replace(settings(tmp_path, databases), kek_file=kek_file)


async def test_a_server_does_not_start_with_an_empty_key_database(
    backups: Backups, databases: Databases, found: Settings
) -> None:
    async with new_keys(backups) as keys:
        dsns = databases_of.Databases(main=databases.main, keys=keys)
        with pytest.raises(Behind, match=SENTENCE):
            async with running.server(found, dsns, say=say_nothing):
                pytest.fail("it serves")


async def test_nothing_is_reconciled_with_one(backups: Backups, found: Settings) -> None:
    async with new_keys(backups) as keys:
        chosen = _parser().parse_args(["restore", "reconcile"])
        with pytest.raises(Behind, match=SENTENCE):
            await chosen.command(chosen, replace(found, keys_database_url=keys), asyncio.Event())


async def test_two_empty_databases_are_those_of_a_new_installation(backups: Backups) -> None:
    async with new_keys(backups) as keys, db.pool(keys, role=ROLE_KEYS) as keys_pool:
        await fence.refuse_keyless(keys_pool, [])


async def test_one_company_without_a_key_does_not_keep_the_others_from_being_served(
    backups: Backups, keys_pool: Pool
) -> None:
    younger, known = uuid4(), backups.world.company_id

    await fence.refuse_keyless(keys_pool, [younger, known])
    with pytest.raises(Behind, match=SENTENCE):
        await fence.refuse_keyless(keys_pool, [younger])
