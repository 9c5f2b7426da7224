"""The rows of ``chunk`` that are merged, and the statement that exchanges them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from server.gate.model import LOCK, LOCK_OR_SKIP
from server.kit.db import Connection
from server.tracking.model import ChunkRow, end_of_month


class LooseHour(NamedTuple):
    """An hour of a driver with more rows than it needs."""

    driver_id: UUID
    hour: datetime


class SealedSource(NamedTuple):
    last_at: datetime
    upload_id: UUID
    stored_at: datetime
    key_id: UUID
    blob: bytes


async def loose_hours(
    conn: Connection, company_id: UUID, *, since: datetime, until: datetime, limit: int
) -> list[LooseHour]:
    """Return hours in which an upload lies beside other rows; a merged row's id is no upload's.

    Answered from the primary key's index alone.
    """
    rows = await conn.fetch(
        """
        SELECT g.driver_id, h.hour
          FROM gate g
         CROSS JOIN LATERAL (
                SELECT date_bin('1 hour', c.last_at, 'epoch') AS hour
                  FROM chunk c
                 WHERE c.company_id = $1 AND c.driver_id = g.driver_id
                   AND c.last_at >= $2 AND c.last_at < $3
                 GROUP BY 1
                HAVING count(*) > 1
                   AND bool_or(get_byte(uuid_send(c.upload_id), 6) >> 4 = 8)) AS h
         WHERE g.company_id = $1 AND g.account_active
         LIMIT $4
        """,
        company_id,
        since,
        until,
        limit,
    )
    return [LooseHour(*row) for row in rows]


async def sources(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, until: datetime
) -> list[SealedSource]:
    """Return the rows whose last position lies in ``[since, until)``."""
    rows = await conn.fetch(
        """
        SELECT last_at, upload_id, stored_at, key_id, blob FROM chunk
         WHERE company_id = $1 AND driver_id = $2 AND last_at >= $3 AND last_at < $4
         ORDER BY last_at, upload_id
        """,
        company_id,
        driver_id,
        since,
        until,
    )
    return [SealedSource(*row) for row in rows]


async def touching(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
    after: SealedSource | None,
    limit: int,
) -> list[SealedSource]:
    """Return the next rows that may hold positions of ``[since, until)``."""
    rows = await conn.fetch(
        """
        SELECT last_at, upload_id, stored_at, key_id, blob FROM chunk
         WHERE company_id = $1 AND driver_id = $2
           AND last_at >= $3 AND last_at < $5 AND first_at < $4
           AND ($6::timestamptz IS NULL OR (last_at, upload_id) > ($6, $7::uuid))
         ORDER BY last_at, upload_id LIMIT $8
        """,
        company_id,
        driver_id,
        since,
        until,
        end_of_month(until),
        None if after is None else after.last_at,
        None if after is None else after.upload_id,
        limit,
    )
    return [SealedSource(*row) for row in rows]


def build_exchange(lock: str, *, active: str = "AND g.account_active") -> str:
    """Return the exchanging statement. ``lock`` is a parameter so that a proof can remove it."""
    return f"""
        WITH ok AS MATERIALIZED (
            SELECT g.company_id, g.driver_id
              FROM gate g
             WHERE g.company_id = $1 AND g.driver_id = $2
               {active} AND g.key_epoch = $3
               AND NOT EXISTS (SELECT FROM gate_closing c
                                WHERE c.company_id = g.company_id AND c.driver_id = g.driver_id)
               {lock}
        ),
        gone AS (
            DELETE FROM chunk c
             USING ok, unnest($4::timestamptz[], $5::uuid[]) AS s (last_at, upload_id)
             WHERE c.company_id = ok.company_id AND c.driver_id = ok.driver_id
               AND c.company_id = $1 AND c.driver_id = $2
               AND c.last_at = s.last_at AND c.upload_id = s.upload_id
            RETURNING 1
        ),
        merged AS (
            INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,
                               count, key_id, blob)
            SELECT ok.company_id, ok.driver_id, r.last_at, r.upload_id, r.first_at, $6,
                   r.count, r.key_id, r.blob
              FROM ok, unnest($7::timestamptz[], $8::uuid[], $9::timestamptz[], $10::integer[],
                              $11::uuid[], $12::bytea[])
                    AS r (last_at, upload_id, first_at, count, key_id, blob)
             ORDER BY r.last_at, r.upload_id
        )
        SELECT count(*) FROM gone
    """  # noqa: S608 - constants of this module, no caller's text


EXCHANGE: Final = build_exchange(LOCK_OR_SKIP)
CUT_OUT: Final = build_exchange(LOCK, active="")
"""Waits for the gate. Whoever is blocked may delete as well: it adds no position."""


async def wait_for_no_disk(conn: Connection) -> None:
    """Let this transaction's commit return before it is on the disk.

    A crash may take the last of them back. Then all the rows are there again that were replaced,
    so no position is lost; and whatever is waited for later, is on the disk after these.
    """
    await conn.execute("SET LOCAL synchronous_commit = off")


async def exchange(
    conn: Connection,
    statement: str,
    company_id: UUID,
    driver_id: UUID,
    *,
    key_epoch: int,
    old: Sequence[SealedSource],
    new: Sequence[ChunkRow],
) -> int:
    """Put ``new`` in the place of ``old``; return how many of ``old`` were still there.

    Unless that is all of them, the caller rolls back.
    """
    count: int = await conn.fetchval(
        statement,
        company_id,
        driver_id,
        key_epoch,
        [one.last_at for one in old],
        [one.upload_id for one in old],
        max(one.stored_at for one in old),
        [one.last_at for one in new],
        [one.upload_id for one in new],
        [one.first_at for one in new],
        [one.size for one in new],
        [one.key_id for one in new],
        [one.blob for one in new],
    )
    return count
