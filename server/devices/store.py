"""Acknowledged device notices and permission switches in PostgreSQL. Each is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.accounts.model import Locale
from server.devices.model import Acknowledgement, Permission
from server.kit.db import Connection


async def insert_acknowledgement(conn: Connection, company_id: UUID, new: Acknowledgement) -> bool:
    """Write that the edition was acknowledged on the device; False if it was before."""
    written = await conn.fetchval(
        """
        INSERT INTO device_notice (company_id, device_id, edition, member_id, language, sha256,
                                   acknowledged_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (company_id, device_id, edition) DO NOTHING
        RETURNING true
        """,
        company_id,
        new.device_id,
        new.edition,
        new.member_id,
        new.language.value,
        new.sha256,
        new.acknowledged_at,
    )
    return bool(written)


async def acknowledgement(
    conn: Connection, company_id: UUID, device_id: UUID, edition: int
) -> Acknowledgement | None:
    row = await conn.fetchrow(
        """
        SELECT device_id, member_id, edition, language, sha256, acknowledged_at
          FROM device_notice
         WHERE company_id = $1 AND device_id = $2 AND edition = $3
        """,
        company_id,
        device_id,
        edition,
    )
    if row is None:
        return None
    return Acknowledgement(**{**row, "language": Locale(row["language"])})


async def newest_acknowledged(
    conn: Connection, company_id: UUID, device_ids: Sequence[UUID]
) -> dict[UUID, int]:
    """Return by device the newest edition that was acknowledged on it."""
    rows = await conn.fetch(
        """
        SELECT device_id, max(edition) AS edition
          FROM device_notice
         WHERE company_id = $1 AND device_id = ANY($2::uuid[])
         GROUP BY device_id
        """,
        company_id,
        device_ids,
    )
    return {row["device_id"]: row["edition"] for row in rows}


async def permission(conn: Connection, company_id: UUID, device_id: UUID) -> Permission | None:
    state = await conn.fetchval(
        "SELECT state FROM device_permission WHERE company_id = $1 AND device_id = $2",
        company_id,
        device_id,
    )
    return None if state is None else Permission(state)


async def set_permission(
    conn: Connection,
    company_id: UUID,
    device_id: UUID,
    member_id: UUID,
    state: Permission,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO device_permission (company_id, device_id, member_id, state, changed_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, device_id) DO UPDATE
           SET state = excluded.state, changed_at = excluded.changed_at
        """,
        company_id,
        device_id,
        member_id,
        state.value,
        now,
    )


async def delete(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what is known of the member's devices here; return how many rows went."""
    count: int = await conn.fetchval(
        """
        WITH n AS (DELETE FROM device_notice WHERE company_id = $1 AND member_id = $2
                   RETURNING 1),
             p AS (DELETE FROM device_permission WHERE company_id = $1 AND member_id = $2
                   RETURNING 1)
        SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM p)
        """,
        company_id,
        member_id,
    )
    return count
