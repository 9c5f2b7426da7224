"""Customers' links in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.links.model import CustomerLink


async def insert(conn: Connection, company_id: UUID, link: CustomerLink, token_hash: bytes) -> None:
    await conn.execute(
        """
        INSERT INTO customer_link (company_id, link_id, token_hash, route_id, stop_id, driver_id,
                                   created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        company_id,
        link.link_id,
        token_hash,
        link.route_id,
        link.stop_id,
        link.driver_id,
        link.created_at,
        link.expires_at,
    )


async def of_token(conn: Connection, company_id: UUID, token_hash: bytes) -> CustomerLink | None:
    row = await conn.fetchrow(
        """
        SELECT link_id, route_id, stop_id, driver_id, created_at, expires_at, delivered_at,
               revoked_at
          FROM customer_link
         WHERE company_id = $1 AND token_hash = $2
        """,
        company_id,
        token_hash,
    )
    return None if row is None else _link(row)


async def get(conn: Connection, company_id: UUID, link_id: UUID) -> CustomerLink | None:
    row = await conn.fetchrow(
        """
        SELECT link_id, route_id, stop_id, driver_id, created_at, expires_at, delivered_at,
               revoked_at
          FROM customer_link
         WHERE company_id = $1 AND link_id = $2
        """,
        company_id,
        link_id,
    )
    return None if row is None else _link(row)


async def page(
    conn: Connection, company_id: UUID, route_id: UUID | None, *, after: UUID, limit: int
) -> list[CustomerLink]:
    """Return links, of a route or of all, the oldest first: ids grow with time."""
    rows = await conn.fetch(
        """
        SELECT link_id, route_id, stop_id, driver_id, created_at, expires_at, delivered_at,
               revoked_at
          FROM customer_link
         WHERE company_id = $1 AND ($2::uuid IS NULL OR route_id = $2) AND link_id > $3
         ORDER BY link_id
         LIMIT $4
        """,
        company_id,
        route_id,
        after,
        limit,
    )
    return [_link(row) for row in rows]


async def active(conn: Connection, company_id: UUID, at: datetime) -> list[UUID]:
    """Return the links that have not ended, also those whose route has not started."""
    rows = await conn.fetch(
        """
        SELECT link_id
          FROM customer_link
         WHERE company_id = $1 AND driver_id IS NOT NULL AND delivered_at IS NULL
           AND revoked_at IS NULL AND expires_at > $2
        """,
        company_id,
        at,
    )
    return [row["link_id"] for row in rows]


async def named(conn: Connection, company_id: UUID, link_ids: Sequence[UUID]) -> list[CustomerLink]:
    """Return the links, but of erased drivers."""
    rows = await conn.fetch(
        """
        SELECT link_id, route_id, stop_id, driver_id, created_at, expires_at, delivered_at,
               revoked_at
          FROM customer_link
         WHERE company_id = $1 AND link_id = ANY($2::uuid[]) AND driver_id IS NOT NULL
         ORDER BY link_id
        """,
        company_id,
        link_ids,
    )
    return [_link(row) for row in rows]


async def set_delivered(
    conn: Connection, company_id: UUID, link_ids: Sequence[UUID], at: datetime
) -> int:
    rows = await conn.fetch(
        """
        UPDATE customer_link SET delivered_at = $3
         WHERE company_id = $1 AND link_id = ANY($2::uuid[]) AND delivered_at IS NULL
        RETURNING link_id
        """,
        company_id,
        link_ids,
        at,
    )
    return len(rows)


async def revoke(conn: Connection, company_id: UUID, link_id: UUID, at: datetime) -> bool:
    """Revoke a link; tell whether it was not revoked yet."""
    found = await conn.fetchval(
        """
        UPDATE customer_link SET revoked_at = $3
         WHERE company_id = $1 AND link_id = $2 AND revoked_at IS NULL
        RETURNING true
        """,
        company_id,
        link_id,
        at,
    )
    return bool(found)


async def revoke_active(
    conn: Connection, company_id: UUID, at: datetime, *, limit: int
) -> list[CustomerLink]:
    """Revoke links that have not ended, at most so many; return them."""
    rows = await conn.fetch(
        """
        UPDATE customer_link SET revoked_at = $2
         WHERE company_id = $1
           AND link_id IN (SELECT link_id FROM customer_link
                            WHERE company_id = $1 AND driver_id IS NOT NULL
                              AND delivered_at IS NULL AND revoked_at IS NULL AND expires_at > $2
                            LIMIT $3)
        RETURNING link_id, route_id, stop_id, driver_id, created_at, expires_at, delivered_at,
                  revoked_at
        """,
        company_id,
        at,
        limit,
    )
    return [_link(row) for row in rows]


async def forget_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        """
        UPDATE customer_link SET driver_id = NULL
         WHERE company_id = $1 AND driver_id = $2
        RETURNING link_id
        """,
        company_id,
        driver_id,
    )
    return len(rows)


async def count_ended(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID]
) -> tuple[int, datetime | None]:
    """Return how many links ended before that time, and when the first of them did.

    None of them is to a driver who is held.
    """
    row = await conn.fetchrow(
        """
        SELECT count(*) AS links, min(least(expires_at, delivered_at, revoked_at)) AS oldest
          FROM customer_link
         WHERE company_id = $1 AND least(expires_at, delivered_at, revoked_at) < $2
           AND (driver_id IS NULL OR driver_id <> ALL($3::uuid[]))
        """,
        company_id,
        before,
        list(held),
    )
    return (0, None) if row is None else (row["links"], row["oldest"])


async def delete_ended(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID], limit: int
) -> int:
    """Delete links that ended before that time, in whatever way; return how many.

    None of them is to a driver who is held.
    That of a driver who was erased ends at its own time at the latest.
    """
    rows = await conn.fetch(
        """
        DELETE FROM customer_link
         WHERE company_id = $1
           AND link_id IN (SELECT link_id FROM customer_link
                            WHERE company_id = $1
                              AND least(expires_at, delivered_at, revoked_at) < $2
                              AND (driver_id IS NULL OR driver_id <> ALL($4::uuid[]))
                            LIMIT $3)
        RETURNING link_id
        """,
        company_id,
        before,
        limit,
        list(held),
    )
    return len(rows)


def _link(row: Record) -> CustomerLink:
    return CustomerLink(**dict(row))
