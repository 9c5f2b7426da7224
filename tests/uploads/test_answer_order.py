"""The shortcut and aiohttp's own task answer one connection: never at once, never out of turn."""

import asyncio
from typing import Any, Final

import pytest

from server.gate import service as gates
from server.kit import db
from server.kit.http_connection import Connection
from server.kit.http_direct import DirectConnection
from tests.conftest import Databases
from tests.uploading import Api, positions, uploading
from tests.uploads.raw_phone import RawPhone, chunked, numbered, raw_phone, request
from tests.uploads.test_pipelining import ENDS_S, GARBAGE, HELD_S, device, until_closed
from tests.world import World, add_driver

UNKNOWN: Final = b"GET /v1/nothing HTTP/1.1\r\nHost: jolda.test\r\n\r\n"


async def behind_an_ordinary(api: Api) -> list[int]:
    """Return the statuses of an ordinary upload, a usual one whose gate is locked, and garbage."""
    world = api.world
    other = await add_driver(world.vault, world.pool, world.company_id)
    await api.upload(positions(1))
    await api.upload(positions(1), driver=other)
    key = (world.company_id, world.driver.member_id)
    async with raw_phone(api.address) as phone:
        async with db.tenant(world.pool, world.company_id) as conn:
            await gates.lock(conn, world.company_id, other.member_id)
            async with db.tenant(world.pool, world.company_id) as first:
                await gates.lock(first, *key)
                usual = request(other.device_token, numbered(3))
                await phone.send(chunked(device(api), numbered(1)) + usual)
                await asyncio.sleep(0.1)
                await phone.send(GARBAGE)
                await asyncio.sleep(0.1)
            await asyncio.sleep(HELD_S)
        return [one.status for one in await until_closed(phone)]


async def test_garbage_is_answered_after_the_upload_that_came_before_it(api: Api) -> None:
    assert await behind_an_ordinary(api) == [200, 200, 400]


async def test_control_garbage_that_waits_for_nobody_overtakes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_self: DirectConnection) -> None:
        pass

    monkeypatch.setattr(DirectConnection, "_my_turn", at_once)

    assert await behind_an_ordinary(api) != [200, 200, 400]


async def stopped_meanwhile(world: World, databases: Databases, before: bytes) -> list[int]:
    """Return the statuses of what was asked when the server stops, an upload at its gate last."""
    async with uploading(world, databases) as api:
        await api.upload(positions(1))
        reader, writer = await asyncio.open_connection(api.address.host, api.address.port)
        phone = RawPhone(reader, writer)
        locked = db.tenant(world.pool, world.company_id)
        conn = await locked.__aenter__()
        await gates.lock(conn, world.company_id, world.driver.member_id)
        await phone.send(before + request(device(api), numbered(3)))
        await asyncio.sleep(HELD_S)
        answers = asyncio.create_task(until_closed(phone))

        async def unlock() -> None:
            await asyncio.sleep(HELD_S)
            await locked.__aexit__(None, None, None)

        unlocking = asyncio.create_task(unlock())
    await unlocking
    try:
        async with asyncio.timeout(ENDS_S):
            return [one.status for one in await answers]
    finally:
        phone.abort()


@pytest.mark.parametrize("before", [b"", UNKNOWN], ids=["alone", "behind an ordinary request"])
async def test_a_server_that_stops_answers_the_upload_it_has_begun(
    world: World, databases: Databases, before: bytes
) -> None:
    statuses = await stopped_meanwhile(world, databases, before)

    assert statuses == ([404, 200] if before else [200])


async def test_control_an_upload_begun_too_early_behind_an_ordinary_request_is_not_answered(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_early(self: DirectConnection, *args: Any) -> Any:
        written = await Connection.finish_response(self, *args)
        self._ordinary = False
        self._pass_on()
        return written

    monkeypatch.setattr(DirectConnection, "finish_response", too_early)

    assert await stopped_meanwhile(world, databases, UNKNOWN) != [404, 200]
