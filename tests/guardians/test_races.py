"""A guardian who is revoked while the driver gives: no consent stands without one.

The lock is what keeps it: the same acts, interleaved in the same way without it, do leave one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from server.consent.acts import Change, Who, cells_of, enact
from server.consent.model import (
    Answer,
    ConsentAct,
    ConsentActor,
    ConsentItem,
    ConsentState,
    LocationTerms,
)
from server.consent.service import answer
from server.gate import service as gate
from server.guardians import service as guardians
from server.guardians.model import UNSTATED, AgeStatedMeanwhile, GuardianConsentNeeded
from server.kit import db
from server.ledger.model import Actor, ActorKind
from tests import consents
from tests.guardians.minors import MINOR, a_main_user, agree, gate_is_open, revoke, state
from tests.world import NOW, Driver, World

ROUNDS = 40
STEP_S = 0.005
HELD_S = 0.5
Result = TypeVar("Result")
LOCATION = Answer(item=ConsentItem.LOCATION, act=ConsentAct.GIVE, notice=consents.NOTICE)


async def give(world: World, driver: Driver) -> bool:
    """Give the location as the endpoint does; return whether it was taken."""
    key = (world.company_id, driver.member_id)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        age = await guardians.age(conn, world.vault, *key)
    try:
        async with gate.stopping(world.pool, *key, now=NOW) as conn:
            await answer(conn, *key, LOCATION, age=age, now=NOW)
    except GuardianConsentNeeded:
        return False
    return True


async def give_in_steps(
    world: World, driver: Driver, *, locked: bool, between: Callable[[], Awaitable[None]]
) -> None:
    """Give the location with something happening between the check and the writing."""
    key = (world.company_id, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        age = await guardians.age(conn, world.vault, *key)
        if locked:
            await gate.lock(conn, *key)
        guardian_id = await guardians.refuse_minor_alone(conn, *key, age, now=NOW)
        await between()
        by_driver = Actor(kind=ActorKind.DRIVER, member_id=driver.member_id)
        change = Change(
            driver_id=driver.member_id,
            item=ConsentItem.LOCATION,
            states=[ConsentState.GIVEN],
            who=Who(actor=ConsentActor.DRIVER, ledger=by_driver),
            notice=consents.NOTICE,
            terms=LocationTerms(),
            guardian_id=guardian_id,
        )
        await enact(conn, world.company_id, await cells_of(conn, *key), change, now=NOW)


async def location(world: World, driver: Driver) -> ConsentState:
    async with db.tenant(world.pool, world.company_id) as conn:
        cells = await cells_of(conn, world.company_id, driver.member_id)
    return cells[ConsentItem.LOCATION].state


@pytest.mark.proves("relog-driver-manager-apps:1.7")
async def test_however_the_two_meet_no_consent_stands_without_a_guardian(
    world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    staff = await a_main_user(world)
    taken = []
    for number in range(ROUNDS):
        await agree(world, young.member_id)
        # Each of the two is ahead in turn, by more and more, so that both orders are met.
        ahead_s = number // 2 * STEP_S
        done, _ = await asyncio.gather(
            _after(ahead_s if number % 2 else 0, give(world, young)),
            _after(0 if number % 2 else ahead_s, revoke(world, young.member_id, staff=staff)),
        )
        taken.append(done)

        assert await location(world, young) is not ConsentState.GIVEN
        assert not await gate_is_open(world, young.member_id)

    assert {True, False} == set(taken), "one order was never met"


async def _after(seconds: float, act: Awaitable[Result]) -> Result:
    await asyncio.sleep(seconds)
    return await act


async def test_the_lock_makes_the_end_of_the_guardian_wait_and_then_it_voids_the_consent(
    world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    await agree(world, young.member_id)
    ending: list[asyncio.Task[tuple[str, ...]]] = []

    async def begin_to_end() -> None:
        ending.append(asyncio.create_task(revoke(world, young.member_id)))
        done, _ = await asyncio.wait(ending, timeout=HELD_S)
        assert not done

    await give_in_steps(world, young, locked=True, between=begin_to_end)

    assert await ending[0] == ("location",)
    assert await location(world, young) is ConsentState.INVALIDATED


async def test_the_control_without_the_lock_leaves_a_consent_without_a_guardian(
    world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    await agree(world, young.member_id)

    async def end() -> None:
        assert await revoke(world, young.member_id) == ()

    await give_in_steps(world, young, locked=False, between=end)

    assert await location(world, young) is ConsentState.GIVEN


@pytest.mark.proves("relog-driver-manager-apps:1.7")
async def test_a_year_that_is_stated_after_the_age_was_read_is_noticed_under_the_lock(
    world: World, young: Driver
) -> None:
    key = (world.company_id, young.member_id)
    await state(world, young.member_id, MINOR)

    with pytest.raises(AgeStatedMeanwhile):
        async with gate.stopping(world.pool, *key, now=NOW) as conn:
            await answer(conn, *key, LOCATION, age=UNSTATED, now=NOW)

    assert await location(world, young) is ConsentState.NOT_ASKED
