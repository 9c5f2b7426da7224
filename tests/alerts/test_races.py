"""Two processes judge at once; a driver withdraws while one of them does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.alerts import reading, service, store
from server.alerts.judging import findings
from server.alerts.model import USUAL, AlertHead, AlertKind, SealedAlert
from server.alerts.service import Judged
from server.gate import service as gate
from server.gate.model import Purpose
from server.kit import db
from server.kit.ids import uuid7
from server.shifts import service as shifts
from tests import consents
from tests.alerts.seen import NOW_S, OnTheWay, alerts, judge, planned, withdraw
from tests.told import told
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World, add_member

ROUNDS = 8
AT_ONCE = 3
A_TABLE = "relation"
LOCKED_S_MAX = 5.0


def sealed(route: OnTheWay) -> SealedAlert:
    assert route.head.driver_id is not None
    head = AlertHead(
        alert_id=uuid7(),
        kind=AlertKind.LATE,
        route_id=route.head.route_id,
        driver_id=route.head.driver_id,
        occurrence=1,
        raised_at=NOW,
    )
    return SealedAlert(head=head, particulars_sealed=b"sealed")


async def test_however_many_judge_at_once_each_alert_is_raised_once_and_told_once(
    world: World,
) -> None:
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    for _ in range(ROUNDS):
        route = await planned(world)
        seen = route.seen(deviation_s=3_600.0, standing_since_s=NOW_S - 3_600)
        # The later of two routes of a moment is the one under way.
        judged = await asyncio.gather(*(judge(world, seen) for _ in range(AT_ONCE)))

        assert sum(one.raised for one in judged) == 2
    assert len(await told(world, dispatcher)) == 2 * ROUNDS
    rows = await world.owner.fetch("SELECT kind, occurrence FROM alert")
    assert len(rows) == 2 * ROUNDS


@pytest.fixture
async def unguarded(world: World) -> AsyncIterator[None]:
    """Let the table hold several open alerts of a kind and a route, and of an occurrence."""
    unique = "alert_company_id_route_id_kind_occurrence_key"
    await world.owner.execute(f"ALTER TABLE alert DROP CONSTRAINT {unique}")
    await world.owner.execute("DROP INDEX alert_open")
    yield
    await world.owner.execute("DELETE FROM alert")
    await world.owner.execute(
        f"ALTER TABLE alert ADD CONSTRAINT {unique} UNIQUE (company_id, route_id, kind, occurrence)"
    )
    await world.owner.execute(
        "CREATE UNIQUE INDEX alert_open ON alert (company_id, route_id, kind)"
        " WHERE cleared_at IS NULL"
    )


async def raise_both(world: World, route: OnTheWay, *, unguarded: bool = False) -> list[bool]:
    """Raise one alert in two transactions, each of which found none before.

    Nothing holds one of them up where it is ``unguarded``: then neither commits before both did it.
    """
    both_looked, both_raised = asyncio.Barrier(2), asyncio.Barrier(2 if unguarded else 1)

    async def raise_one() -> bool:
        async with db.tenant(world.pool, world.company_id) as conn:
            assert await store.open_alerts(conn, world.company_id) == []
            await both_looked.wait()
            raised = await store.insert(conn, world.company_id, sealed(route))
            await both_raised.wait()
            return raised

    return sorted(await asyncio.gather(raise_one(), raise_one()))


async def test_of_two_who_found_none_one_raises(world: World) -> None:
    route = await planned(world)

    assert await raise_both(world, route) == [False, True]
    assert await alerts(world) == [("late", 1, True)]


@pytest.mark.usefixtures("unguarded")
async def test_control_without_the_constraints_both_raise(world: World) -> None:
    route = await planned(world)

    assert await raise_both(world, route, unguarded=True) == [True, True]
    assert await alerts(world) == [("late", 1, True)] * 2


async def test_of_two_who_clear_at_once_one_does(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    await withdraw(world, "plan_fact")

    both = await asyncio.gather(judge(world, route.late(20.0)), judge(world, route.late(20.0)))

    assert sum(one.cleared for one in both) == 1


async def test_who_clears_asks_whether_it_is_still_calm(world: World) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    (alert_id,) = [row["alert_id"] for row in await world.owner.fetch("SELECT alert_id FROM alert")]

    # Whoever believed it calm for long comes after somebody who found that it is not.
    async with db.tenant(world.pool, world.company_id) as conn:
        cleared = await store.clear(conn, world.company_id, [alert_id], calm_since=NOW, now=NOW)

    assert cleared == 0
    assert await alerts(world) == [("late", 1, True)]


async def test_a_withdrawal_waits_for_what_is_being_raised_and_hides_it(world: World) -> None:
    route = await planned(world)
    company_id = world.company_id
    late = route.late(20.0)
    (found,) = (
        one
        for one in findings(USUAL, late, recorded_since=None, now=NOW)
        if one.kind is AlertKind.LATE
    )
    async with db.tenant(world.pool, company_id) as conn:
        assert await service.raise_one(conn, world.vault, company_id, late, found, now=NOW)
        withdrawing = asyncio.create_task(withdraw(world, "plan_fact"))
        await until_somebody_waits_for(world.owner, A_ROW)
    await withdrawing

    async with db.tenant(world.pool, company_id, readonly=True) as conn:
        assert await reading.standing(conn, company_id, now=NOW) == {}


async def is_raised_after(world: World, route: OnTheWay, *, pause: bool) -> bool:
    """Judge that a route is late, pause or not, and then raise it."""
    ids = (world.company_id, world.driver.member_id)
    late = route.late(20.0)
    (found,) = (
        one
        for one in findings(USUAL, late, recorded_since=None, now=NOW)
        if one.kind is AlertKind.LATE
    )
    if pause:
        async with gate.stopping(world.pool, *ids, now=NOW) as conn:
            await shifts.pause(conn, *ids, now=NOW)
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.raise_one(conn, world.vault, world.company_id, late, found, now=NOW)


@pytest.mark.parametrize("pause", [True, False], ids=["pause", "control"])
async def test_what_was_judged_before_a_pause_is_not_raised_after_it(
    world: World, *, pause: bool
) -> None:
    assert await is_raised_after(world, await planned(world), pause=pause) is not pause


async def test_what_is_judged_while_somebody_withdraws_is_not_raised(world: World) -> None:
    route = await planned(world)
    ids = (world.company_id, world.driver.member_id)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        # It is not committed yet: whoever judges finds the consent, and waits for the gate.
        await consents.withdraw(conn, *ids, "plan_fact", now=NOW)
        judging = asyncio.create_task(judge(world, route.late(20.0)))
        await until_somebody_waits_for(world.owner, A_ROW)

    assert await judging == Judged(raised=0, cleared=0)
    assert await alerts(world) == []


async def test_nobodys_gate_is_held_while_those_who_want_to_be_told_are_told(world: World) -> None:
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    route = await planned(world)
    async with world.owner.transaction():
        await world.owner.execute("LOCK TABLE notice IN SHARE MODE")
        judging = asyncio.create_task(judge(world, route.late(20.0)))
        await until_somebody_waits_for(world.owner, A_TABLE)

        async with asyncio.timeout(LOCKED_S_MAX), db.tenant(world.pool, world.company_id) as conn:
            await gate.lock(conn, world.company_id, world.driver.member_id)

    assert await judging == Judged(raised=1, cleared=0)
    assert len(await told(world, dispatcher)) == 1


async def test_nobody_is_told_of_what_is_not_raised(world: World) -> None:
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    route = await planned(world)
    ids = (world.company_id, world.driver.member_id)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await consents.withdraw(conn, *ids, "plan_fact", now=NOW)
        judging = asyncio.create_task(judge(world, route.late(20.0)))
        await until_somebody_waits_for(world.owner, A_ROW)

    assert await judging == Judged(raised=0, cleared=0)
    assert "route_alert" not in {kind for kind, _ in await told(world, dispatcher)}


async def test_control_without_the_lock_it_is_raised_after_the_answer(world: World) -> None:
    route = await planned(world)
    ids = (world.company_id, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await gate.read(conn, *ids)
        assert found.since(Purpose.PLAN_FACT, NOW) is not None
        await withdraw(world, "plan_fact")
        await store.insert(conn, world.company_id, sealed(route))

    assert await alerts(world) == [("late", 1, True)]


async def test_an_act_that_was_announced_comes_first(world: World) -> None:
    route = await planned(world)
    await world.owner.execute(
        "INSERT INTO gate_closing (company_id, driver_id, closing_id, started_at)"
        " VALUES ($1, $2, $3, $4)",
        world.company_id,
        world.driver.member_id,
        uuid7(),
        NOW,
    )

    assert await judge(world, route.late(20.0)) == Judged(raised=0, cleared=0)
