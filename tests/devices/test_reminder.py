"""A forgotten shift: the driver is told once, half an hour before it ends by itself."""

from datetime import datetime, timedelta

from server.kit import db
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from tests.world import SHIFT_STARTED, World

ENDS_BY = SHIFT_STARTED + timedelta(hours=14)
MINUTE = timedelta(minutes=1)


async def remind(world: World, at: datetime) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await shifts.remind(conn, world.company_id, at)


async def told(world: World) -> list[tuple[object, object]]:
    rows = await world.owner.fetch(
        "SELECT member_id, queued_at FROM notice WHERE kind = 'shift_reminder'"
    )
    return [(row["member_id"], row["queued_at"]) for row in rows]


async def test_half_an_hour_before_the_end_the_driver_is_told_once(world: World) -> None:
    before = ENDS_BY - timedelta(minutes=30)

    early = await remind(world, before - MINUTE)
    for minute in range(30):
        await remind(world, before + minute * MINUTE)

    assert early == 0
    assert await told(world) == [(world.driver.member_id, before)]


async def test_nobody_is_told_of_a_shift_that_is_over(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.end(
            conn,
            world.company_id,
            world.driver.member_id,
            by=ShiftEnd.DRIVER,
            now=ENDS_BY - timedelta(hours=1),
        )

    assert await remind(world, ENDS_BY - MINUTE) == 0
    assert await remind(world, ENDS_BY) == 0
    assert await told(world) == []
