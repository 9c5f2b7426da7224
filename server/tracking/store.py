"""Sealed positions in PostgreSQL: reading, setting apart, deleting."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection
from server.tracking.model import RowPlace, SealedChunk, end_of_month


async def set_apart(conn: Connection, company_id: UUID, driver_id: UUID, before: datetime) -> int:
    """Set apart what the driver's rows hold from before that time; return how many positions."""
    count: int = await conn.fetchval(
        """
        INSERT INTO set_apart (company_id, driver_id, before, positions)
        SELECT $1, $2, $3,
               (SELECT coalesce(sum(count), 0) FROM chunk
                 WHERE company_id = $1 AND driver_id = $2 AND first_at < $3)
             + (SELECT count(*) FROM latest_position
                 WHERE company_id = $1 AND driver_id = $2 AND recorded_at < $3)
        RETURNING positions
        """,
        company_id,
        driver_id,
        before,
    )
    return int(count)


async def set_apart_before(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Return by driver the time before which the company sees nothing of them any more."""
    rows = await conn.fetch(
        """
        SELECT driver_id, max(before) AS before FROM set_apart
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
         GROUP BY driver_id
        """,
        company_id,
        driver_ids,
    )
    return {row["driver_id"]: row["before"] for row in rows}


async def chunks(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
    positions_max: int | None = None,
) -> list[SealedChunk] | None:
    """Return the chunks that may hold positions of ``[since, until)``; None if they hold too many.

    One statement, so that a short track is read in as few round trips as can be.
    """
    rows = await conn.fetch(
        """
        WITH held AS MATERIALIZED (
            SELECT coalesce(sum(count), 0) AS positions FROM chunk
             WHERE company_id = $1 AND driver_id = $2
               AND last_at >= $3 AND last_at < $5 AND first_at < $4)
        SELECT h.positions, c.upload_id, c.key_id, c.blob
          FROM held h
          LEFT JOIN chunk c
            ON c.company_id = $1 AND c.driver_id = $2
           AND c.last_at >= $3 AND c.last_at < $5 AND c.first_at < $4
           AND ($6::bigint IS NULL OR h.positions <= $6)
         ORDER BY c.last_at
        """,
        company_id,
        driver_id,
        since,
        until,
        end_of_month(until),
        positions_max,
    )
    if positions_max is not None and rows[0]["positions"] > positions_max:
        return None
    return [SealedChunk(*row[1:]) for row in rows if row["upload_id"] is not None]


async def places(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, until: datetime
) -> list[RowPlace]:
    """Return where the chunks are that may hold positions of ``[since, until)``, as they begin."""
    rows = await conn.fetch(
        """
        SELECT last_at, upload_id, first_at, count FROM chunk
         WHERE company_id = $1 AND driver_id = $2
           AND last_at >= $3 AND last_at < $5 AND first_at < $4
         ORDER BY first_at, last_at, upload_id
        """,
        company_id,
        driver_id,
        since,
        until,
        end_of_month(until),
    )
    return [RowPlace(*row) for row in rows]


async def chunks_at(
    conn: Connection, company_id: UUID, driver_id: UUID, at: Sequence[RowPlace]
) -> list[SealedChunk]:
    rows = await conn.fetch(
        """
        SELECT c.upload_id, c.key_id, c.blob
          FROM unnest($3::timestamptz[], $4::uuid[]) AS p (last_at, upload_id)
          JOIN chunk c
            ON c.company_id = $1 AND c.driver_id = $2
           AND c.last_at = p.last_at AND c.upload_id = p.upload_id
        """,
        company_id,
        driver_id,
        [place.last_at for place in at],
        [place.upload_id for place in at],
    )
    return [SealedChunk(*row) for row in rows]


async def end_of_part(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
    positions: int,
    chunks: int,
) -> datetime | None:
    """Return when the next chunk ends after so many positions or chunks from ``since`` on.

    None if there are no more than that before ``until``.
    """
    found: datetime | None = await conn.fetchval(
        """
        SELECT last_at
          FROM (SELECT last_at,
                       sum(count) OVER before AS positions,
                       count(*) OVER before AS chunks
                  FROM chunk
                 WHERE company_id = $1 AND driver_id = $2
                   AND last_at >= $3 AND last_at < $5 AND first_at < $4
                WINDOW before AS (ORDER BY last_at, upload_id ROWS UNBOUNDED PRECEDING)) AS run
         WHERE positions > $6 OR chunks > $7
         ORDER BY last_at
         LIMIT 1
        """,
        company_id,
        driver_id,
        since,
        until,
        end_of_month(until),
        positions,
        chunks,
    )
    return found


class SealedLatest(NamedTuple):
    driver_id: UUID
    recorded_at: datetime
    key_id: UUID
    blob: bytes
    upload_id: UUID | None
    """Of the chunk; None where it is the only position kept."""


async def newest(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    since: Sequence[datetime],
) -> list[SealedLatest]:
    """Return for each driver the newest sealed position or chunk, if not before their ``since``."""
    rows = await conn.fetch(
        """
        SELECT d.driver_id, found.recorded_at, found.key_id, found.blob, found.upload_id
          FROM unnest($2::uuid[], $3::timestamptz[]) AS d (driver_id, since)
         CROSS JOIN LATERAL (
                (SELECT c.last_at AS recorded_at, c.key_id, c.blob, c.upload_id
                   FROM chunk c
                  WHERE c.company_id = $1 AND c.driver_id = d.driver_id AND c.last_at >= d.since
                  ORDER BY c.last_at DESC
                  LIMIT 1)
                UNION ALL
                (SELECT l.recorded_at, l.key_id, l.blob, NULL
                   FROM latest_position l
                  WHERE l.company_id = $1 AND l.driver_id = d.driver_id
                    AND l.recorded_at >= d.since)
                ORDER BY recorded_at DESC
                LIMIT 1) AS found
        """,
        company_id,
        driver_ids,
        since,
    )
    return [SealedLatest(*row) for row in rows]


async def delete_latest_before(conn: Connection, company_id: UUID, before: datetime) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM latest_position WHERE company_id = $1 AND recorded_at < $2
        RETURNING driver_id
        """,
        company_id,
        before,
    )
    return len(rows)


async def delete_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    """Delete every position of the driver; return how many rows went."""
    count: int = await conn.fetchval(
        """
        WITH c AS (DELETE FROM chunk WHERE company_id = $1 AND driver_id = $2 RETURNING 1),
             l AS (DELETE FROM latest_position WHERE company_id = $1 AND driver_id = $2
                   RETURNING 1),
             s AS (DELETE FROM set_apart WHERE company_id = $1 AND driver_id = $2 RETURNING 1),
             d AS (DELETE FROM deleted_span WHERE company_id = $1 AND driver_id = $2 RETURNING 1)
        SELECT (SELECT count(*) FROM c) + (SELECT count(*) FROM l)
             + (SELECT count(*) FROM s) + (SELECT count(*) FROM d)
        """,
        company_id,
        driver_id,
    )
    return count
