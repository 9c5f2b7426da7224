"""Codes that stand in for a forgotten password, in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.passwords.model import Reset


async def reset(conn: Connection, company_id: UUID, member_id: UUID) -> Reset | None:
    row = await conn.fetchrow(
        """
        SELECT reset_id, code_hash, asked_at, expires_at, sent, first_at
          FROM password_reset
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    return None if row is None else Reset(**dict(row))


async def put(conn: Connection, company_id: UUID, member_id: UUID, new: Reset) -> None:
    """Keep a code in place of the one before, which is no good any more."""
    await conn.execute(
        """
        INSERT INTO password_reset (company_id, member_id, reset_id, code_hash, tries, asked_at,
                                    expires_at, sent, first_at)
        VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8)
        ON CONFLICT (company_id, member_id) DO UPDATE
           SET reset_id = excluded.reset_id, code_hash = excluded.code_hash, tries = 0,
               asked_at = excluded.asked_at, expires_at = excluded.expires_at,
               sent = excluded.sent, first_at = excluded.first_at
        """,
        company_id,
        member_id,
        new.reset_id,
        new.code_hash,
        new.asked_at,
        new.expires_at,
        new.sent,
        new.first_at,
    )


async def take_try(
    conn: Connection, company_id: UUID, member_id: UUID, *, tries_max: int, now: datetime
) -> Reset | None:
    """Count one more try of a code; None where there is nothing (any more) to be tried."""
    row = await conn.fetchrow(
        """
        UPDATE password_reset SET tries = tries + 1
         WHERE company_id = $1 AND member_id = $2 AND tries < $3 AND expires_at > $4
           AND code_hash IS NOT NULL
        RETURNING reset_id, code_hash, asked_at, expires_at, sent, first_at
        """,
        company_id,
        member_id,
        tries_max,
        now,
    )
    return None if row is None else Reset(**dict(row))


async def use_up(conn: Connection, company_id: UUID, member_id: UUID, reset_id: UUID) -> bool:
    """Let the code work no more; tell whether it still did."""
    found = await conn.fetchval(
        """
        UPDATE password_reset SET code_hash = NULL
         WHERE company_id = $1 AND member_id = $2 AND reset_id = $3 AND code_hash IS NOT NULL
        RETURNING true
        """,
        company_id,
        member_id,
        reset_id,
    )
    return bool(found)


async def delete_before(conn: Connection, company_id: UUID, before: datetime) -> int:
    rows = await conn.fetch(
        "DELETE FROM password_reset WHERE company_id = $1 AND first_at < $2 RETURNING member_id",
        company_id,
        before,
    )
    return len(rows)
