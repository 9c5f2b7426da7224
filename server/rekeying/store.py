"""The key database as whoever exchanges its keys sees it: all companies. One statement each."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.rekeying.model import Rekeying, Standing, Waiting
from server.vault.model import WrappedKey


async def try_lock(conn: Connection) -> bool:
    """Be the only one who exchanges keys, until the connection ends."""
    return bool(await conn.fetchval("SELECT pg_try_advisory_lock(7242004)"))


async def limit_lock_wait(conn: Connection, *, lock_ms_max: int) -> None:
    """Let no statement of the transaction wait for a lock for longer than that."""
    await conn.execute(f"SET LOCAL lock_timeout = '{int(lock_ms_max)}ms'")


async def hold_up_others(conn: Connection) -> None:
    """Let nobody make or destroy a key until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(7242003)")


async def under_way(conn: Connection) -> Rekeying | None:
    row = await conn.fetchrow(
        """
        SELECT rekeying_id, begun_at, exchanged_at, wrapped_at, companies, keys, ended_at
          FROM rekeying WHERE ended_at IS NULL
        """
    )
    return None if row is None else Rekeying(**row)


async def one(conn: Connection, rekeying_id: UUID) -> Rekeying | None:
    row = await conn.fetchrow(
        """
        SELECT rekeying_id, begun_at, exchanged_at, wrapped_at, companies, keys, ended_at
          FROM rekeying WHERE rekeying_id = $1
        """,
        rekeying_id,
    )
    return None if row is None else Rekeying(**row)


async def last(conn: Connection) -> Rekeying | None:
    """Return the exchange that began last: the one under way, or whose KEK is in force.

    Not the one of the latest time: the clock may have been set back since.
    """
    row = await conn.fetchrow(
        """
        SELECT rekeying_id, begun_at, exchanged_at, wrapped_at, companies, keys, ended_at
          FROM rekeying
         ORDER BY ended_at IS NULL DESC,
                  kek_id IN (SELECT kek_id FROM pepper) DESC,
                  begun_at DESC, rekeying_id DESC
         LIMIT 1
        """
    )
    return None if row is None else Rekeying(**row)


async def waiting(conn: Connection) -> Waiting:
    destroyed = await conn.fetchval(
        "SELECT count(*) FROM subject WHERE destroyed_at IS NOT NULL AND rekeying_id IS NULL"
    )
    opened_at = await conn.fetchval("SELECT min(created_at) FROM pepper")
    return Waiting(destroyed=destroyed, last=await last(conn), opened_at=opened_at)


async def insert(conn: Connection, rekeying_id: UUID, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO rekeying (rekeying_id, begun_at) VALUES ($1, $2)", rekeying_id, now
    )


async def take_on(conn: Connection, rekeying_id: UUID) -> None:
    """Note that this exchange is the first after these subjects' keys were destroyed."""
    await conn.execute(
        """
        UPDATE subject SET rekeying_id = $1
         WHERE destroyed_at IS NOT NULL AND rekeying_id IS NULL
        """,
        rekeying_id,
    )


async def set_exchanged(conn: Connection, rekeying_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE rekeying SET exchanged_at = greatest(begun_at, $2) WHERE rekeying_id = $1",
        rekeying_id,
        now,
    )


async def set_wrapped(conn: Connection, done: Rekeying, kek_id: bytes, now: datetime) -> None:
    await conn.execute(
        """
        UPDATE rekeying
           SET wrapped_at = greatest(exchanged_at, $2), kek_id = $3, companies = $4, keys = $5
         WHERE rekeying_id = $1
        """,
        done.rekeying_id,
        now,
        kek_id,
        done.companies,
        done.keys,
    )


async def set_ended(conn: Connection, rekeying_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE rekeying SET ended_at = greatest(wrapped_at, $2) WHERE rekeying_id = $1",
        rekeying_id,
        now,
    )


async def delete_older_peppers(conn: Connection) -> int:
    """Delete every pepper but the newest; return how many."""
    rows = await conn.fetch(
        """
        DELETE FROM pepper
         WHERE pepper_id <> (SELECT pepper_id FROM pepper
                              ORDER BY created_at DESC, pepper_id DESC LIMIT 1)
        RETURNING pepper_id
        """
    )
    return len(rows)


async def set_pepper(conn: Connection, pepper_id: UUID, *, kek_id: bytes, wrapped: bytes) -> None:
    await conn.execute(
        "UPDATE pepper SET kek_id = $2, wrapped = $3 WHERE pepper_id = $1",
        pepper_id,
        kek_id,
        wrapped,
    )


async def set_signing_key(conn: Connection, key_id: UUID, *, kek_id: bytes, wrapped: bytes) -> None:
    await conn.execute(
        "UPDATE signing_key SET kek_id = $2, wrapped = $3 WHERE key_id = $1",
        key_id,
        kek_id,
        wrapped,
    )


async def company_keys(conn: Connection) -> list[tuple[UUID, bytes]]:
    """Return every company with its wrapped key."""
    rows = await conn.fetch("SELECT company_id, wrapped FROM company_key ORDER BY company_id")
    return [(row["company_id"], row["wrapped"]) for row in rows]


async def set_company_keys(
    conn: Connection, kek_id: bytes, company_ids: Sequence[UUID], wrapped: Sequence[bytes]
) -> None:
    await conn.execute(
        """
        UPDATE company_key c SET kek_id = $1, wrapped = n.wrapped
          FROM unnest($2::uuid[], $3::bytea[]) AS n (company_id, wrapped)
         WHERE c.company_id = n.company_id
        """,
        kek_id,
        company_ids,
        wrapped,
    )


async def data_keys(
    conn: Connection, company_id: UUID, *, after: UUID, limit: int
) -> list[WrappedKey]:
    rows = await conn.fetch(
        """
        SELECT key_id, subject_id, category, period, wrapped
          FROM data_key
         WHERE company_id = $1 AND key_id > $2
         ORDER BY key_id
         LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [_wrapped_key(row) for row in rows]


async def set_data_keys(
    conn: Connection, company_id: UUID, key_ids: Sequence[UUID], wrapped: Sequence[bytes]
) -> None:
    await conn.execute(
        """
        UPDATE data_key d SET wrapped = n.wrapped
          FROM unnest($2::uuid[], $3::bytea[]) AS n (key_id, wrapped)
         WHERE d.company_id = $1 AND d.key_id = n.key_id
        """,
        company_id,
        key_ids,
        wrapped,
    )


async def ended_at(conn: Connection, company_id: UUID, subject_id: UUID) -> datetime | None:
    """Return when the exchange ended that came after a subject's keys were destroyed."""
    ended: datetime | None = await conn.fetchval(
        """
        SELECT r.ended_at
          FROM subject s
          JOIN rekeying r ON r.rekeying_id = s.rekeying_id
         WHERE s.company_id = $1 AND s.subject_id = $2
        """,
        company_id,
        subject_id,
    )
    return ended


def _wrapped_key(row: Record) -> WrappedKey:
    return WrappedKey(**row)


async def standing(conn: Connection) -> Standing:
    rows = await conn.fetch(
        """
        SELECT (SELECT kek_id FROM pepper ORDER BY created_at DESC, pepper_id DESC LIMIT 1),
               (SELECT count(*) FROM pepper) AS peppers,
               (SELECT count(*) FROM company_key) AS companies,
               (SELECT coalesce(json_object_agg(category, keys), '{}')
                  FROM (SELECT category, count(*) AS keys FROM data_key GROUP BY category) AS c
               ) AS keys,
               (SELECT count(*) FROM subject WHERE destroyed_at IS NOT NULL AND rekeying_id IS NULL
               ) AS destroyed
        """
    )
    (row,) = rows
    return Standing(
        kek_id=row["kek_id"],
        peppers=row["peppers"],
        companies=row["companies"],
        keys=json.loads(row["keys"]),
        destroyed=row["destroyed"],
        last=await last(conn),
    )
