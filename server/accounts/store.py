"""Companies, members and invitations in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from dataclasses import astuple
from datetime import datetime
from uuid import UUID

from server.accounts.model import Company, Hashes, Locale, LoginTaken, Member
from server.credentials.model import MemberState, Role
from server.kit.db import Connection, Record, UniqueViolation


async def insert_company(conn: Connection, company: Company) -> None:
    await conn.execute(
        """
        INSERT INTO company (company_id, name, time_zone, buffer_max_s, shift_max_s,
                             erasure_grace_s, track_days, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        *astuple(company),
    )


async def company(conn: Connection, company_id: UUID) -> Company | None:
    row = await conn.fetchrow(
        """
        SELECT company_id, name, time_zone, buffer_max_s, shift_max_s, erasure_grace_s,
               track_days, created_at
          FROM company
         WHERE company_id = $1
        """,
        company_id,
    )
    return None if row is None else Company(**dict(row))


async def rename(conn: Connection, company_id: UUID, name: str) -> None:
    await conn.execute("UPDATE company SET name = $2 WHERE company_id = $1", company_id, name)


async def insert_member(conn: Connection, member: Member) -> None:
    """Add the member.

    Raises
    ------
    LoginTaken
        Another member of this company has the phone or the e-mail.
    """
    try:
        await conn.execute(
            """
            INSERT INTO member (company_id, member_id, role, state, locale, name_sealed,
                                phone_sealed, email_sealed, phone_hash, email_hash, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            """,
            member.company_id,
            member.member_id,
            member.role.value,
            member.state.value,
            member.locale.value,
            member.name_sealed,
            member.phone_sealed,
            member.email_sealed,
            member.phone_hash,
            member.email_hash,
            member.created_at,
        )
    except UniqueViolation:
        raise LoginTaken from None


async def rewrite(conn: Connection, member: Member) -> None:
    """Write what is kept of the member's person anew; LoginTaken as :func:`insert_member`."""
    try:
        await conn.execute(
            """
            UPDATE member SET locale = $3, name_sealed = $4, phone_sealed = $5, email_sealed = $6,
                              phone_hash = $7, email_hash = $8
             WHERE company_id = $1 AND member_id = $2
            """,
            member.company_id,
            member.member_id,
            member.locale.value,
            member.name_sealed,
            member.phone_sealed,
            member.email_sealed,
            member.phone_hash,
            member.email_hash,
        )
    except UniqueViolation:
        raise LoginTaken from None


async def companies_of_login(
    conn: Connection, login_hashes: Sequence[bytes], *, wanted: UUID | None, limit: int
) -> list[UUID]:
    """Return the companies that know the login: the one statement that no company bounds.

    With a company wanted, that one or none.
    """
    rows = await conn.fetch(
        """
        SELECT DISTINCT company_id
          FROM login_directory
         WHERE login_hash = ANY($1::bytea[]) AND ($2::uuid IS NULL OR company_id = $2)
         ORDER BY company_id LIMIT $3
        """,
        login_hashes,
        wanted,
        limit,
    )
    return [row["company_id"] for row in rows]


async def member(conn: Connection, company_id: UUID, member_id: UUID) -> Member | None:
    row = await conn.fetchrow(
        """
        SELECT company_id, member_id, role, state, locale, name_sealed, phone_sealed, email_sealed,
               phone_hash, email_hash, password_hash, created_at
          FROM member
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    return None if row is None else _member(row)


async def member_of_login(
    conn: Connection, company_id: UUID, login_hashes: Sequence[bytes]
) -> Member | None:
    """Return who has this login; the hashes are of one, under each pepper."""
    row = await conn.fetchrow(
        """
        SELECT company_id, member_id, role, state, locale, name_sealed, phone_sealed, email_sealed,
               phone_hash, email_hash, password_hash, created_at
          FROM member
         WHERE company_id = $1
           AND (phone_hash = ANY($2::bytea[]) OR email_hash = ANY($2::bytea[]))
        """,
        company_id,
        login_hashes,
    )
    return None if row is None else _member(row)


async def members(
    conn: Connection,
    company_id: UUID,
    *,
    roles: Collection[Role],
    state: MemberState | None,
    after: UUID,
    limit: int,
) -> list[Member]:
    rows = await conn.fetch(
        """
        SELECT company_id, member_id, role, state, locale, name_sealed, phone_sealed, email_sealed,
               phone_hash, email_hash, password_hash, created_at
          FROM member
         WHERE company_id = $1 AND member_id > $2 AND role = ANY($3::text[])
           AND ($4::text IS NULL OR state = $4)
         ORDER BY member_id LIMIT $5
        """,
        company_id,
        after,
        [role.value for role in roles],
        None if state is None else state.value,
        limit,
    )
    return [_member(row) for row in rows]


async def members_by_id(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID]
) -> list[Member]:
    rows = await conn.fetch(
        """
        SELECT company_id, member_id, role, state, locale, name_sealed, phone_sealed, email_sealed,
               phone_hash, email_hash, password_hash, created_at
          FROM member
         WHERE company_id = $1 AND member_id = ANY($2::uuid[])
        """,
        company_id,
        list(member_ids),
    )
    return [_member(row) for row in rows]


async def states(
    conn: Connection, company_id: UUID, role: Role | None = None
) -> dict[UUID, MemberState]:
    rows = await conn.fetch(
        "SELECT member_id, state FROM member WHERE company_id = $1"
        " AND ($2::text IS NULL OR role = $2) ORDER BY member_id",
        company_id,
        role,
    )
    return {row["member_id"]: MemberState(row["state"]) for row in rows}


async def active_members(conn: Connection, company_id: UUID, role: Role) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT member_id FROM member
         WHERE company_id = $1 AND role = $2 AND state = 'active'
         ORDER BY member_id
        """,
        company_id,
        role.value,
    )
    return [row["member_id"] for row in rows]


async def set_state(
    conn: Connection, company_id: UUID, member_id: UUID, state: MemberState
) -> None:
    await conn.execute(
        "UPDATE member SET state = $3 WHERE company_id = $1 AND member_id = $2",
        company_id,
        member_id,
        state.value,
    )


async def set_password(
    conn: Connection, company_id: UUID, member_id: UUID, password_hash: str | None
) -> None:
    await conn.execute(
        "UPDATE member SET password_hash = $3 WHERE company_id = $1 AND member_id = $2",
        company_id,
        member_id,
        password_hash,
    )


async def replace_invitation(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    *,
    code_hash: bytes,
    expires_at: datetime,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO invitation (company_id, member_id, code_hash, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, member_id) DO UPDATE
           SET code_hash = excluded.code_hash, expires_at = excluded.expires_at,
               created_at = excluded.created_at
        """,
        company_id,
        member_id,
        code_hash,
        expires_at,
        now,
    )


async def invited_member(
    conn: Connection, company_id: UUID, code_hash: bytes, now: datetime
) -> UUID | None:
    member_id: UUID | None = await conn.fetchval(
        """
        SELECT member_id FROM invitation
         WHERE company_id = $1 AND code_hash = $2 AND expires_at > $3
        """,
        company_id,
        code_hash,
        now,
    )
    return member_id


async def delete_every_invitation(conn: Connection, company_id: UUID) -> int:
    """Let no code of the company's invitations work any more; return how many there were."""
    rows = await conn.fetch("DELETE FROM invitation WHERE company_id = $1 RETURNING 1", company_id)
    return len(rows)


async def delete_invitation(conn: Connection, company_id: UUID, code_hash: bytes) -> bool:
    """Use the invitation up; tell whether it was still there."""
    found = await conn.fetchval(
        "DELETE FROM invitation WHERE company_id = $1 AND code_hash = $2 RETURNING true",
        company_id,
        code_hash,
    )
    return bool(found)


async def delete_invitation_of(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Let the member's code, if they have one, work no more."""
    which = (company_id, member_id)
    await conn.execute("DELETE FROM invitation WHERE company_id = $1 AND member_id = $2", *which)


async def every_company(conn: Connection) -> list[UUID]:
    """Return the companies there are; only the job runner's role sees more than one."""
    rows = await conn.fetch("SELECT company_id FROM company ORDER BY 1")
    return [row["company_id"] for row in rows]


async def set_hashes(
    conn: Connection, company_id: UUID, members: Sequence[tuple[Member, Hashes]]
) -> list[UUID]:
    """Write the hashes of members' phones and e-mails, as they were read; return whose.

    Who is gone gets none. Who changed a phone or an e-mail meanwhile keeps the hashes of the new.
    """
    rows = await conn.fetch(
        """
        UPDATE member m SET phone_hash = n.phone_hash, email_hash = n.email_hash
          FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
               AS n (member_id, phone_hash, email_hash, old_phone_hash, old_email_hash)
         WHERE m.company_id = $1 AND m.member_id = n.member_id
           AND m.phone_hash IS NOT DISTINCT FROM n.old_phone_hash
           AND m.email_hash IS NOT DISTINCT FROM n.old_email_hash
        RETURNING m.member_id
        """,
        company_id,
        [one.member_id for one, _ in members],
        [phone for _, (phone, _) in members],
        [email for _, (_, email) in members],
        [one.phone_hash for one, _ in members],
        [one.email_hash for one, _ in members],
    )
    return [row["member_id"] for row in rows]


async def insert_logins(conn: Connection, company_id: UUID, login_hashes: Sequence[bytes]) -> None:
    await conn.execute(
        """
        INSERT INTO login_directory (login_hash, company_id)
        SELECT login_hash, $1 FROM unnest($2::bytea[]) AS n (login_hash)
        ON CONFLICT (login_hash, company_id) DO NOTHING
        """,
        company_id,
        login_hashes,
    )


async def log_ins_of(conn: Connection, company_id: UUID, member_id: UUID) -> list[bytes]:
    """Return under which hashes the member is found at a log-in."""
    rows = await conn.fetch(
        """
        SELECT h.login_hash
          FROM member m, unnest(ARRAY[m.phone_hash, m.email_hash]) AS h (login_hash)
         WHERE m.company_id = $1 AND m.member_id = $2 AND h.login_hash IS NOT NULL
        """,
        company_id,
        member_id,
    )
    return [row["login_hash"] for row in rows]


async def delete_log_ins(conn: Connection, company_id: UUID, log_ins: Sequence[bytes]) -> int:
    """Take them out of the directory, in a statement of its own: it lies by hash, not company."""
    rows = await conn.fetch(
        """
        DELETE FROM login_directory WHERE company_id = $1 AND login_hash = ANY($2::bytea[])
        RETURNING company_id
        """,
        company_id,
        log_ins,
    )
    return len(rows)


async def delete_member(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the member with all that only they have; return how many rows went."""
    count: int = await conn.fetchval(
        """
        WITH m AS (DELETE FROM member WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             i AS (DELETE FROM invitation WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             s AS (DELETE FROM session WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             d AS (DELETE FROM device WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             f AS (DELETE FROM second_factor WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             r AS (DELETE FROM recovery_code WHERE company_id = $1 AND member_id = $2 RETURNING 1),
             p AS (DELETE FROM password_reset WHERE company_id = $1 AND member_id = $2 RETURNING 1)
        SELECT (SELECT count(*) FROM m) + (SELECT count(*) FROM i) + (SELECT count(*) FROM s)
             + (SELECT count(*) FROM d) + (SELECT count(*) FROM f) + (SELECT count(*) FROM r)
             + (SELECT count(*) FROM p)
        """,
        company_id,
        member_id,
    )
    return count


def _member(row: Record) -> Member:
    return Member(
        **{
            **row,
            "role": Role(row["role"]),
            "state": MemberState(row["state"]),
            "locale": Locale(row["locale"]),
        }
    )
