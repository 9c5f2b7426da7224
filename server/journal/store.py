"""The journal in the key database. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.journal.model import NegativeAct, Restoration
from server.kit.db import Connection, Record
from server.ledger.model import Act, Place


async def place(conn: Connection, company_id: UUID) -> Place | None:
    row = await conn.fetchrow(
        "SELECT index, hash FROM journal_place WHERE company_id = $1", company_id
    )
    return None if row is None else Place(**row)


async def companies(conn: Connection) -> list[UUID]:
    """Return every company whose ledger was ever looked through."""
    rows = await conn.fetch("SELECT company_id FROM journal_place ORDER BY company_id")
    return [row["company_id"] for row in rows]


async def heard_at(conn: Connection) -> datetime | None:
    """Return when the last new entry of any company's ledger was looked at."""
    found: datetime | None = await conn.fetchval("SELECT max(copied_at) FROM journal_place")
    return found


async def keep_place(conn: Connection, company_id: UUID, place: Place, now: datetime) -> None:
    """Note up to where the ledger was looked through; it never goes back."""
    await conn.execute(
        """
        INSERT INTO journal_place (company_id, index, hash, copied_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id)
        DO UPDATE SET index = excluded.index, hash = excluded.hash, copied_at = excluded.copied_at
                WHERE journal_place.index < excluded.index
        """,
        company_id,
        place.index,
        place.hash,
        now,
    )


async def insert(conn: Connection, company_id: UUID, acts: Sequence[NegativeAct]) -> None:
    """Add acts; what is there already stays."""
    await conn.execute(
        """
        INSERT INTO negative_act (company_id, index, act, subject_id, reference_id, recorded_at,
                                  days, since, until, category, ground)
        SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::uuid[],
                                 $6::timestamptz[], $7::smallint[], $8::timestamptz[],
                                 $9::timestamptz[], $10::text[], $11::text[])
        ON CONFLICT (company_id, index) DO NOTHING
        """,
        company_id,
        [one.index for one in acts],
        [one.act.value for one in acts],
        [one.subject_id for one in acts],
        [one.reference_id for one in acts],
        [one.recorded_at for one in acts],
        [one.days for one in acts],
        [one.since for one in acts],
        [one.until for one in acts],
        [one.category for one in acts],
        [one.ground for one in acts],
    )


async def acts(
    conn: Connection, company_id: UUID, *, after: int, until: int, limit: int
) -> list[NegativeAct]:
    """Return the acts whose entries stand after one index and not after another, in order."""
    rows = await conn.fetch(
        """
        SELECT index, act, subject_id, reference_id, recorded_at, days, since, until, category,
               ground
          FROM negative_act
         WHERE company_id = $1 AND index > $2 AND index <= $3
         ORDER BY index LIMIT $4
        """,
        company_id,
        after,
        until,
        limit,
    )
    return [NegativeAct(**{**row, "act": Act(row["act"])}) for row in rows]


async def restorations(conn: Connection, company_id: UUID) -> list[Restoration]:
    """Return what was ever restored of the company's, in the order of the ledger."""
    rows = await conn.fetch(
        """
        SELECT restored_from, known_until, resumes_at, begun_at, ended_at, journal_until
          FROM restoration
         WHERE company_id = $1
         ORDER BY resumes_at
        """,
        company_id,
    )
    return [_restoration(row) for row in rows]


async def insert_restoration(conn: Connection, company_id: UUID, new: Restoration) -> None:
    await conn.execute(
        """
        INSERT INTO restoration
               (company_id, resumes_at, restored_from, known_until, begun_at, journal_until)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        company_id,
        new.resumes_at,
        new.restored_from,
        new.known_until,
        new.begun_at,
        new.journal_until,
    )


async def move_restoration(conn: Connection, company_id: UUID, moved: Restoration) -> None:
    """Write that it is another backup, after all, that was restored."""
    await conn.execute(
        """
        UPDATE restoration SET restored_from = $3, known_until = $4, journal_until = $5
         WHERE company_id = $1 AND resumes_at = $2
        """,
        company_id,
        moved.resumes_at,
        moved.restored_from,
        moved.known_until,
        moved.journal_until,
    )


async def end_restoration(
    conn: Connection, company_id: UUID, resumes_at: int, now: datetime
) -> None:
    await conn.execute(
        """
        UPDATE restoration SET ended_at = greatest($3, begun_at)
         WHERE company_id = $1 AND resumes_at = $2 AND ended_at IS NULL
        """,
        company_id,
        resumes_at,
        now,
    )


async def destroyed(conn: Connection, company_id: UUID) -> dict[UUID, datetime]:
    """Return by subject when its keys were destroyed, of those who have none any more."""
    rows = await conn.fetch(
        """
        SELECT subject_id, destroyed_at FROM subject
         WHERE company_id = $1 AND destroyed_at IS NOT NULL
         ORDER BY subject_id
        """,
        company_id,
    )
    return {row["subject_id"]: row["destroyed_at"] for row in rows}


def _restoration(row: Record) -> Restoration:
    return Restoration(**dict(row))
