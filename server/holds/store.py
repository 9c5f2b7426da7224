"""Holds and the texts of refusals in PostgreSQL. Each function is one statement."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.credentials.model import Role
from server.holds.model import Ground, HeldCategory, Hold, HoldState
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, new: Hold) -> None:
    await conn.execute(
        """
        INSERT INTO hold (company_id, driver_id, hold_id, request_id, category, state, ground,
                          until, evidence_sealed, asked_by_role, asked_at, placed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        company_id,
        new.driver_id,
        new.hold_id,
        new.request_id,
        new.category.value,
        new.state.value,
        new.ground,
        new.until,
        new.evidence_sealed,
        new.asked_by.value,
        new.asked_at,
        new.placed_at,
    )


async def update(conn: Connection, company_id: UUID, hold: Hold) -> None:
    await conn.execute(
        """
        UPDATE hold
           SET state = $3, ground = $4, until = $5, evidence_sealed = $6, placed_at = $7,
               ended_at = $8, ended_by_role = $9
         WHERE company_id = $1 AND hold_id = $2
        """,
        company_id,
        hold.hold_id,
        hold.state.value,
        hold.ground,
        hold.until,
        hold.evidence_sealed,
        hold.placed_at,
        hold.ended_at,
        hold.ended_by,
    )


async def lock(conn: Connection, company_id: UUID, hold_id: UUID) -> Hold | None:
    row = await conn.fetchrow(
        "SELECT * FROM hold WHERE company_id = $1 AND hold_id = $2 FOR UPDATE",
        company_id,
        hold_id,
    )
    return None if row is None else _hold(row)


async def hold(conn: Connection, company_id: UUID, hold_id: UUID) -> Hold | None:
    row = await conn.fetchrow(
        "SELECT * FROM hold WHERE company_id = $1 AND hold_id = $2", company_id, hold_id
    )
    return None if row is None else _hold(row)


async def of_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> list[Hold]:
    rows = await conn.fetch(
        "SELECT * FROM hold WHERE company_id = $1 AND driver_id = $2 ORDER BY hold_id",
        company_id,
        driver_id,
    )
    return [_hold(row) for row in rows]


async def placed(conn: Connection, company_id: UUID, *, until: datetime) -> list[Hold]:
    """Return the holds in force whose date is no later than that, the oldest first."""
    rows = await conn.fetch(
        """
        SELECT * FROM hold
         WHERE company_id = $1 AND state = 'placed' AND until <= $2
         ORDER BY hold_id
        """,
        company_id,
        until,
    )
    return [_hold(row) for row in rows]


async def drivers_held(
    conn: Connection, company_id: UUID, categories: Collection[HeldCategory], now: datetime
) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT DISTINCT driver_id FROM hold
         WHERE company_id = $1 AND state = 'placed' AND category = ANY($2::text[]) AND until > $3
        """,
        company_id,
        [one.value for one in categories],
        now,
    )
    return [row["driver_id"] for row in rows]


async def put_text(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    request_id: UUID,
    *,
    text_sealed: bytes,
    locale: str,
    at: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO erasure_refusal (company_id, driver_id, request_id, text_sealed, locale,
                                     refused_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (company_id, request_id)
        DO UPDATE SET text_sealed = excluded.text_sealed, locale = excluded.locale,
                      refused_at = excluded.refused_at
        """,
        company_id,
        driver_id,
        request_id,
        text_sealed,
        locale,
        at,
    )


async def text(conn: Connection, company_id: UUID, request_id: UUID) -> tuple[bytes, str] | None:
    """Return what was written with the refusal, sealed, and its language."""
    row = await conn.fetchrow(
        """
        SELECT text_sealed, locale FROM erasure_refusal WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
    )
    return None if row is None else (row["text_sealed"], row["locale"])


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM hold WHERE company_id = $1 AND driver_id = $2 RETURNING true",
        company_id,
        driver_id,
    )
    return len(rows)


async def delete_texts(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM erasure_refusal WHERE company_id = $1 AND driver_id = $2 RETURNING true",
        company_id,
        driver_id,
    )
    return len(rows)


def _hold(row: Record) -> Hold:
    return Hold(
        hold_id=row["hold_id"],
        driver_id=row["driver_id"],
        request_id=row["request_id"],
        category=HeldCategory(row["category"]),
        state=HoldState(row["state"]),
        ground=None if row["ground"] is None else Ground(row["ground"]),
        until=row["until"],
        evidence_sealed=row["evidence_sealed"],
        asked_by=Role(row["asked_by_role"]),
        asked_at=row["asked_at"],
        placed_at=row["placed_at"],
        ended_at=row["ended_at"],
        ended_by=None if row["ended_by_role"] is None else Role(row["ended_by_role"]),
    )
