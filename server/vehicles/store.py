"""Vehicles in PostgreSQL. Each function is one statement."""

from uuid import UUID

from server.kit.db import Connection, UniqueViolation
from server.vehicles.model import PlateTaken, Vehicle


async def insert_vehicle(conn: Connection, company_id: UUID, vehicle: Vehicle) -> None:
    """Add the vehicle.

    Raises
    ------
    PlateTaken
    """
    try:
        await conn.execute(
            """
            INSERT INTO vehicle (company_id, vehicle_id, name, plate, created_at)
            VALUES ($1, $2, $3, $4, $5)
            """,
            company_id,
            vehicle.vehicle_id,
            vehicle.name,
            vehicle.plate,
            vehicle.created_at,
        )
    except UniqueViolation:
        raise PlateTaken from None


async def is_vehicle(conn: Connection, company_id: UUID, vehicle_id: UUID) -> bool:
    found = await conn.fetchval(
        "SELECT true FROM vehicle WHERE company_id = $1 AND vehicle_id = $2", company_id, vehicle_id
    )
    return bool(found)


async def vehicles(
    conn: Connection, company_id: UUID, *, after: UUID, limit: int | None
) -> list[Vehicle]:
    rows = await conn.fetch(
        """
        SELECT vehicle_id, name, plate, created_at
          FROM vehicle
         WHERE company_id = $1 AND vehicle_id > $2
         ORDER BY vehicle_id LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [Vehicle(**dict(row)) for row in rows]
