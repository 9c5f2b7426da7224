"""Migrations: to the newest from any state, once, whoever starts at the same time."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from server.kit.ids import uuid7
from server.kit.migrate import migrate
from server.kit.revision import FOLDER, Schema, SchemaTooNew, is_current, newest


@pytest.fixture
async def fresh(server_dsn: str) -> AsyncGenerator[str]:
    """An empty database of its own."""
    name = f"migrate_{uuid7().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    yield server_dsn.replace("/postgres?", f"/{name}?")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_an_empty_database_is_brought_to_the_newest_and_then_left_alone(fresh: str) -> None:
    assert not await is_current(fresh, "keys")

    applied = await migrate(fresh, "keys")

    assert applied[0] == "0001"
    assert applied == sorted(applied)
    assert await is_current(fresh, "keys")
    assert await migrate(fresh, "keys") == []


@pytest.mark.parametrize("schema", ["main", "keys"])
def test_the_newest_revision_is_the_one_that_alembic_finds(schema: Schema) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("version_locations", str(FOLDER / schema))
    config.set_main_option("path_separator", "os")

    assert newest(schema) == ScriptDirectory.from_config(config).get_current_head()


async def test_servers_that_start_at_once_migrate_once(fresh: str) -> None:
    applied = await asyncio.gather(*(migrate(fresh, "keys") for _ in range(4)))

    assert sorted(map(bool, applied)) == [False, False, False, True]
    assert await is_current(fresh, "keys")


async def test_a_database_of_a_newer_version_is_left_alone(fresh: str) -> None:
    await migrate(fresh, "keys")
    conn = await asyncpg.connect(fresh)
    await conn.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaTooNew, match=r"revision 9999.*start the newer one"):
        await migrate(fresh, "keys")

    assert await conn.fetchval("SELECT version_num FROM alembic_version") == "9999"
    assert not await is_current(fresh, "keys")
    await conn.close()


async def test_a_migration_that_fails_leaves_nothing_behind(fresh: str) -> None:
    conn = await asyncpg.connect(fresh)
    table = await conn.fetchval("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    assert table is None
    await conn.execute("CREATE TABLE company_key (in_the_way int)")

    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(fresh, "keys")

    tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in tables] == ["company_key"]
    await conn.close()
