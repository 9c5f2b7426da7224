"""Consents against the gate they drive."""

import asyncio
from datetime import timedelta

import pytest

from server.accounts import acts as accounts
from server.consent import service, store
from server.consent.model import (
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentChangedMeanwhile,
    ConsentItem,
    ConsentState,
)
from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit import db
from server.kit.ids import uuid7
from server.shifts.model import AccountNotActive, ShiftState
from server.standing.model import BlockReason, By
from tests.consent.acts import (
    DISPATCH,
    LOCATION,
    MINUTE,
    PLAN_FACT,
    act,
    consents,
    decide,
    read_gate,
    records,
    shift_ends,
    states,
    windows,
    withdraw,
)
from tests.consent.people import ALL, new_driver
from tests.world import NOW, SHIFT_STARTED, World, begin_erasing


async def test_nothing_is_given_until_the_driver_gives_it(world: World) -> None:
    driver = await new_driver(world)

    assert await states(world, driver) == ["not_asked", "not_asked", "not_asked"]
    assert not (await consents(world, driver)).gate_open

    await decide(world, driver, LOCATION, ConsentAct.GIVE)
    assert await states(world, driver) == ["given", "not_asked", "not_asked"]
    assert not (await consents(world, driver)).gate_open

    given = await decide(world, driver, PLAN_FACT, ConsentAct.GIVE)
    found = await consents(world, driver)
    assert await states(world, driver) == ["given", "not_asked", "given"]
    assert found.gate_open
    assert found.epoch == given.epoch
    assert (await read_gate(world, driver)).plan_fact_since == NOW


@pytest.mark.parametrize("item", GateItem)
async def test_withdrawing_one_changes_only_that_one(world: World, item: GateItem) -> None:
    driver = await new_driver(world, *ALL)
    before = await read_gate(world, driver)

    decision = await withdraw(world, driver, item)

    after = await read_gate(world, driver)
    now_none = {
        LOCATION: "location_since",
        DISPATCH: "dispatch_since",
        PLAN_FACT: "plan_fact_since",
    }
    for name in now_none.values():
        expected = None if name == now_none[item] else getattr(before, name)
        assert getattr(after, name) == expected
    assert after.epoch == before.epoch + 1 == decision.epoch
    assert (decision.state, decision.version) == (ConsentState.WITHDRAWN, 2)
    assert (await states(world, driver)).count("withdrawn") == 1


async def test_declining_one_changes_nothing_else(world: World) -> None:
    driver = await new_driver(world, LOCATION, DISPATCH, on_shift=True)

    await decide(world, driver, PLAN_FACT, ConsentAct.DECLINE)

    assert await states(world, driver) == ["given", "given", "declined"]
    assert (await read_gate(world, driver)).is_open
    assert [one.end for one in await windows(world, driver)] == [
        SHIFT_STARTED + timedelta(hours=14)
    ]


@pytest.mark.parametrize(
    ("given", "withdrawn", "ends"),
    [
        (ALL, [LOCATION], True),
        (ALL, [DISPATCH], False),
        (ALL, [PLAN_FACT], False),
        (ALL, [DISPATCH, PLAN_FACT], True),
        ((LOCATION, PLAN_FACT), [PLAN_FACT], True),
    ],
)
async def test_the_shift_ends_when_nothing_may_be_recorded_any_more(
    world: World, given: tuple[GateItem, ...], withdrawn: list[GateItem], *, ends: bool
) -> None:
    driver = await new_driver(world, *given, on_shift=True)

    for item in withdrawn:
        await withdraw(world, driver, item)

    ended = (await shift_ends(world, driver))[0]
    assert ended == ((NOW, "withdrawal") if ends else (None, None))
    assert [one.end for one in await windows(world, driver)] == [
        NOW if ends else SHIFT_STARTED + timedelta(hours=14)
    ]


async def test_a_withdrawal_that_is_sent_again_changes_nothing_and_does_not_fail(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL)
    first = await withdraw(world, driver, LOCATION)

    again = await withdraw(world, driver, LOCATION, NOW + MINUTE)

    assert again == first
    assert (await read_gate(world, driver)).epoch == first.epoch
    assert await records(world, driver) == 4


@pytest.mark.parametrize(
    "refused",
    [
        [ConsentAct.WITHDRAW],
        [ConsentAct.GIVE, ConsentAct.GIVE],
        [ConsentAct.GIVE, ConsentAct.DECLINE],
        [ConsentAct.DECLINE, ConsentAct.DECLINE],
        [ConsentAct.DECLINE, ConsentAct.WITHDRAW],
    ],
)
async def test_what_the_table_refuses_leaves_no_trace(
    world: World, refused: list[ConsentAct]
) -> None:
    driver = await new_driver(world)
    for allowed in refused[:-1]:
        await decide(world, driver, LOCATION, allowed)
    before = await read_gate(world, driver)

    with pytest.raises(ConsentActionRefused):
        await decide(world, driver, LOCATION, refused[-1])

    assert await read_gate(world, driver) == before
    assert await records(world, driver) == len(refused) - 1


async def test_giving_again_never_uncovers_the_past(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await withdraw(world, driver, LOCATION, NOW)

    await decide(world, driver, LOCATION, ConsentAct.GIVE, NOW + MINUTE)

    assert (await read_gate(world, driver)).location_since == NOW + MINUTE


async def test_a_clock_that_is_behind_does_not_reach_behind_the_withdrawal(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await withdraw(world, driver, LOCATION, NOW)

    again = await decide(world, driver, LOCATION, ConsentAct.GIVE, NOW - MINUTE)

    assert again.recorded_at == NOW
    # Nor to what a phone whose clock is fast sent in before it.
    assert (await read_gate(world, driver)).location_since == NOW + CLOCK_AHEAD_MAX


async def test_the_whole_history_of_a_consent_is_kept(world: World) -> None:
    driver = await new_driver(world)
    await decide(world, driver, LOCATION, ConsentAct.DECLINE, NOW)
    await decide(world, driver, LOCATION, ConsentAct.GIVE, NOW + MINUTE)
    await withdraw(world, driver, LOCATION, NOW + 2 * MINUTE)
    await decide(world, driver, LOCATION, ConsentAct.GIVE, NOW + 3 * MINUTE)

    rows = await world.owner.fetch(
        "SELECT version, state, actor, epoch, recorded_at FROM consent_record"
        " WHERE driver_id = $1 ORDER BY version",
        driver.member_id,
    )

    epoch = (await read_gate(world, driver)).epoch
    assert [tuple(row) for row in rows] == [
        (1, "declined", "driver", epoch - 3, NOW),
        (2, "given", "driver", epoch - 2, NOW + MINUTE),
        (3, "withdrawn", "driver", epoch - 1, NOW + 2 * MINUTE),
        (4, "given", "driver", epoch, NOW + 3 * MINUTE),
    ]


async def test_a_version_is_written_only_once(world: World) -> None:
    driver = await new_driver(world, LOCATION)
    second = Consent(
        driver_id=driver.member_id,
        item=ConsentItem.LOCATION,
        version=1,
        record_id=uuid7(),
        state=ConsentState.WITHDRAWN,
        actor=ConsentActor.DRIVER,
        epoch=9,
        recorded_at=NOW,
        record="{}",
        record_sha256=bytes(32),
        nonce=bytes(32),
        ledger_index=1,
    )

    with pytest.raises(ConsentChangedMeanwhile):
        async with db.tenant(world.pool, world.company_id) as conn:
            await store.append(conn, world.company_id, second)


async def test_of_two_answers_at_once_one_is_recorded_and_the_other_refused(world: World) -> None:
    driver = await new_driver(world)

    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.lock(conn, world.company_id, driver.member_id)
        waiting = [
            asyncio.create_task(decide(world, driver, LOCATION, one))
            for one in (ConsentAct.GIVE, ConsentAct.DECLINE, ConsentAct.DECLINE)
        ]
        await asyncio.sleep(0.2)  # all three have read what they may, and wait for the gate
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    # Whoever came first: after a refusal giving is allowed, after giving declining is not.
    written = [one for one in answers if isinstance(one, Consent)]
    assert sorted(one.version for one in written) == list(range(1, len(written) + 1))
    assert all(isinstance(one, Consent | ConsentActionRefused) for one in answers)
    assert await states(world, driver) == ["given", "not_asked", "not_asked"]


async def test_nobody_gives_or_starts_while_the_account_is_not_active(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    company_id, driver_id = world.company_id, driver.member_id
    await act(world, driver, "pause", NOW)
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await accounts.block(
            conn, company_id, driver_id, BlockReason.OTHER, by=By.DISPATCHER, now=NOW
        )

    with pytest.raises(AccountNotActive):
        await act(world, driver, "resume")
    await withdraw(world, driver, LOCATION)
    with pytest.raises(AccountNotActive):
        await decide(world, driver, LOCATION, ConsentAct.GIVE)
    with pytest.raises(AccountNotActive):
        await act(world, driver, "start")


async def test_a_request_for_erasure_withdraws_all_that_is_given(world: World) -> None:
    driver = await new_driver(world, LOCATION, DISPATCH, on_shift=True)
    company_id, driver_id = world.company_id, driver.member_id

    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await service.withdraw_for_erasure(conn, company_id, driver_id, now=NOW)

    assert await states(world, driver) == ["withdrawn", "withdrawn", "not_asked"]
    assert not (await read_gate(world, driver)).is_consented
    assert await shift_ends(world, driver) == [(NOW, "erasure")]
    assert [one.end for one in await windows(world, driver)] == [NOW]
    actors = await world.owner.fetch(
        "SELECT actor FROM consent_record WHERE driver_id = $1 AND state = 'withdrawn'", driver_id
    )
    assert [row["actor"] for row in actors] == ["erasure", "erasure"]


async def test_states_of_many_drivers_come_at_once(world: World) -> None:
    on_shift = await new_driver(world, *ALL, on_shift=True)
    silent = await new_driver(world)

    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.states(conn, world.company_id, [on_shift.member_id, silent.member_id])

    given = {one for one, state in found[on_shift.member_id].consents.items() if state == "given"}
    assert given == set(map(ConsentItem, ALL))
    assert found[on_shift.member_id].shift_state(NOW) is ShiftState.ON
    assert set(found[silent.member_id].consents.values()) == {ConsentState.NOT_ASKED}
    assert found[silent.member_id].shift_state(NOW) is ShiftState.OFF


async def test_the_history_of_a_living_driver_is_deleted_by_nobody(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await withdraw(world, driver, LOCATION, NOW)

    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute("DELETE FROM consent_record WHERE state = 'withdrawn'")
        await service.erase(conn, world.company_id, driver.member_id)

    assert await records(world, driver) == 4


async def test_erasing_one_driver_leaves_the_others(world: World) -> None:
    erased = await new_driver(world, *ALL, on_shift=True)
    other = await new_driver(world, *ALL, on_shift=True)
    await begin_erasing(world, erased.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        assert await service.erase(conn, world.company_id, erased.member_id) == 4

    assert await records(world, erased) == 0
    assert await shift_ends(world, erased) == []
    assert await records(world, other) == 3
    assert await shift_ends(world, other) == [(None, None)]
