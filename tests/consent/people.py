"""Drivers whose consents and shifts came about as real ones do: through the service."""

from datetime import datetime
from typing import Final

from server.gate.model import GateItem
from server.kit import db
from server.shifts import service as shifts
from tests import consents
from tests.world import CONSENTED, SHIFT_STARTED, Driver, World, add_driver

ALL: Final = tuple(GateItem)


async def new_driver(
    world: World,
    *given: GateItem,
    on_shift: bool = False,
    name: str = "Saule Probkina",
    at: datetime = CONSENTED,
    started_at: datetime = SHIFT_STARTED,
) -> Driver:
    driver = await add_driver(
        world.vault, world.pool, world.company_id, name=name, consents=(), on_shift=False
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        await consents.give(conn, world.company_id, driver.member_id, *given, now=at)
        if on_shift:
            await shifts.start(conn, world.company_id, driver.member_id, now=started_at)
    return driver
