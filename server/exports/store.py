"""Packages in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from server.accounts.model import Locale
from server.exports.model import Export, State
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, export: Export) -> None:
    await conn.execute(
        """
        INSERT INTO export_package (company_id, export_id, driver_id, language, state, asked_at,
                                    expires_at, runs, rows_done)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)
        """,
        company_id,
        export.export_id,
        export.driver_id,
        export.language.value,
        export.state.value,
        export.asked_at,
        export.expires_at,
    )


async def of_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> list[Export]:
    """Return the driver's packages, newest first; there are few, for they go after days."""
    rows = await conn.fetch(
        """
        SELECT export_id, driver_id, language, state, asked_at, expires_at, runs, rows_done,
               size_bytes, ready_at
          FROM export_package
         WHERE company_id = $1 AND driver_id = $2
         ORDER BY asked_at DESC, export_id DESC
        """,
        company_id,
        driver_id,
    )
    return [_export(row) for row in rows]


async def get(conn: Connection, company_id: UUID, export_id: UUID) -> Export | None:
    row = await conn.fetchrow(
        """
        SELECT export_id, driver_id, language, state, asked_at, expires_at, runs, rows_done,
               size_bytes, ready_at
          FROM export_package
         WHERE company_id = $1 AND export_id = $2
        """,
        company_id,
        export_id,
    )
    return None if row is None else _export(row)


def _export(row: Record) -> Export:
    return Export(
        export_id=row["export_id"],
        driver_id=row["driver_id"],
        language=Locale(row["language"]),
        state=State(row["state"]),
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        runs=row["runs"],
        rows_done=row["rows_done"],
        size_bytes=row["size_bytes"],
        ready_at=row["ready_at"],
    )


async def steps(conn: Connection, company_id: UUID, export_ids: Sequence[UUID]) -> list[Record]:
    """Return which steps of packages are done, in any order, with what each one wrote."""
    return await conn.fetch(
        """
        SELECT export_id, step, files_sealed FROM export_step
         WHERE company_id = $1 AND export_id = ANY($2::uuid[])
        """,
        company_id,
        export_ids,
    )


async def waiting(conn: Connection, company_id: UUID, heard_before: datetime) -> list[UUID]:
    """Return the packages that nobody makes, or of whose maker nothing was heard since then."""
    rows = await conn.fetch(
        """
        SELECT export_id FROM export_package
         WHERE company_id = $1 AND state = 'making' AND (run_at IS NULL OR run_at < $2)
         ORDER BY asked_at, export_id
        """,
        company_id,
        heard_before,
    )
    return [row["export_id"] for row in rows]


async def take(
    conn: Connection,
    company_id: UUID,
    export_id: UUID,
    run_id: UUID,
    *,
    heard_before: datetime,
    now: datetime,
) -> bool:
    """Begin to make it, unless somebody does; tell whether that was so."""
    found = await conn.fetchval(
        """
        UPDATE export_package SET run_id = $3, run_at = $5, runs = runs + 1
         WHERE company_id = $1 AND export_id = $2 AND state = 'making'
           AND (run_at IS NULL OR run_at < $4)
        RETURNING true
        """,
        company_id,
        export_id,
        run_id,
        heard_before,
        now,
    )
    return bool(found)


async def hold(
    conn: Connection, company_id: UUID, export_id: UUID, run_id: UUID, *, rows: int, now: datetime
) -> bool:
    """Go on with this run until the transaction ends; False where it is not the run any more."""
    found = await conn.fetchval(
        """
        UPDATE export_package SET run_at = $4, rows_done = $5
         WHERE company_id = $1 AND export_id = $2 AND run_id = $3 AND state = 'making'
        RETURNING true
        """,
        company_id,
        export_id,
        run_id,
        now,
        rows,
    )
    return bool(found)


async def let_go(conn: Connection, company_id: UUID, export_id: UUID, run_id: UUID) -> None:
    """Let anybody go on with it at once."""
    await conn.execute(
        """
        UPDATE export_package SET run_at = NULL
         WHERE company_id = $1 AND export_id = $2 AND run_id = $3 AND state = 'making'
        """,
        company_id,
        export_id,
        run_id,
    )


async def end(
    conn: Connection,
    company_id: UUID,
    export_id: UUID,
    state: State,
    *,
    size_bytes: int | None,
    ready_at: datetime | None,
) -> None:
    await conn.execute(
        """
        UPDATE export_package SET state = $3, size_bytes = $4, ready_at = $5, run_at = NULL
         WHERE company_id = $1 AND export_id = $2
        """,
        company_id,
        export_id,
        state.value,
        size_bytes,
        ready_at,
    )


async def insert_chunk(
    conn: Connection,
    company_id: UUID,
    export: Export,
    place: int,
    number: int,
    sealed: bytes,
) -> None:
    await conn.execute(
        """
        INSERT INTO export_chunk (company_id, export_id, place, number, driver_id, sealed)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        company_id,
        export.export_id,
        place,
        number,
        export.driver_id,
        sealed,
    )


async def delete_chunks(conn: Connection, company_id: UUID, export_id: UUID, place: int) -> None:
    """Forget what of a step was written before a crash."""
    await conn.execute(
        "DELETE FROM export_chunk WHERE company_id = $1 AND export_id = $2 AND place = $3",
        company_id,
        export_id,
        place,
    )


async def insert_step(
    conn: Connection,
    company_id: UUID,
    export: Export,
    step: str,
    files_sealed: bytes,
    *,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO export_step (company_id, export_id, step, driver_id, done_at, files_sealed)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        company_id,
        export.export_id,
        step,
        export.driver_id,
        now,
        files_sealed,
    )


async def chunks_after(
    conn: Connection, company_id: UUID, export_id: UUID, place: int, number: int, *, limit: int
) -> list[Record]:
    """Return the next chunks behind one, in their order."""
    return await conn.fetch(
        """
        SELECT place, number, sealed FROM export_chunk
         WHERE company_id = $1 AND export_id = $2 AND (place, number) > ($3::integer, $4::integer)
         ORDER BY place, number
         LIMIT $5
        """,
        company_id,
        export_id,
        place,
        number,
        limit,
    )


async def exchange_link(
    conn: Connection,
    company_id: UUID,
    export: Export,
    token_hash: bytes,
    *,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Make a link in place of the one that there was."""
    await conn.execute(
        """
        WITH old AS (DELETE FROM export_link WHERE company_id = $1 AND export_id = $3)
        INSERT INTO export_link (company_id, token_hash, export_id, driver_id, created_at,
                                 expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        company_id,
        token_hash,
        export.export_id,
        export.driver_id,
        now,
        expires_at,
    )


async def use_link(
    conn: Connection, company_id: UUID, token_hash: bytes, now: datetime
) -> UUID | None:
    """Use a link up; return the package that it is of, None where it is good for nothing."""
    found: UUID | None = await conn.fetchval(
        """
        DELETE FROM export_link
         WHERE company_id = $1 AND token_hash = $2 AND expires_at > $3
        RETURNING export_id
        """,
        company_id,
        token_hash,
        now,
    )
    return found


async def lock_expired(
    conn: Connection, company_id: UUID, now: datetime, *, limit: int
) -> list[UUID]:
    """Return packages whose time is over; nobody writes to them until the transaction ends."""
    rows = await conn.fetch(
        """
        SELECT export_id FROM export_package
         WHERE company_id = $1 AND expires_at <= $2
         ORDER BY expires_at, export_id
         LIMIT $3
           FOR UPDATE
        """,
        company_id,
        now,
        limit,
    )
    return [row["export_id"] for row in rows]


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, date | None]:
    """Return of how many packages the time is over, and when the oldest was asked for."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS count, min(asked_at) AS oldest FROM export_package
         WHERE company_id = $1 AND expires_at <= $2
        """,
        company_id,
        now,
    )
    return (0, None) if row is None or row["oldest"] is None else (row["count"], row["oldest"])


async def lock_of_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> list[UUID]:
    """Return all packages of a driver; nobody writes to them until the transaction ends."""
    rows = await conn.fetch(
        """
        SELECT export_id FROM export_package WHERE company_id = $1 AND driver_id = $2
         ORDER BY export_id
           FOR UPDATE
        """,
        company_id,
        driver_id,
    )
    return [row["export_id"] for row in rows]


async def delete(conn: Connection, company_id: UUID, export_ids: Sequence[UUID]) -> int:
    """Delete packages with all there is of them; return how many rows. They are locked."""
    count: int = await conn.fetchval(
        """
        WITH l AS (DELETE FROM export_link
                    WHERE company_id = $1 AND export_id = ANY($2::uuid[]) RETURNING 1),
             c AS (DELETE FROM export_chunk
                    WHERE company_id = $1 AND export_id = ANY($2::uuid[]) RETURNING 1),
             s AS (DELETE FROM export_step
                    WHERE company_id = $1 AND export_id = ANY($2::uuid[]) RETURNING 1),
             p AS (DELETE FROM export_package
                    WHERE company_id = $1 AND export_id = ANY($2::uuid[]) RETURNING 1)
        SELECT (SELECT count(*) FROM l) + (SELECT count(*) FROM c)
             + (SELECT count(*) FROM s) + (SELECT count(*) FROM p)
        """,
        company_id,
        export_ids,
    )
    return count
