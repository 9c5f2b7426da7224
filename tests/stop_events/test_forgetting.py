"""What was said is kept for a year, however much it was."""

from datetime import timedelta
from typing import Final

from server.kit import db
from server.kit.batches import AT_ONCE
from server.stop_events import service
from server.stop_events.model import KEPT
from tests.alerts.seen import planned
from tests.world import NOW, World

BACKLOG: Final = 4 * AT_ONCE + 2
DAY: Final = timedelta(days=1)


async def say(world: World, count: int) -> None:
    """Let the driver have said something each second, beginning now."""
    route = await planned(world)
    await world.owner.execute(
        "INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id, route_id,"
        " stop_id, received_at, event_sealed)"
        " SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), $3, gen_random_uuid(),"
        " $4::timestamptz + n * interval '1 second', '' FROM generate_series(0, $5 - 1) n",
        world.company_id,
        world.driver.member_id,
        route.head.route_id,
        NOW,
        count,
    )


async def test_one_run_forgets_all_that_is_a_year_old(world: World) -> None:
    await say(world, BACKLOG)
    a_year_later = NOW + KEPT + timedelta(seconds=BACKLOG - 1)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        due = await service.old(conn, world.company_id, a_year_later)

    gone = await service.forget_old(world.pool, world.company_id, a_year_later)

    # The last one is not older than a year, but just as old.
    assert (due, gone) == ((BACKLOG - 1, NOW), BACKLOG - 1)
    assert await world.owner.fetchval("SELECT count(*) FROM stop_event") == 1
    assert await service.forget_old(world.pool, world.company_id, a_year_later + DAY) == 1
