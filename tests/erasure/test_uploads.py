"""The phone of a driver whose erasure was asked for: refused at once, before and after the job."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.erasure import saga, web
from server.erasure_decisions import web as decisions
from server.kit.wire import rfc3339
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.consent.people import ALL, new_driver
from tests.consents import body
from tests.endpoints import CONSENT, TRACKING
from tests.erasure.calls import decide
from tests.http import bearer, serve
from tests.world import NOW, Driver, World


@pytest.fixture
async def client(world: World, databases: Databases) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        web.ENDPOINTS,
        decisions.ENDPOINTS,
        CONSENT,
        TRACKING,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as client:
        yield client


async def upload(client: ClientSession, driver: Driver, minute: int) -> tuple[int, Any]:
    at = NOW - timedelta(minutes=minute)
    body = {"positions": [{"recorded_at": rfc3339(at), "lat": 43.2, "lon": 76.9}]}
    answer = await client.post("/v1/positions", json=body, headers=bearer(driver.device_token))
    return answer.status, await answer.json()


async def ask(client: ClientSession, token: str, driver: Driver) -> None:
    body = {"driver_id": str(driver.member_id)}
    answer = await client.post("/v1/erasure-requests", json=body, headers=bearer(token))
    assert answer.status == 201


async def chunks(world: World) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM chunk")
    return count


@pytest.mark.parametrize("by", ["driver", "dispatcher"])
async def test_from_the_request_on_nothing_is_stored_of_this_driver_and_all_of_the_others(
    world: World, client: ClientSession, by: str
) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
    driver = await new_driver(world, *ALL, on_shift=True)
    other = await new_driver(world, *ALL, on_shift=True)
    assert (await upload(client, driver, 5))[1]["accepted"] == 1
    token = await (world.driver_session(driver) if by == "driver" else world.session(by))

    await ask(client, token, driver)

    status, refused = await upload(client, driver, 4)
    assert (status, refused["accepted"]) == (200, 0)
    assert (refused["collect"], refused["purge"]) == (False, True)
    assert (await upload(client, other, 4))[1]["accepted"] == 1
    assert await chunks(world) == 2


async def test_once_erasing_began_the_phone_is_not_known_any_more(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    assert (await upload(client, driver, 5))[1]["accepted"] == 1

    await ask(client, await world.session("dispatcher"), driver)

    assert (await upload(client, driver, 4))[0] == 401
    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 1
    assert (await upload(client, driver, 3))[0] == 401
    assert await chunks(world) == 0


async def test_blocking_and_unblocking_does_not_get_round_the_drivers_own_request(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    person, staff = await world.driver_session(driver), await world.session("dispatcher")

    async def act(name: str, body: object = None) -> tuple[int, Any]:
        answer = await client.post(
            f"/v1/drivers/{driver.member_id}/{name}", json=body, headers=bearer(staff)
        )
        return answer.status, await answer.json()

    await ask(client, person, driver)
    assert (await act("block", {"reason_code": "other"}))[0] == 200

    status, problem = await act("unblock")

    assert (status, problem["code"]) == (409, "erasure-under-way")
    given = await client.post("/v1/me/consents", json=body("location"), headers=bearer(person))
    assert given.status == 409
    status, refused = await upload(client, driver, 4)
    assert (status, refused["accepted"], await chunks(world)) == (200, 0, 0)

    requests = await client.get("/v1/erasure-requests", headers=bearer(staff))
    request_id = (await requests.json())["items"][0]["request_id"]
    asked = {"request_id": request_id}
    assert (await decide(client, staff, asked, "refuse", "legal_claim"))[0] == 200
    assert (await act("unblock"))[0] == 200
