"""How accounts stand, in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.standing.model import BlockReason, By, Standing


async def standing(conn: Connection, company_id: UUID, member_id: UUID) -> Standing | None:
    row = await conn.fetchrow(
        """
        SELECT joined_at, used_at, warned_at, reason, acted_by, since, order_reference, reads_until
          FROM account_standing
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    if row is None:
        return None
    return Standing(
        **{
            **row,
            "reason": None if row["reason"] is None else BlockReason(row["reason"]),
            "acted_by": None if row["acted_by"] is None else By(row["acted_by"]),
        }
    )


async def set_joined(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    """Note that the invitation was accepted, and so used; when it was first stays."""
    await conn.execute(
        """
        INSERT INTO account_standing (company_id, member_id, joined_at, used_at)
        VALUES ($1, $2, $3, $3)
        ON CONFLICT (company_id, member_id)
        DO UPDATE SET joined_at = coalesce(account_standing.joined_at, excluded.joined_at),
                      used_at = greatest(account_standing.used_at, excluded.used_at)
        """,
        company_id,
        member_id,
        now,
    )


async def set_used(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO account_standing (company_id, member_id, used_at) VALUES ($1, $2, $3)
        ON CONFLICT (company_id, member_id)
        DO UPDATE SET used_at = greatest(account_standing.used_at, excluded.used_at)
        """,
        company_id,
        member_id,
        now,
    )


async def set_warned(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO account_standing (company_id, member_id, warned_at) VALUES ($1, $2, $3)
        ON CONFLICT (company_id, member_id) DO UPDATE SET warned_at = excluded.warned_at
        """,
        company_id,
        member_id,
        now,
    )


async def set_acted(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    reason: BlockReason | None,
    by: By | None,
    since: datetime | None,
    *,
    order_reference: str | None,
    reads_until: datetime | None,
) -> None:
    """Note why the account is blocked or off-boarded; None for all: it is neither any more."""
    await conn.execute(
        """
        INSERT INTO account_standing (company_id, member_id, reason, acted_by, since,
                                      order_reference, reads_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (company_id, member_id)
        DO UPDATE SET reason = excluded.reason, acted_by = excluded.acted_by,
                      since = excluded.since, order_reference = excluded.order_reference,
                      reads_until = excluded.reads_until
        """,
        company_id,
        member_id,
        None if reason is None else reason.value,
        None if by is None else by.value,
        since,
        order_reference,
        reads_until,
    )


async def set_reads_until(
    conn: Connection, company_id: UUID, member_id: UUID, until: datetime | None
) -> None:
    await conn.execute(
        """
        UPDATE account_standing SET reads_until = $3 WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
        until,
    )


async def done_reading(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """Return who was off-boarded and whose time to read is over."""
    rows = await conn.fetch(
        """
        SELECT member_id FROM account_standing
         WHERE company_id = $1 AND reads_until <= $2
         ORDER BY member_id
        """,
        company_id,
        now,
    )
    return [row["member_id"] for row in rows]


async def delete(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM account_standing WHERE company_id = $1 AND member_id = $2 RETURNING 1",
        company_id,
        member_id,
    )
    return len(rows)
