"""Answers between the change of the controller and a driver's own move: they are to the new one."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from server.consent import record
from server.consent import service as consent
from server.consent.acts import company_of
from server.consent.model import (
    RENEWABLE_FOR,
    VALID_FOR,
    Answer,
    Consent,
    ConsentAct,
    ConsentItem,
)
from server.consent.record import Company
from server.controllers import service
from server.controllers.model import ControllerChange
from server.gate import service as gate
from server.guardians import service as guardians
from server.guardians.model import GuardianConsent, GuardianConsentNeeded
from server.guardians.standing import standing
from server.kit import db
from server.kit.db import Connection
from tests.consent.acts import give, withdraw
from tests.consent.people import ALL, new_driver
from tests.consents import NOTICE
from tests.controllers.acts import (
    DUE,
    OPERATOR,
    OPERATOR_BEFORE,
    agree,
    announced,
    carried_out,
    gate_of,
    history,
    since,
    states,
)
from tests.guardians import minors
from tests.told import told
from tests.world import CONSENTED, NOW, Driver, World

SECOND: Final = timedelta(seconds=1)
NEAR_THE_END: Final = CONSENTED + VALID_FOR - RENEWABLE_FOR / 2


async def applied(world: World, at: datetime) -> ControllerChange:
    """Change the company's particulars, and move nobody yet."""
    change = await announced(world, at)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.apply(conn, world.company_id, change.change_id, now=at)
    return change


async def given_again(world: World, at: datetime) -> tuple[Driver, list[Consent]]:
    """Let a driver who agreed to no other company give the same again before they are moved."""
    driver = await new_driver(world, *ALL)
    change = await applied(world, at)
    given = [await give(world, driver, item, at + SECOND) for item in ALL]
    await carried_out(world, change, at + 2 * SECOND)
    return driver, given


@pytest.mark.parametrize("at", [DUE, NEAR_THE_END], ids=["early", "near-the-end"])
async def test_what_is_given_again_is_given_to_the_new_controller_and_carries_no_past(
    world: World, at: datetime
) -> None:
    driver, given = await given_again(world, at)

    assert {one.given_at for one in given} == {at + SECOND}
    shown = since(await gate_of(world, driver))
    assert all(one is not None and one >= at + SECOND for one in shown)
    assert set((await states(world, driver)).values()) == {"given"}
    acts = (await history(world, driver))[len(ALL) :]
    assert [one["state"] for one in acts] == ["superseded", "given"] * len(ALL)
    assert {(one["name"], one["bin"]) for one in acts[1::2]} == {tuple(OPERATOR.values())}
    # They gave it to the new one themselves: nothing of it went on or lapsed.
    assert "controller_changed" not in {kind for kind, _ in await told(world, driver.member_id)}


async def test_control_whomever_the_record_names_the_past_would_go_over_to_the_new_controller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "names", lambda *_: True)

    driver, given = await given_again(world, NEAR_THE_END)

    assert {one.given_at for one in given} == {CONSENTED}
    assert since(await gate_of(world, driver)) == (CONSENTED,) * 3


async def test_what_is_given_again_after_the_move_is_renewed_as_ever(world: World) -> None:
    driver = await new_driver(world, *ALL)
    change = await announced(world)
    await agree(world, driver, change)
    await carried_out(world, change)

    renewed = await give(world, driver, ConsentItem.LOCATION, NEAR_THE_END)

    assert renewed.given_at == CONSENTED


async def test_what_is_not_given_again_is_withdrawn_as_ever(world: World) -> None:
    driver = await new_driver(world, *ALL)
    change = await applied(world, DUE)

    await withdraw(world, driver, ConsentItem.LOCATION, DUE + SECOND)
    await carried_out(world, change, DUE + 2 * SECOND)

    found = await states(world, driver)
    assert (found["location"], found["plan_fact"]) == ("withdrawn", "superseded")


async def minor(world: World) -> Driver:
    """Add a minor whose guardian agreed to the company before, as the minor did."""
    young = await new_driver(world)
    await minors.state(world, young.member_id, minors.MINOR)
    await minors.agree(world, young.member_id)
    await give_by_age(world, young, ConsentItem.LOCATION, NOW)
    return young


async def give_by_age(world: World, driver: Driver, item: str, at: datetime) -> Consent:
    """Give as the endpoint does, which reads the age first."""
    key = (world.company_id, driver.member_id)
    answered = Answer(item=ConsentItem(item), act=ConsentAct.GIVE, notice=NOTICE)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        age = await guardians.age(conn, world.vault, *key)
    async with gate.stopping(world.pool, *key, now=at) as conn:
        return await consent.answer(conn, *key, answered, age=age, now=at)


async def guardian_needed(world: World, driver: Driver, at: datetime) -> bool:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await standing(conn, world.vault, world.company_id, driver.member_id, now=at)
    return found.guardian_needed


async def given_to(world: World, driver: Driver) -> list[tuple[str, str]]:
    """Return the companies that the driver's answers name, the oldest first."""
    acts = await history(world, driver)
    return [(one["name"], one["bin"]) for one in acts if one["state"] == "given"]


async def test_a_minor_gives_the_new_controller_nothing_on_a_guardian_s_word_to_the_one_before(
    world: World,
) -> None:
    young = await minor(world)
    change = await applied(world, DUE)

    for item in minors.USES:
        with pytest.raises(GuardianConsentNeeded):
            await give_by_age(world, young, item, DUE + SECOND)

    assert await guardian_needed(world, young, DUE + SECOND)
    assert await given_to(world, young) == [tuple(OPERATOR_BEFORE.values())]
    await carried_out(world, change, DUE + 2 * SECOND)
    assert await states(world, young) == {"location": "superseded"}


async def test_control_if_a_guardian_s_word_went_on_the_minor_would_give_to_the_new_controller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GuardianConsent, "is_to_company_before", property(lambda _: False))
    young = await minor(world)
    await applied(world, DUE)

    await give_by_age(world, young, ConsentItem.LOCATION, DUE + SECOND)

    assert (await given_to(world, young))[-1] == tuple(OPERATOR.values())


async def test_a_company_that_takes_over_while_a_minor_answers_gets_nothing_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = await minor(world)

    async def taken_over_just_before(conn: Connection, company_id: UUID) -> Company:
        await applied(world, DUE)
        return await company_of(conn, company_id)

    monkeypatch.setattr(consent, "company_of", taken_over_just_before)

    with pytest.raises(GuardianConsentNeeded):
        await give_by_age(world, young, ConsentItem.PLAN_FACT, DUE + SECOND)


async def test_on_the_word_of_a_guardian_who_was_asked_anew_the_minor_can_give_and_it_stays(
    world: World,
) -> None:
    young = await minor(world)
    change = await applied(world, DUE)
    await minors.revoke(world, young.member_id)
    await minors.agree(world, young.member_id, DUE + SECOND)

    assert not await guardian_needed(world, young, DUE + SECOND)
    await give_by_age(world, young, ConsentItem.LOCATION, DUE + 2 * SECOND)
    await carried_out(world, change, DUE + 3 * SECOND)

    assert await states(world, young) == {"location": "given"}
    assert (await given_to(world, young))[-1] == tuple(OPERATOR.values())


async def test_what_was_given_alone_in_between_is_void_once_it_is_stated_that_it_was_a_minor_s(
    world: World,
) -> None:
    young = await minor(world)
    await applied(world, DUE)
    await minors.state(world, young.member_id, minors.ADULT)
    await give_by_age(world, young, ConsentItem.LOCATION, DUE + SECOND)

    void = await minors.state(world, young.member_id, minors.MINOR)

    assert void == (ConsentItem.LOCATION,)
