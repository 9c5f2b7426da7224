"""The chain in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit.db import Connection
from server.ledger.model import Checkpoint, Entry, Place, Subject

_COLUMNS: Final = tuple(one.name for one in fields(Entry))


async def subjects(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID]
) -> dict[UUID, Subject]:
    """Return by member those who have a pseudonym."""
    rows = await conn.fetch(
        """
        SELECT member_id, pseudonym, public_key
          FROM ledger_subject
         WHERE company_id = $1 AND member_id = ANY($2::uuid[])
        """,
        company_id,
        list(member_ids),
    )
    return {row["member_id"]: Subject(**row) for row in rows}


async def members_of(
    conn: Connection, company_id: UUID, pseudonyms: Collection[UUID]
) -> dict[UUID, UUID]:
    """Return by pseudonym the members who still have it."""
    rows = await conn.fetch(
        """
        SELECT pseudonym, member_id
          FROM ledger_subject
         WHERE company_id = $1 AND pseudonym = ANY($2::uuid[])
        """,
        company_id,
        list(pseudonyms),
    )
    return {row["pseudonym"]: row["member_id"] for row in rows}


async def insert_subjects(
    conn: Connection, company_id: UUID, pairs: Sequence[tuple[UUID, UUID]], now: datetime
) -> None:
    """Give members pseudonyms (pairs of both), in this order; who has one keeps it.

    Nobody else gets one: not those who were erased meanwhile.
    """
    await conn.execute(
        """
        INSERT INTO ledger_subject (company_id, member_id, pseudonym, created_at)
        SELECT $1, new.member_id, new.pseudonym, $4
          FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS new (member_id, pseudonym, place)
          JOIN member m ON m.company_id = $1 AND m.member_id = new.member_id
         ORDER BY new.place
        ON CONFLICT (company_id, member_id) DO NOTHING
        """,
        company_id,
        [member_id for member_id, _ in pairs],
        [pseudonym for _, pseudonym in pairs],
        now,
    )


async def enrol(conn: Connection, company_id: UUID, subject: Subject, now: datetime) -> None:
    """Give a member a pseudonym and a public key; what is there already stays."""
    await conn.execute(
        """
        INSERT INTO ledger_subject (company_id, member_id, pseudonym, public_key, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, member_id)
        DO UPDATE SET public_key = coalesce(ledger_subject.public_key, excluded.public_key)
        """,
        company_id,
        subject.member_id,
        subject.pseudonym,
        subject.public_key,
        now,
    )


async def members_without_key(conn: Connection, company_id: UUID) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT m.member_id
          FROM member m
          LEFT JOIN ledger_subject s ON s.company_id = m.company_id AND s.member_id = m.member_id
         WHERE m.company_id = $1 AND s.public_key IS NULL
         ORDER BY m.member_id
        """,
        company_id,
    )
    return [row["member_id"] for row in rows]


async def delete_subject(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM ledger_subject WHERE company_id = $1 AND member_id = $2 RETURNING 1",
        company_id,
        member_id,
    )
    return len(rows)


async def head(conn: Connection, company_id: UUID) -> Place | None:
    row = await conn.fetchrow(
        "SELECT index, hash FROM ledger_head WHERE company_id = $1", company_id
    )
    return None if row is None else Place(**row)


async def lock_head(conn: Connection, company_id: UUID) -> Place | None:
    """Return the end of the chain, locked until the transaction ends: acts queue here."""
    row = await conn.fetchrow(
        "SELECT index, hash FROM ledger_head WHERE company_id = $1 FOR NO KEY UPDATE", company_id
    )
    return None if row is None else Place(**row)


async def insert_head(conn: Connection, company_id: UUID, begin: Place) -> None:
    await conn.execute(
        """
        INSERT INTO ledger_head (company_id, index, hash) VALUES ($1, $2, $3)
        ON CONFLICT (company_id) DO NOTHING
        """,
        company_id,
        begin.index,
        begin.hash,
    )


async def move_head(conn: Connection, company_id: UUID, index: int) -> None:
    await conn.execute("UPDATE ledger_head SET index = $2 WHERE company_id = $1", company_id, index)


async def append(conn: Connection, entry: Entry, chain: bytes) -> None:
    """Add an entry at the end and move the head, which the caller has locked."""
    await conn.execute(
        """
        WITH entry AS (
            INSERT INTO ledger_entry
                   (company_id, index, recorded_at, act, actor_kind, actor_id, subject_id,
                    detail_sealed, facts, hash)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        )
        UPDATE ledger_head SET index = $2, hash = $10 WHERE company_id = $1
        """,
        entry.company_id,
        entry.index,
        entry.recorded_at,
        entry.act,
        entry.actor_kind,
        entry.actor_id,
        entry.subject_id,
        entry.detail_sealed,
        entry.facts,
        chain,
    )


async def ends(conn: Connection, company_id: UUID) -> tuple[Place | None, int]:
    """Return the head, and the index of the last entry there is (0: none), at one moment."""
    row = await conn.fetchrow(
        """
        SELECT h.index, h.hash,
               (SELECT coalesce(max(e.index), 0) FROM ledger_entry e
                 WHERE e.company_id = $1) AS last_index
          FROM (SELECT 1) AS one
          LEFT JOIN ledger_head h ON h.company_id = $1
        """,
        company_id,
    )
    if row is None or row["index"] is None:
        return None, 0 if row is None else row["last_index"]
    return Place(index=row["index"], hash=row["hash"]), row["last_index"]


async def entries(
    conn: Connection, company_id: UUID, *, after: int, limit: int
) -> list[tuple[Entry, bytes]]:
    """Return entries in order with the chain's hash that stands beside each."""
    rows = await conn.fetch(
        """
        SELECT index,
               -- Another time was not written here; it would not fit a datetime.
               CASE WHEN recorded_at >= '2000-01-01Z' AND recorded_at < '2101-01-01Z'
                    THEN recorded_at END,
               act, actor_kind, actor_id, subject_id, detail_sealed, facts, hash
          FROM ledger_entry
         WHERE company_id = $1 AND index > $2
         ORDER BY index LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [
        (
            Entry(
                company_id=company_id,
                index=row[0],
                recorded_at=row[1],
                act=row[2],
                actor_kind=row[3],
                actor_id=row[4],
                subject_id=row[5],
                detail_sealed=row[6],
                facts=row[7],
            ),
            row[8],
        )
        for row in rows
    ]


async def entries_of(
    conn: Connection, company_id: UUID, acts: Collection[str]
) -> list[tuple[str, UUID | None, str]]:
    """Return of each entry of these acts the act, the subject and the facts, in order."""
    rows = await conn.fetch(
        """
        SELECT act, subject_id, facts
          FROM ledger_entry
         WHERE company_id = $1 AND act = ANY($2::text[])
         ORDER BY index
        """,
        company_id,
        list(acts),
    )
    return [tuple(row) for row in rows]


async def entries_after(
    conn: Connection, company_id: UUID, acts: Collection[str], *, after: int, until: int, limit: int
) -> list[tuple[Entry, bytes]]:
    """Return entries of these acts between two places, in order, each with the chain's hash."""
    rows = await conn.fetch(
        """
        SELECT company_id, index, recorded_at, act, actor_kind, actor_id, subject_id,
               detail_sealed, facts, hash
          FROM ledger_entry
         WHERE company_id = $1 AND index > $3 AND index <= $4 AND act = ANY($2::text[])
         ORDER BY index LIMIT $5
        """,
        company_id,
        list(acts),
        after,
        until,
        limit,
    )
    return [(Entry(**{name: row[name] for name in _COLUMNS}), row["hash"]) for row in rows]


async def hashes(conn: Connection, company_id: UUID, *, after: int, limit: int) -> list[Place]:
    """Return the places in order, without the entries."""
    rows = await conn.fetch(
        """
        SELECT index, hash
          FROM ledger_entry
         WHERE company_id = $1 AND index > $2
         ORDER BY index LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [Place(**row) for row in rows]


async def places(conn: Connection, company_id: UUID, indexes: Collection[int]) -> list[Place]:
    """Return these places, in order, without the entries."""
    rows = await conn.fetch(
        """
        SELECT index, hash
          FROM ledger_entry
         WHERE company_id = $1 AND index = ANY($2::bigint[])
         ORDER BY index
        """,
        company_id,
        list(indexes),
    )
    return [Place(**row) for row in rows]


async def entries_about(
    conn: Connection, company_id: UUID, pseudonym: UUID, *, after: int, limit: int
) -> list[Entry]:
    """Return entries whose subject this is, in order."""
    rows = await conn.fetch(
        """
        SELECT company_id, index, recorded_at, act, actor_kind, actor_id, subject_id,
               detail_sealed, facts
          FROM ledger_entry
         WHERE company_id = $1 AND subject_id = $2 AND index > $3
         ORDER BY index LIMIT $4
        """,
        company_id,
        pseudonym,
        after,
        limit,
    )
    return [Entry(**row) for row in rows]


async def count_about(conn: Connection, company_id: UUID, pseudonym: UUID) -> int:
    """Return of how many entries this is the subject; what was ever sealed no number tells."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE company_id = $1 AND subject_id = $2"
        " AND NOT (act LIKE 'disclosure%' AND facts::jsonb @> '{\"sealed\": true}')",
        company_id,
        pseudonym,
    )
    return count


async def checkpoints(conn: Connection, company_id: UUID) -> list[Checkpoint]:
    rows = await conn.fetch(
        """
        SELECT company_id, index, hash, made_at, key_id, signature
          FROM ledger_checkpoint
         WHERE company_id = $1
         ORDER BY index
        """,
        company_id,
    )
    return [Checkpoint(**row) for row in rows]


async def first_checkpoint_from(
    conn: Connection, company_id: UUID, index: int
) -> Checkpoint | None:
    row = await conn.fetchrow(
        """
        SELECT company_id, index, hash, made_at, key_id, signature
          FROM ledger_checkpoint
         WHERE company_id = $1 AND index >= $2
         ORDER BY index LIMIT 1
        """,
        company_id,
        index,
    )
    return None if row is None else Checkpoint(**row)


async def last_checkpoint(conn: Connection, company_id: UUID) -> Checkpoint | None:
    row = await conn.fetchrow(
        """
        SELECT company_id, index, hash, made_at, key_id, signature
          FROM ledger_checkpoint
         WHERE company_id = $1
         ORDER BY index DESC LIMIT 1
        """,
        company_id,
    )
    return None if row is None else Checkpoint(**row)


async def unsigned(
    conn: Connection, company_id: UUID, *, step: int, before: int, limit: int
) -> list[int]:
    """Return the multiples of ``step`` below an index that have no checkpoint, the last first."""
    rows = await conn.fetch(
        """
        SELECT due.index
          FROM generate_series($3::bigint - $3 % $2, $2, -$2::bigint) AS due (index)
          -- A restored ledger goes on at a later index: there is nothing to sign between.
          JOIN ledger_entry e ON e.company_id = $1 AND e.index = due.index
         WHERE due.index < $3
           AND NOT EXISTS (SELECT FROM ledger_checkpoint c
                            WHERE c.company_id = $1 AND c.index = due.index)
         ORDER BY due.index DESC LIMIT $4
        """,
        company_id,
        step,
        before,
        limit,
    )
    return [row["index"] for row in rows]


async def insert_checkpoint(conn: Connection, checkpoint: Checkpoint) -> None:
    """Add a checkpoint; another process's of the same entry says the same."""
    await conn.execute(
        """
        INSERT INTO ledger_checkpoint (company_id, index, hash, made_at, key_id, signature)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (company_id, index) DO NOTHING
        """,
        checkpoint.company_id,
        checkpoint.index,
        checkpoint.hash,
        checkpoint.made_at,
        checkpoint.key_id,
        checkpoint.signature,
    )
