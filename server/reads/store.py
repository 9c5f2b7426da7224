"""Reads of locations in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.reads.model import ReadRow


async def insert_bucket(conn: Connection, company_id: UUID, bucket_at: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO location_read_bucket (company_id, bucket_at) VALUES ($1, $2)
        ON CONFLICT (company_id, bucket_at) DO NOTHING
        """,
        company_id,
        bucket_at,
    )


async def share_open_bucket(conn: Connection, company_id: UUID, bucket_at: datetime) -> bool:
    """Hold the bucket against being closed until the transaction ends; tell whether it is open."""
    return bool(
        await conn.fetchval(
            """
            SELECT ledger_index IS NULL FROM location_read_bucket
             WHERE company_id = $1 AND bucket_at = $2
               FOR SHARE
            """,
            company_id,
            bucket_at,
        )
    )


async def open_buckets(
    conn: Connection, company_id: UUID, *, until: datetime, limit: int
) -> list[datetime]:
    """Return buckets that began at ``until`` or before and are open, the oldest first."""
    rows = await conn.fetch(
        """
        SELECT bucket_at FROM location_read_bucket
         WHERE company_id = $1 AND bucket_at <= $2 AND ledger_index IS NULL
         ORDER BY bucket_at LIMIT $3
        """,
        company_id,
        until,
        limit,
    )
    return [row["bucket_at"] for row in rows]


async def lock_open_bucket(conn: Connection, company_id: UUID, bucket_at: datetime) -> bool:
    """Wait for whoever is adding to the bucket; tell whether it is still open."""
    return bool(
        await conn.fetchval(
            """
            SELECT ledger_index IS NULL FROM location_read_bucket
             WHERE company_id = $1 AND bucket_at = $2
               FOR UPDATE
            """,
            company_id,
            bucket_at,
        )
    )


async def close_bucket(
    conn: Connection, company_id: UUID, bucket_at: datetime, *, ledger_index: int
) -> None:
    await conn.execute(
        """
        UPDATE location_read_bucket SET ledger_index = $3
         WHERE company_id = $1 AND bucket_at = $2
        """,
        company_id,
        bucket_at,
        ledger_index,
    )


async def misclosed(conn: Connection, company_id: UUID) -> int | None:
    """Return the first place that a bucket names and where no entry closes that very bucket."""
    index: int | None = await conn.fetchval(
        """
        SELECT min(b.ledger_index)
          FROM location_read_bucket b
          LEFT JOIN ledger_entry e
            ON e.company_id = b.company_id AND e.index = b.ledger_index
           AND e.act = 'location_read_bucket'
           AND (e.facts::jsonb ->> 'bucket_at')::timestamptz = b.bucket_at
         WHERE b.company_id = $1 AND b.ledger_index IS NOT NULL AND e.index IS NULL
        """,
        company_id,
    )
    return index


async def insert_set(
    conn: Connection, company_id: UUID, name: bytes, drivers: Sequence[UUID]
) -> None:
    await conn.execute(
        """
        INSERT INTO location_read_set (company_id, set_hash, drivers) VALUES ($1, $2, $3)
        ON CONFLICT (company_id, set_hash) DO NOTHING
        """,
        company_id,
        name,
        drivers,
    )


async def sets(
    conn: Connection, company_id: UUID, names: Collection[bytes]
) -> dict[bytes, list[UUID]]:
    rows = await conn.fetch(
        """
        SELECT set_hash, drivers FROM location_read_set
         WHERE company_id = $1 AND set_hash = ANY($2::bytea[])
        """,
        company_id,
        list(names),
    )
    return {row["set_hash"]: row["drivers"] for row in rows}


async def insert_rows(
    conn: Connection, company_id: UUID, bucket_at: datetime, rows: Sequence[ReadRow]
) -> None:
    """Add reads, in this order; one that is there already stays as it is."""
    await conn.execute(
        """
        INSERT INTO location_read
               (company_id, bucket_at, viewer_kind, viewer_id, purpose, screen, set_hash, read_at)
        SELECT $1, $2, viewer_kind, viewer_id, purpose, screen, set_hash, read_at
          FROM unnest($3::text[], $4::uuid[], $5::text[], $6::text[], $7::bytea[],
                      $8::timestamptz[])
            AS new (viewer_kind, viewer_id, purpose, screen, set_hash, read_at)
        ON CONFLICT (company_id, bucket_at, viewer_kind, viewer_id, purpose, screen, set_hash)
        DO NOTHING
        """,
        company_id,
        bucket_at,
        [row.viewer_kind for row in rows],
        [row.viewer_id for row in rows],
        [row.purpose for row in rows],
        [row.screen for row in rows],
        [row.set_hash for row in rows],
        [row.read_at for row in rows],
    )


async def rows(conn: Connection, company_id: UUID, bucket_at: datetime) -> list[ReadRow]:
    found = await conn.fetch(
        """
        SELECT viewer_kind, viewer_id, purpose, screen, set_hash, read_at
          FROM location_read
         WHERE company_id = $1 AND bucket_at = $2
        """,
        company_id,
        bucket_at,
    )
    return [ReadRow(**row) for row in found]


async def views(
    conn: Connection,
    company_id: UUID,
    pseudonym: UUID,
    *,
    since: datetime,
    before: tuple[datetime, str, UUID, str, str] | None,
    but: Collection[datetime],
    limit: int,
) -> list[Record]:
    """Return who looked at a driver, the latest first: once per bucket, viewer, purpose, screen."""
    bucket_at, kind, viewer_id, purpose, screen = before or (None, None, None, None, None)
    return await conn.fetch(
        """
        WITH with_driver AS MATERIALIZED (
            -- first and once: a set is large, and hundreds of reads share it
            SELECT s.set_hash
              FROM location_read_set s
             WHERE s.company_id = $1 AND $2 = ANY(s.drivers)
               AND s.set_hash IN (SELECT r.set_hash FROM location_read r
                                   WHERE r.company_id = $1 AND r.bucket_at >= $3
                                     AND ($4::timestamptz IS NULL OR r.bucket_at <= $4))
        )
        SELECT r.bucket_at, r.viewer_kind, r.viewer_id, r.purpose, r.screen,
               min(r.read_at) AS read_at
          FROM location_read r
         WHERE r.company_id = $1 AND r.bucket_at >= $3
           AND r.set_hash IN (SELECT set_hash FROM with_driver)
           AND NOT (r.purpose = 'disclosure' AND r.read_at = ANY($10::timestamptz[]))
           AND ($4::timestamptz IS NULL
                OR (r.bucket_at, r.viewer_kind, r.viewer_id, r.purpose, r.screen)
                 < ($4, $5::text, $6::uuid, $7::text, $8::text))
         GROUP BY r.bucket_at, r.viewer_kind, r.viewer_id, r.purpose, r.screen
         ORDER BY r.bucket_at DESC, r.viewer_kind DESC, r.viewer_id DESC, r.purpose DESC,
                  r.screen DESC
         LIMIT $9
        """,
        company_id,
        pseudonym,
        since,
        bucket_at,
        kind,
        viewer_id,
        purpose,
        screen,
        limit,
        list(but),
    )


async def drivers_looked_at(
    conn: Connection,
    company_id: UUID,
    viewer_kind: str,
    viewer_id: UUID,
    *,
    screens: Collection[str],
    buckets: Sequence[datetime],
    since: datetime,
) -> tuple[int, int]:
    """Return how many drivers a viewer looked at since then, and how many raise no alert."""
    row = await conn.fetchrow(
        """
        SELECT count(DISTINCT looked.driver) AS drivers,
               (SELECT bulk_read_drivers_max FROM company WHERE company_id = $1) AS most
          FROM location_read r
          JOIN location_read_set s ON s.company_id = r.company_id AND s.set_hash = r.set_hash
         CROSS JOIN unnest(s.drivers) AS looked (driver)
         WHERE r.company_id = $1 AND r.bucket_at = ANY($2::timestamptz[])
           AND r.viewer_kind = $3 AND r.viewer_id = $4
           AND r.screen = ANY($5::text[]) AND r.read_at > $6
        """,
        company_id,
        buckets,
        viewer_kind,
        viewer_id,
        list(screens),
        since,
    )
    if row is None:
        raise LookupError("no company is entered")
    return row["drivers"], row["most"]


async def claim_alert(
    conn: Connection,
    company_id: UUID,
    alert: str,
    viewer_kind: str,
    viewer_id: UUID,
    *,
    at: datetime,
    quiet_since: datetime,
) -> bool:
    """Take the viewer's alert; False if one was raised after ``quiet_since``, or just now."""
    found = await conn.fetchval(
        """
        INSERT INTO viewer_alert (company_id, alert, viewer_kind, viewer_id, raised_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, alert, viewer_kind, viewer_id)
        DO UPDATE SET raised_at = excluded.raised_at
         WHERE viewer_alert.raised_at <= $6
        RETURNING true
        """,
        company_id,
        alert,
        viewer_kind,
        viewer_id,
        at,
        quiet_since,
    )
    return bool(found)


# ---- by the job runner's role, which may remove what is a year old


async def old_buckets(
    conn: Connection, company_id: UUID, *, until: datetime, limit: int
) -> list[datetime]:
    """Return closed buckets that began before ``until``, the oldest first."""
    rows = await conn.fetch(
        """
        SELECT bucket_at FROM location_read_bucket
         WHERE company_id = $1 AND bucket_at < $2 AND ledger_index IS NOT NULL
         ORDER BY bucket_at LIMIT $3
        """,
        company_id,
        until,
        limit,
    )
    return [row["bucket_at"] for row in rows]


async def count_old_buckets(
    conn: Connection, company_id: UUID, *, until: datetime
) -> tuple[int, datetime | None]:
    """Return how many closed buckets began before ``until``, and when the first did."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS buckets, min(bucket_at) AS oldest FROM location_read_bucket
         WHERE company_id = $1 AND bucket_at < $2 AND ledger_index IS NOT NULL
        """,
        company_id,
        until,
    )
    return (0, None) if row is None else (row["buckets"], row["oldest"])


async def delete_bucket(conn: Connection, company_id: UUID, bucket_at: datetime) -> int:
    """Delete a bucket with its reads; return 1, or 0 where it is not to be deleted.

    Foreign keys are looked at when the statement ends, so one statement may take both.
    """
    count: int = await conn.fetchval(
        """
        WITH r AS (DELETE FROM location_read WHERE company_id = $1 AND bucket_at = $2),
             b AS (DELETE FROM location_read_bucket
                    WHERE company_id = $1 AND bucket_at = $2 RETURNING 1)
        SELECT count(*) FROM b
        """,
        company_id,
        bucket_at,
    )
    return count


async def delete_unused_sets(conn: Connection, company_id: UUID, *, limit: int) -> int:
    """Delete sets that no read names; return how many.

    Raises
    ------
    ForeignKeyViolation
        A read that names one of them was written meanwhile.
    """
    count: int = await conn.fetchval(
        """
        WITH s AS (
            DELETE FROM location_read_set
             WHERE company_id = $1
               AND set_hash IN (
                    SELECT u.set_hash FROM location_read_set u
                     WHERE u.company_id = $1
                       AND NOT EXISTS (SELECT FROM location_read r
                                        WHERE r.company_id = $1 AND r.set_hash = u.set_hash)
                     LIMIT $2)
            RETURNING 1)
        SELECT count(*) FROM s
        """,
        company_id,
        limit,
    )
    return count


async def delete_alerts(conn: Connection, company_id: UUID, *, until: datetime) -> None:
    await conn.execute(
        "DELETE FROM viewer_alert WHERE company_id = $1 AND raised_at < $2", company_id, until
    )
