"""Consents that run out, are given again, or are acted on in another order than the clocks say."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from server.accounts import acts as accounts
from server.consent.model import VALID_FOR
from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit import db
from server.shifts import service as shifts
from server.shifts.model import ConsentNeeded
from server.standing.model import BlockReason, By
from server.tracking import service
from server.tracking.model import Availability, Track, TrackPurpose
from tests import consents
from tests.uploading import Api, positions
from tests.world import NOW, Driver, add_driver

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


async def driver_with(api: Api, *items: GateItem) -> Driver:
    world = api.world
    return await add_driver(
        world.vault, world.pool, world.company_id, consents=items, on_shift=False
    )


async def give(api: Api, driver: Driver, *items: GateItem, at: datetime) -> None:
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await consents.give(conn, api.world.company_id, driver.member_id, *items, now=at)


async def withdraw(api: Api, driver: Driver, item: GateItem, at: datetime) -> None:
    ids = (api.world.company_id, driver.member_id)
    async with gate.stopping(api.world.pool, *ids, now=at) as conn:
        await consents.withdraw(conn, *ids, item, now=at)


async def start(api: Api, driver: Driver, at: datetime) -> None:
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await shifts.start(conn, api.world.company_id, driver.member_id, now=at)


async def track(api: Api, driver: Driver, now: datetime) -> Track:
    world = api.world
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.track(
            conn,
            world.vault,
            world.company_id,
            driver.member_id,
            now - HOUR,
            now + HOUR,
            purpose=TrackPurpose.PLAN_FACT,
            now=now,
        )


async def upload(api: Api, driver: Driver, at: datetime, count: int = 3) -> Any:
    api.clock.at = at
    return await api.upload(positions(count, until=at, step_s=5), driver=driver)


async def runs_out(api: Api) -> tuple[Driver, datetime]:
    """Return a driver whose plan_fact runs out then, long before dispatch_tracking does."""
    driver = await driver_with(api)
    await give(api, driver, GateItem.PLAN_FACT, at=NOW)
    later = NOW + VALID_FOR / 2
    await give(api, driver, GateItem.LOCATION, GateItem.DISPATCH_TRACKING, at=later)
    return driver, NOW + VALID_FOR


async def test_a_purpose_that_ran_out_covers_nothing_before_any_job_noticed(api: Api) -> None:
    driver, out = await runs_out(api)
    await start(api, driver, out - HOUR)
    before = await upload(api, driver, out - 30 * SECOND)
    assert len(await track(api, driver, out - SECOND)) == 3

    # A belief of before is still held then.
    after = await upload(api, driver, out + 20 * SECOND)

    assert before["accepted"] == 3
    assert [one["reason"] for one in after["refused"]] == ["not_kept"] * 2
    assert (after["accepted"], await api.rows()) == (1, 1)
    assert (await track(api, driver, out)).availability is Availability.NOT_SHARED


async def test_a_shift_needs_a_purpose_that_still_runs(api: Api) -> None:
    driver = await driver_with(api, GateItem.LOCATION, GateItem.PLAN_FACT)

    with pytest.raises(ConsentNeeded):
        await start(api, driver, NOW + 2 * VALID_FOR)


async def test_what_came_before_a_withdrawal_stays_hidden_whatever_the_phones_clock_says(
    api: Api,
) -> None:
    driver = api.world.driver
    ahead = NOW + CLOCK_AHEAD_MAX
    assert (await api.upload(positions(1, until=ahead), driver=driver))["accepted"] == 1
    await withdraw(api, driver, GateItem.LOCATION, NOW + 2 * SECOND)
    again = NOW + 10 * SECOND
    await give(api, driver, GateItem.LOCATION, at=again)
    await start(api, driver, again)

    assert len(await track(api, driver, again + SECOND)) == 0
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        found = await gate.read(conn, api.world.company_id, driver.member_id)
        shown = await service.latest_positions(
            conn, api.world.vault, api.world.company_id, [found], now=again + SECOND
        )
    assert shown == {}
    later = await upload(api, driver, NOW + timedelta(minutes=2))
    assert later["accepted"] == 3


async def test_acts_count_in_the_order_in_which_they_came_to_the_gate(api: Api) -> None:
    """A grant whose clock was read first, and that came second, hides no window."""
    driver = await driver_with(api, GateItem.LOCATION, GateItem.DISPATCH_TRACKING)
    began = NOW - timedelta(minutes=10)
    await start(api, driver, began + timedelta(milliseconds=10))
    await give(api, driver, GateItem.PLAN_FACT, at=began)

    answer = await upload(api, driver, NOW)

    assert (answer["accepted"], answer["collect"]) == (3, True)


async def test_a_start_that_waited_for_a_block_records_nothing_of_it(api: Api) -> None:
    driver = await driver_with(api, *GateItem)
    ids = (api.world.company_id, driver.member_id)
    blocked, unblocked = NOW - timedelta(minutes=4), NOW - timedelta(minutes=2)
    async with gate.stopping(api.world.pool, *ids, now=blocked) as conn:
        await accounts.block(conn, *ids, BlockReason.OTHER, by=By.DISPATCHER, now=blocked)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await accounts.unblock(conn, *ids, by=By.DISPATCHER, now=unblocked)

    await start(api, driver, NOW - timedelta(minutes=5))  # its clock was read before all that

    refused = await upload(api, driver, NOW - timedelta(minutes=3))
    assert {one["reason"] for one in refused["refused"]} == {"outside_window"}
    assert (await upload(api, driver, NOW - SECOND))["accepted"] == 3
