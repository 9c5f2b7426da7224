"""The key database. Each function is one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.vault.model import LedgerWitness


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    key_id: UUID
    subject_id: UUID
    category: str
    period: str
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    key_id: UUID
    public_key: bytes
    kek_id: bytes
    wrapped: bytes


async def peppers(conn: Connection) -> list[tuple[UUID, bytes, bytes]]:
    rows = await conn.fetch("SELECT pepper_id, kek_id, wrapped FROM pepper ORDER BY created_at")
    return [(row["pepper_id"], row["kek_id"], row["wrapped"]) for row in rows]


async def lock_peppers(conn: Connection) -> None:
    """Let one process at a time make the first pepper."""
    await conn.execute("SELECT pg_advisory_xact_lock(7242002)")


async def insert_pepper(
    conn: Connection, pepper_id: UUID, *, kek_id: bytes, wrapped: bytes, now: datetime
) -> None:
    await conn.execute(
        "INSERT INTO pepper (pepper_id, kek_id, wrapped, created_at) VALUES ($1, $2, $3, $4)",
        pepper_id,
        kek_id,
        wrapped,
        now,
    )


async def insert_company_key(
    conn: Connection, company_id: UUID, *, kek_id: bytes, wrapped: bytes, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO company_key (company_id, kek_id, wrapped, created_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id) DO NOTHING
        """,
        company_id,
        kek_id,
        wrapped,
        now,
    )


async def company_key(conn: Connection, company_id: UUID) -> bytes | None:
    wrapped: bytes | None = await conn.fetchval(
        "SELECT wrapped FROM company_key WHERE company_id = $1", company_id
    )
    return wrapped


async def insert_subject(conn: Connection, company_id: UUID, subject_id: UUID) -> None:
    await conn.execute(
        """
        INSERT INTO subject (company_id, subject_id) VALUES ($1, $2)
        ON CONFLICT (company_id, subject_id) DO NOTHING
        """,
        company_id,
        subject_id,
    )


async def share_living_subject(conn: Connection, company_id: UUID, subject_id: UUID) -> bool:
    """Lock the subject against being destroyed meanwhile; tell whether it lives."""
    found = await conn.fetchval(
        """
        SELECT true FROM subject
         WHERE company_id = $1 AND subject_id = $2 AND destroyed_at IS NULL
           FOR SHARE
        """,
        company_id,
        subject_id,
    )
    return bool(found)


async def destroy_subject(
    conn: Connection, company_id: UUID, subject_id: UUID, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO subject (company_id, subject_id, destroyed_at) VALUES ($1, $2, $3)
        ON CONFLICT (company_id, subject_id)
        DO UPDATE SET destroyed_at = coalesce(subject.destroyed_at, excluded.destroyed_at)
        """,
        company_id,
        subject_id,
        now,
    )


async def delete_keys(conn: Connection, company_id: UUID, subject_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM data_key WHERE company_id = $1 AND subject_id = $2 RETURNING key_id",
        company_id,
        subject_id,
    )
    return len(rows)


async def delete_keys_before(
    conn: Connection,
    company_id: UUID,
    *,
    category: str,
    period: str,
    spared: Collection[UUID] = (),
) -> list[UUID]:
    """Delete a category's keys of every period before this one; return their ids.

    Those of the subjects who are ``spared`` stay.
    """
    rows = await conn.fetch(
        """
        DELETE FROM data_key
         WHERE company_id = $1 AND category = $2 AND period < $3 COLLATE "C"
           AND subject_id <> ALL($4::uuid[])
        RETURNING key_id
        """,
        company_id,
        category,
        period,
        list(spared),
    )
    return [row["key_id"] for row in rows]


async def count_keys_before(
    conn: Connection, company_id: UUID, *, category: str, period: str
) -> int:
    """Return how many keys of a category there are of periods before this one."""
    count: int = await conn.fetchval(
        """
        SELECT count(*) FROM data_key
         WHERE company_id = $1 AND category = $2 AND period < $3 COLLATE "C"
        """,
        company_id,
        category,
        period,
    )
    return count


async def insert_key(conn: Connection, company_id: UUID, key: WrappedKey, now: datetime) -> None:
    """Add a key unless one of this subject, category and period is there already."""
    await conn.execute(
        """
        INSERT INTO data_key
               (company_id, key_id, subject_id, category, period, wrapped, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (company_id, subject_id, category, period) DO NOTHING
        """,
        company_id,
        key.key_id,
        key.subject_id,
        key.category,
        key.period,
        key.wrapped,
        now,
    )


async def key_of(
    conn: Connection, company_id: UUID, subject_id: UUID, *, category: str, period: str
) -> WrappedKey | None:
    row = await conn.fetchrow(
        """
        SELECT key_id, subject_id, category, period, wrapped
          FROM data_key
         WHERE company_id = $1 AND subject_id = $2 AND category = $3 AND period = $4
        """,
        company_id,
        subject_id,
        category,
        period,
    )
    return None if row is None else WrappedKey(**row)


async def keys_by_id(
    conn: Connection, company_id: UUID, key_ids: Sequence[UUID]
) -> list[WrappedKey]:
    rows = await conn.fetch(
        """
        SELECT key_id, subject_id, category, period, wrapped
          FROM data_key
         WHERE company_id = $1 AND key_id = ANY($2::uuid[])
        """,
        company_id,
        key_ids,
    )
    return [WrappedKey(**row) for row in rows]


async def signing_keys(conn: Connection) -> list[SigningKey]:
    """Return every signing key, the newest last."""
    rows = await conn.fetch(
        "SELECT key_id, public_key, kek_id, wrapped FROM signing_key ORDER BY created_at, key_id"
    )
    return [SigningKey(**row) for row in rows]


async def insert_signing_key(conn: Connection, key: SigningKey, now: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO signing_key (key_id, public_key, kek_id, wrapped, created_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        key.key_id,
        key.public_key,
        key.kek_id,
        key.wrapped,
        now,
    )


async def keep_witness(
    conn: Connection, company_id: UUID, witness: LedgerWitness, now: datetime
) -> None:
    """Note how far the ledger has come; it never goes back."""
    await conn.execute(
        """
        INSERT INTO ledger_witness (company_id, index, hash, seen_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id)
        DO UPDATE SET index = excluded.index, hash = excluded.hash, seen_at = excluded.seen_at
                WHERE ledger_witness.index < excluded.index
        """,
        company_id,
        witness.index,
        witness.hash,
        now,
    )


async def witness(conn: Connection, company_id: UUID) -> LedgerWitness | None:
    row = await conn.fetchrow(
        "SELECT index, hash FROM ledger_witness WHERE company_id = $1", company_id
    )
    return None if row is None else LedgerWitness(**row)
