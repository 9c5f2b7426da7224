"""Which accounts nobody uses, in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.credentials.model import MemberState
from server.idle.model import Unused
from server.kit.db import Connection


async def idle_days(conn: Connection, company_id: UUID) -> int | None:
    days: int | None = await conn.fetchval(
        "SELECT idle_days FROM company WHERE company_id = $1", company_id
    )
    return days


async def exchange_idle_days(conn: Connection, company_id: UUID, days: int) -> int | None:
    """Set it, and return what it was; None where there is no such company."""
    before: int | None = await conn.fetchval(
        """
        WITH before AS (
            SELECT idle_days FROM company WHERE company_id = $1 FOR NO KEY UPDATE
        )
        UPDATE company SET idle_days = $2 FROM before WHERE company_id = $1
        RETURNING before.idle_days
        """,
        company_id,
        days,
    )
    return before


async def accounts(
    conn: Connection, company_id: UUID, now: datetime, *, driver_id: UUID | None = None
) -> list[Unused]:
    """Return the drivers who may be switched off, or that one, with when they last used it.

    A log-in, a session that still holds, a shift and a position each are a use.
    """
    rows = await conn.fetch(
        """
        SELECT m.member_id, m.state, s.warned_at,
               CASE WHEN m.state = 'invited' THEN coalesce(i.created_at, m.created_at)
                    ELSE greatest(
                        m.created_at, s.joined_at, s.used_at,
                        (SELECT max(least(e.expires_at, $2)) FROM session e
                          WHERE e.company_id = m.company_id AND e.member_id = m.member_id),
                        (SELECT max(w.started_at) FROM shift w
                          WHERE w.company_id = m.company_id AND w.driver_id = m.member_id),
                        (SELECT max(c.last_at) FROM chunk c
                          WHERE c.company_id = m.company_id AND c.driver_id = m.member_id))
                END AS used_at
          FROM member m
          LEFT JOIN account_standing s ON s.company_id = m.company_id AND s.member_id = m.member_id
          LEFT JOIN invitation i ON i.company_id = m.company_id AND i.member_id = m.member_id
         WHERE m.company_id = $1 AND m.role = 'driver' AND m.state IN ('invited', 'active')
           AND ($3::uuid IS NULL OR m.member_id = $3)
         ORDER BY m.member_id
        """,
        company_id,
        now,
        driver_id,
    )
    return [Unused(**{**row, "state": MemberState(row["state"])}) for row in rows]
