"""Devices and API tokens."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.gate import service as gate
from server.kit import db, tokens
from server.kit.ids import uuid7
from server.kit.tokens import Token
from tests.accounts.people import accounts, add, code_of
from tests.http import Clock, bearer
from tests.world import NOW, World, add_driver


def parsed(token: str) -> Token:
    found = tokens.parse(token)
    assert found is not None
    return found


async def listed(client: ClientSession, path: str, token: str) -> list[dict[str, object]]:
    answer = await client.get(path, headers=bearer(token))
    assert answer.status == 200, await answer.text()
    items: list[dict[str, object]] = (await answer.json())["items"]
    return items


async def test_a_device_is_found_by_its_token_until_and_after_it_is_revoked(world: World) -> None:
    async with accounts(world) as client:
        session = await world.driver_session()
        added = await add(client, "/v1/me/devices", session, {"name": "Second phone"})
        digest = parsed(added["token"]).digest
        async with db.tenant(world.pool, world.company_id) as conn:
            before = (await credentials.devices_of_tokens(conn, world.company_id, [digest])).get(
                digest
            )
            epoch = (
                await gate.read(conn, world.company_id, world.driver.member_id)
            ).credential_epoch
        path = f"/v1/me/devices/{added['device_id']}"
        statuses = [(await client.delete(path, headers=bearer(session))).status for _ in range(2)]
        async with db.tenant(world.pool, world.company_id) as conn:
            after = (await credentials.devices_of_tokens(conn, world.company_id, [digest])).get(
                digest
            )
            bumped = (
                await gate.read(conn, world.company_id, world.driver.member_id)
            ).credential_epoch

        assert before is not None
        assert after is not None
        assert (before.device_id, before.member_id) == (
            UUID(added["device_id"]),
            world.driver.member_id,
        )
        assert (before.number, before.revoked, after.revoked) == (1, False, True)
        assert bumped > epoch
        assert statuses == [204, 204]
        items = await listed(client, "/v1/me/devices", session)
        assert [one["name"] for one in items] == ["Pixel", "Second phone"]
        assert [one["revoked_at"] for one in items] == [None, "2026-11-22T12:00:00Z"]


async def test_device_numbers_are_never_given_twice_even_in_a_race(world: World) -> None:
    async with accounts(world) as client:
        session = await world.driver_session()
        added = await asyncio.gather(
            *(add(client, "/v1/me/devices", session, {"name": "P"}) for _ in range(6))
        )
        await client.delete(f"/v1/me/devices/{added[-1]['device_id']}", headers=bearer(session))
        await add(client, "/v1/me/devices", session, {"name": "P"})

    numbers = await world.owner.fetch("SELECT number FROM device ORDER BY number")
    assert [row["number"] for row in numbers] == list(range(8))


async def test_the_last_number_is_the_last_device(world: World) -> None:
    await world.owner.execute("UPDATE device SET number = 254")
    async with accounts(world) as client:
        session = await world.driver_session()
        await add(client, "/v1/me/devices", session, {"name": "P"})
        answer = await client.post("/v1/me/devices", json={"name": "P"}, headers=bearer(session))

        assert await code_of(answer) == (409, "device-numbers-used-up")


@pytest.mark.parametrize("state", ["invited", "blocked", "grace"])
async def test_only_an_active_driver_adds_a_device(world: World, state: str) -> None:
    await world.owner.execute("UPDATE member SET state = $1", state)
    async with accounts(world) as client:
        answer = await client.post(
            "/v1/me/devices", json={"name": "P"}, headers=bearer(await world.driver_session())
        )

        assert await code_of(answer) == (409, "member-state-refused")


async def test_another_drivers_device_is_not_there(world: World) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other")
    async with accounts(world) as client:
        session = bearer(await world.driver_session())
        answers = [
            await client.delete(f"/v1/me/devices/{device_id}", headers=session)
            for device_id in (other.device_id, uuid7())
        ]

        assert [await code_of(answer) for answer in answers] == [(404, "device-not-found")] * 2
        assert len({await answer.read() for answer in answers}) == 1
        assert await world.owner.fetchval("SELECT count(revoked_at) FROM device") == 0


async def test_an_api_token_does_what_its_scopes_say_until_it_ends(world: World) -> None:
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        chief = await world.session("main_user", stepped_up=True)
        ends = NOW + timedelta(hours=1)
        made = await add(
            client,
            "/v1/api-tokens",
            chief,
            {"name": "ERP", "scopes": ["routes:read"], "expires_at": ends.isoformat()},
        )
        keeps = await add(
            client, "/v1/api-tokens", chief, {"name": "TMS", "scopes": ["routes:write"] * 2}
        )

        assert (await client.get("/v1/vehicles", headers=bearer(made["token"]))).status == 200
        answer = await client.get("/v1/vehicles", headers=bearer(keeps["token"]))
        assert await code_of(answer) == (403, "not-permitted")
        answer = await client.get("/v1/me", headers=bearer(made["token"]))
        assert await code_of(answer) == (403, "not-permitted")
        clock.at = ends
        assert (await client.get("/v1/vehicles", headers=bearer(made["token"]))).status == 401
        path = f"/v1/api-tokens/{keeps['api_token_id']}"
        assert (await client.delete(path, headers=bearer(chief))).status == 204
        assert (await client.delete(path, headers=bearer(chief))).status == 204
        vehicle = {"name": "V", "plate": "P"}
        answer = await client.post("/v1/vehicles", json=vehicle, headers=bearer(keeps["token"]))
        assert await code_of(answer) == (401, "not-authenticated")
        items = await listed(client, "/v1/api-tokens", chief)
        assert [one["scopes"] for one in items] == [["routes:read"], ["routes:write"]]
        assert all("token" not in one for one in items)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"scopes": []}, "fields-invalid"),
        ({"scopes": ["all"]}, "fields-invalid"),
        ({"expires_at": "2026-11-22T12:00:00Z"}, "api-token-expiry-past"),
    ],
)
async def test_an_api_token_that_makes_no_sense_is_refused(
    world: World, change: dict[str, object], code: str
) -> None:
    body = {"name": "ERP", "scopes": ["routes:read"], **change}
    async with accounts(world) as client:
        headers = bearer(await world.session("main_user", stepped_up=True))

        assert await code_of(await client.post("/v1/api-tokens", json=body, headers=headers)) == (
            422,
            code,
        )


async def test_only_the_main_user_sees_and_makes_api_tokens(world: World) -> None:
    async with accounts(world) as client:
        for role in ("driver", "dispatcher"):
            headers = bearer(await world.session(role))
            assert (await client.get("/v1/api-tokens", headers=headers)).status == 403
