"""A password that is exchanged while somebody proves the old one: it opens and changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from server.accounts import acts
from server.log_in.passwords import Passwords
from server.log_in.web import PASSWORDS, logging_in
from server.passwords import proof
from server.passwords.web import ENDPOINTS
from tests.accounts.people import PASSWORD, code_of, join, log_in, token_of
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import serve
from tests.passwords.test_passwords import NEW, change, status_of
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import World

OTHER = "nine herons by the reservoir"


class Interrupted(Passwords):
    """Lets something happen once, right after a password was found to be right."""

    then: Callable[[], Awaitable[Any]] | None = None

    async def verify(self, password: str, password_hash: str | None) -> bool:
        right = await super().verify(password, password_hash)
        if right and self.then is not None:
            happens, self.then = self.then, None
            await happens()
        return right


@pytest.fixture
async def passwords() -> AsyncIterator[Interrupted]:
    made = Interrupted()
    yield made
    made.close()


@pytest.fixture
async def client(world: World, passwords: Interrupted) -> AsyncIterator[ClientSession]:
    async def interrupted(app: web.Application) -> AsyncIterator[None]:
        plain, app[PASSWORDS] = app[PASSWORDS], passwords
        yield
        plain.close()

    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        ENDPOINTS,
        prepare=lambda app: app.cleanup_ctx.extend([logging_in, interrupted]),
    ) as opened:
        yield opened


async def raced(client: ClientSession, world: World, passwords: Interrupted) -> int:
    """Log in with the old password while the person chooses another; return the answer's status."""
    await join(client, await world.session("dispatcher"))
    here = await token_of(await log_in(client))
    changed = []

    async def changes() -> None:
        changed.append(await change(client, here))

    passwords.then = changes
    answer = await log_in(client)
    assert changed == [(200, {"sessions_ended": 0})]
    assert await status_of(client, here) == 200
    return answer.status


async def sessions(world: World) -> int:
    return int(
        await world.owner.fetchval(
            "SELECT count(*) FROM session s JOIN member m USING (company_id, member_id)"
            " WHERE m.role = 'driver' AND m.password_hash IS NOT NULL"
        )
    )


async def test_a_log_in_with_the_old_password_leaves_no_session(
    client: ClientSession, world: World, passwords: Interrupted
) -> None:
    assert await raced(client, world, passwords) == 401

    assert await sessions(world) == 1
    assert (await log_in(client, password=NEW)).status == 200


async def test_control_without_looking_again_the_old_password_opens_one(
    client: ClientSession, world: World, passwords: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven: list[str | None] = []
    looked_up = acts.password_hash

    async def as_it_was(*args: Any) -> str | None:
        proven.append(await looked_up(*args))
        return proven[0]

    monkeypatch.setattr(acts, "password_hash", as_it_was)

    assert await raced(client, world, passwords) == 200
    assert await sessions(world) == 2


async def test_a_log_in_waits_for_a_change_that_is_under_way(
    client: ClientSession, world: World
) -> None:
    await join(client, await world.session("dispatcher"))
    async with world.owner.transaction():
        await world.owner.execute(
            "UPDATE member SET password_hash = 'another' WHERE password_hash IS NOT NULL"
        )
        late = asyncio.create_task(log_in(client))
        await until_somebody_waits_for(world.owner, A_ROW)

    assert await code_of(await late) == (401, "login-failed")
    assert await sessions(world) == 0


async def twice(client: ClientSession, world: World, passwords: Interrupted) -> int:
    """Change a password from two sessions at once; return the later one's status."""
    await join(client, await world.session("dispatcher"))
    here, there = [await token_of(await log_in(client)) for _ in range(2)]

    async def changes() -> None:
        assert await change(client, here) == (200, {"sessions_ended": 1})

    passwords.then = changes
    status, _ = await change(client, there, OTHER)
    return status


async def test_of_two_changes_at_once_the_later_one_is_refused(
    client: ClientSession, world: World, passwords: Interrupted
) -> None:
    """Whoever knows the old password must not take back what its owner has just done."""
    assert await twice(client, world, passwords) == 403

    assert (await log_in(client, password=NEW)).status == 200
    assert {(await log_in(client, password=one)).status for one in (PASSWORD, OTHER)} == {401}


async def test_control_without_looking_again_the_later_one_wins(
    client: ClientSession, world: World, passwords: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        pass

    monkeypatch.setattr(proof, "refuse_if_changed", never)

    assert await twice(client, world, passwords) == 200
    assert (await log_in(client, password=OTHER)).status == 200
