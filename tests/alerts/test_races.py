"""Two processes judge at once; a driver withdraws while one of them does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.alerts import reading, service, store
from server.alerts.model import AlertHead, AlertKind, SealedAlert
from server.alerts.service import Judged
from server.gate import service as gate
from server.gate.model import Purpose
from server.kit import db
from server.kit.ids import uuid7
from tests import consents
from tests.alerts.seen import NOW_S, OnTheWay, alerts, judge, planned, withdraw
from tests.told import told
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World, add_member

ROUNDS = 8
AT_ONCE = 3


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


async def raise_both(world: World, route: OnTheWay) -> list[bool]:
    """Raise one alert in two transactions, each of which found none before."""
    both_looked = asyncio.Barrier(2)

    async def raise_one() -> bool:
        async with db.tenant(world.pool, world.company_id) as conn:
            assert await store.open_alerts(conn, world.company_id) == []
            await both_looked.wait()
            return await store.insert(conn, world.company_id, sealed(route))

    return sorted(await asyncio.gather(raise_one(), raise_one()))


async def test_of_two_who_found_none_one_raises(world: World) -> None:
    route = await planned(world)

    assert await raise_both(world, route) == [False, True]
    assert await alerts(world) == [("late", 1, True)]


@pytest.mark.usefixtures("unguarded")
async def test_control_without_the_constraints_both_raise(world: World) -> None:
    route = await planned(world)

    assert await raise_both(world, route) == [True, True]
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
    async with db.tenant(world.pool, company_id) as conn:
        judged = await service.judge(conn, world.vault, company_id, [route.late(20.0)], now=NOW)
        withdrawing = asyncio.create_task(withdraw(world, "plan_fact"))
        await until_somebody_waits_for(world.owner, A_ROW)
        assert judged.raised == 1
    await withdrawing

    async with db.tenant(world.pool, company_id, readonly=True) as conn:
        assert await reading.standing(conn, company_id, now=NOW) == {}


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
