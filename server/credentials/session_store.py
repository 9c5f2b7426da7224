"""Sessions in PostgreSQL. Each function is one statement.

A session ends at its time, or once nobody has used it for so long, whichever is first.
"""

from datetime import datetime
from uuid import UUID

from server.credentials.model import (
    UNUSED_LASTS,
    Caller,
    Credential,
    MemberState,
    OpenSession,
    Role,
    Session,
)
from server.kit.db import Connection


async def session_caller(
    conn: Connection, company_id: UUID, token_hash: bytes
) -> Credential | None:
    row = await conn.fetchrow(
        """
        SELECT s.member_id, s.stepped_up_until, m.role, m.state,
               coalesce(s.used_at, s.created_at) AS use_noted_at,
               least(s.expires_at, coalesce(s.used_at, s.created_at) + $3) AS expires_at,
               m.role <> 'driver' AND c.staff_second_factor AND f.confirmed_at IS NULL AS must_enrol
          FROM session s
          JOIN member m ON m.company_id = s.company_id AND m.member_id = s.member_id
          JOIN company c ON c.company_id = s.company_id
          LEFT JOIN second_factor f
            ON f.company_id = s.company_id AND f.member_id = s.member_id
         WHERE s.company_id = $1 AND s.token_hash = $2
        """,
        company_id,
        token_hash,
        UNUSED_LASTS,
    )
    if row is None:
        return None
    return Credential(
        caller=Caller(
            company_id=company_id,
            role=Role(row["role"]),
            member_id=row["member_id"],
            stepped_up_until=row["stepped_up_until"],
            use_noted_at=row["use_noted_at"],
            must_enrol=row["must_enrol"],
        ),
        state=MemberState(row["state"]),
        expires_at=row["expires_at"],
    )


async def insert_session(
    conn: Connection, session: Session, token_hash: bytes, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO session (company_id, token_hash, member_id, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        session.company_id,
        token_hash,
        session.member_id,
        now,
        session.expires_at,
    )


async def session_ends(conn: Connection, company_id: UUID, token_hash: bytes) -> datetime | None:
    ends: datetime | None = await conn.fetchval(
        "SELECT expires_at FROM session WHERE company_id = $1 AND token_hash = $2",
        company_id,
        token_hash,
    )
    return ends


async def step_up(
    conn: Connection, company_id: UUID, token_hash: bytes, *, until: datetime, now: datetime
) -> bool:
    """Let the session count as proven until then; tell whether there is such a session."""
    found = await conn.fetchval(
        """
        UPDATE session SET stepped_up_until = $3
         WHERE company_id = $1 AND token_hash = $2
           AND least(expires_at, coalesce(used_at, created_at) + $5) > $4
        RETURNING true
        """,
        company_id,
        token_hash,
        until,
        now,
        UNUSED_LASTS,
    )
    return bool(found)


async def note_use(conn: Connection, company_id: UUID, token_hash: bytes, now: datetime) -> None:
    await conn.execute(
        """
        UPDATE session SET used_at = greatest(used_at, $3)
         WHERE company_id = $1 AND token_hash = $2
        """,
        company_id,
        token_hash,
        now,
    )


async def open_sessions(
    conn: Connection, company_id: UUID, member_id: UUID, now: datetime
) -> list[OpenSession]:
    """Return the member's sessions that have not run out, the newest first."""
    rows = await conn.fetch(
        """
        SELECT token_hash AS digest, created_at, expires_at FROM session
         WHERE company_id = $1 AND member_id = $2
           AND least(expires_at, coalesce(used_at, created_at) + $4) > $3
         ORDER BY created_at DESC, token_hash
        """,
        company_id,
        member_id,
        now,
        UNUSED_LASTS,
    )
    return [OpenSession(**dict(row)) for row in rows]


async def delete_session(conn: Connection, company_id: UUID, token_hash: bytes) -> None:
    await conn.execute(
        "DELETE FROM session WHERE company_id = $1 AND token_hash = $2", company_id, token_hash
    )


async def delete_sessions(
    conn: Connection, company_id: UUID, member_id: UUID, *, ended_by: datetime | None = None
) -> int:
    """Delete the member's sessions: those that had ended by then, or all; return how many."""
    rows = await conn.fetch(
        """
        DELETE FROM session
         WHERE company_id = $1 AND member_id = $2
           AND ($3::timestamptz IS NULL
                OR least(expires_at, coalesce(used_at, created_at) + $4) <= $3)
        RETURNING 1
        """,
        company_id,
        member_id,
        ended_by,
        UNUSED_LASTS,
    )
    return len(rows)


async def delete_other_sessions(
    conn: Connection, company_id: UUID, member_id: UUID, kept: bytes
) -> int:
    """Delete all of the member's sessions but one; return how many."""
    rows = await conn.fetch(
        """
        DELETE FROM session WHERE company_id = $1 AND member_id = $2 AND token_hash <> $3
        RETURNING 1
        """,
        company_id,
        member_id,
        kept,
    )
    return len(rows)


async def delete_every_session(conn: Connection, company_id: UUID) -> int:
    """Log every member of the company out; return how many sessions ended."""
    rows = await conn.fetch("DELETE FROM session WHERE company_id = $1 RETURNING 1", company_id)
    return len(rows)


async def end_reset_codes(conn: Connection, company_id: UUID, member_id: UUID | None) -> None:
    """Let no code stand in for the member's password any more; None: for nobody's."""
    await conn.execute(
        """
        UPDATE password_reset SET code_hash = NULL
         WHERE company_id = $1 AND ($2::uuid IS NULL OR member_id = $2)
        """,
        company_id,
        member_id,
    )
