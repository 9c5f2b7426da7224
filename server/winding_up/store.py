"""What the closing of a company ends, in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.winding_up.model import Counts


async def counts(conn: Connection, company_id: UUID, now: datetime) -> Counts:
    row = await conn.fetchrow(
        """
        SELECT (SELECT count(*) FROM member
                 WHERE company_id = $1 AND role = 'driver') AS drivers,
               (SELECT count(*) FROM erasure_request
                 WHERE company_id = $1
                   AND state IN ('open', 'grace', 'erasing', 'held')) AS erasures,
               (SELECT count(DISTINCT driver_id) FROM hold
                 WHERE company_id = $1 AND state = 'placed' AND until > $2) AS held,
               (SELECT count(*) FROM member
                 WHERE company_id = $1 AND role <> 'driver'
                   AND state IN ('invited', 'active')) AS staff,
               (SELECT count(*) FROM api_token
                 WHERE company_id = $1 AND revoked_at IS NULL) AS api_tokens,
               (SELECT count(*) FROM customer_link
                 WHERE company_id = $1
                   AND least(expires_at, delivered_at, revoked_at) > $2) AS links,
               (SELECT count(*) FROM shift
                 WHERE company_id = $1 AND ended_at IS NULL) AS shifts
        """,
        company_id,
        now,
    )
    return Counts(**dict(row or {}))


async def staff(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return the main users and dispatchers whose accounts have not ended."""
    rows = await conn.fetch(
        """
        SELECT member_id FROM member
         WHERE company_id = $1 AND role <> 'driver' AND state IN ('invited', 'active')
         ORDER BY member_id
        """,
        company_id,
    )
    return [row["member_id"] for row in rows]


async def api_tokens(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return the API tokens that are not revoked."""
    rows = await conn.fetch(
        """
        SELECT api_token_id FROM api_token
         WHERE company_id = $1 AND revoked_at IS NULL
         ORDER BY api_token_id
        """,
        company_id,
    )
    return [row["api_token_id"] for row in rows]
