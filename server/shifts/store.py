"""Shifts in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, UniqueViolation
from server.shifts.model import Shift, ShiftEnd, ShiftRunning


async def insert(conn: Connection, company_id: UUID, shift: Shift) -> None:
    """Write a new shift.

    Raises
    ------
    ShiftRunning
        Another one has not ended.
    """
    try:
        await conn.execute(
            """
            INSERT INTO shift (company_id, driver_id, shift_id, started_at, ends_by)
            VALUES ($1, $2, $3, $4, $5)
            """,
            company_id,
            shift.driver_id,
            shift.shift_id,
            shift.started_at,
            shift.ends_by,
        )
    except UniqueViolation as error:
        raise ShiftRunning from error


async def not_ended(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Shift]:
    """Return the shifts that nobody has ended, at most one of each driver."""
    rows = await conn.fetch(
        """
        SELECT driver_id, shift_id, started_at, ends_by, paused_at
          FROM shift
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[]) AND ended_at IS NULL
        """,
        company_id,
        driver_ids,
    )
    return [Shift(**dict(row)) for row in rows]


async def drivers_past_shift(conn: Connection, company_id: UUID, at: datetime) -> list[UUID]:
    """Return whose shift should have ended by ``at`` and did not, in a fixed order."""
    rows = await conn.fetch(
        """
        SELECT driver_id FROM shift
         WHERE company_id = $1 AND ended_at IS NULL AND ends_by <= $2
         ORDER BY driver_id
        """,
        company_id,
        at,
    )
    return [row["driver_id"] for row in rows]


async def ending_between(
    conn: Connection, company_id: UUID, after: datetime, until: datetime
) -> list[Shift]:
    """Return the shifts that will end by themselves in ``(after, until]``, in a fixed order."""
    rows = await conn.fetch(
        """
        SELECT driver_id, shift_id, started_at, ends_by, paused_at
          FROM shift
         WHERE company_id = $1 AND ended_at IS NULL AND ends_by > $2 AND ends_by <= $3
         ORDER BY driver_id
        """,
        company_id,
        after,
        until,
    )
    return [Shift(**dict(row)) for row in rows]


async def set_paused(
    conn: Connection, company_id: UUID, shift: Shift, paused_at: datetime | None
) -> None:
    await conn.execute(
        """
        UPDATE shift SET paused_at = $4
         WHERE company_id = $1 AND driver_id = $2 AND shift_id = $3 AND ended_at IS NULL
        """,
        company_id,
        shift.driver_id,
        shift.shift_id,
        paused_at,
    )


async def end(
    conn: Connection, company_id: UUID, shift: Shift, ended_at: datetime, ended_by: ShiftEnd
) -> None:
    await conn.execute(
        """
        UPDATE shift SET ended_at = $4, ended_by = $5
         WHERE company_id = $1 AND driver_id = $2 AND shift_id = $3 AND ended_at IS NULL
        """,
        company_id,
        shift.driver_id,
        shift.shift_id,
        ended_at,
        ended_by.value,
    )


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM shift WHERE company_id = $1 AND driver_id = $2 RETURNING shift_id",
        company_id,
        driver_id,
    )
    return len(rows)


async def drivers_at_work(conn: Connection, company_id: UUID, at: datetime) -> list[UUID]:
    """Of each driver's shifts the newest counts: ids grow with time."""
    rows = await conn.fetch(
        """
        SELECT driver_id
          FROM (SELECT DISTINCT ON (driver_id) driver_id, ends_by, ended_at, ended_by
                  FROM shift
                 WHERE company_id = $1 AND ends_by > $2
                 ORDER BY driver_id, shift_id DESC) newest
         WHERE ended_at IS NULL OR ended_by IN ('withdrawal', 'consent_ended')
        """,
        company_id,
        at,
    )
    return [row["driver_id"] for row in rows]


async def last_started(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: datetime
) -> datetime | None:
    found: datetime | None = await conn.fetchval(
        """
        SELECT max(started_at) FROM shift
         WHERE company_id = $1 AND driver_id = $2 AND started_at <= $3
        """,
        company_id,
        driver_id,
        by,
    )
    return found


async def ended_by_driver(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
    begun_after: datetime | None,
) -> datetime | None:
    """Return when the driver ended the last shift that began before ``until``.

    None if not by then, nor after ``since``, or where it began before ``begun_after``.

    Of the shifts the newest counts: ids grow with time.
    """
    found: datetime | None = await conn.fetchval(
        """
        SELECT ended_at
          FROM (SELECT started_at, ended_at, ended_by
                  FROM shift
                 WHERE company_id = $1 AND driver_id = $2 AND started_at < $3
                 ORDER BY shift_id DESC
                 LIMIT 1) newest
         WHERE ended_by = 'driver' AND ended_at > $4 AND ended_at <= $3
           AND ($5::timestamptz IS NULL OR started_at >= $5)
        """,
        company_id,
        driver_id,
        until,
        since,
        begun_after,
    )
    return found
