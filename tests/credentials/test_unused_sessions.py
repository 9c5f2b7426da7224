"""A session that nobody uses ends, long before its time is over."""

from datetime import timedelta

import asyncpg
import pytest
from aiohttp import ClientSession

from server.credentials import service
from server.credentials.model import UNUSED_LASTS, USE_NOTED_EVERY, NotAuthenticated
from server.kit import db, tokens
from server.kit.db import Connection
from server.log_in.model import SESSION_LASTS
from tests.accounts.people import accounts, join, log_in, token_of
from tests.credentials.test_sessions import listed
from tests.http import Clock, bearer
from tests.world import NOW, World

SECOND = timedelta(seconds=1)


async def logged_in(world: World, client: ClientSession) -> tuple[str, str]:
    """Log a driver in on two phones; return both tokens."""
    await join(client, await world.session("dispatcher"))
    return await token_of(await log_in(client)), await token_of(await log_in(client))


async def status(client: ClientSession, token: str) -> int:
    async with client.get("/v1/me", headers=bearer(token)) as answer:
        return answer.status


async def test_a_session_that_nobody_uses_ends_and_the_others_go_on(world: World) -> None:
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        used, forgotten = await logged_in(world, client)
        clock.at = NOW + UNUSED_LASTS - SECOND
        assert await status(client, used) == 200
        assert len(await listed(client, used)) == 2

        clock.at = NOW + UNUSED_LASTS
        assert [await status(client, one) for one in (used, forgotten)] == [200, 401]
        assert len(await listed(client, used)) == 1
        clock.at = NOW + 2 * UNUSED_LASTS - 2 * SECOND
        assert await status(client, used) == 200
        clock.at = NOW + SESSION_LASTS["bearer"]
        assert await status(client, used) == 401


async def test_control_where_no_use_is_noted_the_used_one_ends_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unnoted(*_: object) -> None:
        pass

    monkeypatch.setattr(service, "note_use", unnoted)
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        used, _ = await logged_in(world, client)
        clock.at = NOW + UNUSED_LASTS - SECOND
        assert await status(client, used) == 200

        clock.at = NOW + UNUSED_LASTS
        assert await status(client, used) == 401


async def test_however_much_it_is_used_it_is_written_to_once_a_day(world: World) -> None:
    used_at = "SELECT max(used_at) FROM session"
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        used, _ = await logged_in(world, client)
        noted = []
        for at in (SECOND, USE_NOTED_EVERY - SECOND, USE_NOTED_EVERY, USE_NOTED_EVERY + SECOND):
            clock.at = NOW + at
            assert await status(client, used) == 200
            noted.append(await world.owner.fetchval(used_at))

    assert noted == [None, None, *[NOW + USE_NOTED_EVERY] * 2]


async def test_what_only_reads_is_answered_where_nothing_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(conn: Connection, *_: object) -> None:
        await conn.execute("SET TRANSACTION READ ONLY")
        await conn.execute("UPDATE session SET used_at = NULL")

    monkeypatch.setattr(service, "note_use", refused)
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        used, _ = await logged_in(world, client)
        clock.at = NOW + USE_NOTED_EVERY

        assert await status(client, used) == 200
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with db.tenant(world.pool, world.company_id) as conn:
            await refused(conn)


async def test_neither_a_screen_nor_a_step_up_goes_on_with_it_and_the_next_log_in_sweeps_it(
    world: World,
) -> None:
    token = tokens.parse(await world.session("main_user"))
    assert token is not None
    await world.owner.execute("UPDATE session SET expires_at = $1", NOW + 2 * UNUSED_LASTS)
    opened_at = await world.owner.fetchval(
        "SELECT created_at FROM session WHERE token_hash = $1", token.digest
    )
    company_id, ended = world.company_id, opened_at + UNUSED_LASTS
    async with db.tenant(world.pool, company_id) as conn:
        for at, found in ((ended - SECOND, True), (ended, False)):
            screens = await service.callers_of_screens(conn, company_id, [token.digest], now=at)
            assert (token.digest in screens) is found
        with pytest.raises(NotAuthenticated):
            await service.step_up(conn, company_id, token.digest, now=ended)
        caller = await service.caller_of_token(conn, token, now=ended - SECOND)
        assert caller is not None
        assert caller.member_id is not None
        assert caller.role is not None
        await service.open_session(
            conn, company_id, caller.member_id, caller.role, lasts=SECOND, now=ended
        )
        left = "SELECT count(*) FROM session WHERE token_hash = $1"
        assert await conn.fetchval(left, token.digest) == 0
