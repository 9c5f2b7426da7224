"""What a company owns goes on after an erasure as it was: only who drove it is known no more."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.routes import service as routes
from server.routes.model import NewRoute, Plan, Stop
from server.vault.opening import open_vault
from server.vehicles import service as vehicles
from tests.erasure.person import Person, add_person
from tests.erasure.test_saga import ask, run
from tests.world import NOW, World

OF_DRIVER = frozenset({"driver_id", "assigned_at", "taken_over"})
"""What of a route says who drives it."""


async def drive(world: World, person: Person) -> UUID:
    """Let the person drive a vehicle of the company's along a road; return the route."""
    stop = Stop(
        stop_id=uuid7(),
        name="Қойма",
        lat=43.2,
        lon=76.8,
        radius_m=50.0,
        service_s=600.0,
        planned_arrival=NOW,
        window_start=None,
        window_end=None,
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        vehicle = await vehicles.add_vehicle(
            conn, world.company_id, name="Gazelle", plate="123 ABC 02", now=NOW
        )
        draft = await routes.drafted(
            NewRoute(
                name="Round of the markets",
                day=NOW.date(),
                driver_id=person.driver_id,
                vehicle_id=vehicle.vehicle_id,
                planned_start=NOW,
                stops=[stop],
                line=[(76.7, 43.1), (76.8, 43.2)],
            )
        )
        made = await routes.create(conn, world.vault, world.company_id, draft, now=NOW)
    return made.head.route_id


async def rows(world: World, table: str) -> list[dict[str, Any]]:
    found = await world.owner.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - ours
    return [{name: value for name, value in row.items() if name not in OF_DRIVER} for row in found]


async def plan(world: World, pool: Pool, kek_file: Path, route_id: UUID) -> tuple[str, Plan]:
    """Read a route as after a start: with keys that are still there."""
    vault = await open_vault(pool, load(kek_file), NOW)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = routes.opened(await routes.find(conn, vault, world.company_id, route_id))
    return found.name, found.plan


@pytest.mark.proves("qoldau:5.2")
async def test_routes_their_plans_and_vehicles_stay_as_they_were_without_their_driver(
    world: World, keys_pool: Pool, kek_file: Path
) -> None:
    person = await add_person(world)
    route_id = await drive(world, person)
    tables = ("route", "route_version", "vehicle")
    before = [await rows(world, table) for table in tables]
    planned = await plan(world, keys_pool, kek_file, route_id)
    of_person = "SELECT count(*) FROM route WHERE driver_id = $1"
    assert await world.owner.fetchval(of_person, person.driver_id) == 2

    await run(world, await ask(world, person))

    assert [await rows(world, table) for table in tables] == before
    assert await plan(world, keys_pool, kek_file, route_id) == planned
    assert planned[0] == "Round of the markets"
    assert await world.owner.fetchval("SELECT count(*) FROM route WHERE driver_id IS NULL") == 2
