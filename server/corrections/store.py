"""Corrections and waiting addresses in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.corrections.model import ContactChange, Correction, Field, Source
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, new: Sequence[Correction]) -> None:
    await conn.execute(
        """
        INSERT INTO correction (company_id, correction_id, member_id, field, source, by_member,
                                before_sealed, after_sealed, corrected_at)
        SELECT $1, *
          FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bytea[],
                      $8::bytea[], $9::timestamptz[])
        """,
        company_id,
        [one.correction_id for one in new],
        [one.member_id for one in new],
        [one.field.value for one in new],
        [one.source.value for one in new],
        [one.by_member for one in new],
        [one.before_sealed for one in new],
        [one.after_sealed for one in new],
        [one.corrected_at for one in new],
    )


async def corrections(
    conn: Connection, company_id: UUID, member_id: UUID, *, limit: int
) -> list[Correction]:
    """Return the latest of what was corrected of a member, oldest first."""
    rows = await conn.fetch(
        """
        SELECT * FROM (
            SELECT correction_id, member_id, field, source, by_member, before_sealed, after_sealed,
                   corrected_at
              FROM correction
             WHERE company_id = $1 AND member_id = $2
             ORDER BY correction_id DESC LIMIT $3) AS latest
         ORDER BY correction_id
        """,
        company_id,
        member_id,
        limit,
    )
    return [
        Correction(**{**row, "field": Field(row["field"]), "source": Source(row["source"])})
        for row in rows
    ]


async def count(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Return how often something of a member was corrected: the version of what is kept."""
    found: int = await conn.fetchval(
        "SELECT count(*) FROM correction WHERE company_id = $1 AND member_id = $2",
        company_id,
        member_id,
    )
    return found


async def waiting(conn: Connection, company_id: UUID, member_id: UUID) -> list[ContactChange]:
    """Return the changes of phone and e-mail that are not confirmed, also those that ran out."""
    rows = await conn.fetch(
        """
        SELECT change_id, field, source, by_member, contact_sealed, code_hash, asked_at,
               expires_at, sent, first_at
          FROM contact_change
         WHERE company_id = $1 AND member_id = $2
         ORDER BY field
        """,
        company_id,
        member_id,
    )
    return [_change(row) for row in rows]


async def put_waiting(
    conn: Connection, company_id: UUID, member_id: UUID, new: ContactChange
) -> None:
    """Let a change wait in place of the one before, whose code is no good any more."""
    await conn.execute(
        """
        INSERT INTO contact_change (company_id, member_id, field, change_id, source, by_member,
                                    contact_sealed, code_hash, tries, asked_at, expires_at, sent,
                                    first_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12)
        ON CONFLICT (company_id, member_id, field) DO UPDATE
           SET change_id = excluded.change_id, source = excluded.source,
               by_member = excluded.by_member, contact_sealed = excluded.contact_sealed,
               code_hash = excluded.code_hash, tries = 0, asked_at = excluded.asked_at,
               expires_at = excluded.expires_at, sent = excluded.sent,
               first_at = excluded.first_at
        """,
        company_id,
        member_id,
        new.field.value,
        new.change_id,
        new.source.value,
        new.by_member,
        new.contact_sealed,
        new.code_hash,
        new.asked_at,
        new.expires_at,
        new.sent,
        new.first_at,
    )


async def take_try(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    field: Field,
    *,
    tries_max: int,
    now: datetime,
) -> ContactChange | None:
    """Count one more try of a code; None where there is nothing (any more) to be tried."""
    row = await conn.fetchrow(
        """
        UPDATE contact_change SET tries = tries + 1
         WHERE company_id = $1 AND member_id = $2 AND field = $3 AND tries < $4
           AND expires_at > $5
        RETURNING change_id, field, source, by_member, contact_sealed, code_hash, asked_at,
                  expires_at, sent, first_at
        """,
        company_id,
        member_id,
        field.value,
        tries_max,
        now,
    )
    return None if row is None else _change(row)


async def use_up(conn: Connection, company_id: UUID, member_id: UUID, change_id: UUID) -> bool:
    """Remove a change whose code was told; tell whether it was still there."""
    found = await conn.fetchval(
        """
        DELETE FROM contact_change
         WHERE company_id = $1 AND member_id = $2 AND change_id = $3
        RETURNING true
        """,
        company_id,
        member_id,
        change_id,
    )
    return bool(found)


async def delete_waiting_before(conn: Connection, company_id: UUID, before: datetime) -> int:
    rows = await conn.fetch(
        "DELETE FROM contact_change WHERE company_id = $1 AND first_at < $2 RETURNING change_id",
        company_id,
        before,
    )
    return len(rows)


async def delete_member(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what was corrected of the member or waits; return how many rows."""
    count: int = await conn.fetchval(
        """
        WITH c AS (DELETE FROM correction WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             w AS (DELETE FROM contact_change WHERE company_id = $1 AND member_id = $2
                   RETURNING 1)
        SELECT (SELECT count(*) FROM c) + (SELECT count(*) FROM w)
        """,
        company_id,
        member_id,
    )
    return count


async def delete_requests(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    """Delete what the driver asked for past the API; return how many rows."""
    rows = await conn.fetch(
        "DELETE FROM person_request WHERE company_id = $1 AND driver_id = $2 RETURNING true",
        company_id,
        driver_id,
    )
    return len(rows)


def _change(row: Record) -> ContactChange:
    return ContactChange(**{**row, "field": Field(row["field"]), "source": Source(row["source"])})
