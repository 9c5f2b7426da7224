"""Answers between the change of the controller and a driver's own move: they are to the new one."""

from datetime import datetime, timedelta
from typing import Final

import pytest

from server.consent import record
from server.consent.model import RENEWABLE_FOR, VALID_FOR, Consent, ConsentItem
from server.controllers import service
from server.controllers.model import ControllerChange
from server.kit import db
from tests.consent.acts import give, withdraw
from tests.consent.people import ALL, new_driver
from tests.controllers.acts import (
    DUE,
    OPERATOR,
    agree,
    announced,
    carried_out,
    gate_of,
    history,
    since,
    states,
)
from tests.told import told
from tests.world import CONSENTED, Driver, World

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
