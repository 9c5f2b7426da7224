"""Every consent by itself: what changes one changes none of the others."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from server.accounts.model import Locale
from server.consent import expiry, service
from server.consent.model import (
    GATE_ITEMS,
    VALID_FOR,
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentItem,
    ConsentState,
    LocationScope,
    LocationTerms,
)
from server.gate import service as gate
from server.gate.model import Source
from server.kit import db
from server.ledger.model import SYSTEM
from server.notices import service as notices
from server.policies import service as policies
from server.policies.model import Document
from server.shifts.model import AccountNotActive
from tests.consent.acts import (
    MINUTE,
    act,
    adding,
    consents,
    decide,
    give,
    history,
    read_gate,
    shift_ends,
    withdraw,
)
from tests.consent.people import ALL, new_driver
from tests.consents import NOTICE
from tests.world import CONSENTED, NOW, Driver, World

EVERY: Final = tuple(ConsentItem)
ONLY_GPS: Final = LocationTerms(sources=frozenset({Source.GPS}), background=False)


async def cells(world: World, driver: Driver) -> dict[ConsentItem, Consent | None]:
    return {one.item: one.decision for one in (await consents(world, driver)).items}


async def supersede(world: World, driver: Driver, item: ConsentItem) -> Consent | None:
    company_id, driver_id = world.company_id, driver.member_id
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        return await service.supersede(conn, company_id, driver_id, adding(item), now=NOW)


async def everything_given(world: World) -> Driver:
    driver = await new_driver(world)
    for item in EVERY:
        await give(world, driver, item, CONSENTED)
    return driver


@pytest.mark.parametrize("item", EVERY)
@pytest.mark.parametrize("act", [ConsentAct.GIVE, ConsentAct.DECLINE])
async def test_an_answer_to_one_changes_nothing_else(
    world: World, item: ConsentItem, act: ConsentAct
) -> None:
    driver = await new_driver(world)
    for other in EVERY:
        if other is not item:
            await give(world, driver, other, CONSENTED)
    before, gate_before = await cells(world, driver), await read_gate(world, driver)

    decision = await decide(world, driver, item, act)

    after, gate_after = await cells(world, driver), await read_gate(world, driver)
    assert after == {**before, item: decision}
    assert gate_after.epoch == gate_before.epoch + (item in GATE_ITEMS) == decision.epoch
    if act is ConsentAct.DECLINE or item not in GATE_ITEMS:
        assert replace(gate_after, epoch=0) == replace(gate_before, epoch=0)


@pytest.mark.parametrize("item", EVERY)
async def test_a_withdrawal_of_one_changes_nothing_else(world: World, item: ConsentItem) -> None:
    driver = await everything_given(world)
    before, gate_before = await cells(world, driver), await read_gate(world, driver)

    decision = await withdraw(world, driver, item)

    assert await cells(world, driver) == {**before, item: decision}
    gate_after = await read_gate(world, driver)
    assert gate_after.epoch == gate_before.epoch + (item in GATE_ITEMS)
    assert gate_after.is_open is (item is not ConsentItem.LOCATION)


async def test_giving_on_other_terms_supersedes_the_old_record_and_makes_a_new_one(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    before = await read_gate(world, driver)

    given = await give(world, driver, ConsentItem.LOCATION, NOW, terms=ONLY_GPS)

    assert await history(world, driver, ConsentItem.LOCATION) == [
        ("given", "driver"),
        ("superseded", "driver"),
        ("given", "driver"),
    ]
    after = await read_gate(world, driver)
    assert (after.epoch, after.location_since) == (before.epoch + 1, NOW)
    assert after.reach == ONLY_GPS.reach
    assert given.terms == ONLY_GPS
    assert after.plan_fact_since == before.plan_fact_since
    assert await shift_ends(world, driver) == [(None, None)]


async def test_giving_the_same_again_is_refused(world: World) -> None:
    driver = await new_driver(world, *ALL)
    before = await read_gate(world, driver)

    with pytest.raises(ConsentActionRefused):
        await give(world, driver, ConsentItem.LOCATION, terms=LocationTerms())

    assert await read_gate(world, driver) == before


async def test_giving_by_another_text_of_the_notice_supersedes_as_well(world: World) -> None:
    driver = await new_driver(world, *ALL)
    async with db.tenant(world.pool, world.company_id) as conn:
        shown = await policies.in_force(
            conn, world.company_id, Document.DRIVER_NOTICE, NOW, language=Locale.KK
        )
    kazakh = replace(NOTICE, language=Locale.KK, sha256=shown.sha256)

    await give(world, driver, ConsentItem.PLAN_FACT, NOW, notice=kazakh)

    states = [state for state, _ in await history(world, driver, ConsentItem.PLAN_FACT)]
    assert states == ["given", "superseded", "given"]


@pytest.mark.proves("relog-driver-manager-apps:7.3", "gocargo:terms-acceptance")
@pytest.mark.parametrize("item", EVERY)
async def test_an_edition_that_adds_a_purpose_suspends_that_purpose_alone(
    world: World, item: ConsentItem
) -> None:
    driver = await everything_given(world)
    before = await cells(world, driver)

    suspended = await supersede(world, driver, item)

    assert suspended is not None
    assert (suspended.state, suspended.actor) == (ConsentState.SUPERSEDED, ConsentActor.SYSTEM)
    assert await cells(world, driver) == {**before, item: suspended}
    assert await supersede(world, driver, item) is None
    assert (await give(world, driver, item, NOW + MINUTE)).state is ConsentState.GIVEN


async def test_what_is_not_given_cannot_be_suspended(world: World) -> None:
    driver = await new_driver(world)
    await decide(world, driver, ConsentItem.LOCATION, ConsentAct.DECLINE)

    assert await supersede(world, driver, ConsentItem.LOCATION) is None
    assert await supersede(world, driver, ConsentItem.PLAN_FACT) is None
    assert await history(world, driver, ConsentItem.LOCATION) == [("declined", "driver")]


async def test_a_dispute_voids_everything_that_was_given_and_ends_the_shift(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    await give(world, driver, ConsentItem.MARKETING)
    await decide(world, driver, ConsentItem.CUSTOMER_LINK, ConsentAct.DECLINE)
    company_id, driver_id = world.company_id, driver.member_id

    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        voided = await service.invalidate(conn, company_id, driver_id, now=NOW)

    assert {one.item for one in voided} == {*map(ConsentItem, ALL), ConsentItem.MARKETING}
    found = await cells(world, driver)
    declined = found[ConsentItem.CUSTOMER_LINK]
    assert declined is not None
    assert declined.state is ConsentState.DECLINED
    assert not (await read_gate(world, driver)).is_consented
    assert await shift_ends(world, driver) == [(NOW, "withdrawal")]
    assert (await give(world, driver, ConsentItem.LOCATION, NOW + MINUTE)).version == 3


async def expire_due(world: World, now: datetime) -> list[Any]:
    return list(await expiry.expire_due(world.pool, world.company_id, now))


async def test_a_consent_runs_out_by_itself(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await withdraw(world, driver, ConsentItem.PLAN_FACT, CONSENTED + MINUTE)
    other = await new_driver(world, *ALL, at=NOW)
    over = CONSENTED + VALID_FOR

    assert await expire_due(world, over - timedelta(seconds=1)) == []
    assert await expire_due(world, over) == sorted([world.driver.member_id, driver.member_id])

    states = {item: one and one.state for item, one in (await cells(world, driver)).items()}
    assert states[ConsentItem.LOCATION] is ConsentState.EXPIRED
    assert states[ConsentItem.DISPATCH_TRACKING] is ConsentState.EXPIRED
    assert states[ConsentItem.PLAN_FACT] is ConsentState.WITHDRAWN
    assert not (await read_gate(world, driver)).is_consented
    assert (await read_gate(world, other)).is_consented
    assert await history(world, driver, ConsentItem.LOCATION) == [
        ("given", "driver"),
        ("expired", "system"),
    ]
    assert await expire_due(world, over + MINUTE) == []


async def test_no_window_outlasts_the_consents_even_before_the_job_came(world: World) -> None:
    driver = await new_driver(world, *ALL)
    over = CONSENTED + VALID_FOR

    started = await act(world, driver, "start", over - MINUTE)

    assert started is not None
    assert started.ends_by > over
    rows = await world.owner.fetch(
        "SELECT expires_at FROM recording_window WHERE driver_id = $1", driver.member_id
    )
    assert [row["expires_at"] for row in rows] == [over]


async def test_asking_changes_only_that_it_was_asked(world: World) -> None:
    driver = await new_driver(world, *ALL)
    before = await read_gate(world, driver)
    company_id, driver_id, item = world.company_id, driver.member_id, ConsentItem.CUSTOMER_LINK

    async with db.tenant(world.pool, company_id) as conn:
        asked = await service.request(conn, company_id, driver_id, item, by=SYSTEM, now=NOW)
        again = await service.request(
            conn, company_id, driver_id, item, by=SYSTEM, now=NOW + MINUTE
        )

    assert asked.state is ConsentState.REQUESTED
    assert again == asked
    assert await history(world, driver, item) == [("requested", "system")]
    assert await read_gate(world, driver) == before


async def test_nobody_asks_or_gives_while_the_account_is_not_active(world: World) -> None:
    driver = await new_driver(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.set_account_active(conn, world.company_id, driver.member_id, active=False)

    for item in EVERY:
        with pytest.raises(AccountNotActive):
            await give(world, driver, item)
    await decide(world, driver, ConsentItem.MARKETING, ConsentAct.DECLINE)
    assert not (await read_gate(world, driver)).is_open


async def test_withdrawing_marketing_opts_out_of_every_channel(world: World) -> None:
    driver = await new_driver(world)
    company_id, driver_id = world.company_id, driver.member_id
    await give(world, driver, ConsentItem.MARKETING)
    async with db.tenant(world.pool, company_id) as conn:
        given = await notices.preference(conn, company_id, driver_id)
    assert all(given.wanted.values())

    await withdraw(world, driver, ConsentItem.MARKETING, NOW + MINUTE)

    async with db.tenant(world.pool, company_id) as conn:
        found = await notices.preference(conn, company_id, driver_id)
    assert not any(found.wanted.values())


async def test_always_is_a_scope_of_its_own(world: World) -> None:
    driver = await new_driver(world)
    terms = LocationTerms(scope=LocationScope.ALWAYS)

    given = await give(world, driver, ConsentItem.LOCATION, terms=terms)

    assert given.terms == terms
    assert not (await read_gate(world, driver)).always  # no purpose is given yet
    await give(world, driver, ConsentItem.PLAN_FACT)
    assert (await read_gate(world, driver)).always
