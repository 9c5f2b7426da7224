"""Which final reports are made when: one that fails holds up no other, and none is forgotten."""

import asyncio
from datetime import timedelta
from threading import Event
from uuid import UUID

import pytest

from server.gate.drawing import ReadsBusy
from server.gate.model import GateMissing
from server.kit import db
from server.kit.errors import there
from server.reads.service import Reads
from server.reports import drawing, final, service, store
from server.reports.model import PlanFactReport
from server.reports.service import Gathered
from server.reports.store import Due
from server.rights.service import tell_of_alert
from server.routes.model import LEAD
from server.vault.model import Category
from tests.reports.days import (
    DAY,
    HOUR,
    MINUTE,
    STARTED,
    Office,
    drive,
    driven,
    finish,
    keep_reports,
    plan,
    rows,
    share,
    store_positions,
    withdraw,
)
from tests.world import NOW, World, add_driver

COMPARED = drawing.compared


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    return world


async def finish_missed(world: World) -> int:
    """Do what is due each day."""
    looks = Reads(world.pool, tell_of_alert)
    return await final.finish_missed(world.pool, world.vault, looks, world.company_id, NOW)


class Killed(BaseException):
    """As if the process had ended there: nothing handles it."""


class Broken:
    """Stands for what cannot be computed, or not just now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
        self.routes: set[UUID] = set()
        self.tried = 0
        self._error = error
        monkeypatch.setattr(drawing, "compared", self.compared)

    def compared(self, found: Gathered) -> PlanFactReport:
        if found.route.sealed.head.route_id in self.routes:
            self.tried += 1
            raise self._error
        return COMPARED(found)


async def test_reports_that_fail_hold_up_no_others_and_are_tried_again_each_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final, "TURN_REPORTS", 2)
    broken = Broken(monkeypatch, ZeroDivisionError)
    heads = []
    for place in range(3):
        driver = await add_driver(world.vault, world.pool, world.company_id)
        heads.append(await driven(world, driver, began=STARTED - HOUR + place * MINUTE))
    broken.routes = {head.route_id for head in heads[:2]}

    by_minute = [await finish(world) for _ in range(3)]
    tried = broken.tried
    stored = [row["route_id"] for row in await rows(world) if row["sealed"] is not None]
    still_broken = await finish_missed(world)
    broken.routes = set()
    mended = [await finish(world), await finish_missed(world), await finish_missed(world)]

    assert (by_minute, tried) == ([0, 1, 0], 2)
    assert stored == [heads[2].route_id]
    assert (still_broken, broken.tried) == (0, 4)
    assert mended == [0, 2, 0]
    assert all(row["sealed"] is not None and not row["failed"] for row in await rows(world))


async def test_a_report_that_ends_the_process_is_not_tried_again_each_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(monkeypatch, Killed)
    broken.routes = {(await driven(world)).route_id}
    with pytest.raises(Killed):
        await finish(world)

    after = await finish(world)

    assert (after, broken.tried) == (0, 1)


@pytest.mark.parametrize(("ago", "made"), [(4 * DAY, [1, 0]), (6 * DAY, [0, 1])])
async def test_each_minute_looks_a_day_back_and_each_day_at_all_that_is_kept(
    world: World, ago: timedelta, made: list[int]
) -> None:
    """So what a minute costs does not grow with the routes of a year."""
    await driven(world, began=NOW - ago)

    assert [await finish(world), await finish_missed(world)] == made


@pytest.mark.parametrize("error", [ConnectionRefusedError, ReadsBusy])
async def test_what_fails_for_an_outage_is_made_the_minute_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    broken = Broken(monkeypatch, error)
    for place in range(3):
        driver = await add_driver(world.vault, world.pool, world.company_id)
        broken.routes.add((await driven(world, driver, began=STARTED - place * MINUTE)).route_id)

    away = [await finish(world), await finish(world, now=NOW + MINUTE)]
    tried = broken.tried
    broken.routes = set()
    back = [await finish(world, now=NOW + minutes * MINUTE) for minutes in (2, 3)]

    assert (away, tried) == ([0, 0], 2)
    assert back == [3, 0]
    assert all(row["sealed"] is not None and not row["failed"] for row in await rows(world))


async def test_a_report_that_always_takes_too_long_holds_up_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn ends where it looks as if the database were away: the next begins with the others."""
    broken = Broken(monkeypatch, TimeoutError)
    heads = []
    for place in range(3):
        driver = await add_driver(world.vault, world.pool, world.company_id)
        heads.append(await driven(world, driver, began=STARTED - HOUR + place * MINUTE))
    broken.routes = {heads[0].route_id}

    assert [await finish(world, now=NOW + minutes * MINUTE) for minutes in (0, 1, 2)] == [0, 2, 0]


async def test_what_is_broken_off_as_the_server_stops_is_made_after_its_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on = asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def slow(found: Gathered) -> PlanFactReport:
        loop.call_soon_threadsafe(begun.set)
        may_go_on.wait()
        return COMPARED(found)

    await driven(world)
    monkeypatch.setattr(drawing, "compared", slow)
    turn = asyncio.ensure_future(finish(world))
    await begun.wait()
    turn.cancel()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert await finish(world, now=NOW + MINUTE) == 1


async def test_a_try_that_is_taken_back_leaves_the_report_that_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await driven(world)
    await finish(world)
    [before] = await rows(world)
    broken = Broken(monkeypatch, ConnectionRefusedError)
    broken.routes = {head.route_id}
    settled = NOW + 3 * DAY

    made = [await finish(world, now=settled)]
    [kept] = await rows(world)
    broken.routes = set()
    made += [await finish(world, now=settled + minutes * MINUTE) for minutes in (1, 2)]

    assert made == [0, 1, 0]
    assert (kept["sealed"], kept["failed"]) == (before["sealed"], False)


async def test_where_tracks_are_kept_shortly_a_report_is_made_anew_while_its_track_is_whole(
    world: World, office: Office
) -> None:
    await world.owner.execute("UPDATE company SET track_days = 2, buffer_max_s = 86400")
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED, to_s=400))
    first = await finish(world)
    await store_positions(world, world.driver, drive(STARTED, from_s=400))
    whole_until = STARTED - LEAD + 2 * DAY

    anew = [
        await finish(world, now=whole_until - HOUR + minutes * MINUTE) for minutes in (-1, 0, 1)
    ]
    office.clock.at = whole_until - MINUTE
    served = (await office.report(head))["computed_at"]
    office.clock.at = whole_until + DAY
    report = await office.report(head)

    assert (first, anew) == (1, [0, 1, 0])
    assert served == report["computed_at"] == "2026-11-24T02:00:00Z"
    assert [stop["status"] for stop in report["stops"]] == ["visited", "visited"]


async def test_a_report_of_a_former_driver_is_neither_stored_nor_left(world: World) -> None:
    head = await driven(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, STARTED - 2 * HOUR)
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.gather(
            conn, world.vault, world.company_id, head.route_id, anew=True, now=NOW
        )
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.REPORT, at=NOW)
    sealed = drawing.sealed(found, drawing.compared(found), key)
    gate = there(found.gate, GateMissing)

    async with db.tenant(world.pool, world.company_id) as conn:
        before = await store.put(conn, world.company_id, sealed, epoch=gate.epoch, now=NOW)
    await world.owner.execute("UPDATE route SET driver_id = $1", other.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        after = await store.put(conn, world.company_id, sealed, epoch=gate.epoch, now=NOW)
    await finish(world)
    [noted] = await rows(world)
    # What was known of the route when it was the first driver's comes too late.
    async with db.tenant(world.pool, world.company_id) as conn:
        late = Due(head.route_id, world.driver.member_id, head.plan_version)
        await store.note_tried(conn, world.company_id, late, failed=False, now=NOW)

    assert (before, after) == (True, False)
    assert (noted["driver_id"], noted["sealed"], noted["sums_sealed"]) == (
        other.member_id,
        None,
        None,
    )
    assert await rows(world) == [noted]


async def test_control_a_report_of_the_same_driver_stays_where_nothing_came_of_a_try(
    world: World,
) -> None:
    head = await driven(world)
    await finish(world)
    [before] = await rows(world)
    await withdraw(world)

    async with db.tenant(world.pool, world.company_id) as conn:
        of = Due(head.route_id, world.driver.member_id, head.plan_version)
        await store.note_tried(conn, world.company_id, of, failed=True, now=NOW + DAY)

    [after] = await rows(world)
    assert after == {**before, "tried_at": NOW + DAY, "failed": True}
