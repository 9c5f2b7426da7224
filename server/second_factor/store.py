"""Second factors and recovery codes in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.second_factor.model import Factor, Status


async def factor(conn: Connection, company_id: UUID, member_id: UUID) -> Factor | None:
    row = await conn.fetchrow(
        """
        SELECT secret_sealed, begun_at, confirmed_at, last_step, failures, failed_at
          FROM second_factor WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    return None if row is None else Factor(**dict(row))


async def lock(conn: Connection, company_id: UUID, member_id: UUID) -> Factor | None:
    """Return the factor; whoever tries a code for this member queues here."""
    row = await conn.fetchrow(
        """
        SELECT secret_sealed, begun_at, confirmed_at, last_step, failures, failed_at
          FROM second_factor WHERE company_id = $1 AND member_id = $2 FOR NO KEY UPDATE
        """,
        company_id,
        member_id,
    )
    return None if row is None else Factor(**dict(row))


async def status(conn: Connection, company_id: UUID, member_id: UUID) -> Status:
    row = await conn.fetchrow(
        """
        SELECT f.begun_at, f.confirmed_at, c.staff_second_factor AS required,
               (SELECT count(*) FROM recovery_code r
                 WHERE r.company_id = $1 AND r.member_id = $2) AS recovery_codes_left
          FROM company c
          LEFT JOIN second_factor f ON f.company_id = c.company_id AND f.member_id = $2
         WHERE c.company_id = $1
        """,
        company_id,
        member_id,
    )
    return Status(**dict(row or {}))


async def begin(
    conn: Connection, company_id: UUID, member_id: UUID, *, secret_sealed: bytes, now: datetime
) -> bool:
    """Write a secret that is not confirmed yet; tell whether none was confirmed before."""
    found = await conn.fetchval(
        """
        INSERT INTO second_factor AS f (company_id, member_id, secret_sealed, begun_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id, member_id)
        DO UPDATE SET secret_sealed = excluded.secret_sealed, begun_at = excluded.begun_at
           WHERE f.confirmed_at IS NULL
        RETURNING true
        """,
        company_id,
        member_id,
        secret_sealed,
        now,
    )
    return bool(found)


async def confirm(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    *,
    begun_at: datetime,
    step: int,
    now: datetime,
) -> bool:
    """Let the secret that was begun then count from now on; tell whether it is still that one."""
    found = await conn.fetchval(
        """
        UPDATE second_factor SET confirmed_at = $5, last_step = $4
         WHERE company_id = $1 AND member_id = $2 AND begun_at = $3 AND confirmed_at IS NULL
        RETURNING true
        """,
        company_id,
        member_id,
        begun_at,
        step,
        now,
    )
    return bool(found)


async def use_step(conn: Connection, company_id: UUID, member_id: UUID, step: int) -> bool:
    """Use the step's code up; tell whether neither it nor a newer one was used before."""
    found = await conn.fetchval(
        """
        UPDATE second_factor SET last_step = $3, failures = 0, failed_at = NULL
         WHERE company_id = $1 AND member_id = $2 AND confirmed_at IS NOT NULL
           AND (last_step IS NULL OR last_step < $3)
        RETURNING true
        """,
        company_id,
        member_id,
        step,
    )
    return bool(found)


async def forgive(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    await conn.execute(
        """
        UPDATE second_factor SET failures = 0, failed_at = NULL
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )


async def count_failure(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> int:
    """Count a wrong code; return how many there were since the last right one."""
    failures: int = await conn.fetchval(
        """
        UPDATE second_factor SET failures = least(failures + 1, 1000), failed_at = $3
         WHERE company_id = $1 AND member_id = $2
        RETURNING failures
        """,
        company_id,
        member_id,
        now,
    )
    return failures


async def take_back_failure(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    await conn.execute(
        """
        UPDATE second_factor SET failures = greatest(failures - 1, 0)
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )


async def delete(conn: Connection, company_id: UUID, member_id: UUID) -> bool:
    """Delete the factor and its recovery codes; tell whether there was one."""
    found = await conn.fetchval(
        """
        WITH r AS (DELETE FROM recovery_code WHERE company_id = $1 AND member_id = $2)
        DELETE FROM second_factor WHERE company_id = $1 AND member_id = $2 RETURNING true
        """,
        company_id,
        member_id,
    )
    return bool(found)


async def delete_recovery_codes(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    await conn.execute(
        "DELETE FROM recovery_code WHERE company_id = $1 AND member_id = $2", company_id, member_id
    )


async def insert_recovery_codes(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    code_hashes: Sequence[bytes],
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO recovery_code (company_id, member_id, code_hash, created_at)
        SELECT $1, $2, code_hash, $4 FROM unnest($3::bytea[]) AS n (code_hash)
        """,
        company_id,
        member_id,
        code_hashes,
        now,
    )


async def has_recovery_code(
    conn: Connection, company_id: UUID, member_id: UUID, code_hash: bytes
) -> bool:
    found: bool = await conn.fetchval(
        """
        SELECT EXISTS (SELECT FROM recovery_code
                        WHERE company_id = $1 AND member_id = $2 AND code_hash = $3)
        """,
        company_id,
        member_id,
        code_hash,
    )
    return found


async def use_recovery_code(
    conn: Connection, company_id: UUID, member_id: UUID, code_hash: bytes
) -> bool:
    """Use a recovery code up; tell whether it was still there."""
    found = await conn.fetchval(
        """
        DELETE FROM recovery_code WHERE company_id = $1 AND member_id = $2 AND code_hash = $3
        RETURNING true
        """,
        company_id,
        member_id,
        code_hash,
    )
    return bool(found)


async def is_required(conn: Connection, company_id: UUID) -> bool:
    required: bool = await conn.fetchval(
        "SELECT staff_second_factor FROM company WHERE company_id = $1", company_id
    )
    return required


async def set_required(conn: Connection, company_id: UUID, *, required: bool) -> bool:
    """Say whether the company's staff must have a second factor; tell whether that is new."""
    found = await conn.fetchval(
        """
        UPDATE company SET staff_second_factor = $2
         WHERE company_id = $1 AND staff_second_factor <> $2
        RETURNING true
        """,
        company_id,
        required,
    )
    return bool(found)
