"""Proving again who is at a session, over real HTTP."""

from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from server.app import ENDPOINTS
from server.credentials import service as credentials
from server.credentials.access import Access, after_step_up, staff
from server.credentials.model import STEP_UP_LASTS, Caller, NotAuthenticated, Scope, StepUpNeeded
from server.kit import db, tokens
from server.log_in.attempts import FREE_ATTEMPTS
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    accept,
    accounts,
    add,
    code_of,
    join,
    log_in,
    new_staff,
    token_of,
)
from tests.http import Clock, bearer
from tests.world import NOW, World

STEP_UP: Final = "/v1/sessions/step-up"
TOKEN: Final = {"name": "ERP", "scopes": ["routes:read"]}
WRONG: Final = "wrong password"


async def chief(world: World, client: ClientSession) -> str:
    """Let a main user with a password join; return the token of their session."""
    by = await world.session("main_user", stepped_up=True)
    added = await add(client, "/v1/members", by, new_staff(role="main_user"))
    await accept(client, added["invitation"]["code"])
    return await token_of(await log_in(client, EMAIL))


async def step_up(client: ClientSession, token: str, password: str = PASSWORD) -> Any:
    return await client.post(STEP_UP, json={"password": password}, headers=bearer(token))


async def make(client: ClientSession, token: str, body: object = None) -> Any:
    """Ask for what gives new rights."""
    return await client.post("/v1/api-tokens", json=body or TOKEN, headers=bearer(token))


async def test_the_password_typed_again_counts_for_ten_minutes_and_no_longer(world: World) -> None:
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        token = await chief(world, client)

        assert await code_of(await make(client, token)) == (403, "step-up-needed")
        proven = await step_up(client, token)
        until = "2026-11-22T12:10:00Z"
        assert (proven.status, await proven.json()) == (200, {"stepped_up_until": until})
        seen = await (await client.get("/v1/session", headers=bearer(token))).json()
        assert seen["stepped_up_until"] == until
        clock.at = NOW + STEP_UP_LASTS - timedelta(seconds=1)
        assert (await make(client, token)).status == 201
        clock.at = NOW + STEP_UP_LASTS
        assert await code_of(await make(client, token)) == (403, "step-up-needed")


async def test_it_counts_for_the_one_session_only(world: World) -> None:
    async with accounts(world) as client:
        first = await chief(world, client)
        second = await token_of(await log_in(client, EMAIL))

        assert (await step_up(client, first)).status == 200

        assert (await make(client, first)).status == 201
        assert await code_of(await make(client, second)) == (403, "step-up-needed")


async def test_the_refusal_tells_nothing_of_what_was_asked(world: World) -> None:
    async with accounts(world) as client:
        token = await chief(world, client)
        bodies: tuple[object, ...] = (TOKEN, {"name": "ERP", "scopes": []}, {"nonsense": 1}, [])
        answers = [await make(client, token, body) for body in bodies]

        assert {answer.status for answer in answers} == {403}
        assert len({await answer.read() for answer in answers}) == 1


async def test_a_wrong_password_ends_no_session_and_proves_nothing(world: World) -> None:
    async with accounts(world) as client:
        token = await chief(world, client)
        refused = await step_up(client, token, WRONG)
        at_log_in = await log_in(client, EMAIL, password=WRONG)

        assert await code_of(refused) == (401, "login-failed")
        assert await refused.read() == await at_log_in.read()
        assert (await client.get("/v1/session", headers=bearer(token))).status == 200
        assert await code_of(await make(client, token)) == (403, "step-up-needed")


async def test_guesses_here_and_at_the_log_in_are_counted_together(world: World) -> None:
    """Whoever holds a session has no more guesses at its password than anybody else."""
    company = {"company_id": str(world.company_id)}
    async with accounts(world) as client:
        token = await chief(world, client)
        for _ in range(FREE_ATTEMPTS // 2):
            assert (await step_up(client, token, WRONG)).status == 401
            assert (await log_in(client, EMAIL, password=WRONG, **company)).status == 401

        assert await code_of(await step_up(client, token)) == (429, "too-many-attempts")


async def test_the_right_password_forgives_the_wrong_ones(world: World) -> None:
    async with accounts(world) as client:
        token = await chief(world, client)
        for _ in range(3):
            for _ in range(FREE_ATTEMPTS - 1):
                assert (await step_up(client, token, WRONG)).status == 401
            assert (await step_up(client, token)).status == 200


async def test_whoever_has_no_password_proves_nothing(world: World) -> None:
    async with accounts(world) as client:
        token = await world.session("main_user")
        statuses = [(await step_up(client, token)).status for _ in range(FREE_ATTEMPTS + 1)]

    assert statuses == [401] * FREE_ATTEMPTS + [429]


async def test_a_blocked_driver_proves_who_they_are_as_before(world: World) -> None:
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        token = await token_of(await log_in(client))
        await world.owner.execute("UPDATE member SET state = 'blocked'")

        assert (await step_up(client, token)).status == 200


async def test_neither_a_device_nor_an_integration_can_be_proven(world: World) -> None:
    async with accounts(world) as client:
        by = await world.session("main_user", stepped_up=True)
        made = await add(client, "/v1/api-tokens", by, TOKEN)
        for token in (world.driver.device_token, made["token"]):
            assert await code_of(await step_up(client, token)) == (403, "not-permitted")

    access = after_step_up(staff(Scope.ROUTES_READ))
    every_scope = Caller(company_id=world.company_id, scopes=frozenset(Scope))
    assert not access.permits(every_scope)
    assert access.words() == "dispatcher, main_user, after a step-up log-in"


async def test_a_session_that_ended_meanwhile_is_not_proven(world: World) -> None:
    token = tokens.parse(await world.session("main_user"))
    assert token is not None
    async with db.tenant(world.pool, world.company_id) as conn:
        await credentials.close_session(conn, world.company_id, token.digest)

        with pytest.raises(NotAuthenticated):
            await credentials.step_up(conn, world.company_id, token.digest, now=NOW)


def test_each_endpoint_that_asks_for_it_says_so() -> None:
    asking = [one for one in ENDPOINTS if isinstance(one.access, Access) and one.access.step_up]

    assert {one.name for one in asking} >= {"add_member", "add_api_token"}
    assert [one.name for one in asking if StepUpNeeded not in one.raises] == []
