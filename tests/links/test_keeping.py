"""How long ended links are kept, and what finds those that have not."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.links import service
from server.links.model import KEPT
from tests.links.deliveries import delivery
from tests.world import NOW, World

SECOND: Final = timedelta(seconds=1)
LATER: Final = NOW + timedelta(days=60)
ENDS: Final = {
    "expired": "UPDATE customer_link SET expires_at = $1",
    "delivered": "UPDATE customer_link SET expires_at = 'infinity', delivered_at = $1",
    "revoked": "UPDATE customer_link SET expires_at = 'infinity', revoked_at = $1",
    "erased": "UPDATE customer_link SET expires_at = $1, driver_id = NULL",
}


async def forget(world: World, at: datetime) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.forget_ended(conn, world.company_id, at)


@pytest.mark.parametrize("end", ENDS)
async def test_a_link_is_deleted_thirty_days_after_it_ended(
    client: ClientSession, world: World, end: str
) -> None:
    link = await delivery(client, world)
    await world.owner.execute(ENDS[end], LATER)

    assert await forget(world, LATER + KEPT) == 0
    assert await forget(world, LATER + KEPT + SECOND) == 1
    # Its token is then one that never was.
    assert (await link.look())[0] == 404


async def test_a_link_that_has_not_ended_is_not_deleted(
    client: ClientSession, world: World
) -> None:
    await delivery(client, world)
    await world.owner.execute("UPDATE customer_link SET expires_at = $1", LATER)

    assert await forget(world, LATER) == 0


async def test_links_that_have_not_ended_are_found_by_their_own_index(
    client: ClientSession, world: World
) -> None:
    await delivery(client, world)
    await world.owner.execute(
        "INSERT INTO customer_link (company_id, link_id, token_hash, route_id, stop_id, driver_id,"
        " created_at, expires_at, delivered_at)"
        " SELECT company_id, gen_random_uuid(), sha256(n::text::bytea), route_id, stop_id,"
        " driver_id, created_at, expires_at, created_at"
        " FROM customer_link, generate_series(1, 2000) n"
    )
    await world.owner.execute("ANALYZE customer_link")

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        plan = await conn.fetch(
            "EXPLAIN SELECT link_id FROM customer_link WHERE company_id = $1"
            " AND driver_id IS NOT NULL AND delivered_at IS NULL AND revoked_at IS NULL"
            " AND expires_at > $2",
            world.company_id,
            NOW,
        )

    assert "customer_link_active" in str(plan)
