"""Which revision a database stands at, and which one this code needs.

Apart from migrate.py, because asking needs neither Alembic nor SQLAlchemy: a process that serves
would hold 26 MB of them for as long as it runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import asyncpg

from server.kit import db

Schema: TypeAlias = Literal["main", "keys"]

FOLDER: Final = Path(__file__).parents[2] / "migrations"

# Who looks at the revision: a log-in that serves has nothing but what its roles have.
ROLE_THAT_LOOKS: Final[Mapping[Schema, str]] = {"main": db.ROLE_APP, "keys": db.ROLE_KEYS}


class SchemaTooNew(Exception):
    """The database was migrated by a newer Jolda. ``str`` is one sentence for a person."""


class SchemaUnreadable(Exception):
    """The log-in may not see the revision. ``str`` is one sentence for a person."""


def newest(schema: Schema) -> str:
    """Return the newest revision this code knows: files are named after theirs, in order."""
    return max(file.stem.partition("_")[0] for file in (FOLDER / schema).glob("[0-9]*.py"))


async def found(dsn: str, *, role: str | None = None) -> str | None:
    """Return the revision at which the database stands; None if it was never migrated."""
    try:
        conn = await db.connect(dsn, role=role)
        try:
            revision = await conn.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await conn.close()
    except (asyncpg.InvalidParameterValueError, asyncpg.UndefinedTableError):
        return None  # the role, or the table, is not there
    return cast("str | None", revision)


async def is_current(dsn: str, schema: Schema) -> bool:
    """Tell whether the database stands at the newest revision this code knows.

    Raises
    ------
    SchemaUnreadable
    """
    try:
        revision = await found(dsn, role=ROLE_THAT_LOOKS[schema])
    except asyncpg.InsufficientPrivilegeError:
        raise SchemaUnreadable(
            f"The log-in of the {schema} database has not been granted Jolda's roles, or the "
            "database is not up to date; run: jolda migrate (as its owner)"
        ) from None
    return revision == newest(schema)
