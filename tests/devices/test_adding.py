"""A device that is added is told of, so that one the driver does not know is noticed."""

from server.devices.web import ENDPOINTS
from server.kit.wire import rfc3339
from tests.http import bearer, serve
from tests.told import told
from tests.world import NOW, World


async def test_a_device_that_is_added_is_told_of(world: World) -> None:
    session = bearer(await world.driver_session())
    async with serve(world, ENDPOINTS) as client:
        answer = await client.post("/v1/me/devices", json={"name": "New"}, headers=session)

    assert answer.status == 201
    assert await told(world, world.driver.member_id) == [
        ("device_added", {"added_at": rfc3339(NOW)})
    ]


async def test_one_that_is_refused_is_not(world: World) -> None:
    session = bearer(await world.driver_session())
    await world.owner.execute("UPDATE member SET state = 'blocked'")
    async with serve(world, ENDPOINTS) as client:
        answer = await client.post("/v1/me/devices", json={"name": "New"}, headers=session)

    assert answer.status == 409
    assert await told(world, world.driver.member_id) == []
