"""The device notice: nothing is taken from a device before its user acknowledged it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.devices import service
from server.devices.web import ENDPOINTS as DEVICES
from server.gate import service as gates
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import SYSTEM
from server.log_in.web import logging_in
from server.policies import service as policies
from server.policies.model import ChangeClass, Document, Draft, sha256_of
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import ACCOUNTS, TRACKING
from tests.http import Clock, bearer, serve
from tests.uploading import positions
from tests.world import NOW, Driver, World, acknowledge, add_driver, begin_erasing

OLD = policies.shipped(Document.DEVICE_NOTICE)
NEW = {language: f"{text}\nAnd one thing more.\n" for language, text in OLD.items()}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> Any:
    def prepare(app: Any) -> None:
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(world, ACCOUNTS, DEVICES, TRACKING, clock=clock, prepare=prepare) as opened:
        yield opened


@pytest.fixture
async def driver(world: World) -> Driver:
    """On shift, all consents given, with a device that has shown nothing yet."""
    return await add_driver(world.vault, world.pool, world.company_id, noticed=False)


async def upload(client: ClientSession, token: str, *, until: datetime = NOW) -> tuple[int, Any]:
    body = {"positions": positions(3, until=until)}
    async with client.post("/v1/positions", json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json()


async def read(
    client: ClientSession,
    session: str,
    device_id: object,
    *,
    edition: int = 1,
    language: Locale = Locale.EN,
    text: str | None = None,
) -> tuple[int, Any]:
    """Acknowledge as the driver's app does."""
    shown = text if text is not None else (OLD if edition == 1 else NEW)[language]
    body = {"edition": edition, "language": language.value, "sha256": sha256_of(shown)}
    path = f"/v1/me/devices/{device_id}/notice"
    async with client.post(path, json=body, headers=bearer(session)) as answer:
        return answer.status, await answer.json()


async def publish(world: World, change_class: ChangeClass, now: datetime) -> datetime:
    """Publish the second edition; return when it is in force."""
    draft = Draft(document=Document.DEVICE_NOTICE, change_class=change_class, texts=NEW)
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await policies.publish(conn, world.company_id, draft, actor=SYSTEM, now=now)
    return made.effective_at


async def stored(world: World) -> int:
    count: int = await world.owner.fetchval(
        "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM refusal_count)"
    )
    return count


@pytest.mark.proves("relog-service:1.8")
async def test_without_it_nothing_is_stored_nor_counted(
    client: ClientSession, world: World, driver: Driver
) -> None:
    answers = [await upload(client, driver.device_token) for _ in range(3)]

    assert [(status, body["code"]) for status, body in answers] == [(403, "notice-required")] * 3
    assert await stored(world) == 0


@pytest.mark.parametrize("language", list(Locale))
async def test_once_it_is_acknowledged_the_same_positions_are_taken(
    client: ClientSession, world: World, driver: Driver, language: Locale
) -> None:
    session = await world.driver_session(driver)
    await upload(client, driver.device_token)  # this process believes that it is not

    status, told = await read(client, session, driver.device_id, language=language)
    uploaded, answer = await upload(client, driver.device_token)

    assert (status, told["edition"], told["language"]) == (200, 1, language.value)
    assert told["acknowledged_at"] == "2026-11-22T12:00:00Z"
    assert (uploaded, answer["accepted"]) == (200, 3)


async def test_again_is_the_same_as_once(
    client: ClientSession, world: World, driver: Driver, clock: Clock
) -> None:
    session = await world.driver_session(driver)
    first = await read(client, session, driver.device_id)
    entries = await world.owner.fetchval("SELECT count(*) FROM ledger_entry")
    clock.at = NOW + timedelta(hours=1)

    again = await read(client, session, driver.device_id)

    assert again == first
    assert await world.owner.fetchval("SELECT count(*) FROM ledger_entry") == entries


async def test_it_is_entered_in_the_ledger(
    client: ClientSession, world: World, driver: Driver
) -> None:
    await read(client, await world.driver_session(driver), driver.device_id)

    act = await world.owner.fetchval("SELECT act FROM ledger_entry ORDER BY index DESC LIMIT 1")
    assert act == "notice_acknowledged"


@pytest.mark.proves("relog-service:1.8")
async def test_each_device_asks_for_itself(
    client: ClientSession, world: World, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    await read(client, session, driver.device_id)
    async with client.post(
        "/v1/me/devices", json={"name": "Second"}, headers=bearer(session)
    ) as answer:
        second = await answer.json()

    before, _ = await upload(client, second["token"])
    await read(client, session, second["device_id"])
    after, _ = await upload(client, second["token"])

    assert (before, after) == (403, 200)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"edition": 2, "text": OLD[Locale.EN]}, 404, "policy-edition-not-found"),
        ({"text": OLD[Locale.EN] + " "}, 409, "policy-text-differs"),
        ({"text": OLD[Locale.RU]}, 409, "policy-text-differs"),
        ({"edition": 0}, 422, "fields-invalid"),
    ],
)
async def test_only_the_text_of_an_edition_can_be_acknowledged(
    client: ClientSession,
    world: World,
    driver: Driver,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    session = await world.driver_session(driver)

    found, problem = await read(client, session, driver.device_id, **change)

    assert (found, problem["code"]) == (status, code)
    assert (await upload(client, driver.device_token))[0] == 403


@pytest.mark.proves("relog-service:1.8")
async def test_nobody_acknowledges_for_another(
    client: ClientSession, world: World, driver: Driver
) -> None:
    other = await world.driver_session()
    staff = await world.session("main_user")

    assert (await read(client, other, driver.device_id))[0] == 404
    assert (await read(client, other, uuid7()))[0] == 404
    assert (await read(client, staff, driver.device_id))[0] == 403
    assert (await read(client, driver.device_token, driver.device_id))[0] == 403
    assert (await upload(client, driver.device_token))[0] == 403


async def test_a_revoked_device_cannot_show_it_any_more(
    client: ClientSession, world: World, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    async with client.delete(
        f"/v1/me/devices/{driver.device_id}", headers=bearer(session)
    ) as answer:
        assert answer.status == 204

    assert (await read(client, session, driver.device_id))[0] == 404


@pytest.mark.proves("relog-service:1.8")
async def test_a_new_edition_is_asked_for_from_the_moment_it_is_in_force(
    client: ClientSession, world: World, driver: Driver, clock: Clock
) -> None:
    session = await world.driver_session(driver)
    await read(client, session, driver.device_id)
    in_force = await publish(world, ChangeClass.MATERIAL, NOW - timedelta(days=30))
    assert in_force == NOW
    clock.at = NOW - timedelta(seconds=1)
    assert (await upload(client, driver.device_token, until=clock.at))[0] == 200

    clock.at = NOW
    refused = [await upload(client, driver.device_token) for _ in range(2)]
    outdated = await read(client, session, driver.device_id)
    await read(client, session, driver.device_id, edition=2)
    taken = await upload(client, driver.device_token)

    assert [status for status, _ in refused] == [403, 403]
    assert (outdated[0], outdated[1]["code"]) == (409, "policy-edition-outdated")
    assert taken[0] == 200


async def test_an_edition_to_come_can_be_acknowledged_before(
    client: ClientSession, world: World, driver: Driver, clock: Clock
) -> None:
    session = await world.driver_session(driver)
    in_force = await publish(world, ChangeClass.MATERIAL, NOW - timedelta(days=29))

    await read(client, session, driver.device_id, edition=2)
    before = await upload(client, driver.device_token)
    clock.at = in_force
    after = await upload(client, driver.device_token, until=in_force)

    assert (before[0], after[0]) == (200, 200)


async def test_the_storing_statement_counts_acknowledgements(world: World) -> None:
    made = await add_driver(world.vault, world.pool, world.company_id, noticed=False)
    key = (world.company_id, made.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        before = await gates.read(conn, *key)
        await acknowledge(conn, *key, made.device_id)
        after = await gates.read(conn, *key)

    assert after.credential_epoch == before.credential_epoch + 1


async def test_a_company_without_a_device_notice_takes_nothing(
    client: ClientSession, world: World
) -> None:
    await world.owner.execute("SET session_replication_role = replica")
    await world.owner.execute("DELETE FROM policy_edition WHERE document = 'device_notice'")
    await world.owner.execute("RESET session_replication_role")

    assert (await upload(client, world.driver.device_token))[0] == 403


async def test_erasing_forgets_what_the_devices_showed(world: World) -> None:
    await begin_erasing(world, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        erased = await service.erase(conn, world.company_id, world.driver.member_id)

    assert erased == 1
    assert await world.owner.fetchval("SELECT count(*) FROM device_notice") == 0
