"""Requests of persons in PostgreSQL. Each function is one statement.

``corrections`` deletes them with the person.
"""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.person_requests.model import CameBy, Kind, PersonRequest, State


async def insert(conn: Connection, company_id: UUID, new: PersonRequest) -> None:
    await conn.execute(
        """
        INSERT INTO person_request (company_id, person_request_id, driver_id, kind, came_by,
                                    received_at, recorded_at, recorded_by, said_sealed,
                                    evidence_sealed, answer_by, state)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        company_id,
        new.person_request_id,
        new.driver_id,
        new.kind.value,
        new.came_by.value,
        new.received_at,
        new.recorded_at,
        new.recorded_by,
        new.said_sealed,
        new.evidence_sealed,
        new.answer_by,
        new.state.value,
    )


async def lock(conn: Connection, company_id: UUID, person_request_id: UUID) -> PersonRequest | None:
    """Return the request, locked until the transaction ends."""
    row = await conn.fetchrow(
        """
        SELECT person_request_id, driver_id, kind, came_by, received_at, recorded_at, recorded_by,
               said_sealed, evidence_sealed, answer_by, state, answer_sealed, answered_at,
               answered_by, reminded_at, escalated_at
          FROM person_request
         WHERE company_id = $1 AND person_request_id = $2
           FOR UPDATE
        """,
        company_id,
        person_request_id,
    )
    return None if row is None else _request(row)


async def answer(
    conn: Connection,
    company_id: UUID,
    person_request_id: UUID,
    *,
    answer_sealed: bytes,
    by: UUID,
    now: datetime,
) -> None:
    await conn.execute(
        """
        UPDATE person_request
           SET state = 'answered', answer_sealed = $3, answered_by = $4, answered_at = $5
         WHERE company_id = $1 AND person_request_id = $2
        """,
        company_id,
        person_request_id,
        answer_sealed,
        by,
        now,
    )


async def page(
    conn: Connection,
    company_id: UUID,
    *,
    driver_id: UUID | None,
    state: State | None,
    before: UUID | None,
    limit: int,
) -> list[PersonRequest]:
    """Return requests, of one driver or of all, the latest first."""
    rows = await conn.fetch(
        """
        SELECT person_request_id, driver_id, kind, came_by, received_at, recorded_at, recorded_by,
               said_sealed, evidence_sealed, answer_by, state, answer_sealed, answered_at,
               answered_by, reminded_at, escalated_at
          FROM person_request
         WHERE company_id = $1 AND ($2::uuid IS NULL OR driver_id = $2)
           AND ($3::text IS NULL OR state = $3)
           AND ($4::uuid IS NULL OR person_request_id < $4)
         ORDER BY person_request_id DESC LIMIT $5
        """,
        company_id,
        driver_id,
        None if state is None else state.value,
        before,
        limit,
    )
    return [_request(row) for row in rows]


async def remind_due(
    conn: Connection, company_id: UUID, *, before: datetime, now: datetime, limit: int
) -> list[PersonRequest]:
    """Note of open requests that their staff are reminded of them; return which, each once."""
    rows = await conn.fetch(
        """
        UPDATE person_request p SET reminded_at = $3
          FROM (SELECT person_request_id FROM person_request
                 WHERE company_id = $1 AND state = 'open' AND reminded_at IS NULL
                   AND answer_by <= $2
                 ORDER BY person_request_id LIMIT $4 FOR UPDATE SKIP LOCKED) AS due
         WHERE p.company_id = $1 AND p.person_request_id = due.person_request_id
        RETURNING p.person_request_id, driver_id, kind, came_by, received_at, recorded_at,
                  recorded_by, said_sealed, evidence_sealed, answer_by, state, answer_sealed,
                  answered_at, answered_by, reminded_at, escalated_at
        """,
        company_id,
        before,
        now,
        limit,
    )
    return [_request(row) for row in rows]


async def escalate_due(
    conn: Connection, company_id: UUID, *, now: datetime, limit: int
) -> list[PersonRequest]:
    """Note of open requests that their time is over; return which, each once."""
    rows = await conn.fetch(
        """
        UPDATE person_request p SET escalated_at = $2
          FROM (SELECT person_request_id FROM person_request
                 WHERE company_id = $1 AND state = 'open' AND escalated_at IS NULL
                   AND answer_by <= $2
                 ORDER BY person_request_id LIMIT $3 FOR UPDATE SKIP LOCKED) AS due
         WHERE p.company_id = $1 AND p.person_request_id = due.person_request_id
        RETURNING p.person_request_id, driver_id, kind, came_by, received_at, recorded_at,
                  recorded_by, said_sealed, evidence_sealed, answer_by, state, answer_sealed,
                  answered_at, answered_by, reminded_at, escalated_at
        """,
        company_id,
        now,
        limit,
    )
    return [_request(row) for row in rows]


def _request(row: Record) -> PersonRequest:
    return PersonRequest(
        **{
            **row,
            "kind": Kind(row["kind"]),
            "came_by": CameBy(row["came_by"]),
            "state": State(row["state"]),
        }
    )
