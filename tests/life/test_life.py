"""A lost phone, leaving and coming back, and an account that its own person disables."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession, web

from server.consent import service as consent
from server.devices.web import ENDPOINTS as DEVICES
from server.erasure import service as erasure
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions.web import ENDPOINTS as ERASURE_DECISIONS
from server.gate import service as gate
from server.gate.model import Purpose
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.life import service as life
from server.life.web import ENDPOINTS as LIFE
from server.log_in.web import logging_in
from server.standing.model import READS_FOR, BlockNotYours, BlockReason
from server.uploads import web as uploads
from tests.accounts.people import accept, gate_of, join, log_in, new_driver, state_of, token_of
from tests.conftest import Databases
from tests.consents import DEVICE_NOTICE_BODY, body
from tests.endpoints import ACCOUNTS, ATTESTATIONS, CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.told import last_entry, told
from tests.uploading import positions
from tests.world import NOW, World, add_member, open_session

OPERATOR = Actor(kind=ActorKind.OPERATOR)
NEW_PASSWORD = "seven lanterns over water"  # noqa: S105 - of nobody


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    def prepare(app: web.Application) -> None:
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(
        world,
        *(ACCOUNTS, ATTESTATIONS, CONSENT, ERASURE, ERASURE_DECISIONS, LIFE, DEVICES, TRACKING),
        clock=clock,
        prepare=prepare,
    ) as opened:
        yield opened


async def ask(
    client: ClientSession, token: str, path: str, sent: object = None, *, method: str = "POST"
) -> tuple[int, Any]:
    async with client.request(method, path, json=sent, headers=bearer(token)) as answer:
        return answer.status, await answer.json()


async def upload(client: ClientSession, device_token: str) -> tuple[int, Any]:
    return await ask(client, device_token, "/v1/positions", {"positions": positions(3)})


async def at_work(client: ClientSession, session: str) -> str:
    """Add a phone, acknowledge, consent and start a shift; return the phone's token."""
    status, added = await ask(client, session, "/v1/me/devices", {"name": "Phone"})
    assert status == 201
    await ask(client, session, f"/v1/me/devices/{added['device_id']}/notice", DEVICE_NOTICE_BODY)
    for item in ("location", "dispatch_tracking"):
        status, _ = await ask(client, session, "/v1/me/consents", body(item))
        assert status in {200, 201}
    status, _ = await ask(client, session, "/v1/me/shift/start")
    assert status == 200
    return str(added["token"])


def added_id(added: Any) -> UUID:
    return UUID(added["driver"]["driver_id"])


# ---- a lost phone


@pytest.mark.proves("gocargo:terms-transfer-of-account")
@pytest.mark.parametrize("who", ["driver", "dispatcher"])
async def test_nothing_of_a_lost_phone_is_taken_any_more(
    client: ClientSession, world: World, clock: Clock, who: str
) -> None:
    staff = await world.session("dispatcher")
    added = await join(client, staff)
    driver_id = added["driver"]["driver_id"]
    session = await token_of(await log_in(client))
    old_phone = await at_work(client, session)
    clock.at += timedelta(minutes=1)
    # The control: until then it is taken.
    assert (await upload(client, old_phone))[0] == 200

    if who == "driver":
        path, sent, caller = "/v1/me/lost-phone", {"password": "correct horse battery"}, session
    else:
        path, sent, caller = f"/v1/drivers/{driver_id}/lost-phone", None, staff
    status, invitation = await ask(client, caller, path, sent)

    assert status == 201
    assert (await upload(client, old_phone))[0] == 401
    assert (await ask(client, session, "/v1/me", method="GET"))[0] == 401
    assert (await log_in(client)).status == 401  # the password may be stored in the phone
    async with db.tenant(world.pool, world.company_id) as conn:
        windows = await gate.windows(
            conn, world.company_id, added_id(added), since=clock.at, until=clock.at
        )
    assert not any(one.contains(clock.at) for one in windows)
    assert ("phone_lost", {"by_role": who, "reported_at": "2026-11-22T12:01:00Z"}) in await told(
        world, added_id(added)
    )
    assert (await last_entry(world))[:2] == ("phone_lost", who)

    # The new phone: consents are as they were left, and nothing is taken before its notice.
    assert (await accept(client, invitation["code"], password=NEW_PASSWORD)).status == 200
    again = await token_of(await log_in(client, password=NEW_PASSWORD))
    status, phone = await ask(client, again, "/v1/me/devices", {"name": "New phone"})
    clock.at += timedelta(minutes=1)
    assert (await ask(client, again, "/v1/me/shift/start"))[0] == 200
    assert (await upload(client, phone["token"]))[1]["code"] == "notice-required"
    path = f"/v1/me/devices/{phone['device_id']}/notice"
    assert (await ask(client, again, path, DEVICE_NOTICE_BODY))[0] == 200
    assert (await upload(client, phone["token"]))[0] == 200


async def test_whoever_found_the_phone_does_not_get_a_code_without_the_password(
    client: ClientSession, world: World
) -> None:
    await join(client, await world.session("dispatcher"))
    session = await token_of(await log_in(client))

    status, problem = await ask(client, session, "/v1/me/lost-phone", {"password": "a guess"})

    assert (status, problem["code"]) == (403, "password-wrong")
    assert await world.owner.fetchval("SELECT count(*) FROM invitation") == 0
    assert (await ask(client, session, "/v1/me", method="GET"))[0] == 200


# ---- leaving and coming back


async def test_who_left_reads_for_a_time_and_asks_for_erasure_at_any(
    client: ClientSession, world: World, clock: Clock
) -> None:
    staff = await world.session("main_user")
    added = await join(client, staff)
    driver_id = added["driver"]["driver_id"]
    session = await token_of(await log_in(client))
    phone = await at_work(client, session)

    status, left = await ask(client, staff, f"/v1/drivers/{driver_id}/offboard")

    assert (status, left["state"]) == (200, "offboarded")
    assert left["reads_until"] == "2026-12-22T12:00:00Z"
    assert (await upload(client, phone))[0] == 401
    assert (await ask(client, session, "/v1/me", method="GET"))[0] == 401
    found = await gate_of(world, driver_id)
    assert not found.is_open
    assert found.since(Purpose.DISPATCH_TRACKING, clock.at) is None
    states = await world.owner.fetch(
        "SELECT DISTINCT ON (item) state FROM consent_record WHERE driver_id = $1"
        " ORDER BY item, version DESC",
        added_id(added),
    )
    assert {row["state"] for row in states} == {"expired"}
    told_it = {"by_role": "main_user", "reason": "left", "reads_until": left["reads_until"]}
    assert ("account_offboarded", told_it) in await told(world, added_id(added))

    # They log in anew: they read, and work no more.
    reading = await token_of(await log_in(client))
    _, account = await ask(client, reading, "/v1/me/account", method="GET")
    assert (account["state"], account["reason_code"], account["acted_by_role"]) == (
        "offboarded",
        "left",
        "main_user",
    )
    assert (await ask(client, reading, "/v1/me/consents/records", method="GET"))[0] == 200
    assert (await ask(client, reading, "/v1/me/shift/start"))[0] == 409
    assert (await ask(client, reading, "/v1/me/devices", {"name": "Phone"}))[0] == 409

    # To the second: not a moment before it is over, and at that moment.
    for seconds, still in ((-1, True), (0, False)):
        clock.at = NOW + READS_FOR + timedelta(seconds=seconds)
        async with db.tenant(world.pool, world.company_id) as conn:
            await life.end_reading(conn, world.company_id, clock.at)
        assert ((await log_in(client)).status == 200) is still
    # A new invitation lets them read again, and nothing more.
    staff = await staff_session(world, clock)
    status, invitation = await ask(client, staff, f"/v1/drivers/{driver_id}/invitation")
    assert status == 201
    assert (await accept(client, invitation["code"], password=NEW_PASSWORD)).status == 200
    assert await state_of(world, driver_id) == "offboarded"
    assert not (await gate_of(world, driver_id)).account_active
    reading = await token_of(await log_in(client, password=NEW_PASSWORD))
    status, asked = await ask(client, reading, "/v1/erasure-requests", {"driver_id": driver_id})
    assert (status, asked["state"]) == (201, "open")
    # Nobody comes back while that is asked for.
    _, problem = await ask(client, staff, f"/v1/drivers/{driver_id}/return")
    assert problem["code"] == "erasure-under-way"


async def staff_session(world: World, clock: Clock) -> str:
    member_id = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    return await open_session(world.pool, world.company_id, member_id, at=clock.at)


async def test_who_comes_back_is_asked_anew_for_everything(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    added = await join(client, staff)
    driver_id = added["driver"]["driver_id"]
    await at_work(client, await token_of(await log_in(client)))
    await ask(client, staff, f"/v1/drivers/{driver_id}/offboard")

    status, invitation = await ask(client, staff, f"/v1/drivers/{driver_id}/return")

    assert status == 201
    assert (await log_in(client)).status == 401
    assert (await accept(client, invitation["code"], password=NEW_PASSWORD)).status == 200
    session = await token_of(await log_in(client, password=NEW_PASSWORD))
    found = await gate_of(world, driver_id)
    assert found.account_active
    assert not found.is_consented
    _, problem = await ask(client, session, "/v1/me/shift/start")
    assert problem["code"] == "consent-needed"
    _, account = await ask(client, session, "/v1/me/account", method="GET")
    assert (account["reason_code"], account["reads_until"]) == (None, None)


async def test_who_was_here_before_has_a_grace_though_they_have_not_come_back_yet(
    client: ClientSession, world: World
) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
    staff = await world.session("dispatcher")
    former = (await join(client, staff))["driver"]["driver_id"]
    await ask(client, staff, f"/v1/drivers/{former}/offboard")
    await ask(client, staff, f"/v1/drivers/{former}/return")
    newcomer = new_driver(phone="+7 701 765 43 21")
    _, added = await ask(client, staff, "/v1/drivers", newcomer)

    states = [
        (await ask(client, staff, "/v1/erasure-requests", {"driver_id": one}))[1]["state"]
        for one in (former, added["driver"]["driver_id"])
    ]

    # The control: of who was never here there is nothing to export.
    assert states == ["grace", "erasing"]


# ---- one's own block, and that of others


async def test_a_driver_disables_and_enables_their_own_account(
    client: ClientSession, world: World
) -> None:
    session, driver_id = await world.driver_session(), world.driver.member_id
    status, disabled = await ask(client, session, "/v1/me/disable")

    assert (status, disabled["state"]) == (200, "blocked")
    assert not (await gate_of(world, str(driver_id))).is_open
    assert await told(world, driver_id) == [
        ("account_blocked", {"by_role": "driver", "lifting": "self", "reason": "own_wish"})
    ]
    assert await last_entry(world) == ("member_blocked", "driver", {"reason": "own_wish"})
    assert (await ask(client, session, "/v1/me/consents", method="GET"))[0] == 200
    status, enabled = await ask(client, session, "/v1/me/enable")
    assert (status, enabled["state"]) == (200, "active")
    assert await last_entry(world) == ("member_unblocked", "driver", {})
    assert not await world.owner.fetchval(
        "SELECT count(*) FROM recording_window WHERE closed_at IS NULL"
    )


@pytest.mark.proves("gocargo:use-of-the-site-capacity")
async def test_a_driver_does_not_lift_what_others_did(client: ClientSession, world: World) -> None:
    session, driver_id = await world.driver_session(), world.driver.member_id
    staff = await world.session("dispatcher")
    phone = world.driver.device_token
    await ask(client, staff, f"/v1/drivers/{driver_id}/block", {"reason_code": "misuse"})

    status, problem = await ask(client, session, "/v1/me/enable")

    assert (status, problem["code"]) == (403, "block-not-yours")
    assert await state_of(world, driver_id) == "blocked"
    # A blocked account does nothing; the rights over one's own data stay.
    await upload(client, phone)
    assert await world.owner.fetchval("SELECT count(*) FROM chunk") == 0
    assert (await ask(client, session, "/v1/me/shift/start"))[0] == 409
    assert (await ask(client, session, "/v1/me/devices", {"name": "Phone"}))[0] == 409
    assert (await ask(client, session, "/v1/me/consents", body("location")))[0] == 409
    for path in ("/v1/me", "/v1/me/account", "/v1/me/consents/records"):
        assert (await ask(client, session, path, method="GET"))[0] == 200
    asked = {"driver_id": str(driver_id)}
    assert (await ask(client, session, "/v1/erasure-requests", asked))[0] == 201


async def ordered(world: World, reference: str = "12-3.2026") -> None:
    driver = world.company_id, world.driver.member_id
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await consent.block(
            conn, *driver, BlockReason.LEGAL_ORDER, by=OPERATOR, order=reference, now=NOW
        )


async def test_what_an_authority_ordered_only_the_operator_lifts(
    client: ClientSession, world: World
) -> None:
    driver_id = world.driver.member_id
    await ordered(world)

    facts = {"reason": "legal_order", "order": "12-3.2026"}
    assert (await told(world, driver_id))[-1] == (
        "account_blocked",
        {"by_role": "operator", "lifting": "authority", **facts},
    )
    assert await last_entry(world) == ("member_blocked", "operator", facts)
    for role, path in (
        ("main_user", f"/v1/drivers/{driver_id}/unblock"),
        ("dispatcher", f"/v1/drivers/{driver_id}/unblock"),
        ("driver", "/v1/me/enable"),
    ):
        token = await (world.driver_session() if role == "driver" else world.session(role))
        assert (await ask(client, token, path))[1]["code"] == "block-not-yours"
    assert not (await gate_of(world, str(driver_id))).account_active
    async with db.tenant(world.pool, world.company_id) as conn:
        await erasure.unblock(conn, world.company_id, driver_id, by=OPERATOR, now=NOW)
    assert await state_of(world, driver_id) == "active"


async def test_the_operator_lifts_nothing_but_an_order(client: ClientSession, world: World) -> None:
    driver_id = world.driver.member_id
    staff = await world.session("dispatcher")
    await ask(client, staff, f"/v1/drivers/{driver_id}/block", {"reason_code": "misuse"})

    with pytest.raises(BlockNotYours):
        async with db.tenant(world.pool, world.company_id) as conn:
            await erasure.unblock(conn, world.company_id, driver_id, by=OPERATOR, now=NOW)

    assert await state_of(world, driver_id) == "blocked"


@pytest.mark.parametrize("reason", ["own_wish", "idle", "unverified", "legal_order"])
async def test_staff_do_not_give_the_reasons_of_others(
    client: ClientSession, world: World, reason: str
) -> None:
    path = f"/v1/drivers/{world.driver.member_id}/block"
    status, _ = await ask(client, await world.session("main_user"), path, {"reason_code": reason})

    assert status == 422
    assert await state_of(world, world.driver.member_id) == "active"
