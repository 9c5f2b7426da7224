"""What an account or a program saw, and how far who is affected was told. One statement each.

Reads only: the registers of reads, of acts, of positions and of notices are their features' own.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.incidents.model import Affected, Counts
from server.kit.db import Connection
from server.notice_kinds.kinds import NoticeKind


async def looked_at(
    conn: Connection, company_id: UUID, viewer_id: UUID, *, since: datetime, until: datetime
) -> set[UUID]:
    """Return the pseudonyms of those whom a viewer may have looked at in that time.

    A read stands for all looks from its time to the end of its five minutes.
    """
    rows = await conn.fetch(
        """
        SELECT DISTINCT looked.driver
          FROM location_read r
          JOIN location_read_set s ON s.company_id = r.company_id AND s.set_hash = r.set_hash
         CROSS JOIN unnest(s.drivers) AS looked (driver)
         WHERE r.company_id = $1 AND r.viewer_id = $2
           AND r.bucket_at > $3::timestamptz - interval '5 minutes'
           AND r.read_at <= $4
        """,
        company_id,
        viewer_id,
        since,
        until,
    )
    return {row["driver"] for row in rows}


async def acted_on(
    conn: Connection,
    company_id: UUID,
    actor_id: UUID,
    *,
    since: datetime,
    until: datetime,
    but: Collection[str],
) -> set[UUID]:
    """Return the pseudonyms of those about whom somebody did something then, of other acts."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT subject_id FROM ledger_entry
         WHERE company_id = $1 AND actor_id = $2 AND recorded_at BETWEEN $3 AND $4
           AND subject_id IS NOT NULL AND act <> ALL($5::text[])
        """,
        company_id,
        actor_id,
        since,
        until,
        list(but),
    )
    return {row["subject_id"] for row in rows}


async def recorded(
    conn: Connection, company_id: UUID, *, since: datetime, until: datetime
) -> list[UUID]:
    """Return the drivers of whom positions of that time are kept."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT driver_id FROM chunk
         WHERE company_id = $1 AND last_at >= $2 AND first_at <= $3
        """,
        company_id,
        since,
        until,
    )
    return [row["driver_id"] for row in rows]


async def counts(
    conn: Connection, company_id: UUID, incident_id: UUID, kind: NoticeKind, dedupe: str
) -> Counts:
    """Return how far the members of a list are told."""
    row = await conn.fetchrow(
        """
        WITH reached AS (
            SELECT n.member_id,
                   bool_or(d.channel <> 'in_app' AND d.state = 'handed_over') AS sent,
                   bool_or(d.state = 'seen') AS seen
              FROM notice n
              JOIN notice_delivery d ON d.company_id = n.company_id AND d.notice_id = n.notice_id
             WHERE n.company_id = $1 AND n.kind = $3 AND n.dedupe = $4
             GROUP BY n.member_id)
        SELECT count(*) AS affected,
               count(*) FILTER (WHERE m.member_id IS NULL) AS erased,
               count(*) FILTER (WHERE m.member_id IS NOT NULL AND m.told_at IS NOT NULL) AS told,
               count(*) FILTER (WHERE r.sent) AS sent,
               count(*) FILTER (WHERE r.seen) AS seen
          FROM incident_member m
          LEFT JOIN reached r ON r.member_id = m.member_id
         WHERE m.company_id = $1 AND m.incident_id = $2
        """,
        company_id,
        incident_id,
        kind.value,
        dedupe,
    )
    if row is None:
        raise LookupError("an aggregate has one row")
    return Counts(**row)


async def members(
    conn: Connection,
    company_id: UUID,
    incident_id: UUID,
    kind: NoticeKind,
    dedupe: str,
    *,
    after: UUID,
    limit: int,
) -> list[Affected]:
    """Return a page of a list: those who are members still, by their ids."""
    rows = await conn.fetch(
        """
        SELECT m.member_id, m.round, m.told_at, n.notice_id,
               coalesce((SELECT array_agg(d.channel || ':' || d.state ORDER BY d.channel)
                           FROM notice_delivery d
                          WHERE d.company_id = $1 AND d.notice_id = n.notice_id), '{}') AS stands
          FROM incident_member m
          LEFT JOIN notice n
            ON n.company_id = m.company_id AND n.member_id = m.member_id
           AND n.kind = $3 AND n.dedupe = $4
         WHERE m.company_id = $1 AND m.incident_id = $2 AND m.member_id > $5
         ORDER BY m.member_id
         LIMIT $6
        """,
        company_id,
        incident_id,
        kind.value,
        dedupe,
        after,
        limit,
    )
    return [Affected(**row) for row in rows]
