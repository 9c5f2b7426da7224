"""Whoever's password is guessed at is told, and who guesses does not learn whether anybody is."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from server.devices.web import ENDPOINTS as DEVICES
from server.log_in.attempts import FREE_ATTEMPTS
from server.log_in.telling import AT_ONCE_MAX, Telling
from server.log_in.web import TELLING, logging_in
from server.notice_kinds.kinds import NoticeKind
from tests.accounts.people import PHONE, join, log_in
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import serve
from tests.world import NOW, World

NOBODYS = "87019999999"


@pytest.fixture
async def apps() -> list[web.Application]:
    return []


@pytest.fixture
async def client(world: World, apps: list[web.Application]) -> AsyncIterator[ClientSession]:
    def prepare(app: web.Application) -> None:
        app.cleanup_ctx.append(logging_in)
        apps.append(app)

    async with serve(world, ACCOUNTS, ATTESTATIONS, DEVICES, prepare=prepare) as opened:
        await join(opened, await world.session("dispatcher"))
        yield opened


async def guess(client: ClientSession, login: str, times: int) -> None:
    for _ in range(times):
        answer = await log_in(client, login, password="wrong password")  # noqa: S106 - of nobody
        assert answer.status == 401


async def told(world: World) -> list[str]:
    rows = await world.owner.fetch(
        "SELECT member_id FROM notice WHERE kind = $1", NoticeKind.LOG_INS_FAILED
    )
    return [str(row["member_id"]) for row in rows]


async def test_after_many_wrong_passwords_the_person_is_told_once(
    world: World, client: ClientSession, apps: list[web.Application]
) -> None:
    await guess(client, PHONE, FREE_ATTEMPTS - 1)
    await apps[0][TELLING].told()
    assert await told(world) == []
    await guess(client, PHONE, 1)
    await apps[0][TELLING].told()
    found = await told(world)

    hashes = [*(await world.owner.fetch("SELECT phone_hash FROM member WHERE phone_hash <> ''"))]
    member_id = await world.owner.fetchval("SELECT member_id FROM member WHERE phone_hash <> ''")
    assert found == [str(member_id)]
    # Another process counts to as many: the same day it is not told again.
    apps[0][TELLING].guessed(world.company_id, hashes[0]["phone_hash"], NOW)
    await apps[0][TELLING].told()
    assert len(await told(world)) == 1


async def test_nobody_is_told_of_a_login_that_nobody_has(
    world: World, client: ClientSession, apps: list[web.Application]
) -> None:
    await guess(client, NOBODYS, FREE_ATTEMPTS)
    await apps[0][TELLING].told()

    assert await told(world) == []


async def test_so_many_are_told_at_once_and_no_more(world: World) -> None:
    telling = Telling(world.pool)
    for _ in range(AT_ONCE_MAX + 5):
        telling.guessed(None, b"", NOW)

    assert len(telling._tasks) == AT_ONCE_MAX  # noqa: SLF001 - memory is not seen from outside
    await telling.close()
