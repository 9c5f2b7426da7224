"""One's own log-ins: seen, and ended one by one or all others at once."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from tests.accounts.people import PASSWORD, accounts, code_of, join, log_in, token_of
from tests.http import bearer
from tests.world import NOW, World, add_member, open_session, step_up

SESSIONS = "/v1/me/sessions"


async def listed(client: ClientSession, token: str) -> list[dict[str, Any]]:
    answer = await client.get(SESSIONS, headers=bearer(token))
    assert answer.status == 200, await answer.text()
    items: list[dict[str, Any]] = (await answer.json())["items"]
    return items


async def prove(client: ClientSession, token: str) -> None:
    asked = {"password": PASSWORD}
    answer = await client.post("/v1/sessions/step-up", json=asked, headers=bearer(token))
    assert answer.status == 200


async def statuses(client: ClientSession, tokens: list[str]) -> list[int]:
    return [(await client.get("/v1/me", headers=bearer(one))).status for one in tokens]


@pytest.fixture
async def client(world: World) -> Any:
    async with accounts(world) as opened:
        yield opened


@pytest.fixture
async def tokens(world: World, client: ClientSession) -> list[str]:
    """Three log-ins of one driver."""
    await join(client, await world.session("dispatcher"))
    return [await token_of(await log_in(client)) for _ in range(3)]


async def test_one_sees_the_own_sessions_that_are_open_and_which_is_this(
    world: World, client: ClientSession, tokens: list[str]
) -> None:
    await world.owner.execute("UPDATE session SET expires_at = $1 WHERE created_at < $1", NOW)
    items = await listed(client, tokens[1])

    assert len(items) == 3
    assert [one["current"] for one in items].count(True) == 1
    assert {one["expires_at"] for one in items} == {"2026-12-22T12:00:00Z"}
    assert set(items[0]) == {"session_id", "created_at", "expires_at", "current"}


async def test_what_names_a_session_is_no_part_of_what_proves_it(
    world: World, client: ClientSession, tokens: list[str]
) -> None:
    digests = [row[0].hex() for row in await world.owner.fetch("SELECT token_hash FROM session")]

    for one in await listed(client, tokens[0]):
        assert not any(UUID(one["session_id"]).hex[:8] in digest for digest in digests)


async def test_one_session_is_ended_after_a_step_up_and_the_others_go_on(
    client: ClientSession, tokens: list[str]
) -> None:
    mine, ended = tokens[0], tokens[2]
    [other] = [one for one in await listed(client, ended) if one["current"]]
    path = f"{SESSIONS}/{other['session_id']}"
    refused = await client.delete(path, headers=bearer(mine))
    assert await code_of(refused) == (403, "step-up-needed")
    await prove(client, mine)

    assert (await client.delete(path, headers=bearer(mine))).status == 204

    assert await statuses(client, tokens) == [200, 200, 401]
    again = await client.delete(path, headers=bearer(mine))
    assert await code_of(again) == (404, "session-not-found")


async def test_all_others_are_ended_at_once(client: ClientSession, tokens: list[str]) -> None:
    await prove(client, tokens[1])

    answer = await client.delete(SESSIONS, headers=bearer(tokens[1]))

    assert (answer.status, await answer.json()) == (200, {"ended": 2})
    assert await statuses(client, tokens) == [401, 200, 401]


async def test_another_members_session_is_not_there(
    world: World, client: ClientSession, tokens: list[str]
) -> None:
    other = await step_up(world.pool, await world.session("main_user"))
    theirs = (await listed(client, tokens[0]))[0]["session_id"]
    answers = [
        await client.delete(f"{SESSIONS}/{one}", headers=bearer(other)) for one in (theirs, uuid4())
    ]

    assert [answer.status for answer in answers] == [404, 404]
    assert len({await answer.read() for answer in answers}) == 1
    assert await statuses(client, tokens) == [200, 200, 200]


async def test_a_main_user_logs_a_member_out_everywhere(
    world: World, client: ClientSession
) -> None:
    member = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    tokens = [await open_session(world.pool, world.company_id, member) for _ in range(2)]
    path = f"/v1/members/{member}/sessions"
    chief = await world.session("main_user")
    assert await code_of(await client.delete(path, headers=bearer(tokens[0]))) == (
        403,
        "not-permitted",
    )
    assert await code_of(await client.delete(path, headers=bearer(chief))) == (
        403,
        "step-up-needed",
    )
    await step_up(world.pool, chief)

    answer = await client.delete(path, headers=bearer(chief))

    assert (answer.status, await answer.json()) == (200, {"ended": 2})
    assert await statuses(client, [*tokens, chief]) == [401, 401, 200]
    acts = await world.owner.fetch("SELECT facts FROM ledger_entry WHERE act = 'sessions_ended'")
    assert [row["facts"] for row in acts] == ['{"ended":2}']
    nobody = await client.delete(f"/v1/members/{uuid4()}/sessions", headers=bearer(chief))
    assert await code_of(nobody) == (404, "member-not-found")
