"""The phone's own switch: off stops at once, and nobody but the driver goes on."""

from typing import Any

import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentAct, LocationScope, LocationTerms
from server.devices.web import ENDPOINTS as DEVICES
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.ledger.model import Act
from server.shifts.web import ENDPOINTS as SHIFTS
from server.uploads import web as uploads
from tests import consents
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import bearer, serve
from tests.uploading import positions
from tests.world import NOW, World


@pytest.fixture
async def client(world: World, databases: Databases) -> Any:
    async with serve(
        world,
        SHIFTS,
        DEVICES,
        TRACKING,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as opened:
        yield opened


async def post(
    client: ClientSession, path: str, token: str, body: object = None
) -> tuple[int, Any]:
    async with client.post(path, json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json(content_type=None)


async def switch(client: ClientSession, world: World, state: str) -> Any:
    token = world.driver.device_token
    status, answer = await post(client, "/v1/device/permission", token, {"state": state})
    assert status == 200, answer
    return answer


async def in_window(world: World) -> bool:
    async with db.tenant(world.pool, world.company_id) as conn:
        return world.driver.member_id in await gates.drivers_in_a_window(
            conn, world.company_id, NOW
        )


async def denials(world: World) -> int:
    count: int = await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE act = $1", Act.PERMISSION_DENIED.value
    )
    return count


@pytest.mark.proves("relog-driver-app:3.2-device-switch", "kargo.az:choice-device-location")
async def test_denied_pauses_at_once(client: ClientSession, world: World) -> None:
    answer = await switch(client, world, "denied")

    assert (answer["state"], answer["shift"]) == ("denied", "paused")
    assert not await in_window(world)
    _, told = await post(
        client, "/v1/positions", world.driver.device_token, {"positions": positions(1)}
    )
    assert told["collect"] is False
    assert [one["reason"] for one in told["refused"]] == ["outside_window"]


@pytest.mark.proves("relog-driver-app:3.2-device-switch", "kargo.az:choice-device-location")
async def test_granted_again_starts_nothing_and_only_the_driver_resumes(
    client: ClientSession, world: World
) -> None:
    await switch(client, world, "denied")

    answer = await switch(client, world, "granted")
    staff = await world.session("main_user")
    by_staff = [
        (await post(client, f"/v1/me/shift/{act}", staff))[0] for act in ("resume", "start")
    ]

    assert answer["shift"] == "paused"
    assert by_staff == [403, 403]
    assert not await in_window(world)
    status, shift = await post(client, "/v1/me/shift/resume", await world.driver_session())
    assert (status, shift["state"]) == (200, "on")
    assert await in_window(world)


async def test_told_again_it_is_one_entry_in_the_ledger(
    client: ClientSession, world: World
) -> None:
    for state in ("denied", "denied", "granted", "granted"):
        await switch(client, world, state)
    assert await denials(world) == 1

    await switch(client, world, "denied")
    assert await denials(world) == 2


async def test_off_shift_it_is_only_written_down(client: ClientSession, world: World) -> None:
    await post(client, "/v1/me/shift/end", await world.driver_session())

    answer = await switch(client, world, "denied")

    assert answer["shift"] == "off"
    assert await denials(world) == 1


async def test_with_the_scope_always_it_stops_off_shift_too(
    client: ClientSession, world: World
) -> None:
    key = (world.company_id, world.driver.member_id)
    terms = LocationTerms(scope=LocationScope.ALWAYS)
    async with gates.stopping(world.pool, *key, now=NOW) as conn:
        await consents.answer(conn, *key, GateItem.LOCATION, ConsentAct.GIVE, now=NOW, terms=terms)
    await post(client, "/v1/me/shift/end", await world.driver_session())
    assert await in_window(world)

    await switch(client, world, "denied")

    assert not await in_window(world)


async def test_only_a_device_tells_it(client: ClientSession, world: World) -> None:
    for role in ("driver", "dispatcher", "main_user"):
        session = await world.session(role) if role != "driver" else await world.driver_session()
        status, _ = await post(client, "/v1/device/permission", session, {"state": "denied"})
        assert status == 403

    assert await in_window(world)


@pytest.mark.parametrize("body", [{}, {"state": "off"}, {"state": "denied", "device_id": "x"}])
async def test_a_body_that_does_not_fit_changes_nothing(
    client: ClientSession, world: World, body: object
) -> None:
    status, _ = await post(client, "/v1/device/permission", world.driver.device_token, body)

    assert status == 422
    assert await in_window(world)
