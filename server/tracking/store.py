"""Sealed positions in PostgreSQL: reading, setting apart, deleting."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection


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


class SealedChunk(NamedTuple):
    upload_id: UUID
    key_id: UUID
    blob: bytes


async def count_positions(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, until: datetime
) -> int:
    count: int = await conn.fetchval(
        """
        SELECT coalesce(sum(count), 0) FROM chunk
         WHERE company_id = $1 AND driver_id = $2 AND last_at >= $3 AND first_at < $4
        """,
        company_id,
        driver_id,
        since,
        until,
    )
    return int(count)


async def chunks(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, until: datetime
) -> list[SealedChunk]:
    """Return the chunks that may hold positions of ``[since, until)``."""
    rows = await conn.fetch(
        """
        SELECT upload_id, key_id, blob FROM chunk
         WHERE company_id = $1 AND driver_id = $2 AND last_at >= $3 AND first_at < $4
         ORDER BY last_at
        """,
        company_id,
        driver_id,
        since,
        until,
    )
    return [SealedChunk(*row) for row in rows]


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
             s AS (DELETE FROM set_apart WHERE company_id = $1 AND driver_id = $2 RETURNING 1)
        SELECT (SELECT count(*) FROM c) + (SELECT count(*) FROM l)
             + (SELECT count(*) FROM s)
        """,
        company_id,
        driver_id,
    )
    return count
