"""Attestations and disputes in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.attestations.model import Attestation, How, Told
from server.kit.db import Connection
from server.policies.model import Document


async def insert(conn: Connection, company_id: UUID, new: Attestation) -> None:
    await conn.execute(
        """
        INSERT INTO attestation (company_id, driver_id, attested_by, how, told_at, attested_at,
                                 documents, editions)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        company_id,
        new.driver_id,
        new.attested_by,
        new.told.how.value,
        new.told.at,
        new.attested_at,
        [document.value for document, _ in new.told.editions],
        [edition for _, edition in new.told.editions],
    )


async def attestation(conn: Connection, company_id: UUID, driver_id: UUID) -> Attestation | None:
    row = await conn.fetchrow(
        """
        SELECT a.attested_by, a.how, a.told_at, a.attested_at, a.documents, a.editions,
               d.disputed_at
          FROM attestation a
          LEFT JOIN attestation_dispute d
                 ON d.company_id = a.company_id AND d.driver_id = a.driver_id
         WHERE a.company_id = $1 AND a.driver_id = $2
        """,
        company_id,
        driver_id,
    )
    if row is None:
        return None
    return Attestation(
        driver_id=driver_id,
        attested_by=row["attested_by"],
        told=Told(
            at=row["told_at"],
            how=How(row["how"]),
            editions=tuple(zip(map(Document, row["documents"]), row["editions"], strict=True)),
        ),
        attested_at=row["attested_at"],
        disputed_at=row["disputed_at"],
    )


async def insert_dispute(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> bool:
    """Write the dispute; False if there is one already."""
    written = await conn.fetchval(
        """
        INSERT INTO attestation_dispute (company_id, driver_id, disputed_at)
        VALUES ($1, $2, $3)
        ON CONFLICT (company_id, driver_id) DO NOTHING
        RETURNING true
        """,
        company_id,
        driver_id,
        now,
    )
    return bool(written)


async def delete_dispute(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM attestation_dispute WHERE company_id = $1 AND driver_id = $2 RETURNING 1
        """,
        company_id,
        driver_id,
    )
    return len(rows)


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM attestation WHERE company_id = $1 AND driver_id = $2 RETURNING 1",
        company_id,
        driver_id,
    )
    return len(rows)
