"""What drivers said of stops, in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.stop_events.model import SealedEvent, StopNews


async def insert(conn: Connection, company_id: UUID, new: SealedEvent) -> bool:
    """Add an event; False where the driver's event of this id is there already."""
    inserted = await conn.fetchval(
        """
        INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id, route_id, stop_id,
                                received_at, event_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (company_id, driver_id, event_id) DO NOTHING
        RETURNING true
        """,
        company_id,
        new.stop_event_id,
        new.driver_id,
        new.event_id,
        new.route_id,
        new.stop_id,
        new.received_at,
        new.event_sealed,
    )
    return bool(inserted)


async def get(
    conn: Connection, company_id: UUID, driver_id: UUID, event_id: UUID
) -> SealedEvent | None:
    row = await conn.fetchrow(
        """
        SELECT stop_event_id, driver_id, event_id, route_id, stop_id, received_at, event_sealed
          FROM stop_event
         WHERE company_id = $1 AND driver_id = $2 AND event_id = $3
        """,
        company_id,
        driver_id,
        event_id,
    )
    return None if row is None else _sealed(row)


async def count(conn: Connection, company_id: UUID, route_id: UUID, driver_id: UUID) -> int:
    found: int = await conn.fetchval(
        """
        SELECT count(*) FROM stop_event
         WHERE company_id = $1 AND route_id = $2 AND driver_id = $3
        """,
        company_id,
        route_id,
        driver_id,
    )
    return found


async def of_routes(
    conn: Connection, company_id: UUID, route_ids: Sequence[UUID]
) -> list[SealedEvent]:
    """Return what was said of these routes, whoever drove them, as it was received."""
    rows = await conn.fetch(
        """
        SELECT stop_event_id, driver_id, event_id, route_id, stop_id, received_at, event_sealed
          FROM stop_event
         WHERE company_id = $1 AND route_id = ANY($2::uuid[])
         ORDER BY stop_event_id
        """,
        company_id,
        route_ids,
    )
    return [_sealed(row) for row in rows]


async def of_route(
    conn: Connection, company_id: UUID, route_id: UUID, *, after: UUID, limit: int | None
) -> list[SealedEvent]:
    """Return what was said of the route, whoever drove it, as it was received."""
    rows = await conn.fetch(
        """
        SELECT stop_event_id, driver_id, event_id, route_id, stop_id, received_at, event_sealed
          FROM stop_event
         WHERE company_id = $1 AND route_id = $2 AND stop_event_id > $3
         ORDER BY stop_event_id
         LIMIT $4
        """,
        company_id,
        route_id,
        after,
        limit,
    )
    return [_sealed(row) for row in rows]


async def news(conn: Connection, company_id: UUID, since: datetime) -> list[StopNews]:
    rows = await conn.fetch(
        """
        SELECT stop_event_id, route_id, stop_id FROM stop_event
         WHERE company_id = $1 AND received_at >= $2
         ORDER BY stop_event_id
        """,
        company_id,
        since,
    )
    return [StopNews(**row) for row in rows]


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM stop_event WHERE company_id = $1 AND driver_id = $2 RETURNING true",
        company_id,
        driver_id,
    )
    return len(rows)


async def count_before(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID]
) -> tuple[int, datetime | None]:
    """Return how many events were received before, but of the held, and when the first was."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS events, min(received_at) AS oldest_at FROM stop_event
         WHERE company_id = $1 AND received_at < $2 AND driver_id <> ALL($3::uuid[])
        """,
        company_id,
        before,
        list(held),
    )
    return (0, None) if row is None else (row["events"], row["oldest_at"])


async def delete_before(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID], limit: int
) -> int:
    """Delete what is older than that, at most so much; nothing of the held."""
    rows = await conn.fetch(
        """
        DELETE FROM stop_event
         WHERE company_id = $1
           AND stop_event_id IN (SELECT stop_event_id FROM stop_event
                                  WHERE company_id = $1 AND received_at < $2
                                    AND driver_id <> ALL($4::uuid[])
                                  ORDER BY received_at LIMIT $3)
        RETURNING true
        """,
        company_id,
        before,
        limit,
        list(held),
    )
    return len(rows)


def _sealed(row: Record) -> SealedEvent:
    return SealedEvent(
        stop_event_id=row["stop_event_id"],
        driver_id=row["driver_id"],
        event_id=row["event_id"],
        route_id=row["route_id"],
        stop_id=row["stop_id"],
        received_at=row["received_at"],
        event_sealed=row["event_sealed"],
    )
