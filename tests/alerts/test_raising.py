"""Each alert is raised once and cleared once, and only of who shares plan versus fact."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.alerts import choices, service
from server.alerts.judging import CALM_FOR
from server.alerts.model import USUAL, Limits
from server.alerts.service import Judged
from server.gate import service as gate
from server.kit import db
from server.routes import service as routes
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from tests.alerts.seen import (
    MINUTE,
    NOW_S,
    TICK,
    OnTheWay,
    alerts,
    give,
    judge,
    planned,
    refreshed,
    withdraw,
)
from tests.world import NOW, World, add_driver

NOTHING_DONE = Judged(raised=0, cleared=0)


async def set_limits(world: World, limits: Limits) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await choices.set_limits(conn, world.company_id, limits, now=NOW)


async def test_an_alert_is_raised_once_however_often_it_is_judged(world: World) -> None:
    route = await planned(world)

    first = await judge(world, route.late(20.0))
    later = [await judge(world, route.late(20.0 + n), at=NOW + n * TICK) for n in range(1, 5)]

    assert first == Judged(raised=1, cleared=0)
    assert later == [NOTHING_DONE] * 4
    assert await alerts(world) == [("late", 1, True)]


async def test_it_is_cleared_once_after_it_was_calm_for_a_while_and_may_come_again(
    world: World,
) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    began = NOW + TICK

    calm = [await judge(world, route.late(3.0), at=began + n * TICK) for n in range(8)]
    again = await judge(world, route.late(20.0), at=began + 9 * TICK)

    assert [one.cleared for one in calm] == [n * TICK == CALM_FOR for n in range(8)]
    assert again.raised == 1
    assert await alerts(world) == [("late", 1, False), ("late", 2, True)]


async def test_a_moment_of_calm_clears_nothing(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))

    for n in range(1, 20):
        minutes = 14.0 if n % 4 == 0 else 3.0  # between the limit and calm, every two minutes
        assert await judge(world, route.late(minutes), at=NOW + n * TICK) == NOTHING_DONE

    assert await alerts(world) == [("late", 1, True)]


async def test_kinds_and_routes_stand_beside_each_other(world: World) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    mine, theirs = await planned(world), await planned(world, other.member_id)
    everything: dict[str, Any] = {
        "deviation_s": 3_600.0,
        "off_route_since_s": NOW_S - 600,
        "off_route_m": 900.0,
        "standing_since_s": NOW_S - 3_600,
    }

    judged = await judge(world, mine.seen(**everything), theirs.late(20.0))

    assert judged.raised == 4
    assert [kind for kind, _, _ in await alerts(world)] == [
        "late",
        "late",
        "long_stop",
        "off_route",
    ]


async def test_silence_is_raised_on_shift_only_and_over_at_once_in_a_pause(world: World) -> None:
    route = await planned(world)
    silent = route.seen(last_fix_s=NOW_S - 900)
    ids = (world.company_id, world.driver.member_id)
    assert (await judge(world, silent)).raised == 1
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await shifts.pause(conn, *ids, now=NOW + TICK)

    paused = await judge(world, silent, at=NOW + 2 * TICK)
    still_paused = await judge(world, silent, at=NOW + timedelta(hours=1))

    assert paused == Judged(raised=0, cleared=1)
    assert still_paused == NOTHING_DONE
    assert await alerts(world) == [("no_signal", 1, False)]


async def test_off_shift_nobody_is_silent(world: World) -> None:
    resting = await add_driver(world.vault, world.pool, world.company_id, on_shift=False)
    route = await planned(world, resting.member_id)

    assert await judge(world, route.seen(last_fix_s=None)) == NOTHING_DONE


async def test_off_shift_nobody_is_silent_whose_positions_are_recorded_always(world: World) -> None:
    route = await planned(world)
    silent = route.seen(last_fix_s=NOW_S - 900)
    ids = (world.company_id, world.driver.member_id)
    await world.owner.execute("UPDATE gate SET location_always = true")
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await shifts.end(conn, *ids, by=ShiftEnd.DRIVER, now=NOW)
    async with db.tenant(world.pool, world.company_id) as conn:
        assert await gate.drivers_in_a_window(conn, world.company_id, NOW + MINUTE) == {ids[1]}

    assert await judge(world, silent, at=NOW + MINUTE) == NOTHING_DONE

    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.start(conn, *ids, now=NOW + MINUTE)
        silent = replace(silent, gate=await gate.read(conn, *ids))
    soon = await judge(world, silent, at=NOW + 10 * MINUTE)
    later = await judge(world, silent, at=NOW + 11 * MINUTE)

    # Silence counts from the beginning of the shift, not of the window.
    assert (soon.raised, later.raised) == (0, 1)


@pytest.mark.parametrize("item", ["plan_fact", "location"])
async def test_who_withdrew_is_alerted_of_no_more_and_what_stood_is_over(
    world: World, item: str
) -> None:
    route = await planned(world)
    assert (await judge(world, route.late(20.0))).raised == 1
    await withdraw(world, item)

    # Whoever computed it before the withdrawal judges after it.
    judged = await judge(world, route.seen(deviation_s=9_000.0, off_route_m=900.0), at=NOW + TICK)

    assert judged == Judged(raised=0, cleared=1)
    assert await judge(world, route.late(20.0), at=NOW + 2 * TICK) == NOTHING_DONE


async def test_what_stood_before_a_new_consent_is_over_and_raised_anew(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    await withdraw(world, "plan_fact", at=NOW + TICK)
    await give(world, "plan_fact", at=NOW + TICK)

    # Computed before the withdrawal, and judged after the new consent: of what is hidden now.
    stale = await judge(world, route.late(20.0), at=NOW + 2 * TICK)
    anew = await refreshed(world, route)
    raised = await judge(world, anew.late(20.0), at=NOW + 3 * TICK)

    assert (stale, raised) == (Judged(raised=0, cleared=1), Judged(raised=1, cleared=0))


async def test_a_kind_that_is_switched_off_is_over_and_its_limit_holds_from_the_next_time_on(
    world: World,
) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))

    await set_limits(world, replace(USUAL, late_min=None))
    off = await judge(world, route.late(20.0), at=NOW + TICK)
    await set_limits(world, replace(USUAL, late_min=40))
    more = await judge(world, route.late(20.0), at=NOW + 2 * TICK)
    enough = await judge(world, route.late(40.0), at=NOW + 3 * TICK)

    assert (off.cleared, more, enough.raised) == (1, NOTHING_DONE, 1)


async def test_a_route_that_is_not_the_drivers_any_more_has_no_open_alert(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    async with db.tenant(world.pool, world.company_id) as conn:
        await routes.erase(conn, world.company_id, world.driver.member_id)

    assert await judge(world, at=NOW + TICK) == Judged(raised=0, cleared=1)


async def test_a_route_that_could_not_be_computed_keeps_its_alert(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))

    assert await judge(world, at=NOW + TICK) == NOTHING_DONE
    assert await alerts(world) == [("late", 1, True)]


async def test_a_route_that_is_over_has_no_open_alert(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))

    assert (await judge(world, at=NOW + timedelta(days=2))).cleared == 1


async def test_who_judges_late_by_what_was_known_before_raises_nothing(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    await judge(world, route.late(1.0), at=NOW + MINUTE)
    assert (await judge(world, route.late(1.0), at=NOW + 4 * MINUTE)).cleared == 1

    assert await judge(world, route.late(20.0), at=NOW + 3 * MINUTE) == NOTHING_DONE
    assert (await judge(world, route.late(20.0), at=NOW + 5 * MINUTE)).raised == 1


async def test_all_are_raised_however_many_they_are(world: World) -> None:
    names = [f"Driverov {number}" for number in range(4)]
    drivers = [await add_driver(world.vault, world.pool, world.company_id, name=n) for n in names]
    everything: dict[str, Any] = {
        "deviation_s": 3_600.0,
        "off_route_since_s": NOW_S - 600,
        "off_route_m": 900.0,
        "standing_since_s": NOW_S - 3_600,
    }
    seen = [(await planned(world, one.member_id)).seen(**everything) for one in drivers]
    ids = (world.pool, world.vault, world.company_id)

    first = await service.judge_all(*ids, seen, now=NOW)
    again = await service.judge_all(*ids, seen, now=NOW + TICK)

    assert (first, again) == (Judged(raised=12, cleared=0), NOTHING_DONE)


async def test_nothing_that_was_measured_is_stored_in_clear(world: World) -> None:
    route = await planned(world)
    found: OnTheWay = route.seen(off_route_since_s=NOW_S - 600, off_route_m=7_654.3)
    await judge(world, found)

    row = await world.owner.fetchval("SELECT a::text FROM alert a")

    assert "off_route" in row
    assert "7654" not in row
    assert not any(str(stop_id) in row for stop_id in route.stop_ids)
