"""Deleted spans in PostgreSQL, and what lies in them. Each function is one statement.

What other features keep is removed here by its time, as retention removes it by its age.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.notice_kinds.table import OF_TRACKS
from server.track_deletion.model import (
    AFTER_ROUTE,
    BEFORE_ROUTE,
    TOLD_LATE_MAX,
    Deletion,
    Span,
    WindowRow,
)


async def insert(conn: Connection, company_id: UUID, new: Deletion) -> None:
    await conn.execute(
        """
        INSERT INTO deleted_span (company_id, driver_id, deletion_id, since, until, asked_at,
                                  positions, done_at, backups_hold_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        company_id,
        new.driver_id,
        new.deletion_id,
        new.since,
        new.until,
        new.asked_at,
        new.positions,
        new.done_at,
        new.backups_hold_until,
    )


async def same(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> Deletion | None:
    """Return what deleted this very span before."""
    row = await conn.fetchrow(
        """
        SELECT driver_id, deletion_id, since, until, asked_at, positions, done_at,
               backups_hold_until
          FROM deleted_span
         WHERE company_id = $1 AND driver_id = $2 AND since = $3 AND until = $4
         LIMIT 1
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
    )
    return None if row is None else _deletion(row)


async def deletions(
    conn: Connection, company_id: UUID, driver_id: UUID, *, before: UUID | None, limit: int
) -> list[Deletion]:
    """Return what a driver deleted, the latest first."""
    rows = await conn.fetch(
        """
        SELECT driver_id, deletion_id, since, until, asked_at, positions, done_at,
               backups_hold_until
          FROM deleted_span
         WHERE company_id = $1 AND driver_id = $2 AND ($3::uuid IS NULL OR deletion_id < $3)
         ORDER BY deletion_id DESC LIMIT $4
        """,
        company_id,
        driver_id,
        before,
        limit,
    )
    return [_deletion(row) for row in rows]


async def unfinished(conn: Connection, company_id: UUID, *, limit: int) -> list[Deletion]:
    rows = await conn.fetch(
        """
        SELECT driver_id, deletion_id, since, until, asked_at, positions, done_at,
               backups_hold_until
          FROM deleted_span
         WHERE company_id = $1 AND done_at IS NULL
         ORDER BY deletion_id LIMIT $2
        """,
        company_id,
        limit,
    )
    return [_deletion(row) for row in rows]


async def finish(
    conn: Connection, company_id: UUID, of: Deletion, *, removed: int, now: datetime | None
) -> Deletion | None:
    """Note what was removed, and that nothing is left of the span unless ``now`` is None.

    None where the driver was erased meanwhile.
    """
    row = await conn.fetchrow(
        """
        UPDATE deleted_span
           SET positions = positions + $4, done_at = coalesce(
                   done_at, CASE WHEN $5::timestamptz IS NOT NULL THEN greatest($5, asked_at) END)
         WHERE company_id = $1 AND driver_id = $2 AND deletion_id = $3
        RETURNING driver_id, deletion_id, since, until, asked_at, positions, done_at,
                  backups_hold_until
        """,
        company_id,
        of.driver_id,
        of.deletion_id,
        removed,
        now,
    )
    return None if row is None else _deletion(row)


async def windows(
    conn: Connection, company_id: UUID, driver_id: UUID, span: Span
) -> list[WindowRow]:
    """Return the recording windows that reach into the span."""
    rows = await conn.fetch(
        """
        SELECT window_id, opened_at, expires_at, closed_at FROM recording_window
         WHERE company_id = $1 AND driver_id = $2
           AND opened_at < $4 AND coalesce(closed_at, expires_at) > $3
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
    )
    return [WindowRow(**dict(row)) for row in rows]


async def delete_windows(
    conn: Connection, company_id: UUID, driver_id: UUID, window_ids: Sequence[UUID]
) -> None:
    await conn.execute(
        """
        DELETE FROM recording_window
         WHERE company_id = $1 AND driver_id = $2 AND window_id = ANY($3::uuid[])
        """,
        company_id,
        driver_id,
        window_ids,
    )


async def insert_windows(
    conn: Connection, company_id: UUID, driver_id: UUID, new: Sequence[WindowRow]
) -> None:
    await conn.execute(
        """
        INSERT INTO recording_window (company_id, driver_id, window_id, opened_at, expires_at,
                                      closed_at)
        SELECT $1, $2, *
          FROM unnest($3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
        """,
        company_id,
        driver_id,
        [one.window_id for one in new],
        [one.opened_at for one in new],
        [one.expires_at for one in new],
        [one.closed_at for one in new],
    )


async def count_for_all(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Let whoever holds something that was read of the driver see that it is not so any more.

    Uploads by ``rev``; reports, live routes and answers by ``epoch``; screens by ``screen_epoch``,
    as if it had ended and begun.
    """
    await conn.execute(
        """
        UPDATE gate SET rev = rev + 1, epoch = epoch + 1, screen_epoch = screen_epoch + 2
         WHERE company_id = $1 AND driver_id = $2
        """,
        company_id,
        driver_id,
    )


async def delete_positions(
    conn: Connection, company_id: UUID, driver_id: UUID, span: Span, *, also_track: bool
) -> int:
    """Delete where the driver was last, and the rows of the track that lie wholly in the span.

    Return how many positions they held.
    """
    count: int = await conn.fetchval(
        """
        WITH c AS (DELETE FROM chunk
                    WHERE company_id = $1 AND driver_id = $2
                      AND last_at >= $3 AND last_at < $4 AND first_at >= $3 AND $5
                RETURNING count),
             l AS (DELETE FROM latest_position
                    WHERE company_id = $1 AND driver_id = $2
                      AND recorded_at >= $3 AND recorded_at < $4 RETURNING 1)
        SELECT (SELECT coalesce(sum(count), 0) FROM c) + (SELECT count(*) FROM l)
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
        also_track,
    )
    return int(count)


async def count_positions(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> int:
    """Return how many rows of the track hold something of the span."""
    count: int = await conn.fetchval(
        """
        SELECT count(*) FROM chunk
         WHERE company_id = $1 AND driver_id = $2 AND last_at >= $3 AND first_at < $4
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
    )
    return count


async def count_reports(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> int:
    """Return how many stored reports and alerts the span may belong to."""
    count: int = await conn.fetchval(
        """
        SELECT (SELECT count(*) FROM plan_fact_report p
                  JOIN route r ON r.company_id = $1 AND r.route_id = p.route_id
                 WHERE p.company_id = $1 AND p.driver_id = $2
                   AND r.starts_at - $5::interval < $4 AND r.ends_at + $6::interval > $3)
             + (SELECT count(*) FROM alert
                 WHERE company_id = $1 AND driver_id = $2
                   AND raised_at >= $3 AND raised_at < $4::timestamptz + $7::interval)
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
        BEFORE_ROUTE,
        AFTER_ROUTE,
        TOLD_LATE_MAX,
    )
    return count


async def delete_reports(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> int:
    """Delete the stored reports to which the span may belong; they are made anew without it."""
    rows = await conn.fetch(
        """
        DELETE FROM plan_fact_report p
         USING route r
         WHERE p.company_id = $1 AND p.driver_id = $2
           AND r.company_id = $1 AND r.route_id = p.route_id
           AND r.starts_at - $5::interval < $4 AND r.ends_at + $6::interval > $3
        RETURNING p.route_id
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
        BEFORE_ROUTE,
        AFTER_ROUTE,
    )
    return len(rows)


async def delete_alerts(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> int:
    """Delete what was raised of how the driver drove then."""
    rows = await conn.fetch(
        """
        DELETE FROM alert
         WHERE company_id = $1 AND driver_id = $2
           AND raised_at >= $3 AND raised_at < $4::timestamptz + $5::interval
        RETURNING alert_id
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
        TOLD_LATE_MAX,
    )
    return len(rows)


async def lock_notices(
    conn: Connection, company_id: UUID, driver_id: UUID, span: Span, *, limit: int
) -> list[UUID]:
    """Return notices that tell others how the driver drove then, locked; waits for their sender."""
    rows = await conn.fetch(
        """
        SELECT n.notice_id
          FROM notice_person p
          JOIN notice n ON n.company_id = $1 AND n.notice_id = p.notice_id
         WHERE p.company_id = $1 AND p.member_id = $2 AND n.kind = ANY($5::text[])
           AND n.queued_at >= $3 AND n.queued_at < $4::timestamptz + $6::interval
         ORDER BY n.notice_id LIMIT $7
           FOR UPDATE OF n
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
        list(OF_TRACKS),
        TOLD_LATE_MAX,
        limit,
    )
    return [row["notice_id"] for row in rows]


async def last_said(
    conn: Connection, company_id: UUID, driver_id: UUID, span: Span
) -> tuple[int, datetime | None]:
    """Return how often the driver said something of a stop in the span, and when last."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS rows, max(received_at) AS last FROM stop_event
         WHERE company_id = $1 AND driver_id = $2 AND received_at >= $3 AND received_at < $4
        """,
        company_id,
        driver_id,
        span.since,
        span.until,
    )
    return (0, None) if row is None else (row["rows"], row["last"])


def _deletion(row: Record) -> Deletion:
    return Deletion(**dict(row))
