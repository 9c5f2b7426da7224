"""Routes in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.routes.changes import PlanMark
from server.routes.model import REACH, RouteHead, SealedRoute


async def insert(
    conn: Connection,
    company_id: UUID,
    sealed: SealedRoute,
    *,
    now: datetime,
    import_id: UUID | None = None,
) -> None:
    head = sealed.head
    await conn.execute(
        """
        INSERT INTO route (company_id, route_id, date, starts_at, ends_at, driver_id, vehicle_id,
                           plan_version, stop_count, planned_m, name_sealed, plan_sealed,
                           created_at, planned_at, assigned_at, import_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13,
                CASE WHEN $6::uuid IS NOT NULL THEN $13::timestamptz END, $14)
        """,
        company_id,
        head.route_id,
        head.date,
        head.starts_at,
        head.ends_at,
        head.driver_id,
        head.vehicle_id,
        head.plan_version,
        head.stop_count,
        head.planned_m,
        sealed.name_sealed,
        sealed.plan_sealed,
        now,
        import_id,
    )


async def get(conn: Connection, company_id: UUID, route_id: UUID) -> SealedRoute | None:
    row = await conn.fetchrow(
        """
        SELECT route_id, date, starts_at, ends_at, driver_id, vehicle_id, plan_version,
               stop_count, planned_m, cancelled_at, created_at, assigned_at, taken_over,
               name_sealed, plan_sealed
          FROM route
         WHERE company_id = $1 AND route_id = $2
        """,
        company_id,
        route_id,
    )
    if row is None:
        return None
    return SealedRoute(
        head=head_of(row), name_sealed=row["name_sealed"], plan_sealed=row["plan_sealed"]
    )


async def page(
    conn: Connection,
    company_id: UUID,
    *,
    day: date | None,
    driver_id: UUID | None,
    after: UUID | None,
    limit: int,
) -> list[tuple[RouteHead, bytes]]:
    """Return routes and their sealed names, newest made first (ids are sortable by time)."""
    rows = await conn.fetch(
        """
        SELECT route_id, date, starts_at, ends_at, driver_id, vehicle_id, plan_version,
               stop_count, planned_m, cancelled_at, created_at, assigned_at, taken_over, name_sealed
          FROM route
         WHERE company_id = $1
           AND ($2::date IS NULL OR date = $2)
           AND ($3::uuid IS NULL OR driver_id = $3)
           AND ($4::uuid IS NULL OR route_id < $4)
         ORDER BY route_id DESC
         LIMIT $5
        """,
        company_id,
        day,
        driver_id,
        after,
        limit,
    )
    return [(head_of(row), row["name_sealed"]) for row in rows]


async def near(conn: Connection, company_id: UUID, head: RouteHead) -> list[RouteHead]:
    """Return the same driver's other routes whose time may touch this one's.

    Those that were cancelled before they began are not among them.
    """
    rows = await conn.fetch(
        """
        SELECT route_id, date, starts_at, ends_at, driver_id, vehicle_id, plan_version,
               stop_count, planned_m, cancelled_at, created_at, assigned_at, taken_over
          FROM route
         WHERE company_id = $1 AND driver_id = $2 AND route_id <> $3
           AND starts_at BETWEEN $4 AND $5
           AND (cancelled_at > starts_at) IS NOT FALSE
        """,
        company_id,
        head.driver_id,
        head.route_id,
        head.begins_at - REACH,
        head.begins_at + REACH,
    )
    return [head_of(row) for row in rows]


async def under_way(
    conn: Connection, company_id: UUID, *, started_before: datetime, ending_after: datetime
) -> list[RouteHead]:
    """Return assigned routes whose planned time touches the interval, by start.

    Those that were cancelled before they began are not among them.
    """
    rows = await conn.fetch(
        """
        SELECT route_id, date, starts_at, ends_at, driver_id, vehicle_id, plan_version,
               stop_count, planned_m, cancelled_at, created_at, assigned_at, taken_over
          FROM route
         WHERE company_id = $1 AND driver_id IS NOT NULL
           AND starts_at <= $2 AND ends_at >= $3
           AND (cancelled_at > starts_at) IS NOT FALSE
         ORDER BY starts_at, route_id
        """,
        company_id,
        started_before,
        ending_after,
    )
    return [head_of(row) for row in rows]


async def marks(
    conn: Connection, company_id: UUID, *, started_before: datetime, ending_after: datetime
) -> dict[UUID, PlanMark]:
    """Return by what a change is seen of each route planned for some of that time."""
    rows = await conn.fetch(
        """
        SELECT route_id, plan_version, driver_id, vehicle_id, cancelled_at, ends_at,
               greatest(created_at, planned_at, assigned_at) AS changed_at
          FROM route
         WHERE company_id = $1 AND starts_at <= $2 AND ends_at >= $3
         ORDER BY route_id
        """,
        company_id,
        started_before,
        ending_after,
    )
    return {route_id: PlanMark(*mark) for route_id, *mark in rows}


async def of_import(conn: Connection, company_id: UUID, import_id: UUID) -> list[UUID]:
    """Return the routes that came with an import and are there still, in its order."""
    rows = await conn.fetch(
        """
        SELECT route_id FROM route
         WHERE company_id = $1 AND import_id = $2
         ORDER BY route_id
        """,
        company_id,
        import_id,
    )
    return [row["route_id"] for row in rows]


async def driven(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    *,
    started_before: datetime,
    ending_after: datetime,
) -> list[tuple[UUID, UUID]]:
    """Return drivers with each of their routes whose planned time touches the interval, in turn.

    That is by when they begin for them. Those that were cancelled are not among them.
    """
    rows = await conn.fetch(
        """
        SELECT driver_id, route_id
          FROM route
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
           AND starts_at <= $3 AND ends_at >= $4 AND cancelled_at IS NULL
         ORDER BY CASE WHEN assigned_at <> created_at THEN greatest(starts_at, assigned_at)
                       ELSE starts_at END,
                  route_id
        """,
        company_id,
        driver_ids,
        started_before,
        ending_after,
    )
    return [(row["driver_id"], row["route_id"]) for row in rows]


async def starts(
    conn: Connection, company_id: UUID, route_ids: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Return when each of the routes starts, by its plan."""
    rows = await conn.fetch(
        """
        SELECT route_id, starts_at FROM route
         WHERE company_id = $1 AND route_id = ANY($2::uuid[])
        """,
        company_id,
        route_ids,
    )
    return {row["route_id"]: row["starts_at"] for row in rows}


async def unassign_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        """
        UPDATE route SET driver_id = NULL, assigned_at = NULL, taken_over = true
         WHERE company_id = $1 AND driver_id = $2
        RETURNING route_id
        """,
        company_id,
        driver_id,
    )
    return len(rows)


def head_of(row: Record) -> RouteHead:
    return RouteHead(
        route_id=row["route_id"],
        date=row["date"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        driver_id=row["driver_id"],
        vehicle_id=row["vehicle_id"],
        plan_version=row["plan_version"],
        stop_count=row["stop_count"],
        planned_m=row["planned_m"],
        cancelled_at=row["cancelled_at"],
        created_at=row["created_at"],
        assigned_at=row["assigned_at"],
        taken_over=row["taken_over"],
    )
