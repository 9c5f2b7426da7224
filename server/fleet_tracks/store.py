"""Sealed positions of many drivers in PostgreSQL, a few statements for all of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection
from server.tracking.model import SealedChunk, end_of_month


class Extent(NamedTuple):
    """From when on a driver shares, and how many positions of the span may be of that."""

    driver_id: UUID
    since: datetime
    positions: int


async def extents(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    given: Sequence[datetime],
    *,
    since: datetime,
    until: datetime,
) -> list[Extent]:
    """Return what each driver shares of ``[since, until)``.

    Nothing from before they gave their consents, and nothing that was set apart.
    """
    rows = await conn.fetch(
        """
        SELECT d.driver_id, shared.since, coalesce(stored.positions, 0)::bigint AS positions
          FROM unnest($2::uuid[], $3::timestamptz[]) AS d (driver_id, given)
         CROSS JOIN LATERAL (
                SELECT greatest(d.given, $4, max(a.before)) AS since
                  FROM set_apart a
                 WHERE a.company_id = $1 AND a.driver_id = d.driver_id) AS shared
         CROSS JOIN LATERAL (
                SELECT sum(c.count) AS positions
                  FROM chunk c
                 WHERE c.company_id = $1 AND c.driver_id = d.driver_id
                   AND c.last_at >= shared.since AND c.last_at < $6
                   AND c.first_at < $5) AS stored
        """,
        company_id,
        driver_ids,
        given,
        since,
        until,
        end_of_month(until),
    )
    return [Extent(*row) for row in rows]


async def chunks(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    since: Sequence[datetime],
    *,
    until: datetime,
) -> dict[UUID, list[SealedChunk]]:
    """Return by driver the rows that may hold positions of ``[since, until)``."""
    rows = await conn.fetch(
        """
        SELECT d.driver_id, stored.upload_id, stored.key_id, stored.blob
          FROM unnest($2::uuid[], $3::timestamptz[]) AS d (driver_id, since)
         CROSS JOIN LATERAL (
                SELECT c.upload_id, c.key_id, c.blob, c.last_at
                  FROM chunk c
                 WHERE c.company_id = $1 AND c.driver_id = d.driver_id
                   AND c.last_at >= d.since AND c.last_at < $5 AND c.first_at < $4) AS stored
         ORDER BY stored.last_at
        """,
        company_id,
        driver_ids,
        since,
        until,
        end_of_month(until),
    )
    found: dict[UUID, list[SealedChunk]] = {driver_id: [] for driver_id in driver_ids}
    for driver_id, *chunk in rows:
        found[driver_id].append(SealedChunk(*chunk))
    return found
