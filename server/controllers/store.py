"""Changes of the controller in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.controllers.model import ControllerChange, NewController
from server.kit.db import Connection, Record


async def insert_change(conn: Connection, company_id: UUID, change: ControllerChange) -> bool:
    """Write a change down; False if another one is open."""
    written = await conn.fetchval(
        """
        INSERT INTO controller_change (company_id, change_id, name, bin, privacy_contact,
                                       noticed_at, effective_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        RETURNING true
        """,
        company_id,
        change.change_id,
        change.to.name,
        change.to.bin,
        change.to.privacy_contact,
        change.noticed_at,
        change.effective_at,
    )
    return bool(written)


async def change(conn: Connection, company_id: UUID, change_id: UUID) -> ControllerChange | None:
    row = await conn.fetchrow(
        """
        SELECT change_id, name, bin, privacy_contact, noticed_at, effective_at, cancelled_at,
               applied_at, completed_at
          FROM controller_change
         WHERE company_id = $1 AND change_id = $2
        """,
        company_id,
        change_id,
    )
    return None if row is None else _change(row)


async def lock_change(
    conn: Connection, company_id: UUID, change_id: UUID
) -> ControllerChange | None:
    """Return the change, locked until the transaction ends."""
    row = await conn.fetchrow(
        """
        SELECT change_id, name, bin, privacy_contact, noticed_at, effective_at, cancelled_at,
               applied_at, completed_at
          FROM controller_change
         WHERE company_id = $1 AND change_id = $2
           FOR NO KEY UPDATE
        """,
        company_id,
        change_id,
    )
    return None if row is None else _change(row)


async def open_change(conn: Connection, company_id: UUID) -> ControllerChange | None:
    """Return the change that is announced or being carried out; there is one at most."""
    row = await conn.fetchrow(
        """
        SELECT change_id, name, bin, privacy_contact, noticed_at, effective_at, cancelled_at,
               applied_at, completed_at
          FROM controller_change
         WHERE company_id = $1 AND cancelled_at IS NULL AND completed_at IS NULL
        """,
        company_id,
    )
    return None if row is None else _change(row)


async def changes(
    conn: Connection, company_id: UUID, *, after: UUID, limit: int
) -> list[ControllerChange]:
    """Return a page of the changes, the oldest first: ids grow with time."""
    rows = await conn.fetch(
        """
        SELECT change_id, name, bin, privacy_contact, noticed_at, effective_at, cancelled_at,
               applied_at, completed_at
          FROM controller_change
         WHERE company_id = $1 AND change_id > $2
         ORDER BY change_id
         LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [_change(row) for row in rows]


async def set_cancelled(conn: Connection, company_id: UUID, change_id: UUID, at: datetime) -> None:
    await conn.execute(
        """
        UPDATE controller_change SET cancelled_at = $3 WHERE company_id = $1 AND change_id = $2
        """,
        company_id,
        change_id,
        at,
    )


async def set_applied(conn: Connection, company_id: UUID, change_id: UUID, at: datetime) -> None:
    """Write that the particulars changed; the table refuses a time before the effective one."""
    await conn.execute(
        "UPDATE controller_change SET applied_at = $3 WHERE company_id = $1 AND change_id = $2",
        company_id,
        change_id,
        at,
    )


async def set_completed(conn: Connection, company_id: UUID, change_id: UUID, at: datetime) -> None:
    await conn.execute(
        """
        UPDATE controller_change SET completed_at = $3
         WHERE company_id = $1 AND change_id = $2 AND completed_at IS NULL
        """,
        company_id,
        change_id,
        at,
    )


async def insert_told(
    conn: Connection,
    company_id: UUID,
    change_id: UUID,
    member_id: UUID,
    notice_id: UUID,
    at: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO controller_told (company_id, change_id, member_id, notice_id, told_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, change_id, member_id) DO NOTHING
        """,
        company_id,
        change_id,
        member_id,
        notice_id,
        at,
    )


async def told(conn: Connection, company_id: UUID, change_id: UUID) -> set[UUID]:
    """Return the members a notice of the change was queued for."""
    rows = await conn.fetch(
        "SELECT member_id FROM controller_told WHERE company_id = $1 AND change_id = $2",
        company_id,
        change_id,
    )
    return {row["member_id"] for row in rows}


async def first_told_at(conn: Connection, company_id: UUID, change_id: UUID) -> datetime | None:
    found: datetime | None = await conn.fetchval(
        "SELECT min(told_at) FROM controller_told WHERE company_id = $1 AND change_id = $2",
        company_id,
        change_id,
    )
    return found


async def insert_agreement(
    conn: Connection, company_id: UUID, driver_id: UUID, to: ControllerChange, at: datetime
) -> bool:
    """Write that the driver agreed; False if that is written already."""
    written = await conn.fetchval(
        """
        INSERT INTO controller_agreement (company_id, change_id, driver_id, effective_at, agreed_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, change_id, driver_id) DO NOTHING
        RETURNING true
        """,
        company_id,
        to.change_id,
        driver_id,
        to.effective_at,
        at,
    )
    return bool(written)


async def agreements(
    conn: Connection, company_id: UUID, driver_id: UUID, change_ids: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Return by change when the driver agreed to it; nothing where they did not."""
    rows = await conn.fetch(
        """
        SELECT change_id, agreed_at
          FROM controller_agreement
         WHERE company_id = $1 AND driver_id = $2 AND change_id = ANY($3::uuid[])
        """,
        company_id,
        driver_id,
        change_ids,
    )
    return {row["change_id"]: row["agreed_at"] for row in rows}


async def insert_move(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    by: ControllerChange,
    *,
    kept: Sequence[str],
    lapsed: Sequence[str],
    at: datetime,
) -> None:
    """Write what became of the driver's consents; the table refuses a time before the change's."""
    await conn.execute(
        """
        INSERT INTO controller_move (company_id, change_id, driver_id, effective_at, kept, lapsed,
                                     moved_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        company_id,
        by.change_id,
        driver_id,
        by.effective_at,
        kept,
        lapsed,
        at,
    )


async def moved(conn: Connection, company_id: UUID, change_id: UUID) -> set[UUID]:
    """Return the drivers whose consents were moved or ended by the change."""
    rows = await conn.fetch(
        "SELECT driver_id FROM controller_move WHERE company_id = $1 AND change_id = $2",
        company_id,
        change_id,
    )
    return {row["driver_id"] for row in rows}


async def is_moved(conn: Connection, company_id: UUID, change_id: UUID, driver_id: UUID) -> bool:
    found = await conn.fetchval(
        """
        SELECT EXISTS (SELECT FROM controller_move
                        WHERE company_id = $1 AND change_id = $2 AND driver_id = $3)
        """,
        company_id,
        change_id,
        driver_id,
    )
    return bool(found)


async def delete_member(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what names the member; return how many rows went."""
    count: int = await conn.fetchval(
        """
        WITH t AS (DELETE FROM controller_told WHERE company_id = $1 AND member_id = $2
                   RETURNING 1),
             a AS (DELETE FROM controller_agreement WHERE company_id = $1 AND driver_id = $2
                   RETURNING 1),
             m AS (DELETE FROM controller_move WHERE company_id = $1 AND driver_id = $2
                   RETURNING 1)
        SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM a) + (SELECT count(*) FROM m)
        """,
        company_id,
        member_id,
    )
    return count


def _change(row: Record) -> ControllerChange:
    columns = dict(row)
    to = NewController(
        name=columns.pop("name"),
        bin=columns.pop("bin"),
        privacy_contact=columns.pop("privacy_contact"),
    )
    return ControllerChange(**columns, to=to)
