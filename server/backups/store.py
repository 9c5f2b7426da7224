"""What a backup asks of a database, mostly as its owner. Each function is one statement."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from server.backups.model import BackupRefused
from server.kit.db import Connection
from server.kit.revision import Schema
from server.ledger.model import Place, genesis

_ROLE: Final = re.compile("jolda_[a-z_]{1,40}")
_ASIDE: Final = re.compile("(main|keys)_before_[0-9_]{15}")


async def sees_all(conn: Connection) -> bool:
    """Tell whether row-level security hides nothing from us: a dump must leave nobody out."""
    found: bool = await conn.fetchval(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    return found


async def export_snapshot(conn: Connection) -> str:
    """Return the name of what the transaction sees, for others to see the same."""
    name: str = await conn.fetchval("SELECT pg_export_snapshot()")
    return name


async def size(conn: Connection) -> int:
    """Return how many bytes the database takes on the disk."""
    found: int = await conn.fetchval("SELECT pg_database_size(current_database())")
    return found


async def server_version(conn: Connection) -> str:
    found: str = await conn.fetchval("SELECT current_setting('server_version')")
    return found


async def heads(conn: Connection) -> dict[UUID, Place]:
    """Return of every company where its ledger ends, be it before the first entry."""
    rows = await conn.fetch(
        """
        SELECT c.company_id, coalesce(h.index, 0) AS index, h.hash
          FROM company c LEFT JOIN ledger_head h USING (company_id)
         ORDER BY c.company_id
        """
    )
    return {
        row["company_id"]: Place(index=row["index"], hash=row["hash"] or genesis(row["company_id"]))
        for row in rows
    }


async def seen_until(
    conn: Connection, company_id: UUID, driver_id: UUID, *, index: int
) -> datetime | None:
    """Return until when at least `main` was as it was lost, by an entry and a driver's positions.

    A position lies before it. None: neither is there.
    """
    found: datetime | None = await conn.fetchval(
        """
        SELECT greatest(
                   (SELECT recorded_at FROM ledger_entry WHERE company_id = $1 AND index = $3),
                   (SELECT max(last_at) + interval '1 millisecond' FROM chunk
                     WHERE company_id = $1 AND driver_id = $2),
                   (SELECT max(recorded_at) + interval '1 millisecond' FROM latest_position
                     WHERE company_id = $1 AND driver_id = $2))
        """,
        company_id,
        driver_id,
        index,
    )
    return found


async def roles(conn: Connection) -> list[str]:
    """Return Jolda's roles, but those that log in."""
    rows = await conn.fetch(
        r"""
        SELECT rolname FROM pg_roles
         WHERE rolname LIKE 'jolda\_%' AND NOT rolcanlogin
         ORDER BY rolname
        """
    )
    return [row["rolname"] for row in rows]


async def make_role(conn: Connection, name: str) -> None:
    """Make a role that owns nothing and does not log in."""
    if not _ROLE.fullmatch(name):
        raise ValueError("no role of ours")
    await conn.execute(
        f"CREATE ROLE {name} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"
    )


async def grant_role(conn: Connection, name: str) -> None:
    """Let the log-in that restores act as the role, as a migration does.

    Where others made the role, it is theirs to grant.
    """
    if not _ROLE.fullmatch(name):
        raise ValueError("no role of ours")
    with suppress(asyncpg.InsufficientPrivilegeError):
        async with conn.transaction():
            await conn.execute(f"GRANT {name} TO CURRENT_USER")


async def is_empty(conn: Connection) -> bool:
    """Tell whether nobody has made anything in the database yet."""
    found: bool = await conn.fetchval(
        """
        SELECT NOT EXISTS (SELECT FROM pg_class c
                             JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema')
        """
    )
    return found


async def rename_database(conn: Connection, schema: Schema, kept_as: str) -> None:
    """Give a database another name; nobody works in it."""
    if not _ASIDE.fullmatch(kept_as):
        raise ValueError("no name of ours")
    await conn.execute(f"ALTER DATABASE {schema} RENAME TO {kept_as}")


async def make_database(conn: Connection, schema: Schema) -> None:
    await conn.execute(f"CREATE DATABASE {schema}")


async def comment(conn: Connection) -> str:
    """Return what is said of the database itself: no dump of it holds that."""
    found: str = await conn.fetchval(
        """
        SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
         WHERE datname = current_database()
        """
    )
    return found


async def set_comment(conn: Connection, text: str) -> None:
    """Say this of the database itself.

    Raises
    ------
    BackupRefused
        It is somebody else's.
    """
    # COMMENT takes no parameters: PostgreSQL quotes both.
    statement = await conn.fetchval(
        "SELECT format('COMMENT ON DATABASE %I IS %L', current_database(), $1::text)", text
    )
    try:
        await conn.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        raise BackupRefused(
            "The log-in of keys does not own that database, so it cannot note on it that it was "
            "restored: run it as the owner."
        ) from None
