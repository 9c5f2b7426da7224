"""Bring a database to the newest schema. Takes Alembic: only what migrates imports this."""

from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from server.kit.revision import FOLDER, Schema, SchemaTooNew

# Two servers that start at once must not migrate at once.
LOCK_KEY: Final = 7_242_001


async def migrate(dsn: str, schema: Schema) -> list[str]:
    """Apply what is missing, in one transaction; return the revisions applied, oldest first.

    Raises
    ------
    SchemaTooNew
        Nothing is applied.
    """
    config = _config(schema)
    engine = _engine(dsn)
    try:
        async with engine.begin() as conn:
            await conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            before = await conn.run_sync(_revision)
            if before not in _known(config):
                raise SchemaTooNew(
                    f"The {schema} database stands at revision {before}, which this version of "
                    "Jolda does not know: start the newer one."
                )

            def upgrade(sync: Connection) -> None:
                config.attributes["connection"] = sync
                command.upgrade(config, "head")

            await conn.run_sync(upgrade)
            after = await conn.run_sync(_revision)
    finally:
        await engine.dispose()
    if before == after or after is None:
        return []
    steps = ScriptDirectory.from_config(config).iterate_revisions(after, before or "base")
    return [step.revision for step in steps][::-1]


def _known(config: Config) -> set[str | None]:
    script = ScriptDirectory.from_config(config)
    return {None, *(step.revision for step in script.walk_revisions())}


def _revision(sync: Connection) -> str | None:
    return MigrationContext.configure(sync).get_current_revision()


def _config(schema: Schema) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("version_locations", str(FOLDER / schema))
    config.set_main_option("path_separator", "os")
    return config


def _engine(dsn: str) -> AsyncEngine:
    # SQLAlchemy's own URLs do not know every DSN libpq does; asyncpg reads ours directly.
    async def creator() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn)

    return create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
