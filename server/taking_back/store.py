"""Finding what is to be taken back, in PostgreSQL. Each function is one statement.

Locks and reads only: the notices are deleted by ``notices``, which they belong to.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.notice_kinds.kinds import NoticeKind


async def lock_free_naming(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    kinds: Collection[NoticeKind],
    before: datetime | None,
    *,
    limit: int,
) -> list[UUID]:
    """Return the newest notices of these kinds that name the member and that nobody is at, locked.

    Each is looked up by its id (LATERAL), whatever the planner believes of tables that just grew.
    """
    rows = await conn.fetch(
        """
        SELECT n.notice_id
          FROM (SELECT notice_id FROM notice_person WHERE company_id = $1 AND member_id = $2
                 ORDER BY notice_id DESC) AS p
         CROSS JOIN LATERAL (SELECT notice_id FROM notice
                  WHERE company_id = $1 AND notice_id = p.notice_id AND kind = ANY($3::text[])
                    AND ($4::timestamptz IS NULL OR queued_at <= $4) FOR UPDATE SKIP LOCKED) AS n
         ORDER BY p.notice_id DESC LIMIT $5
        """,
        company_id,
        member_id,
        list(kinds),
        before,
        limit,
    )
    return [row["notice_id"] for row in rows]


async def last_queued_naming(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    kinds: Collection[NoticeKind],
    before: datetime | None,
    *,
    limit: int,
) -> datetime | None:
    """Return when the last of the ``limit`` newest such notices was queued; None: there is none."""
    at: datetime | None = await conn.fetchval(
        """
        SELECT max(queued_at) FROM (
            SELECT n.queued_at
              FROM (SELECT notice_id FROM notice_person WHERE company_id = $1 AND member_id = $2
                     ORDER BY notice_id DESC) AS p
             CROSS JOIN LATERAL (SELECT queued_at FROM notice
                      WHERE company_id = $1 AND notice_id = p.notice_id AND kind = ANY($3::text[])
                        AND ($4::timestamptz IS NULL OR queued_at <= $4) OFFSET 0) AS n
             ORDER BY p.notice_id DESC LIMIT $5) AS newest
        """,
        company_id,
        member_id,
        list(kinds),
        before,
        limit,
    )
    return at
