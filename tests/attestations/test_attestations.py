"""What an administrator attests, and what a driver's dispute of it does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.attestations import service
from server.attestations.model import How, Told
from server.devices.web import ENDPOINTS as DEVICES
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.log_in.web import logging_in
from server.policies.model import Document
from server.shifts import service as shifts
from server.uploads import web as uploads
from tests import consents
from tests.accounts.people import accept, new_driver
from tests.conftest import Databases
from tests.consents import body as given
from tests.endpoints import ACCOUNTS, ATTESTATIONS, CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.uploading import positions
from tests.world import CONSENTED, NOW, World, acknowledge, add_member, begin_erasing, open_session

TOLD_AT = CONSENTED - timedelta(hours=1)
ATTESTED = {
    "told_at": rfc3339(TOLD_AT),
    "how": "in_person",
    "editions": [
        {"document": "driver_notice", "edition": 1},
        {"document": "privacy_notice", "edition": 1},
    ],
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> Any:
    def prepare(app: Any) -> None:
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        CONSENT,
        DEVICES,
        TRACKING,
        clock=clock,
        prepare=prepare,
    ) as opened:
        yield opened


async def call(
    client: ClientSession, method: str, path: str, token: str, body: object = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json(content_type=None)


async def attest(world: World) -> UUID:
    """Attest that the world's driver was told; return by whom."""
    by = await add_member(world.vault, world.pool, world.company_id, role="main_user", name="Boss")
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.attest(
            conn,
            world.company_id,
            world.driver.member_id,
            Told(at=TOLD_AT, how=How.BY_PHONE, editions=((Document.DRIVER_NOTICE, 1),)),
            by=Actor(kind=ActorKind.MAIN_USER, member_id=by),
            by_member=by,
            now=CONSENTED,
        )
    return by


async def acts(world: World) -> list[str]:
    rows = await world.owner.fetch("SELECT act FROM ledger_entry ORDER BY index")
    return [row["act"] for row in rows]


@pytest.mark.proves("relog-service:1.7", "cargotechservice:1.6")
async def test_an_attestation_opens_nothing_and_leaves_the_account_invited(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")

    status, added = await call(
        client, "POST", "/v1/drivers", staff, new_driver(attestation=ATTESTED)
    )

    driver_id = UUID(added["driver"]["driver_id"])
    assert (status, added["driver"]["state"]) == (201, "invited")
    assert set(added["driver"]["consents"].values()) == {"not_asked"}
    async with db.tenant(world.pool, world.company_id) as conn:
        gate = await gates.read(conn, world.company_id, driver_id)
    assert (gate.is_open, gate.account_active, gate.is_consented) == (False, False, False)
    assert (await acts(world))[-1] == "attestation_made"


@pytest.mark.proves("relog-service:1.7", "cargotechservice:1.6")
async def test_after_accepting_the_driver_sees_who_said_what_of_them(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    _, added = await call(client, "POST", "/v1/drivers", staff, new_driver(attestation=ATTESTED))
    assert (await accept(client, added["invitation"]["code"])).status == 200
    async with db.tenant(world.pool, world.company_id) as conn:
        gate = await gates.read(conn, world.company_id, UUID(added["driver"]["driver_id"]))

    _, session = await call(
        client,
        "POST",
        "/v1/session",
        staff,
        {
            "login": new_driver()["phone"],
            "password": "correct horse battery",
            "transport": "bearer",
        },
    )
    status, told = await call(client, "GET", "/v1/me/attestation", session["token"])

    assert not gate.is_consented
    assert status == 200
    assert told == {
        "attested_by": "Dana Dispatch",
        "told_at": rfc3339(TOLD_AT),
        "how": "in_person",
        "editions": ATTESTED["editions"],
        "attested_at": rfc3339(NOW),
        "disputed_at": None,
    }


@pytest.mark.proves("relog-service:1.7", "cargotechservice:1.6")
async def test_whatever_was_attested_positions_are_refused_until_the_driver_agrees(
    client: ClientSession, world: World, clock: Clock
) -> None:
    staff = await world.session("dispatcher")
    _, added = await call(client, "POST", "/v1/drivers", staff, new_driver(attestation=ATTESTED))
    await accept(client, added["invitation"]["code"])
    key = (world.company_id, UUID(added["driver"]["driver_id"]))
    session = await open_session(world.pool, *key)
    _, phone = await call(client, "POST", "/v1/me/devices", session, {"name": "Pixel"})
    async with db.tenant(world.pool, world.company_id) as conn:
        await acknowledge(conn, *key, UUID(phone["device_id"]))

    async def sent() -> Any:
        body = {"positions": positions(1, until=clock.at)}
        return (await call(client, "POST", "/v1/positions", phone["token"], body))[1]

    attested = await sent()
    for item in ("location", "plan_fact"):
        assert (await call(client, "POST", "/v1/me/consents", session, given(item)))[0] == 201
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.start(conn, *key, now=NOW)
    clock.at = NOW + timedelta(minutes=1)

    assert (attested["accepted"], attested["refused"][0]["reason"]) == (0, "no_consent")
    assert (await sent())["accepted"] == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"told_at": rfc3339(NOW + timedelta(seconds=1))}, 422, "attestation-in-future"),
        (
            {"editions": [{"document": "driver_notice", "edition": 9}]},
            404,
            "policy-edition-not-found",
        ),
        ({"how": "somehow"}, 422, "fields-invalid"),
        ({"editions": []}, 422, "fields-invalid"),
    ],
)
async def test_what_cannot_be_attested_adds_nobody(
    client: ClientSession, world: World, change: dict[str, Any], status: int, code: str
) -> None:
    staff = await world.session("dispatcher")
    before = await world.owner.fetchval("SELECT count(*) FROM member")

    found, problem = await call(
        client, "POST", "/v1/drivers", staff, new_driver(attestation=ATTESTED | change)
    )

    assert (found, problem["code"]) == (status, code)
    assert await world.owner.fetchval("SELECT count(*) FROM member") == before


async def test_without_an_attestation_there_is_nothing_to_see_or_to_dispute(
    client: ClientSession, world: World
) -> None:
    session = await world.driver_session()

    read = await call(client, "GET", "/v1/me/attestation", session)
    disputed = await call(client, "POST", "/v1/me/attestation/dispute", session)

    assert [read[0], disputed[0]] == [404, 404]
    assert read[1]["code"] == disputed[1]["code"] == "attestation-not-found"


async def upload(client: ClientSession, world: World, clock: Clock, count: int) -> Any:
    body = {"positions": positions(count, until=clock.at)}
    _, answer = await call(client, "POST", "/v1/positions", world.driver.device_token, body)
    return answer


async def seen(client: ClientSession, world: World, token: str) -> tuple[str, int]:
    """Return what the caller sees of the driver's track: whether it is shared, and how much."""
    query = f"?from={rfc3339(NOW - timedelta(days=1))}&to={rfc3339(NOW + timedelta(days=1))}"
    path = f"/v1/drivers/{world.driver.member_id}/track{query}"
    _, track = await call(client, "GET", path, token)
    return track["availability"], track["count"]


@pytest.mark.proves("relog-service:1.7-liability")
async def test_a_dispute_voids_the_consents_and_stops_everything(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await attest(world)
    await upload(client, world, clock, 5)
    session = await world.driver_session()

    status, answer = await call(client, "POST", "/v1/me/attestation/dispute", session)

    assert status == 200
    assert answer == {
        "disputed_at": rfc3339(NOW),
        "invalidated": ["dispatch_tracking", "location", "plan_fact"],
        "set_apart": 5,
    }
    _, found = await call(client, "GET", "/v1/me/consents", session)
    states = {one["item"]: one["state"] for one in found["items"]}
    assert {states[item.value] for item in GateItem} == {"invalidated"}
    assert found["gate"] == "closed"
    told = await upload(client, world, clock, 1)
    assert (told["accepted"], told["collect"], told["purge"]) == (0, False, True)
    assert (await acts(world))[-1] == "attestation_disputed"
    _, attested = await call(client, "GET", "/v1/me/attestation", session)
    assert attested["disputed_at"] == rfc3339(NOW)


@pytest.mark.proves("relog-service:1.7-liability")
async def test_what_was_collected_stays_hidden_from_the_company_for_good(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await attest(world)
    await upload(client, world, clock, 5)
    staff, session = await world.session("dispatcher"), await world.driver_session()
    before = await seen(client, world, staff)
    await call(client, "POST", "/v1/me/attestation/dispute", session)
    disputed = (await seen(client, world, staff), await seen(client, world, session))

    clock.at = NOW + timedelta(hours=1)
    key = (world.company_id, world.driver.member_id)
    async with gates.stopping(world.pool, *key, now=clock.at) as conn:
        await consents.give(conn, *key, *GateItem, now=clock.at)
    given_again = (await seen(client, world, staff), await seen(client, world, session))
    # Even a gate that were made to reach back shows nothing of it.
    async with db.tenant(world.pool, world.company_id) as conn:
        for item in GateItem:
            await gates.set_consent(conn, *key, item, CONSENTED)
    reaching_back = (await seen(client, world, staff), await seen(client, world, session))

    assert before == ("full", 5)
    assert disputed == (("not_shared", 0), ("full", 5))
    assert given_again == (("no_positions", 0), ("full", 5))
    assert reaching_back == (("no_positions", 0), ("full", 5))
    assert await world.owner.fetchval("SELECT sum(count) FROM chunk") == 5


@pytest.mark.proves("relog-service:1.7-liability")
async def test_the_main_users_are_told_and_nobody_else(client: ClientSession, world: World) -> None:
    by = await attest(world)
    await world.session("dispatcher")

    await call(client, "POST", "/v1/me/attestation/dispute", await world.driver_session())

    rows = await world.owner.fetch(
        "SELECT member_id FROM notice WHERE kind = 'attestation_disputed'"
    )
    assert [row["member_id"] for row in rows] == [by]


async def test_again_is_the_same_as_once(client: ClientSession, world: World) -> None:
    await attest(world)
    session = await world.driver_session()
    _, first = await call(client, "POST", "/v1/me/attestation/dispute", session)
    entries = await acts(world)

    status, again = await call(client, "POST", "/v1/me/attestation/dispute", session)

    assert (status, again["disputed_at"]) == (200, first["disputed_at"])
    assert (again["invalidated"], again["set_apart"]) == ([], 0)
    assert await acts(world) == entries


async def test_only_the_driver_disputes(client: ClientSession, world: World) -> None:
    await attest(world)

    for role in ("dispatcher", "main_user"):
        session = await world.session(role)
        assert (await call(client, "POST", "/v1/me/attestation/dispute", session))[0] == 403


async def test_erasing_the_driver_erases_it_all(client: ClientSession, world: World) -> None:
    await attest(world)
    await call(client, "POST", "/v1/me/attestation/dispute", await world.driver_session())
    await begin_erasing(world, world.driver.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        erased = await service.erase(conn, world.company_id, world.driver.member_id)

    assert erased == 2
