"""Adding and listing vehicles."""

from datetime import datetime
from uuid import UUID

from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.vehicles import store
from server.vehicles.model import Vehicle


async def add_vehicle(
    conn: Connection, company_id: UUID, *, name: str, plate: str, now: datetime
) -> Vehicle:
    """Add a vehicle of the company.

    Raises
    ------
    PlateTaken
    """
    vehicle = Vehicle(vehicle_id=uuid7(), name=name, plate=plate, created_at=now)
    await store.insert_vehicle(conn, company_id, vehicle)
    return vehicle


async def is_vehicle(conn: Connection, company_id: UUID, vehicle_id: UUID) -> bool:
    """Tell whether the company has a vehicle of this id."""
    return await store.is_vehicle(conn, company_id, vehicle_id)


async def vehicles(
    conn: Connection, company_id: UUID, *, cursor: str | None = None, limit: int | None = None
) -> tuple[list[Vehicle], str | None]:
    """Return a page of the vehicles (all without a limit), and the cursor of the next.

    Raises
    ------
    CursorInvalid
    """
    one_more = None if limit is None else limit + 1
    found = await store.vehicles(conn, company_id, after=place_of(cursor), limit=one_more)
    if limit is None:
        return found, None
    return page_of(found, limit, lambda one: cursor_of(one.vehicle_id))
