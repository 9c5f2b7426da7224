"""Certificates in PostgreSQL: written once, never changed."""

from uuid import UUID

from server.certificates.model import Certificate
from server.kit.db import Connection


async def insert(conn: Connection, company_id: UUID, certificate: Certificate) -> None:
    await conn.execute(
        """
        INSERT INTO erasure_certificate
               (company_id, request_id, ledger_index, issued_at, document)
        VALUES ($1, $2, $3, $4, $5)
        """,
        company_id,
        certificate.request_id,
        certificate.ledger_index,
        certificate.issued_at,
        certificate.document,
    )


async def certificate(conn: Connection, company_id: UUID, request_id: UUID) -> Certificate | None:
    row = await conn.fetchrow(
        """
        SELECT request_id, ledger_index, issued_at, document FROM erasure_certificate
         WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
    )
    return None if row is None else Certificate(**row)
