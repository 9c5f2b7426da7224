"""What a driver said goes with the driver, also out of old dumps."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.stop_events import service
from server.vault.model import SealedText
from server.vault.opening import open_vault
from tests.stop_events.saying import COMMENT, call, planned, reported
from tests.world import NOW, World, add_driver


async def kept(world: World) -> list[SealedText]:
    """Return what was said as an old dump would hold it."""
    rows = await world.owner.fetch("SELECT stop_event_id, event_sealed FROM stop_event")
    return [
        SealedText(
            sealed=row["event_sealed"], row_id=row["stop_event_id"], schema=service.EVENT_SCHEMA
        )
        for row in rows
    ]


@pytest.mark.proves("relog-driver-manager-apps:2.1.2")
async def test_after_the_erasure_an_old_dump_opens_with_no_key(
    client: ClientSession, driver: str, route: Any, world: World, keys_pool: Pool, kek_file: Path
) -> None:
    await reported(client, driver, route, "problem", text=COMMENT)
    dumped = await kept(world)
    ids = (world.company_id, world.driver.member_id)
    # The control: while the driver is there, the very same bytes open.
    (text,) = await world.vault.open_texts(world.company_id, dumped)
    assert text is not None
    assert "gate is shut" in text

    async with db.tenant(world.pool, world.company_id) as conn:
        deleted = await service.erase(conn, *ids)
    await world.vault.destroy(*ids, NOW)

    fresh = await open_vault(keys_pool, load(kek_file), NOW)
    for vault in (world.vault, fresh):
        assert await vault.open_texts(world.company_id, dumped) == [None]
    assert (deleted, await kept(world)) == (1, [])


async def test_what_others_said_stays(
    client: ClientSession, driver: str, dispatcher: str, route: Any, world: World
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    theirs = await planned(client, dispatcher, other.member_id)
    await reported(client, driver, route, "done")
    await reported(client, await world.driver_session(other), theirs, "done")

    async with db.tenant(world.pool, world.company_id) as conn:
        deleted = await service.erase(conn, world.company_id, world.driver.member_id)

    path = f"/v1/routes/{theirs['route_id']}/stop-events"
    _, found = await call(client, "GET", path, dispatcher)
    assert (deleted, len(found["items"])) == (1, 1)


async def test_an_event_whose_key_is_gone_is_left_out(
    client: ClientSession, driver: str, dispatcher: str, route: Any, world: World
) -> None:
    await reported(client, driver, route, "done")
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    path = f"/v1/routes/{route['route_id']}/stop-events"
    status, found = await call(client, "GET", path, dispatcher)

    assert (status, found["items"]) == (200, [])


async def test_what_was_said_can_never_be_changed_by_the_server(
    client: ClientSession, driver: str, route: Any, world: World
) -> None:
    await reported(client, driver, route, "done")

    for column in ("event_sealed = ''", "stop_id = route_id", "driver_id = company_id"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.tenant(world.pool, world.company_id) as conn:
                await conn.execute(f"UPDATE stop_event SET {column}")  # noqa: S608 - named here
