"""The key database. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.vault.model import (
    CompanyKey,
    KeyPlace,
    LedgerWitness,
    Pepper,
    SigningKey,
    WrappedKey,
)


async def peppers(conn: Connection) -> list[Pepper]:
    """Return the peppers, the newest first."""
    rows = await conn.fetch(
        "SELECT pepper_id, kek_id, wrapped FROM pepper ORDER BY created_at DESC, pepper_id DESC"
    )
    return [Pepper(**row) for row in rows]


async def installation(conn: Connection) -> UUID | None:
    """Return whose key database this is; None: nobody has opened it yet."""
    found: UUID | None = await conn.fetchval("SELECT installation_id FROM installation")
    return found


async def insert_installation(conn: Connection, installation_id: UUID, now: datetime) -> None:
    """Give the key database a name, unless it has one."""
    await conn.execute(
        """
        INSERT INTO installation (installation_id, made_at) VALUES ($1, $2)
        ON CONFLICT DO NOTHING
        """,
        installation_id,
        now,
    )


async def wait_for_rewrapping(conn: Connection) -> None:
    """Let nobody re-wrap the keys until the transaction ends; wait for whoever does."""
    await conn.execute("SELECT pg_advisory_xact_lock_shared(7242003)")


async def lock_peppers(conn: Connection) -> None:
    """Let one process at a time make the first pepper."""
    await conn.execute("SELECT pg_advisory_xact_lock(7242002)")


async def insert_pepper(
    conn: Connection, pepper_id: UUID, *, kek_id: bytes, wrapped: bytes, now: datetime
) -> None:
    """Insert what is the newest from now on, also where the clock was set back."""
    await conn.execute(
        """
        INSERT INTO pepper (pepper_id, kek_id, wrapped, created_at)
        SELECT $1, $2, $3, greatest($4, max(created_at) + interval '1 microsecond') FROM pepper
        """,
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


async def company_key(conn: Connection, company_id: UUID) -> CompanyKey | None:
    row = await conn.fetchrow(
        "SELECT kek_id, wrapped FROM company_key WHERE company_id = $1", company_id
    )
    return None if row is None else CompanyKey(**row)


async def insert_subject(conn: Connection, company_id: UUID, subject_id: UUID) -> None:
    await conn.execute(
        """
        INSERT INTO subject (company_id, subject_id) VALUES ($1, $2)
        ON CONFLICT (company_id, subject_id) DO NOTHING
        """,
        company_id,
        subject_id,
    )


async def share_free_subjects(
    conn: Connection, company_id: UUID, subject_ids: Sequence[UUID]
) -> set[UUID]:
    """Lock the living subjects against being destroyed meanwhile; return those nobody is at."""
    rows = await conn.fetch(
        """
        SELECT subject_id FROM subject
         WHERE company_id = $1 AND subject_id = ANY($2::uuid[]) AND destroyed_at IS NULL
           FOR SHARE SKIP LOCKED
        """,
        company_id,
        subject_ids,
    )
    return {row["subject_id"] for row in rows}


async def share_subject(conn: Connection, company_id: UUID, subject_id: UUID) -> bool:
    """Lock the subject, waiting for whoever is at it; tell whether it lives."""
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


async def living_subjects(
    conn: Connection, company_id: UUID, subject_ids: Sequence[UUID]
) -> set[UUID]:
    """Return those that live, also those that somebody is just about to destroy."""
    rows = await conn.fetch(
        """
        SELECT subject_id FROM subject
         WHERE company_id = $1 AND subject_id = ANY($2::uuid[]) AND destroyed_at IS NULL
        """,
        company_id,
        subject_ids,
    )
    return {row["subject_id"] for row in rows}


async def limit_lock_wait(conn: Connection, *, lock_ms_max: int) -> None:
    """Let no statement of the transaction wait for a lock for longer than that."""
    await conn.execute(f"SET LOCAL lock_timeout = '{int(lock_ms_max)}ms'")


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


async def key_ids(
    conn: Connection, company_id: UUID, subject_id: UUID, categories: Collection[str]
) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT key_id FROM data_key
         WHERE company_id = $1 AND subject_id = $2 AND category = ANY($3::text[])
         ORDER BY key_id
        """,
        company_id,
        subject_id,
        list(categories),
    )
    return [row["key_id"] for row in rows]


async def delete_some_keys(
    conn: Connection, company_id: UUID, subject_id: UUID, key_ids: Collection[UUID]
) -> None:
    await conn.execute(
        """
        DELETE FROM data_key
         WHERE company_id = $1 AND subject_id = $2 AND key_id = ANY($3::uuid[])
        """,
        company_id,
        subject_id,
        list(key_ids),
    )


async def delete_keys(conn: Connection, company_id: UUID, subject_id: UUID) -> set[UUID]:
    """Delete every key of a subject; return their ids."""
    rows = await conn.fetch(
        "DELETE FROM data_key WHERE company_id = $1 AND subject_id = $2 RETURNING key_id",
        company_id,
        subject_id,
    )
    return {row["key_id"] for row in rows}


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
    conn: Connection, company_id: UUID, *, category: str, period: str, spared: Collection[UUID]
) -> int:
    """Return how many keys of a category there are of periods before this; no spared ones."""
    count: int = await conn.fetchval(
        """
        SELECT count(*) FROM data_key
         WHERE company_id = $1 AND category = $2 AND period < $3 COLLATE "C"
           AND subject_id <> ALL($4::uuid[])
        """,
        company_id,
        category,
        period,
        list(spared),
    )
    return count


async def insert_keys(
    conn: Connection, company_id: UUID, keys: Sequence[WrappedKey], times: Sequence[datetime]
) -> None:
    """Add each key, as made at its time, unless its subject, category and period have one.

    They are added in the order in which they come.
    """
    await conn.execute(
        """
        INSERT INTO data_key
               (company_id, key_id, subject_id, category, period, wrapped, created_at)
        SELECT $1, made.key_id, made.subject_id, made.category, made.period, made.wrapped,
               made.created_at
          FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[],
                      $7::timestamptz[]) WITH ORDINALITY
            AS made (key_id, subject_id, category, period, wrapped, created_at, place)
         ORDER BY made.place
        ON CONFLICT (company_id, subject_id, category, period) DO NOTHING
        """,
        company_id,
        [key.key_id for key in keys],
        [key.subject_id for key in keys],
        [key.category for key in keys],
        [key.period for key in keys],
        [key.wrapped for key in keys],
        times,
    )


async def keys_at(
    conn: Connection, company_id: UUID, places: Sequence[KeyPlace]
) -> tuple[CompanyKey | None, list[WrappedKey]]:
    """Return a company's key and those keys that there are at these places, of one moment."""
    _, subject_ids, categories, periods = zip(*places, strict=True)
    rows = await conn.fetch(
        """
        SELECT c.kek_id, c.wrapped AS company_wrapped, d.key_id, d.subject_id, d.category,
               d.period, d.wrapped
          FROM company_key c
          LEFT JOIN (
               data_key d
               JOIN unnest($2::uuid[], $3::text[], $4::text[])
                    AS wanted (subject_id, category, period)
              USING (subject_id, category, period)
          ) ON d.company_id = c.company_id
         WHERE c.company_id = $1
        """,
        company_id,
        subject_ids,
        categories,
        periods,
    )
    return _found(rows)


async def keys_by_id(
    conn: Connection, company_id: UUID, key_ids: Sequence[UUID]
) -> tuple[CompanyKey | None, list[WrappedKey]]:
    """Return a company's key and those of these keys that there are, of one moment."""
    rows = await conn.fetch(
        """
        SELECT c.kek_id, c.wrapped AS company_wrapped, d.key_id, d.subject_id, d.category,
               d.period, d.wrapped
          FROM company_key c
          LEFT JOIN data_key d ON d.company_id = c.company_id AND d.key_id = ANY($2::uuid[])
         WHERE c.company_id = $1
        """,
        company_id,
        key_ids,
    )
    return _found(rows)


def _found(rows: Sequence[Record]) -> tuple[CompanyKey | None, list[WrappedKey]]:
    if not rows:
        return None, []
    company = CompanyKey(kek_id=rows[0]["kek_id"], wrapped=rows[0]["company_wrapped"])
    keys = [
        WrappedKey(
            key_id=row["key_id"],
            subject_id=row["subject_id"],
            category=row["category"],
            period=row["period"],
            wrapped=row["wrapped"],
        )
        for row in rows
        if row["key_id"] is not None
    ]
    return company, keys


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
