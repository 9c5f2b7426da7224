"""A refusal says all it has to, is told, ends, and then the erasure goes on."""

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.erasure import saga
from server.erasure_decisions import clock as the_clock
from server.holds import service as holds
from server.kit import db
from server.kit.wire import rfc3339
from tests.consent.people import ALL, new_driver
from tests.consents import body
from tests.erasure.calls import (
    REFUSAL,
    account,
    ask,
    call,
    cancel,
    consent_states,
    decide,
    read_gate,
)
from tests.erasure_decisions.test_clock import state, tick
from tests.told import last_entry, told
from tests.world import NOW, Driver, World

UNTIL = NOW + timedelta(days=20)
MOMENT = timedelta(seconds=1)
ITEM = {"category": "track", "ground": "legal_claim", "until": rfc3339(UNTIL)}
WHOLE: dict[str, Any] = {
    "outcome": "refuse",
    "items": [ITEM],
    "notice_text": REFUSAL,
    "locale": "en",
}


@pytest.mark.proves("relog-service:3.5b")
@pytest.mark.parametrize("outcome", ["refuse", "refuse_in_part"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"items": []},
        {"items": [ITEM, ITEM]},
        {"items": [{**ITEM, "ground": None}]},
        {"items": [{**ITEM, "ground": "too_much_work"}]},
        {"items": [{**ITEM, "category": None}]},
        {"items": [{**ITEM, "until": None}]},
        {"items": [{**ITEM, "until": rfc3339(NOW)}]},
        {"items": [{**ITEM, "until": rfc3339(NOW + timedelta(days=5 * 365, seconds=1))}]},
        {
            "items": [
                {
                    **ITEM,
                    "ground": "identity_not_proven",
                    "until": rfc3339(NOW + timedelta(days=31)),
                }
            ]
        },
        {"notice_text": None},
        {"notice_text": ""},
        {"locale": None},
        {"locale": "kk"},
        {"outcome": "approve"},
    ],
)
async def test_a_refusal_that_does_not_say_all_changes_nothing(
    world: World, client: ClientSession, driver: Driver, outcome: str, wrong: dict[str, object]
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    path = f"/v1/erasure-requests/{asked['request_id']}/decision"
    whole = {**WHOLE, "outcome": outcome, **wrong}

    status, _ = await call(client, await world.session("dispatcher"), "POST", path, whole)

    assert status == 422
    assert await state(world, asked) == "open"
    assert await world.owner.fetchval("SELECT count(*) FROM hold") == 0
    assert await world.owner.fetchval("SELECT count(*) FROM erasure_refusal") == 0


@pytest.mark.proves("relog-service:3.5b")
async def test_the_driver_is_told_what_is_kept_why_until_when_and_where_to_complain(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)

    status, found = await decide(
        client, await world.session("dispatcher"), asked, "refuse", "legal_claim", "track", "work"
    )

    assert (status, found["state"], found["refused_until"]) == (200, "refused", rfc3339(UNTIL))
    kind, said = (await told(world, driver.member_id))[-1]
    assert kind == "erasure_decided"
    assert (said["outcome"], said["ground"], said["categories"], said["until"]) == (
        "refuse",
        "legal_claim",
        "track,work",
        rfc3339(UNTIL),
    )
    path = f"/v1/erasure-requests/{asked['request_id']}/refusal"
    assert await call(client, session, "GET", path) == (
        200,
        {"request_id": asked["request_id"], "notice_text": REFUSAL, "locale": "en"},
    )
    # The text is about the driver: it lies sealed, and another driver has no part in it.
    rows = await world.owner.fetch("SELECT r::text AS row FROM erasure_refusal r")
    assert not any(REFUSAL.encode().hex() in one["row"] for one in rows)
    other = await world.driver_session(await new_driver(world, *ALL))
    assert (await call(client, other, "GET", path))[0] == 404


async def test_there_is_no_text_where_nothing_was_refused(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)

    path = f"/v1/erasure-requests/{asked['request_id']}/refusal"
    status, problem = await call(client, session, "GET", path)

    assert (status, problem["code"]) == (404, "erasure-refusal-not-found")


@pytest.mark.proves("relog-service:3.5b")
async def test_a_refusal_expires_and_the_erasure_goes_on_by_itself(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    await decide(client, await world.session("dispatcher"), asked, "refuse", "legal_claim")
    for item in ("location", "plan_fact"):
        await call(client, session, "POST", "/v1/me/consents", body(item))
    assert (await read_gate(world, driver)).is_open

    await holds.run_due(world.pool, world.company_id, UNTIL - timedelta(days=7))
    assert (await told(world, driver.member_id))[-1][0] == "hold_ending"
    assert await tick(world, UNTIL - MOMENT) == 0
    assert await state(world, asked) == "refused"
    assert await tick(world, UNTIL) == 1
    assert await tick(world, UNTIL) == 0

    assert await state(world, asked) == "grace"
    assert await account(world, driver.member_id) == "grace"
    assert not (await read_gate(world, driver)).is_consented
    assert (await told(world, driver.member_id))[-1][1]["outcome"] == "expired"
    act, actor, facts = await last_entry(world)
    assert (act, actor, facts["by_clock"]) == ("erasure_decided", "system", "expired")
    over = UNTIL + timedelta(hours=1)
    assert await saga.run_due(world.pool, world.vault, world.company_id, over) == 1
    assert await state(world, asked) == "erased"


async def test_a_refusal_in_part_erases_the_rest_and_later_what_was_kept(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)

    status, found = await decide(
        client, await world.session("dispatcher"), asked, "refuse_in_part", "legal_claim", "track"
    )

    assert (status, found["state"], found["refused_until"]) == (200, "grace", None)
    assert await consent_states(world, driver) == {"withdrawn"}
    over = NOW + timedelta(hours=1)
    assert await saga.run_due(world.pool, world.vault, world.company_id, over) == 0
    assert await state(world, asked) == "held"
    assert await consent_states(world, driver) == set()
    assert await account(world, driver.member_id) == "erasing"
    assert await saga.run_due(world.pool, world.vault, world.company_id, UNTIL - MOMENT) == 0
    assert await saga.run_due(world.pool, world.vault, world.company_id, UNTIL) == 1
    assert await state(world, asked) == "erased"


@pytest.mark.parametrize("end", ["cancel", "approve"])
async def test_what_a_refusal_held_is_let_go_when_it_is_decided_otherwise(
    world: World, client: ClientSession, driver: Driver, end: str
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    await decide(client, await world.session("dispatcher"), asked, "refuse", "legal_claim")

    if end == "cancel":
        assert (await cancel(client, session, asked))[0] == 200
    else:
        assert (await decide(client, await world.session("main_user"), asked, "approve"))[0] == 200

    async with db.tenant(world.pool, world.company_id) as conn:
        assert await holds.in_force(conn, world.company_id, driver.member_id, NOW) == []
    assert await tick(world, UNTIL) == 0


async def test_a_request_that_was_asked_anew_counts_and_not_the_refused_one(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    refused = await ask(client, session, driver)
    await decide(client, await world.session("dispatcher"), refused, "refuse", "legal_claim")
    anew = await ask(client, session, driver)
    await cancel(client, session, anew)

    assert await tick(world, UNTIL) == 0

    assert await state(world, refused) == "refused"


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_what_the_staff_asked_for_and_called_off_does_not_end_the_drivers_wish(
    world: World, client: ClientSession, driver: Driver, role: str
) -> None:
    refused = await ask(client, await world.driver_session(driver), driver)
    await decide(client, await world.session("main_user"), refused, "refuse", "legal_claim")
    token = await world.session(role)
    await cancel(client, token, await ask(client, token, driver))

    assert await tick(world, UNTIL) == 1

    assert await state(world, refused) == "grace"


@pytest.mark.parametrize("how", ["approved", "refused", "called_off"])
async def test_what_a_refusal_holds_outlives_another_request(
    world: World, client: ClientSession, driver: Driver, how: str
) -> None:
    session, staff = await world.driver_session(driver), await world.session("dispatcher")
    boss = await world.session("main_user")
    refused = await ask(client, session, driver)
    await decide(client, boss, refused, "refuse", "legal_obligation", "track")
    anew = await ask(client, session, driver)
    if how == "approved":
        await decide(client, staff, anew, "approve")
    elif how == "refused":
        await decide(client, staff, anew, "refuse", "legal_claim", "report")
    else:
        await cancel(client, session, anew)

    async with db.tenant(world.pool, world.company_id) as conn:
        held = await holds.in_force(conn, world.company_id, driver.member_id, NOW)
    assert "track" in {one.category.value for one in held}
    # The control: the refusal's own request, decided otherwise, lets it go.
    if how == "called_off":
        await cancel(client, session, refused)
        async with db.tenant(world.pool, world.company_id) as conn:
            assert await holds.in_force(conn, world.company_id, driver.member_id, NOW) == []


async def test_one_refusal_that_cannot_end_does_not_hold_up_the_next(
    world: World, client: ClientSession, driver: Driver
) -> None:
    other = await new_driver(world, *ALL)
    requests = []
    for one in (driver, other):
        asked = await ask(client, await world.driver_session(one), one)
        await decide(client, await world.session("dispatcher"), asked, "refuse", "legal_claim")
        requests.append(asked)
    await world.owner.execute(
        "UPDATE member SET state = 'erasing' WHERE member_id = $1", driver.member_id
    )

    assert await the_clock.run_due(world.pool, world.company_id, UNTIL) == 1

    assert [await state(world, one) for one in requests] == ["refused", "grace"]


async def test_an_erasure_that_a_hold_keeps_is_under_way(
    world: World, client: ClientSession, driver: Driver
) -> None:
    boss = await world.session("main_user")
    asked = await ask(client, await world.driver_session(driver), driver)
    await decide(client, boss, asked, "refuse_in_part", "legal_claim", "track")
    over = NOW + timedelta(hours=1)
    await saga.run_due(world.pool, world.vault, world.company_id, over)

    status, problem = await call(
        client, boss, "POST", "/v1/erasure-requests", {"driver_id": str(driver.member_id)}
    )

    assert (status, problem["code"]) == (409, "erasure-under-way")
    assert (await cancel(client, boss, asked))[0] == 409
