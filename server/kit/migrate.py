"""Bring a database to the newest schema, or say which revision it stands at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from server.kit import db

Schema: TypeAlias = Literal["main", "keys"]

FOLDER: Final = Path(__file__).parents[2] / "migrations"

# Two servers that start at once must not migrate at once.
LOCK_KEY: Final = 7_242_001
# Who looks at the revision: a log-in that serves has nothing but what its roles have.
ROLE_THAT_LOOKS: Final[Mapping[Schema, str]] = {"main": db.ROLE_APP, "keys": db.ROLE_KEYS}


class SchemaTooNew(Exception):
    """The database was migrated by a newer Jolda. ``str`` is one sentence for a person."""


class SchemaUnreadable(Exception):
    """The log-in may not see the revision. ``str`` is one sentence for a person."""


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


async def is_current(dsn: str, schema: Schema) -> bool:
    """Tell whether the database stands at the newest revision this code knows.

    Raises
    ------
    SchemaUnreadable
    """
    try:
        conn = await db.connect(dsn, role=ROLE_THAT_LOOKS[schema])
        try:
            found = await conn.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await conn.close()
    except (asyncpg.InvalidParameterValueError, asyncpg.UndefinedTableError):
        return False  # never migrated: the role, or the table, is not there
    except asyncpg.InsufficientPrivilegeError:
        raise SchemaUnreadable(
            f"The log-in of the {schema} database has not been granted Jolda's roles, or the "
            "database is not up to date; run: jolda migrate (as its owner)"
        ) from None
    return bool(found == ScriptDirectory.from_config(_config(schema)).get_current_head())


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
