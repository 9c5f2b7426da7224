"""Invitations: once, for seven days, replaced by a newer one."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import pytest

from server.credentials.model import Scope
from server.kit import tokens
from server.kit.ids import uuid7
from server.log_in.passwords import Passwords, PasswordTooCommon
from tests.accounts.people import accept, accounts, add, code_of, new_driver
from tests.http import Clock, bearer
from tests.world import NOW, World


async def test_an_invitation_works_once(world: World) -> None:
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
        code = added["invitation"]["code"]
        answers = await asyncio.gather(*(accept(client, code) for _ in range(6)))

        assert sorted(answer.status for answer in answers) == [200] + [404] * 5
        assert await code_of(await accept(client, code)) == (404, "invitation-not-usable")


async def test_an_invitation_runs_out_after_seven_days(world: World) -> None:
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
        clock.at = NOW + timedelta(days=7)

        assert (await accept(client, added["invitation"]["code"])).status == 404
        clock.at -= timedelta(seconds=1)
        assert (await accept(client, added["invitation"]["code"])).status == 200


async def test_inviting_again_replaces_the_code_until_it_is_accepted(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        added = await add(client, "/v1/drivers", staff, new_driver())
        path = f"/v1/drivers/{added['driver']['driver_id']}/invitation"
        again = await add(client, path, staff, {})

        assert (await accept(client, added["invitation"]["code"])).status == 404
        assert (await accept(client, again["code"])).status == 200
        answer = await client.post(path, headers=bearer(staff))
        assert await code_of(answer) == (409, "member-state-refused")


@pytest.mark.parametrize(
    "code", ["x", "ji_x_y", tokens.mint("ji", uuid7())[0]], ids=["word", "malformed", "unknown"]
)
async def test_a_code_of_nobody_is_not_usable(world: World, code: str) -> None:
    async with accounts(world) as client:
        assert await code_of(await accept(client, code)) == (404, "invitation-not-usable")


async def test_another_token_is_no_invitation(world: World) -> None:
    async with accounts(world) as client:
        session = await world.session("dispatcher")
        added = await add(client, "/v1/drivers", session, new_driver())
        code = added["invitation"]["code"]

        assert (await accept(client, "js" + code[2:])).status == 404
        assert (await client.get("/v1/me", headers=bearer(code))).status == 401
        assert (await client.get("/v1/me", headers=bearer("js" + code[2:]))).status == 401


async def test_a_short_password_is_refused_and_the_code_still_works(world: World) -> None:
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
        code = added["invitation"]["code"]

        assert await code_of(await accept(client, code, password="short")) == (  # noqa: S106
            422,
            "fields-invalid",
        )
        assert (await accept(client, code)).status == 200


@pytest.mark.parametrize(
    "password", ["password12", "1234567890", "qwertyuiop", "P@ssw0rd123", "a" * 128, "77011234567"]
)
async def test_a_password_that_everybody_tries_is_refused_and_the_code_still_works(
    world: World, password: str
) -> None:
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
        code = added["invitation"]["code"]

        refused = await accept(client, code, password=password)

        assert await code_of(refused) == (422, "password-too-common")
        assert (await accept(client, code)).status == 200


async def test_the_longest_and_strangest_password_is_looked_at_quickly() -> None:
    passwords = Passwords()
    started = monotonic()
    for password in ("@4631!|0$5+7%2" * 9, "4@$$w0rd" * 16, "1qaz" * 32, "aB3$" * 32):
        with suppress(PasswordTooCommon):
            await passwords.hash(password[:128])
    passwords.close()

    assert monotonic() - started < 4


async def test_an_integration_never_gets_an_invitation(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("main_user", stepped_up=True)
        added = await add(client, "/v1/drivers", staff, new_driver())
        scopes = [scope.value for scope in Scope]
        made = await add(client, "/v1/api-tokens", staff, {"name": "TMS", "scopes": scopes})
        headers = bearer(made["token"])

        again = f"/v1/drivers/{added['driver']['driver_id']}/invitation"
        other = new_driver(phone="87010000001")
        assert (await client.post("/v1/drivers", json=other, headers=headers)).status == 403
        assert (await client.post(again, headers=headers)).status == 403
