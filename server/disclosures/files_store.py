"""What was made to be given out, in PostgreSQL: a file's size and hash, never the file.

Each function is one statement.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.disclosures.model import MadeFile
from server.kit.db import Connection


async def put_file(conn: Connection, company_id: UUID, made: MadeFile) -> None:
    """Note a file; the same one drawn once more is as it is now."""
    await conn.execute(
        """
        INSERT INTO disclosure_file (company_id, disclosure_id, file_id, format, positions,
                                     size_bytes, sha256, made_at, made_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (company_id, disclosure_id, file_id)
        DO UPDATE SET positions = excluded.positions, size_bytes = excluded.size_bytes,
                      sha256 = excluded.sha256
        """,
        company_id,
        made.disclosure_id,
        made.file_id,
        made.format,
        made.positions,
        made.size_bytes,
        made.sha256,
        made.made_at,
        made.made_by,
    )


async def files(
    conn: Connection, company_id: UUID, disclosure_ids: Collection[UUID]
) -> list[MadeFile]:
    """Return the files of these disclosures, the oldest first."""
    rows = await conn.fetch(
        """
        SELECT file_id, disclosure_id, format, positions, size_bytes, sha256, made_at, made_by
          FROM disclosure_file
         WHERE company_id = $1 AND disclosure_id = ANY($2::uuid[])
         ORDER BY disclosure_id, file_id
        """,
        company_id,
        list(disclosure_ids),
    )
    return [MadeFile(**row) for row in rows]


async def files_of_driver(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> list[tuple[datetime, UUID | None, bool]]:
    """Return of each file of a driver when and by whom it was made, and whether it is sealed."""
    rows = await conn.fetch(
        """
        SELECT f.made_at, f.made_by, coalesce(d.sealed_until > $3, false) AS sealed
          FROM disclosure d
          JOIN disclosure_file f
            ON f.company_id = d.company_id AND f.disclosure_id = d.disclosure_id
         WHERE d.company_id = $1 AND d.driver_id = $2
        """,
        company_id,
        driver_id,
        now,
    )
    return [(row["made_at"], row["made_by"], row["sealed"]) for row in rows]
