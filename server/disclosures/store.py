"""The register of disclosures in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.disclosures.model import Category, Disclosure, Ground, Span, State
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, new: Disclosure) -> None:
    await conn.execute(
        """
        INSERT INTO disclosure (company_id, disclosure_id, driver_id, ground, state, categories,
                                since, until, sealed_until, recorded_at, recorded_by,
                                evidence_sealed, given_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        company_id,
        new.disclosure_id,
        new.driver_id,
        new.ground.value,
        new.state.value,
        [one.value for one in new.categories],
        None if new.span is None else new.span.since,
        None if new.span is None else new.span.until,
        new.sealed_until,
        new.recorded_at,
        new.recorded_by,
        new.evidence_sealed,
        new.given_sealed,
    )


async def get(conn: Connection, company_id: UUID, disclosure_id: UUID) -> Disclosure | None:
    row = await conn.fetchrow(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1 AND disclosure_id = $2
        """,
        company_id,
        disclosure_id,
    )
    return None if row is None else _disclosure(row)


async def lock(conn: Connection, company_id: UUID, disclosure_id: UUID) -> Disclosure | None:
    row = await conn.fetchrow(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1 AND disclosure_id = $2
           FOR UPDATE
        """,
        company_id,
        disclosure_id,
    )
    return None if row is None else _disclosure(row)


async def decide(conn: Connection, company_id: UUID, decided: Disclosure) -> None:
    await conn.execute(
        """
        UPDATE disclosure SET state = $3, decided_at = $4, decided_by = $5, told_at = $6
         WHERE company_id = $1 AND disclosure_id = $2
        """,
        company_id,
        decided.disclosure_id,
        decided.state.value,
        decided.decided_at,
        decided.decided_by,
        decided.told_at,
    )


async def page(
    conn: Connection,
    company_id: UUID,
    *,
    driver_id: UUID | None,
    state: State | None,
    before: UUID | None,
    limit: int,
) -> list[Disclosure]:
    """Return the register, of one driver or of all, the newest first."""
    rows = await conn.fetch(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1
           AND ($2::uuid IS NULL OR driver_id = $2)
           AND ($3::text IS NULL OR state = $3)
           AND ($4::uuid IS NULL OR disclosure_id < $4)
         ORDER BY disclosure_id DESC
         LIMIT $5
        """,
        company_id,
        driver_id,
        None if state is None else state.value,
        before,
        limit,
    )
    return [_disclosure(row) for row in rows]


async def told(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    now: datetime,
    before: UUID | None,
    limit: int,
) -> list[Disclosure]:
    """Return what was released of a driver and is not sealed at that time, the newest first."""
    rows = await conn.fetch(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1 AND driver_id = $2 AND state = 'released'
           AND (sealed_until IS NULL OR sealed_until <= $3)
           AND ($4::uuid IS NULL OR disclosure_id < $4)
         ORDER BY disclosure_id DESC
         LIMIT $5
        """,
        company_id,
        driver_id,
        now,
        before,
        limit,
    )
    return [_disclosure(row) for row in rows]


async def count_told(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> tuple[int, datetime | None, datetime | None]:
    """Return how much was released of a driver and is not sealed, and when first and last."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS rows, min(recorded_at) AS since, max(recorded_at) AS until
          FROM disclosure
         WHERE company_id = $1 AND driver_id = $2 AND state = 'released'
           AND (sealed_until IS NULL OR sealed_until <= $3)
        """,
        company_id,
        driver_id,
        now,
    )
    return (0, None, None) if row is None else (row["rows"], row["since"], row["until"])


async def still_sealed(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> set[UUID]:
    """Return what of a driver is sealed at that time, whatever became of it."""
    rows = await conn.fetch(
        """
        SELECT disclosure_id FROM disclosure
         WHERE company_id = $1 AND driver_id = $2 AND sealed_until > $3
        """,
        company_id,
        driver_id,
        now,
    )
    return {row["disclosure_id"] for row in rows}


async def lock_waiting(conn: Connection, company_id: UUID) -> list[Disclosure]:
    """Return what nobody has released, refused or cancelled yet, locked."""
    rows = await conn.fetch(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1 AND state = 'recorded'
         ORDER BY disclosure_id
           FOR UPDATE
        """,
        company_id,
    )
    return [_disclosure(row) for row in rows]


async def lock_untold(
    conn: Connection, company_id: UUID, now: datetime, *, limit: int
) -> list[Disclosure]:
    """Return what was released, is sealed no more and was not told of; nobody else holds it."""
    rows = await conn.fetch(
        """
        SELECT disclosure_id, driver_id, ground, state, categories, since, until, sealed_until,
               recorded_at, recorded_by, decided_at, decided_by, told_at, evidence_sealed,
               given_sealed
          FROM disclosure
         WHERE company_id = $1 AND state = 'released' AND told_at IS NULL
           AND sealed_until <= $2 AND driver_id IS NOT NULL
         ORDER BY disclosure_id
         LIMIT $3
           FOR UPDATE SKIP LOCKED
        """,
        company_id,
        now,
        limit,
    )
    return [_disclosure(row) for row in rows]


async def set_told(conn: Connection, company_id: UUID, disclosure_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE disclosure SET told_at = $3 WHERE company_id = $1 AND disclosure_id = $2",
        company_id,
        disclosure_id,
        now,
    )


async def given_by(
    conn: Connection, company_id: UUID, member_id: UUID, *, since: datetime, until: datetime
) -> list[UUID]:
    """Return the drivers of whom a member released something or made a file in that time."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT d.driver_id
          FROM disclosure d
          LEFT JOIN disclosure_file f
            ON f.company_id = d.company_id AND f.disclosure_id = d.disclosure_id
           AND f.made_by = $2 AND f.made_at BETWEEN $3 AND $4
         WHERE d.company_id = $1 AND d.driver_id IS NOT NULL
           AND (f.file_id IS NOT NULL
                OR (d.state = 'released' AND d.decided_by = $2 AND d.decided_at BETWEEN $3 AND $4))
        """,
        company_id,
        member_id,
        since,
        until,
    )
    return [row["driver_id"] for row in rows]


async def forget_driver(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Let nothing tell any more whose data were given; return the number of rows."""
    rows = await conn.fetch(
        """
        UPDATE disclosure SET driver_id = NULL, given_sealed = NULL
         WHERE company_id = $1 AND driver_id = $2
        RETURNING true
        """,
        company_id,
        member_id,
    )
    return len(rows)


async def forget_staff(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Let nothing tell any more what the member recorded and decided."""
    await conn.execute(
        """
        UPDATE disclosure
           SET recorded_by = nullif(recorded_by, $2), decided_by = nullif(decided_by, $2)
         WHERE company_id = $1 AND (recorded_by = $2 OR decided_by = $2)
        """,
        company_id,
        member_id,
    )


async def forget_maker(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Let nothing tell any more which files the member made."""
    await conn.execute(
        "UPDATE disclosure_file SET made_by = NULL WHERE company_id = $1 AND made_by = $2",
        company_id,
        member_id,
    )


async def count_before(
    conn: Connection, company_id: UUID, before: datetime
) -> tuple[int, datetime | None]:
    """Return how many were recorded before that time, and when the first was."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS disclosures, min(recorded_at) AS oldest FROM disclosure
         WHERE company_id = $1 AND recorded_at < $2
        """,
        company_id,
        before,
    )
    return (0, None) if row is None else (row["disclosures"], row["oldest"])


async def delete_before(
    conn: Connection, company_id: UUID, /, *, before: datetime, limit: int
) -> int:
    """Delete what was recorded before that time, with its files; return how many disclosures.

    Foreign keys are looked at when the statement ends, so one statement may take both.
    """
    count: int = await conn.fetchval(
        """
        WITH old AS (
            SELECT disclosure_id FROM disclosure
             WHERE company_id = $1 AND recorded_at < $2
             ORDER BY disclosure_id LIMIT $3),
        f AS (
            DELETE FROM disclosure_file
             WHERE company_id = $1 AND disclosure_id IN (SELECT disclosure_id FROM old)),
        d AS (
            DELETE FROM disclosure
             WHERE company_id = $1 AND disclosure_id IN (SELECT disclosure_id FROM old)
            RETURNING 1)
        SELECT count(*) FROM d
        """,
        company_id,
        before,
        limit,
    )
    return count


def _disclosure(row: Record) -> Disclosure:
    span = None
    if row["since"] is not None:
        span = Span(since=row["since"], until=row["until"])
    return Disclosure(
        disclosure_id=row["disclosure_id"],
        driver_id=row["driver_id"],
        ground=Ground(row["ground"]),
        state=State(row["state"]),
        categories=tuple(Category(one) for one in row["categories"]),
        span=span,
        sealed_until=row["sealed_until"],
        recorded_at=row["recorded_at"],
        recorded_by=row["recorded_by"],
        decided_at=row["decided_at"],
        decided_by=row["decided_by"],
        told_at=row["told_at"],
        evidence_sealed=row["evidence_sealed"],
        given_sealed=row["given_sealed"],
    )
