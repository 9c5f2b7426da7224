"""Erasure requests and the job's steps in PostgreSQL; and whatever is left of a person."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.credentials.model import MemberState, Role
from server.erasure.model import ErasureUnderWay, Reason, Request, State, Step, StepDone
from server.holds.model import Ground
from server.kit.db import Connection, Record, UniqueViolation

ENDED: Final = frozenset({State.CANCELLED, State.ERASED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A column that names a person, and how many rows of one person stand there."""

    table: str
    column: str
    count_statement: str


async def insert(conn: Connection, company_id: UUID, request: Request) -> None:
    """Write a new request.

    Raises
    ------
    ErasureUnderWay
        Another one of this driver is.
    """
    try:
        await conn.execute(
            """
            INSERT INTO erasure_request
                   (company_id, request_id, driver_id, state, requested_by_role, reason_code,
                    requested_at, decided_by_role, decided_at, grace_until, account_before,
                    after_restore, asked_by, answer_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            company_id,
            request.request_id,
            request.driver_id,
            request.state.value,
            request.requested_by.value,
            request.reason,
            request.requested_at,
            request.decided_by,
            request.decided_at,
            request.grace_until,
            request.account_before,
            request.after_restore,
            request.asked_by,
            request.answer_by,
        )
    except UniqueViolation as error:
        raise ErasureUnderWay from error


async def update(conn: Connection, company_id: UUID, request: Request) -> None:
    """Write what became of a request.

    Raises
    ------
    ErasureUnderWay
        It would be under way again, beside another one.
    """
    try:
        await conn.execute(
            """
            UPDATE erasure_request
               SET state = $3, decided_by_role = $4, refusal_ground = $5, decided_at = $6,
                   grace_until = $7, account_before = $8, cancelled_by_role = $9,
                   cancelled_at = $10, erased_at = $11, backups_unreadable_at = $12,
                   answer_by = $13, asked_by = $14, refused_until = $15
             WHERE company_id = $1 AND request_id = $2
            """,
            company_id,
            request.request_id,
            request.state.value,
            request.decided_by,
            request.ground,
            request.decided_at,
            request.grace_until,
            request.account_before,
            request.cancelled_by,
            request.cancelled_at,
            request.erased_at,
            request.backups_unreadable_at,
            request.answer_by,
            request.asked_by if request.state not in ENDED else None,
            request.refused_until,
        )
    except UniqueViolation as error:
        raise ErasureUnderWay from error


async def request(conn: Connection, company_id: UUID, request_id: UUID) -> Request | None:
    row = await conn.fetchrow(
        "SELECT * FROM erasure_request WHERE company_id = $1 AND request_id = $2",
        company_id,
        request_id,
    )
    return None if row is None else _request(row)


async def lock(conn: Connection, company_id: UUID, request_id: UUID) -> Request | None:
    """Return the request, locked until the transaction ends."""
    row = await conn.fetchrow(
        "SELECT * FROM erasure_request WHERE company_id = $1 AND request_id = $2 FOR UPDATE",
        company_id,
        request_id,
    )
    return None if row is None else _request(row)


async def is_under_way(conn: Connection, company_id: UUID, driver_id: UUID) -> bool:
    found: bool = await conn.fetchval(
        """
        SELECT EXISTS (SELECT FROM erasure_request
                        WHERE company_id = $1 AND driver_id = $2
                          AND state IN ('open', 'grace', 'erasing', 'held'))
        """,
        company_id,
        driver_id,
    )
    return found


async def under_way(conn: Connection, company_id: UUID, driver_id: UUID) -> Request | None:
    """Return the driver's request that has not ended, if there is one."""
    row = await conn.fetchrow(
        """
        SELECT * FROM erasure_request
         WHERE company_id = $1 AND driver_id = $2 AND state IN ('open', 'grace', 'erasing', 'held')
        """,
        company_id,
        driver_id,
    )
    return None if row is None else _request(row)


async def erased_drivers(conn: Connection, company_id: UUID) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT driver_id FROM erasure_request
         WHERE company_id = $1 AND state = 'erased'
         ORDER BY driver_id
        """,
        company_id,
    )
    return [row["driver_id"] for row in rows]


async def requests(
    conn: Connection,
    company_id: UUID,
    *,
    driver_id: UUID | None,
    state: State | None,
    after: UUID,
    limit: int,
) -> list[Request]:
    """Return requests of the company (or of one driver), oldest first."""
    rows = await conn.fetch(
        """
        SELECT * FROM erasure_request
         WHERE company_id = $1
           AND ($2::uuid IS NULL OR driver_id = $2)
           AND ($3::text IS NULL OR state = $3)
           AND request_id > $4
         ORDER BY request_id
         LIMIT $5
        """,
        company_id,
        driver_id,
        state,
        after,
        limit,
    )
    return [_request(row) for row in rows]


async def in_state(conn: Connection, company_id: UUID, state: State) -> list[Request]:
    rows = await conn.fetch(
        """
        SELECT * FROM erasure_request WHERE company_id = $1 AND state = $2 ORDER BY request_id
        """,
        company_id,
        state.value,
    )
    return [_request(row) for row in rows]


async def answer_days(conn: Connection, company_id: UUID) -> int:
    found: int = await conn.fetchval(
        "SELECT erasure_answer_days FROM company WHERE company_id = $1", company_id
    )
    return found


async def set_answer_days(conn: Connection, company_id: UUID, days: int) -> None:
    await conn.execute(
        "UPDATE company SET erasure_answer_days = $2 WHERE company_id = $1", company_id, days
    )


async def due(conn: Connection, company_id: UUID, at: datetime) -> list[Request]:
    """Return the requests the job has to work on, or look at, oldest first."""
    rows = await conn.fetch(
        """
        SELECT * FROM erasure_request
         WHERE company_id = $1
           AND (state IN ('erasing', 'held') OR (state = 'grace' AND grace_until <= $2))
         ORDER BY request_id
        """,
        company_id,
        at,
    )
    return [_request(row) for row in rows]


async def asked_anew(conn: Connection, company_id: UUID, request: Request) -> bool:
    """Tell whether the driver's erasure was asked for again since.

    What the staff asked for and nobody carried out changes nothing of what the driver asked.
    """
    found: bool = await conn.fetchval(
        """
        SELECT EXISTS (SELECT FROM erasure_request
                        WHERE company_id = $1 AND driver_id = $2 AND request_id > $3
                          AND (state <> 'cancelled' OR cancelled_by_role = 'driver'))
        """,
        company_id,
        request.driver_id,
        request.request_id,
    )
    return found


async def uncertified(conn: Connection, company_id: UUID) -> list[tuple[UUID, UUID]]:
    """Return the requests whose drivers are erased and that have no certificate, oldest first."""
    rows = await conn.fetch(
        """
        SELECT request_id, driver_id FROM erasure_request
         WHERE company_id = $1 AND state = 'erased' AND backups_unreadable_at IS NULL
         ORDER BY request_id
        """,
        company_id,
    )
    return [(row["request_id"], row["driver_id"]) for row in rows]


async def record_step(
    conn: Connection, company_id: UUID, request_id: UUID, step: Step, *, rows: int, at: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO erasure_step (company_id, request_id, step, rows, done_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, request_id, step)
        DO UPDATE SET rows = erasure_step.rows + excluded.rows, done_at = excluded.done_at
        """,
        company_id,
        request_id,
        step.value,
        rows,
        at,
    )


async def reopen_steps(
    conn: Connection, company_id: UUID, request_id: UUID, steps: Collection[Step]
) -> None:
    """Let these steps be done once more; what they removed before stays counted."""
    await conn.execute(
        """
        UPDATE erasure_step SET done_at = NULL
         WHERE company_id = $1 AND request_id = $2 AND step = ANY($3::text[])
        """,
        company_id,
        request_id,
        [step.value for step in steps],
    )


async def steps(
    conn: Connection, company_id: UUID, request_ids: Collection[UUID]
) -> list[StepDone]:
    rows = await conn.fetch(
        """
        SELECT request_id, step, rows, done_at FROM erasure_step
         WHERE company_id = $1 AND request_id = ANY($2::uuid[])
        """,
        company_id,
        request_ids,
    )
    return [
        StepDone(
            request_id=row["request_id"],
            step=Step(row["step"]),
            rows=row["rows"],
            done_at=row["done_at"],
        )
        for row in rows
    ]


async def places(conn: Connection) -> list[Place]:
    """Return every column of every table that names a person, from the catalogue.

    The request itself remains: nothing in use tells then whose its id was.
    """
    rows = await conn.fetch(
        """
        SELECT c.relname AS "table", a.attname AS "column",
               format('SELECT count(*) FROM %I.%I WHERE company_id = $1 AND %I = $2',
                      n.nspname, c.relname, a.attname) AS count_statement
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND a.attname IN ('member_id', 'driver_id')
           AND c.relname <> 'erasure_request'
         ORDER BY c.relname, a.attname
        """
    )
    return [Place(**dict(row)) for row in rows]


async def count_rows(conn: Connection, place: Place, company_id: UUID, person_id: UUID) -> int:
    # The names in the statement are the catalogue's own, quoted by PostgreSQL.
    count: int = await conn.fetchval(place.count_statement, company_id, person_id)
    return count


def _request(row: Record) -> Request:
    return Request(
        request_id=row["request_id"],
        driver_id=row["driver_id"],
        state=State(row["state"]),
        requested_by=Role(row["requested_by_role"]),
        reason=None if row["reason_code"] is None else Reason(row["reason_code"]),
        requested_at=row["requested_at"],
        decided_by=_role(row["decided_by_role"]),
        ground=None if row["refusal_ground"] is None else Ground(row["refusal_ground"]),
        decided_at=row["decided_at"],
        grace_until=row["grace_until"],
        asked_by=row["asked_by"],
        refused_until=row["refused_until"],
        answer_by=row["answer_by"],
        account_before=(
            None if row["account_before"] is None else MemberState(row["account_before"])
        ),
        cancelled_by=_role(row["cancelled_by_role"]),
        cancelled_at=row["cancelled_at"],
        erased_at=row["erased_at"],
        backups_unreadable_at=row["backups_unreadable_at"],
        after_restore=row["after_restore"],
    )


def _role(text: str | None) -> Role | None:
    return None if text is None else Role(text)
