"""Who sees which request, and who has no say."""

import pytest
from aiohttp import ClientSession

from server.kit.ids import uuid7
from tests.consent.people import new_driver
from tests.erasure.calls import ask, call, cancel, decide
from tests.world import Driver, World, add_company, open_session


@pytest.mark.proves("gocargo:use-of-the-site-other-users")
async def test_a_driver_asks_for_nobody_else_and_sees_nobody_elses(
    world: World, client: ClientSession, driver: Driver
) -> None:
    stranger = await world.driver_session(await new_driver(world))
    status, problem = await call(
        client, stranger, "POST", "/v1/erasure-requests", {"driver_id": str(driver.member_id)}
    )
    assert (status, problem["code"]) == (404, "driver-not-found")

    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    path = f"/v1/erasure-requests/{asked['request_id']}"
    assert (await call(client, stranger, "GET", path))[0] == 404
    assert (await cancel(client, stranger, asked))[0] == 404
    assert (await decide(client, stranger, asked, "approve"))[0] == 403
    assert (await decide(client, session, asked, "approve"))[0] == 403
    assert (await call(client, stranger, "GET", "/v1/erasure-requests"))[1]["items"] == []
    _, page = await call(client, session, "GET", "/v1/erasure-requests")
    assert [one["request_id"] for one in page["items"]] == [asked["request_id"]]
    assert (await call(client, session, "GET", path))[1] == page["items"][0]


@pytest.mark.proves("relog-driver-manager-apps:5.2")
async def test_devices_and_other_companies_have_no_say(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.session("dispatcher"), driver)
    elsewhere = await add_company(world.vault, world.owner)
    other = World(
        vault=world.vault,
        pool=world.pool,
        owner=world.owner,
        company_id=elsewhere,
        driver=world.driver,
    )
    foreigner = await other.session("main_user")

    assert (await decide(client, foreigner, asked, "approve"))[0] == 404
    assert (await cancel(client, foreigner, asked))[0] == 404
    body = {"driver_id": str(world.driver.member_id)}
    assert (await call(client, foreigner, "POST", "/v1/erasure-requests", body))[0] == 404
    assert (await call(client, foreigner, "GET", "/v1/erasure-requests"))[1]["items"] == []
    token = driver.device_token
    body = {"driver_id": str(driver.member_id)}
    assert (await call(client, token, "POST", "/v1/erasure-requests", body))[0] == 403


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_only_drivers_can_be_erased_here(
    world: World, client: ClientSession, role: str
) -> None:
    staff = await world.session("main_user")
    colleague = await world.owner.fetchval("SELECT member_id FROM member WHERE role = 'main_user'")

    for member_id in (colleague, uuid7()):
        body = {"driver_id": str(member_id)}
        token = staff if role == "main_user" else await world.session(role)
        status, problem = await call(client, token, "POST", "/v1/erasure-requests", body)
        assert (status, problem["code"]) == (404, "driver-not-found")


async def test_requests_are_listed_by_state_and_in_pages(
    world: World, client: ClientSession, driver: Driver
) -> None:
    dispatcher = await world.session("dispatcher")
    in_grace = await ask(client, dispatcher, driver)
    others = [await new_driver(world) for _ in range(2)]
    for one in others:
        session = await open_session(world.pool, world.company_id, one.member_id)
        await ask(client, session, one)

    _, page = await call(client, dispatcher, "GET", "/v1/erasure-requests?state=grace")
    assert [one["request_id"] for one in page["items"]] == [in_grace["request_id"]]
    _, first = await call(client, dispatcher, "GET", "/v1/erasure-requests?limit=2")
    assert (len(first["items"]), first["next_cursor"] is None) == (2, False)
    _, second = await call(
        client, dispatcher, "GET", f"/v1/erasure-requests?limit=2&cursor={first['next_cursor']}"
    )
    assert (len(second["items"]), second["next_cursor"]) == (1, None)
    assert (await call(client, dispatcher, "GET", "/v1/erasure-requests?state=done"))[0] == 422
    assert (await call(client, dispatcher, "GET", f"/v1/erasure-requests/{uuid7()}"))[0] == 404
