"""Changing routes in PostgreSQL, and the versions of a plan. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, ForeignKeyViolation
from server.routes.changes import RouteInUse
from server.routes.model import PlanVersion, RouteHead, SealedRoute
from server.routes.store import head_of


async def lock(
    conn: Connection, company_id: UUID, route_id: UUID
) -> tuple[RouteHead, frozenset[UUID]] | None:
    """Return a route and its settled stops; nobody else changes either until we are through."""
    row = await conn.fetchrow(
        """
        SELECT route_id, date, starts_at, ends_at, driver_id, vehicle_id, plan_version,
               stop_count, planned_m, cancelled_at, created_at, assigned_at,
               taken_over, settled_stops
          FROM route
         WHERE company_id = $1 AND route_id = $2
           FOR UPDATE
        """,
        company_id,
        route_id,
    )
    return None if row is None else (head_of(row), frozenset(row["settled_stops"]))


async def keep_version(conn: Connection, company_id: UUID, route_id: UUID, now: datetime) -> None:
    """Keep the plan as it stands, as it is sealed: it is about to be replaced."""
    await conn.execute(
        """
        INSERT INTO route_version (company_id, route_id, plan_version, starts_at, ends_at,
                                   stop_count, planned_m, name_sealed, plan_sealed, planned_at,
                                   replaced_at)
        SELECT r.company_id, r.route_id, r.plan_version, r.starts_at, r.ends_at,
               r.stop_count, r.planned_m, r.name_sealed, r.plan_sealed,
               coalesce(r.planned_at, r.created_at), $3
          FROM route r
         WHERE r.company_id = $1 AND r.route_id = $2
        """,
        company_id,
        route_id,
        now,
    )


async def replace_plan(
    conn: Connection, company_id: UUID, sealed: SealedRoute, now: datetime
) -> None:
    head = sealed.head
    await conn.execute(
        """
        UPDATE route
           SET starts_at = $3, ends_at = $4, plan_version = $5, stop_count = $6, planned_m = $7,
               name_sealed = $8, plan_sealed = $9, planned_at = $10
         WHERE company_id = $1 AND route_id = $2
        """,
        company_id,
        head.route_id,
        head.starts_at,
        head.ends_at,
        head.plan_version,
        head.stop_count,
        head.planned_m,
        sealed.name_sealed,
        sealed.plan_sealed,
        now,
    )


async def version(
    conn: Connection, company_id: UUID, route_id: UUID, plan_version: int
) -> SealedRoute | None:
    """Return a version that was replaced, with whom the route is given to now."""
    row = await conn.fetchrow(
        """
        SELECT r.route_id, r.date, v.starts_at, v.ends_at, r.driver_id, r.vehicle_id,
               v.plan_version, v.stop_count, v.planned_m, r.cancelled_at, r.created_at,
               r.assigned_at, r.taken_over, v.name_sealed, v.plan_sealed
          FROM route_version v
          JOIN route r ON r.company_id = v.company_id AND r.route_id = v.route_id
         WHERE v.company_id = $1 AND v.route_id = $2 AND v.plan_version = $3
        """,
        company_id,
        route_id,
        plan_version,
    )
    if row is None:
        return None
    return SealedRoute(
        head=head_of(row), name_sealed=row["name_sealed"], plan_sealed=row["plan_sealed"]
    )


async def versions(conn: Connection, company_id: UUID, route_id: UUID) -> list[PlanVersion]:
    """Return all versions of a plan, the one in force first."""
    rows = await conn.fetch(
        """
        SELECT r.plan_version, coalesce(r.planned_at, r.created_at) AS planned_at,
               NULL::timestamptz AS replaced_at, r.starts_at, r.ends_at, r.stop_count, r.planned_m
          FROM route r
         WHERE r.company_id = $1 AND r.route_id = $2
        UNION ALL
        SELECT v.plan_version, v.planned_at, v.replaced_at, v.starts_at, v.ends_at, v.stop_count,
               v.planned_m
          FROM route_version v
         WHERE v.company_id = $1 AND v.route_id = $2
         ORDER BY plan_version DESC
        """,
        company_id,
        route_id,
    )
    return [PlanVersion(**dict(row)) for row in rows]


async def assign(
    conn: Connection,
    company_id: UUID,
    route_id: UUID,
    *,
    driver_id: UUID | None,
    vehicle_id: UUID | None,
    has_begun: bool,
    now: datetime,
) -> None:
    """Give a route to somebody; who has it already goes on having it since then."""
    await conn.execute(
        """
        UPDATE route
           SET driver_id = $3, vehicle_id = $4,
               taken_over = taken_over
                            OR $6 AND driver_id IS NOT NULL AND driver_id IS DISTINCT FROM $3::uuid,
               assigned_at = CASE WHEN $3::uuid IS NULL THEN NULL
                                  WHEN driver_id = $3 THEN assigned_at
                                  ELSE $5::timestamptz END
         WHERE company_id = $1 AND route_id = $2
        """,
        company_id,
        route_id,
        driver_id,
        vehicle_id,
        now,
        has_begun,
    )


async def known_since(
    conn: Connection, company_id: UUID, route_id: UUID, plan_version: int
) -> datetime | None:
    """Return since when the driver has had a route as this version plans it; None: not known."""
    since: datetime | None = await conn.fetchval(
        """
        SELECT CASE WHEN r.assigned_at IS NOT NULL
                    THEN greatest(r.assigned_at,
                                  coalesce(v.planned_at, r.planned_at, r.created_at))
               END
          FROM route r
          LEFT JOIN route_version v
                 ON v.company_id = r.company_id AND v.route_id = r.route_id AND v.plan_version = $3
         WHERE r.company_id = $1 AND r.route_id = $2
        """,
        company_id,
        route_id,
        plan_version,
    )
    return since


async def overlapping(
    conn: Connection, company_id: UUID, driver_id: UUID, head: RouteHead, *, limit: int
) -> list[UUID]:
    """Return the driver's other routes that are planned for some of the same time."""
    rows = await conn.fetch(
        """
        SELECT route_id FROM route
         WHERE company_id = $1 AND driver_id = $2 AND route_id <> $3
           AND starts_at < $4 AND ends_at > $5 AND cancelled_at IS NULL
         ORDER BY starts_at, route_id
         LIMIT $6
        """,
        company_id,
        driver_id,
        head.route_id,
        head.ends_at,
        head.starts_at,
        limit,
    )
    return [row["route_id"] for row in rows]


async def cancel(conn: Connection, company_id: UUID, route_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE route SET cancelled_at = $3 WHERE company_id = $1 AND route_id = $2",
        company_id,
        route_id,
        now,
    )


async def settle(conn: Connection, company_id: UUID, route_id: UUID, stop_id: UUID) -> None:
    await conn.execute(
        """
        UPDATE route SET settled_stops = array_append(settled_stops, $3)
         WHERE company_id = $1 AND route_id = $2 AND settled_stops @> ARRAY[$3]::uuid[] IS FALSE
        """,
        company_id,
        route_id,
        stop_id,
    )


async def delete_versions(conn: Connection, company_id: UUID, route_id: UUID) -> None:
    await conn.execute(
        "DELETE FROM route_version WHERE company_id = $1 AND route_id = $2", company_id, route_id
    )


async def delete(conn: Connection, company_id: UUID, route_id: UUID) -> None:
    """Delete a route.

    Raises
    ------
    RouteInUse
    """
    try:
        await conn.execute(
            "DELETE FROM route WHERE company_id = $1 AND route_id = $2", company_id, route_id
        )
    except ForeignKeyViolation:
        raise RouteInUse from None
