"""When a company closes, in PostgreSQL. Each function is one statement."""

from uuid import UUID

from server.closure.model import Closing
from server.kit.db import Connection, Record
from server.ledger.model import ActorKind


async def lock_company(conn: Connection, company_id: UUID) -> bool:
    """Let nobody join, or ask for the closing, until the transaction ends; False: none such."""
    found = await conn.fetchval(
        "SELECT true FROM company WHERE company_id = $1 FOR NO KEY UPDATE", company_id
    )
    return bool(found)


async def share_company(conn: Connection, company_id: UUID) -> None:
    """Let nobody ask for the closing until the transaction ends; others may join meanwhile."""
    await conn.execute("SELECT FROM company WHERE company_id = $1 FOR SHARE", company_id)


async def closing(conn: Connection, company_id: UUID) -> Closing | None:
    row = await conn.fetchrow(
        """
        SELECT asked_at, asked_by_role, closes_at, closed_at
          FROM company_closing
         WHERE company_id = $1
        """,
        company_id,
    )
    return None if row is None else _closing(row)


async def put(conn: Connection, company_id: UUID, closing: Closing) -> None:
    """Write it down, in place of what was there."""
    await conn.execute(
        """
        INSERT INTO company_closing (company_id, asked_at, asked_by_role, closes_at, closed_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id) DO UPDATE
           SET asked_at = excluded.asked_at, asked_by_role = excluded.asked_by_role,
               closes_at = excluded.closes_at, closed_at = excluded.closed_at
        """,
        company_id,
        closing.asked_at,
        closing.asked_by.value,
        closing.closes_at,
        closing.closed_at,
    )


async def delete(conn: Connection, company_id: UUID) -> None:
    await conn.execute("DELETE FROM company_closing WHERE company_id = $1", company_id)


def _closing(row: Record) -> Closing:
    return Closing(
        asked_at=row["asked_at"],
        asked_by=ActorKind(row["asked_by_role"]),
        closes_at=row["closes_at"],
        closed_at=row["closed_at"],
    )
