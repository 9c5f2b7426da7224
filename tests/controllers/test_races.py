"""A withdrawal and the job at the same moment: the gate never opens again."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

from server.consent import store as consent_store
from server.consent.acts import Change, Who, cells_of, enact
from server.consent.model import Cells, ConsentActor, ConsentCell, ConsentItem, ConsentState
from server.controllers import service, store
from server.controllers.model import ControllerChange, ControllerChangeOver
from server.gate import service as gate
from server.gate import store as gate_store
from server.kit import db
from server.kit.db import Connection
from tests.consent.acts import withdraw
from tests.consent.people import ALL, new_driver
from tests.controllers.acts import (
    DUE,
    PROVES,
    agree,
    agreeing,
    announced,
    carried_out,
    gate_of,
    history,
    moves,
    states,
)
from tests.world import Driver, World

RACES = 40
APART_S = 0.02
LOCATION = ConsentItem.LOCATION


async def withdraw_soon(world: World, driver: Driver) -> int:
    """Withdraw at some moment around the job's; return the gate's epoch that was answered."""
    await asyncio.sleep(random.uniform(0, APART_S))  # noqa: S311 - no secret
    return (await withdraw(world, driver, LOCATION, DUE + timedelta(seconds=1))).epoch


async def move_soon(world: World, driver: Driver, change: ControllerChange) -> None:
    """Do the job's part for one driver."""
    await asyncio.sleep(random.uniform(0, APART_S))  # noqa: S311 - no secret
    driver_id = driver.member_id
    async with gate.stopping(world.pool, world.company_id, driver_id, now=DUE) as conn:
        await service.move(conn, world.company_id, driver_id, change, now=DUE)


@PROVES
async def test_a_withdrawal_that_races_with_the_job_holds(world: World) -> None:
    change = await announced(world)
    drivers = [await agreeing(world, change) for _ in range(RACES)]
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.apply(conn, world.company_id, change.change_id, now=DUE)

    answered = []
    for driver in drivers:
        epoch, *_ = await asyncio.gather(
            withdraw_soon(world, driver),
            move_soon(world, driver, change),
            move_soon(world, driver, change),
        )
        answered.append(epoch)

    outcomes = set()
    for driver, epoch in zip(drivers, answered, strict=True):
        found = await gate_of(world, driver)
        assert found.location_since is None
        assert not found.is_open
        assert found.epoch >= epoch
        assert (await states(world, driver))["location"] == "withdrawn"
        last = [one["state"] for one in await history(world, driver) if one["item"] == "location"]
        assert last in (["given", "withdrawn"], ["given", "superseded", "given", "withdrawn"])
        outcomes.add(len(last))
    assert outcomes == {2, 4}, "neither always came first"
    assert len(await moves(world)) == RACES


async def test_control_moving_what_was_read_before_the_lock_gives_what_was_withdrawn(
    world: World,
) -> None:
    change = await announced(world)
    driver = await agreeing(world, change)
    async with db.tenant(world.pool, world.company_id) as conn:
        stale = await cells_of(conn, world.company_id, driver.member_id)
    await withdraw(world, driver, LOCATION, DUE)
    assert (await gate_of(world, driver)).location_since is None

    async with db.tenant(world.pool, world.company_id) as conn:
        await _keep_unread(conn, world, driver, stale)

    assert (await states(world, driver))["location"] == "given"  # over the withdrawal


async def _keep_unread(conn: Connection, world: World, driver: Driver, stale: Cells) -> None:
    """Be the job we do not have: it goes by what it read before it had the gate's lock.

    The history's key would refuse its records, so it writes them behind the newest one.
    """
    newest = {
        one.item: one
        for one in await consent_store.in_force(conn, world.company_id, [driver.member_id])
    }
    given = stale[LOCATION].decision
    assert given is not None
    believed = replace(given, version=newest[LOCATION].version)
    cells = {**stale, LOCATION: ConsentCell(item=LOCATION, decision=believed)}
    change = Change(
        driver_id=driver.member_id,
        item=LOCATION,
        states=[ConsentState.SUPERSEDED, ConsentState.GIVEN],
        who=Who(actor=ConsentActor.DRIVER),
        notice=given.notice,
        terms=given.terms,
        held=given,
        until=given.valid_until,
    )
    await enact(conn, world.company_id, cells, change, now=DUE)


async def test_an_agreement_that_races_with_the_job_counts_or_is_refused(world: World) -> None:
    change = await announced(world)
    drivers = [await new_driver(world, *ALL) for _ in range(RACES)]

    async def agree_soon(driver: Driver) -> bool:
        await asyncio.sleep(random.uniform(0, APART_S))  # noqa: S311 - no secret
        try:
            # By a clock that is behind the job's.
            await agree(world, driver, change, DUE - timedelta(seconds=1))
        except ControllerChangeOver:
            return False
        return True

    agreed, _ = await asyncio.gather(
        asyncio.gather(*map(agree_soon, drivers)), carried_out(world, change)
    )

    for driver, counted in zip(drivers, agreed, strict=True):
        expected = "given" if counted else "superseded"
        assert set((await states(world, driver)).values()) == {expected}


async def test_control_without_the_gate_s_lock_an_agreement_comes_to_nothing(world: World) -> None:
    change = await announced(world)
    driver = await new_driver(world, *ALL)
    async with db.tenant(world.pool, world.company_id) as conn:
        # The service's own statements, in its order, but for the lock.
        await _agree_unlocked(conn, world, driver, change)

    assert set((await states(world, driver)).values()) == {"superseded"}
    rows = await world.owner.fetchval("SELECT count(*) FROM controller_agreement")
    assert rows == 1


async def _agree_unlocked(
    conn: Connection, world: World, driver: Driver, change: ControllerChange
) -> None:
    found = await store.change(conn, world.company_id, change.change_id)
    assert found is not None
    assert found.is_open(DUE - timedelta(seconds=1))
    await carried_out(world, change)
    at = DUE - timedelta(seconds=1)
    await store.insert_agreement(conn, world.company_id, driver.member_id, found, at)


async def test_the_gate_s_lock_is_held_while_a_driver_is_moved(world: World) -> None:
    change = await announced(world)
    driver = await agreeing(world, change)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.apply(conn, world.company_id, change.change_id, now=DUE)
    moving = gate.stopping(world.pool, world.company_id, driver.member_id, now=DUE)
    async with moving as conn:
        await service.move(conn, world.company_id, driver.member_id, change, now=DUE)
        racing = asyncio.create_task(withdraw(world, driver, LOCATION, DUE))
        await asyncio.sleep(0.2)
        assert not racing.done()
    await racing

    async with db.tenant(world.pool, world.company_id) as conn:
        found = await gate_store.read(conn, world.company_id, driver.member_id)
    assert found is not None
    assert found.location_since is None
