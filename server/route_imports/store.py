"""Imports of routes in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection


async def insert(
    conn: Connection, company_id: UUID, import_id: UUID, digest: bytes, now: datetime
) -> bool:
    """Note an import; False where one of this id was noted, after waiting for who is at it."""
    inserted = await conn.fetchval(
        """
        INSERT INTO route_import (company_id, import_id, digest, imported_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id, import_id) DO NOTHING
        RETURNING true
        """,
        company_id,
        import_id,
        digest,
        now,
    )
    return bool(inserted)


async def digest_of(conn: Connection, company_id: UUID, import_id: UUID) -> bytes | None:
    """Return the SHA-256 of what was imported under this id."""
    found: bytes | None = await conn.fetchval(
        "SELECT digest FROM route_import WHERE company_id = $1 AND import_id = $2",
        company_id,
        import_id,
    )
    return found
