"""What is done for reports without a caller."""

import asyncio
from datetime import UTC, datetime

import pytest

from server import background, settings
from server.background import jobs_of, twice
from server.databases import Opened
from server.kit import db
from server.reports import store
from server.reports.store import Due
from tests.http import Clock
from tests.reports.days import DAY, driven, keep_reports, plan, rows, share
from tests.world import NOW, World, add_driver


async def test_all_routes_that_are_over_are_finished_in_one_run(
    world: World, opened: Opened
) -> None:
    await keep_reports(world)
    for _ in range(12):
        driver = await add_driver(world.vault, world.pool, world.company_id)
        await share(world, driver, NOW - DAY)
        await plan(world, driver)
    await driven(world)

    await jobs_of(opened, settings.read({}), Clock()).every_minute["finish_reports"]()

    found = await rows(world)
    assert len(found) == 13
    assert sum(row["sealed"] is not None for row in found) == 1


async def test_a_report_that_failed_is_made_every_day(world: World, opened: Opened) -> None:
    await keep_reports(world)
    head = await driven(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        of = Due(head.route_id, world.driver.member_id, head.plan_version)
        await store.note_tried(conn, world.company_id, of, failed=True, now=NOW)

    await jobs_of(opened, settings.read({}), Clock()).every_day["finish_missed_reports"]()

    [row] = await rows(world)
    assert row["sealed"] is not None


async def test_reports_that_were_kept_long_enough_go_every_day(
    world: World, opened: Opened
) -> None:
    await keep_reports(world, 30)
    await driven(world)
    await jobs_of(opened, settings.read({}), Clock()).every_minute["finish_reports"]()
    kept = len(await rows(world))

    # What is old is removed by a clock that is right.
    now = datetime.now(UTC)
    forget = jobs_of(opened, settings.read({}), Clock(now)).every_day["forget_reports"]
    await world.owner.execute("UPDATE route SET starts_at = $1, ends_at = $1", now - 29 * DAY)
    await forget()
    before = len(await rows(world))
    await world.owner.execute("UPDATE route SET starts_at = $1, ends_at = $1", now - 31 * DAY)
    await forget()

    assert (kept, before, await rows(world)) == (1, 1, [])


async def test_what_is_due_twice_a_minute_is_done_twice_apart() -> None:
    loop = asyncio.get_running_loop()
    done: list[float] = []

    async def tick() -> None:
        done.append(loop.time())

    await twice(tick, apart_s=0.2)

    first, second = done
    assert second - first >= 0.2


async def test_what_took_longer_than_that_is_done_again_at_once() -> None:
    loop = asyncio.get_running_loop()
    done: list[float] = []

    async def tick() -> None:
        done.append(loop.time())
        await asyncio.sleep(0.2)

    await twice(tick, apart_s=0.05)

    first, second = done
    assert second - first < 0.4


async def test_a_route_under_way_is_followed(
    world: World, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driven(world, began=NOW - DAY / 48)
    monkeypatch.setattr(background, "HALF_A_MINUTE_S", 0.0)

    await jobs_of(opened, settings.read({}), Clock()).every_minute["follow_routes"]()

    looks = await world.owner.fetch("SELECT screen FROM location_read")
    assert [row["screen"] for row in looks] == ["automatic_report"]
