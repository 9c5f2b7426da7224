"""Questions about policies in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.accounts.model import Locale
from server.clarifications.model import Clarification, ClarificationState, Place
from server.kit.db import Connection, Record
from server.policies.model import Document


async def slots(conn: Connection, company_id: UUID, member_id: UUID) -> set[int]:
    """Return the numbers that the member's open questions have."""
    rows = await conn.fetch(
        """
        SELECT slot FROM clarification
         WHERE company_id = $1 AND member_id = $2 AND slot IS NOT NULL
        """,
        company_id,
        member_id,
    )
    return {row["slot"] for row in rows}


async def insert(conn: Connection, company_id: UUID, new: Clarification, slot: int) -> bool:
    """Write a new question; False if another one of the member has taken the slot."""
    written = await conn.fetchval(
        """
        INSERT INTO clarification (company_id, clarification_id, member_id, document, edition,
                                   language, state, slot, asked_at, question_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (company_id, member_id, slot) DO NOTHING
        RETURNING true
        """,
        company_id,
        new.clarification_id,
        new.member_id,
        new.document.value,
        new.edition,
        new.language.value,
        new.state.value,
        slot,
        new.asked_at,
        new.question_sealed,
    )
    return bool(written)


async def lock(conn: Connection, company_id: UUID, clarification_id: UUID) -> Clarification | None:
    """Return the question, locked until the transaction ends."""
    row = await conn.fetchrow(
        """
        SELECT clarification_id, member_id, document, edition, language, state, asked_at,
               closed_at, answered_by, question_sealed, answer_sealed
          FROM clarification
         WHERE company_id = $1 AND clarification_id = $2
           FOR UPDATE
        """,
        company_id,
        clarification_id,
    )
    return None if row is None else _clarification(row)


async def close(conn: Connection, company_id: UUID, closed: Clarification) -> None:
    """Write that the question was answered or withdrawn; its slot is free again."""
    await conn.execute(
        """
        UPDATE clarification
           SET state = $3, slot = NULL, closed_at = $4, answered_by = $5, answer_sealed = $6
         WHERE company_id = $1 AND clarification_id = $2
        """,
        company_id,
        closed.clarification_id,
        closed.state.value,
        closed.closed_at,
        closed.answered_by,
        closed.answer_sealed,
    )


async def of_member(
    conn: Connection, company_id: UUID, member_id: UUID, *, before: UUID | None, limit: int
) -> list[Clarification]:
    """Return the member's own questions, the newest first."""
    rows = await conn.fetch(
        """
        SELECT clarification_id, member_id, document, edition, language, state, asked_at,
               closed_at, answered_by, question_sealed, answer_sealed
          FROM clarification
         WHERE company_id = $1 AND member_id = $2
           AND ($3::uuid IS NULL OR clarification_id < $3)
         ORDER BY clarification_id DESC
         LIMIT $4
        """,
        company_id,
        member_id,
        before,
        limit,
    )
    return [_clarification(row) for row in rows]


async def open_first(
    conn: Connection,
    company_id: UUID,
    *,
    state: ClarificationState | None,
    after: Place,
    limit: int,
) -> list[Clarification]:
    """Return what was not withdrawn: open ones first, of each the oldest first."""
    rows = await conn.fetch(
        """
        SELECT clarification_id, member_id, document, edition, language, state, asked_at,
               closed_at, answered_by, question_sealed, answer_sealed
          FROM clarification
         WHERE company_id = $1 AND state <> 'withdrawn'
           AND ($2::text IS NULL OR state = $2)
           AND ((state <> 'open'), clarification_id) > ($3, $4)
         ORDER BY (state <> 'open'), clarification_id
         LIMIT $5
        """,
        company_id,
        None if state is None else state.value,
        after.closed,
        after.clarification_id,
        limit,
    )
    return [_clarification(row) for row in rows]


async def about(
    conn: Connection, company_id: UUID, member_id: UUID, document: Document, edition: int
) -> list[tuple[UUID, datetime | None]]:
    """Return the member's questions about one edition that were not withdrawn.

    Each with when it was answered, None while it is open.
    """
    rows = await conn.fetch(
        """
        SELECT clarification_id, closed_at
          FROM clarification
         WHERE company_id = $1 AND member_id = $2 AND document = $3 AND edition = $4
           AND state <> 'withdrawn'
         ORDER BY clarification_id
        """,
        company_id,
        member_id,
        document.value,
        edition,
    )
    return [(row["clarification_id"], row["closed_at"]) for row in rows]


async def delete(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM clarification WHERE company_id = $1 AND member_id = $2 RETURNING true",
        company_id,
        member_id,
    )
    return len(rows)


async def forget_answerer(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Let nothing tell any more what the member answered; the answers stay."""
    await conn.execute(
        """
        UPDATE clarification SET answered_by = NULL WHERE company_id = $1 AND answered_by = $2
        """,
        company_id,
        member_id,
    )


def _clarification(row: Record) -> Clarification:
    return Clarification(
        clarification_id=row["clarification_id"],
        member_id=row["member_id"],
        document=Document(row["document"]),
        edition=row["edition"],
        language=Locale(row["language"]),
        state=ClarificationState(row["state"]),
        asked_at=row["asked_at"],
        closed_at=row["closed_at"],
        answered_by=row["answered_by"],
        question_sealed=row["question_sealed"],
        answer_sealed=row["answer_sealed"],
    )
