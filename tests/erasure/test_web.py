"""Asking, deciding and calling off over HTTP, by everybody who may and some who may not."""

import asyncio
import json
from datetime import timedelta

import pytest
from aiohttp import ClientSession

from server.accounts import acts
from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.erasure import saga
from server.erasure.model import Step
from server.erasure.service import ERASE_DUE
from server.gate import service as gate
from server.kit import db
from server.standing.model import BlockReason, By
from tests.consents import body
from tests.erasure.calls import (
    account,
    ask,
    call,
    caller_of,
    cancel,
    consent_states,
    decide,
    read_gate,
    set_grace,
)
from tests.http import Clock
from tests.waiting import LEASE_WITHOUT_END_MS, THE_BARRIER, until_somebody_waits_for
from tests.world import NOW, Driver, World


async def test_a_dispatcher_deletes_a_driver_and_without_grace_it_happens_now(
    world: World, client: ClientSession, driver: Driver
) -> None:
    await set_grace(world, 0)
    dispatcher, session = await world.session("dispatcher"), await world.driver_session(driver)

    status, asked = await call(
        client,
        dispatcher,
        "POST",
        "/v1/erasure-requests",
        {"driver_id": str(driver.member_id), "reason_code": "left_company"},
    )

    assert status == 201
    assert asked == {
        "request_id": asked["request_id"],
        "driver_id": str(driver.member_id),
        "state": "erasing",
        "answer_by": None,
        "grace_until": "2026-11-22T12:00:00Z",
        "tracking_stopped_at": "2026-11-22T12:00:00Z",
    }
    assert not (await read_gate(world, driver)).is_open
    assert (await call(client, session, "GET", "/v1/me/consents"))[0] == 401
    queued = await world.owner.fetch(
        "SELECT payload FROM jobs.pgqueuer WHERE entrypoint = $1", ERASE_DUE
    )
    payload = json.dumps({"company_id": str(world.company_id)}).encode()
    assert [row["payload"] for row in queued] == [payload]

    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 1

    path = f"/v1/erasure-requests/{asked['request_id']}"
    status, found = await call(client, dispatcher, "GET", path)
    assert (status, found["state"]) == (200, "erased")
    assert found["erased_at"] == "2026-11-22T12:00:00Z"
    assert [one["step"] for one in found["steps"]] == list(Step)
    assert found["counts"]["erase_consent"] == 7
    assert (found["requested_by_role"], found["decided_by_role"]) == ("dispatcher", "dispatcher")
    _, drivers = await call(client, dispatcher, "GET", "/v1/drivers")
    assert str(driver.member_id) not in {one["driver_id"] for one in drivers["items"]}
    for act in ("approve", "refuse"):
        ground = "legal_claim" if act == "refuse" else None
        assert (await decide(client, dispatcher, asked, act, ground))[0] == 409
    assert (await cancel(client, dispatcher, asked))[0] == 409


async def test_in_grace_the_driver_still_logs_in_and_nothing_is_tracked(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)

    asked = await ask(client, await world.session("main_user"), driver)

    assert (asked["state"], asked["grace_until"]) == ("grace", "2026-11-22T13:00:00Z")
    assert await account(world, driver.member_id) == "grace"
    assert not (await read_gate(world, driver)).is_open
    _, consents = await call(client, session, "GET", "/v1/me/consents")
    assert {one["state"] for one in consents["items"] if one["changed_at"]} == {"withdrawn"}
    assert (await call(client, session, "GET", "/v1/me/shift"))[1]["state"] == "off"
    for path, sent in (
        ("/v1/me/consents", body("location")),
        ("/v1/me/shift/start", None),
    ):
        status, problem = await call(client, session, "POST", path, sent)
        assert (status, problem["code"]) == (409, "account-not-active")


async def test_an_erasure_is_answered_only_when_no_frame_can_leave_any_more(
    world: World, client: ClientSession, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRAME_LEASE_MS", LEASE_WITHOUT_END_MS)
    dispatcher = await world.session("dispatcher")
    async with gate.frames(world.pool, world.company_id):
        asked = asyncio.create_task(ask(client, dispatcher, driver))
        await until_somebody_waits_for(world.owner, THE_BARRIER)
        assert not asked.done()

    assert (await asked)["state"] == "grace"


@pytest.mark.proves("qoldau:6-deletion")
async def test_a_drivers_own_request_stops_tracking_and_waits_for_a_decision(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)

    asked = await ask(client, session, driver)

    assert (asked["state"], asked["grace_until"]) == ("open", None)
    found = await read_gate(world, driver)
    assert not found.account_active
    assert not found.is_consented
    assert await consent_states(world, driver) == {"withdrawn"}
    ended = await world.owner.fetchrow(
        "SELECT ended_at, ended_by FROM shift WHERE driver_id = $1", driver.member_id
    )
    assert tuple(ended or ()) == (NOW, "erasure")
    assert await account(world, driver.member_id) == "active"
    status, problem = await call(client, session, "POST", "/v1/me/consents", body("location"))
    assert (status, problem["code"]) == (409, "account-not-active")


async def test_a_refusal_gives_the_account_back_and_not_the_consents(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session, dispatcher = await world.driver_session(driver), await world.session("dispatcher")
    asked = await ask(client, session, driver)

    status, found = await decide(client, dispatcher, asked, "refuse", "unfulfilled_obligation")

    assert (status, found["state"]) == (200, "refused")
    assert (found["decided_by_role"], found["ground"]) == ("dispatcher", "unfulfilled_obligation")
    assert (await read_gate(world, driver)).account_active
    assert not (await read_gate(world, driver)).is_open
    assert await consent_states(world, driver) == {"withdrawn"}
    status, _ = await call(client, session, "POST", "/v1/me/consents", body("location"))
    assert status == 201


async def test_an_approval_starts_the_grace_and_its_end_the_erasing(
    world: World, client: ClientSession, driver: Driver, clock: Clock
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    clock.at += timedelta(hours=2)

    status, found = await decide(client, await world.session("dispatcher"), asked, "approve")

    assert (status, found["state"]) == (200, "grace")
    assert found["grace_until"] == "2026-11-22T15:00:00Z"
    assert await account(world, driver.member_id) == "grace"
    early, due = NOW + timedelta(hours=3, seconds=-1), NOW + timedelta(hours=3)
    assert await saga.run_due(world.pool, world.vault, world.company_id, early) == 0
    assert await saga.run_due(world.pool, world.vault, world.company_id, due) == 1


@pytest.mark.parametrize(
    ("outcome", "ground"),
    [("refuse", None), ("approve", "legal_claim"), ("refuse", "too_much_work"), ("maybe", None)],
)
async def test_a_decision_without_its_ground_changes_nothing(
    world: World, client: ClientSession, driver: Driver, outcome: str, ground: str | None
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)

    status, _ = await decide(client, await world.session("dispatcher"), asked, outcome, ground)

    assert status == 422
    state = await world.owner.fetchval("SELECT state FROM erasure_request")
    assert state == "open"


@pytest.mark.proves("relog-driver-manager-apps:5.2")
async def test_the_main_user_overrides_a_refusal(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session, dispatcher = await world.driver_session(driver), await world.session("dispatcher")
    asked = await ask(client, session, driver)
    await decide(client, dispatcher, asked, "refuse", "legal_claim")
    for item in ("location", "plan_fact"):
        await call(client, session, "POST", "/v1/me/consents", body(item))
    assert (await read_gate(world, driver)).is_open
    assert (await decide(client, dispatcher, asked, "approve"))[0] == 409

    status, found = await decide(client, await world.session("main_user"), asked, "approve")

    assert (status, found["state"], found["ground"]) == (200, "grace", None)
    assert not (await read_gate(world, driver)).is_consented
    assert await account(world, driver.member_id) == "grace"


async def test_a_refused_request_does_not_come_back_beside_a_new_one(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session, main_user = await world.driver_session(driver), await world.session("main_user")
    refused = await ask(client, session, driver)
    await decide(client, main_user, refused, "refuse", "identity_not_proven")
    await ask(client, session, driver)

    status, problem = await decide(client, main_user, refused, "approve")

    assert (status, problem["code"]) == (409, "erasure-under-way")


async def test_the_main_user_overrides_an_approval(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    await decide(client, await world.session("dispatcher"), asked, "approve")

    status, found = await decide(
        client, await world.session("main_user"), asked, "refuse", "legal_obligation"
    )

    assert (status, found["state"], found["grace_until"]) == (200, "refused", None)
    assert await account(world, driver.member_id) == "active"
    assert await consent_states(world, driver) == {"withdrawn"}


@pytest.mark.parametrize("by", ["driver", "dispatcher", "main_user"])
@pytest.mark.parametrize("requested_by", ["driver", "dispatcher", "main_user"])
async def test_in_grace_everybody_calls_off_their_own_and_the_main_user_any(
    world: World, client: ClientSession, driver: Driver, requested_by: str, by: str
) -> None:
    asked = await ask(client, await caller_of(world, driver, requested_by), driver)
    if requested_by == "driver":
        await decide(client, await world.session("dispatcher"), asked, "approve")

    status, found = await cancel(client, await caller_of(world, driver, by), asked)

    if by in {requested_by, "main_user"}:
        assert (status, found["state"], found["cancelled_by_role"]) == (200, "cancelled", by)
        assert await account(world, driver.member_id) == "active"
        assert (await read_gate(world, driver)).account_active
        assert await consent_states(world, driver) == {"withdrawn"}
    else:
        assert (status, found["code"]) == (403, "erasure-not-yours")
        assert await account(world, driver.member_id) == "grace"


async def test_a_driver_calls_off_before_the_decision_but_the_staff_has_to_decide(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    for role in ("dispatcher", "main_user"):
        status, problem = await cancel(client, await world.session(role), asked)
        assert (status, problem["code"]) == (409, "erasure-act-refused")

    status, found = await cancel(client, session, asked)

    assert (status, found["state"]) == (200, "cancelled")
    assert (await cancel(client, session, asked))[0] == 409
    assert (await ask(client, session, driver))["state"] == "open"


async def test_one_erasure_at_a_time(world: World, client: ClientSession, driver: Driver) -> None:
    callers = [await caller_of(world, driver, role.value) for role in Role]

    answers = await asyncio.gather(
        *(
            call(
                client,
                token,
                "POST",
                "/v1/erasure-requests",
                {"driver_id": str(driver.member_id)},
            )
            for token in callers
        )
    )

    assert sorted(status for status, _ in answers) == [201, 409, 409]
    assert {body["code"] for status, body in answers if status == 409} == {"erasure-under-way"}
    assert await world.owner.fetchval("SELECT count(*) FROM erasure_request") == 1


@pytest.mark.proves("qoldau:6-deletion")
async def test_a_blocked_driver_is_blocked_again_when_the_erasure_is_called_off(
    world: World, client: ClientSession, driver: Driver
) -> None:
    company_id, driver_id = world.company_id, driver.member_id
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await acts.block(conn, company_id, driver_id, BlockReason.OTHER, by=By.DISPATCHER, now=NOW)
    session, dispatcher = await world.driver_session(driver), await world.session("dispatcher")
    own = await ask(client, session, driver)
    await decide(client, dispatcher, own, "refuse", "legal_claim")
    assert not (await read_gate(world, driver)).account_active

    staffs = await ask(client, dispatcher, driver)
    assert await account(world, driver_id) == "grace"
    await cancel(client, dispatcher, staffs)

    assert await account(world, driver_id) == "blocked"
    assert not (await read_gate(world, driver)).account_active


async def test_an_erasure_that_is_stuck_says_after_an_hour_where(
    world: World, client: ClientSession, driver: Driver, clock: Clock
) -> None:
    await set_grace(world, 0)
    dispatcher, main_user = await world.session("dispatcher"), await world.session("main_user")
    asked = await ask(client, dispatcher, driver)
    path = f"/v1/erasure-requests/{asked['request_id']}"
    await world.owner.execute(
        "INSERT INTO notice (company_id, notice_id, member_id, kind, facts, queued_at)"
        " SELECT company_id, gen_random_uuid(), member_id, 'erasure_decided', $1, $2 FROM member"
        " WHERE role = 'main_user' LIMIT 1",
        json.dumps({"driver_id": str(driver.member_id)}),
        NOW,
    )
    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 0

    clock.at = NOW + timedelta(hours=1)
    at_once = (await call(client, main_user, "GET", path))[1]
    clock.at += timedelta(seconds=1)
    later = (await call(client, main_user, "GET", path))[1]
    listed = (await call(client, main_user, "GET", "/v1/erasure-requests"))[1]

    assert (at_once["state"], at_once.get("waiting_for")) == ("erasing", None)
    assert (later["state"], later.get("waiting_for")) == ("erasing", "search")
    assert listed["items"] == [later]
    await world.owner.execute("DELETE FROM notice WHERE facts ->> 'driver_id' IS NOT NULL")
    assert await saga.run_due(world.pool, world.vault, world.company_id, clock.at) == 1
    assert (await call(client, main_user, "GET", path))[1].get("waiting_for") is None


@pytest.mark.proves("qoldau:6-deletion")
async def test_who_never_accepted_the_invitation_has_no_grace(
    world: World, client: ClientSession
) -> None:
    new = NewMember(
        name="Nobody Yet", role=Role.DRIVER, locale=Locale.RU, phone="+77015550199", email=None
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)

    status, asked = await call(
        client,
        await world.session("dispatcher"),
        "POST",
        "/v1/erasure-requests",
        {"driver_id": str(profile.member_id)},
    )

    assert (status, asked["state"]) == (201, "erasing")
    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 1
