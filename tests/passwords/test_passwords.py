"""Choosing another password, over real HTTP."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.log_in.attempts import FREE_ATTEMPTS
from server.log_in.web import logging_in
from server.passwords.web import ENDPOINTS
from tests.accounts.people import PASSWORD, join, log_in, token_of
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import bearer, serve
from tests.told import last_entry, told
from tests.world import World

NEW = "seven lanterns over water"


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        ENDPOINTS,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as opened:
        yield opened


async def change(
    client: ClientSession, token: str, new: str = NEW, *, old: str = PASSWORD
) -> tuple[int, Any]:
    body = {"password": old, "new_password": new}
    async with client.post("/v1/me/password", json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json()


async def status_of(client: ClientSession, token: str) -> int:
    async with client.get("/v1/me", headers=bearer(token)) as answer:
        return answer.status


@pytest.mark.proves("relog-service:6.2")
async def test_another_password_ends_every_other_session_and_is_told(
    client: ClientSession, world: World
) -> None:
    added = await join(client, await world.session("dispatcher"))
    here, there = [await token_of(await log_in(client)) for _ in range(2)]

    assert await change(client, here) == (200, {"sessions_ended": 1})

    assert [await status_of(client, one) for one in (here, there)] == [200, 401]
    assert (await log_in(client)).status == 401
    assert (await log_in(client, password=NEW)).status == 200
    driver_id = UUID(added["driver"]["driver_id"])
    changed = ("password_changed", {"changed_at": "2026-11-22T12:00:00Z"})
    assert (await told(world, driver_id))[-1] == changed
    assert await last_entry(world) == ("password_changed", "driver", {})


async def test_without_the_old_password_nothing_changes_and_tries_are_counted(
    client: ClientSession, world: World
) -> None:
    await join(client, await world.session("dispatcher"))
    here, there = [await token_of(await log_in(client)) for _ in range(2)]

    answers = [await change(client, here, old="not my password") for _ in range(FREE_ATTEMPTS + 1)]

    assert {(status, told["code"]) for status, told in answers[:FREE_ATTEMPTS]} == {
        (403, "password-wrong")
    }
    assert (answers[-1][0], answers[-1][1]["code"]) == (429, "too-many-attempts")
    assert [await status_of(client, one) for one in (here, there)] == [200, 200]
    assert (await log_in(client)).status == 200


@pytest.mark.parametrize(
    "easy",
    [
        *("1234567890", "qwertyuiop", "password123", "iloveyou12"),
        # Of the person's own name, phone, e-mail and company.
        *("AigerimCanaryova", "Canaryova2026", "+77011234567", "AralFreight1", "jolda12345"),
    ],
)
async def test_a_password_that_many_or_acquaintances_guess_is_refused(
    client: ClientSession, world: World, easy: str
) -> None:
    await join(client, await world.session("dispatcher"))
    token = await token_of(await log_in(client))

    status, problem = await change(client, token, easy)

    assert (status, problem["code"]) == (422, "password-too-common")
    assert (await log_in(client)).status == 200


async def test_guesses_here_and_at_the_log_in_are_counted_together(
    client: ClientSession, world: World
) -> None:
    """Whoever holds a session has no more guesses at its password than anybody else."""
    company = {"company_id": str(world.company_id)}
    await join(client, await world.session("dispatcher"))
    here = await token_of(await log_in(client))
    for _ in range(FREE_ATTEMPTS // 2):
        assert (await change(client, here, old="not my password"))[0] == 403
        assert (await log_in(client, password="wrong password", **company)).status == 401  # noqa: S106

    assert (await change(client, here))[0] == 429
