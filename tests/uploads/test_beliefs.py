"""What a process believes of devices is read seldom, once for all who wait, and again in time."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from server.credentials.model import NotAuthenticated
from server.deposits import committer
from server.gate import service as gates
from server.kit import db, tokens
from server.kit.tokens import Token
from server.uploads import beliefs as beliefs_module
from server.uploads import service
from server.uploads.beliefs import BELIEVED_S_MIN, RULES_S_MAX, Beliefs
from server.uploads.wire import parse_upload
from tests.conftest import Databases
from tests.uploading import positions
from tests.world import NOW, World

ARRIVALS = tuple(NOW + timedelta(milliseconds=later) for later in range(20))


class Counted(Beliefs):
    """Counts what it reads of devices and of companies."""

    devices = 0
    companies = 0

    async def _read(self, *args: object) -> object:  # type: ignore[override]
        self.devices += 1
        return await super()._read(*args)  # type: ignore[arg-type]

    async def _read_rules(self, *args: object) -> object:  # type: ignore[override]
        self.companies += 1
        return await super()._read_rules(*args)  # type: ignore[arg-type]


def token_of(world: World) -> Token:
    token = tokens.parse(world.driver.device_token)
    assert token is not None
    return token


async def test_it_is_read_once_for_all_who_wait(world: World) -> None:
    beliefs = Counted(world.pool)
    token = token_of(world)

    known = await asyncio.gather(*(beliefs.known(token, at) for at in ARRIVALS))

    assert beliefs.devices == beliefs.companies == 1
    assert {id(one) for one in known} == {id(beliefs.held(token))}


async def test_who_goes_away_leaves_the_reading_to_the_others(world: World) -> None:
    beliefs = Counted(world.pool)
    token = token_of(world)
    first, second = (asyncio.create_task(beliefs.known(token, NOW)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    belief = await second

    assert belief.driver_id == world.driver.member_id
    assert beliefs.devices == 1


async def test_an_unknown_token_is_refused_to_all_who_wait(world: World) -> None:
    beliefs = Counted(world.pool)
    token = tokens.parse(tokens.mint("jd", world.company_id)[0])
    assert token is not None

    known = await asyncio.gather(
        *(beliefs.known(token, at) for at in ARRIVALS), return_exceptions=True
    )

    assert {type(one) for one in known} == {NotAuthenticated}
    assert beliefs.devices == 1


async def test_a_device_is_not_read_again_because_its_companys_rules_are(world: World) -> None:
    clock_s = 0.0
    beliefs = Counted(world.pool, monotonic=lambda: clock_s)
    token = token_of(world)
    first = await beliefs.known(token, NOW)
    clock_s = RULES_S_MAX + 1

    assert beliefs.held(token) is None
    assert await beliefs.known(token, NOW) is first
    assert beliefs.held(token) is first
    assert (beliefs.devices, beliefs.companies) == (1, 2)


async def test_rules_that_changed_are_followed_within_a_minute(world: World) -> None:
    clock_s = 0.0
    beliefs = Counted(world.pool, monotonic=lambda: clock_s)
    token = token_of(world)
    first = await beliefs.known(token, NOW)
    await world.owner.execute(
        "UPDATE company SET buffer_max_s = buffer_max_s - 60 WHERE company_id = $1",
        world.company_id,
    )
    clock_s = RULES_S_MAX + 1

    second = await beliefs.known(token, NOW)

    assert second.rules.buffer_max_s == first.rules.buffer_max_s - 60
    assert second.terms != first.terms
    assert beliefs.devices == 2


@pytest.mark.parametrize("later_s", [BELIEVED_S_MIN * 0.9, 2 * BELIEVED_S_MIN])
async def test_a_belief_is_read_again_after_some_minutes(world: World, later_s: float) -> None:
    clock_s = 0.0
    beliefs = Counted(world.pool, monotonic=lambda: clock_s)
    token = token_of(world)
    await beliefs.known(token, NOW)
    clock_s = later_s

    await beliefs.known(token, NOW)

    assert beliefs.devices == (1 if later_s < BELIEVED_S_MIN else 2)


@pytest.mark.parametrize("gone_s", [0.0, RULES_S_MAX + 1])
async def test_nothing_is_refused_on_a_belief_without_asking_the_gate(
    world: World, databases: Databases, gone_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = 0.0
    believed = partial(Beliefs, monotonic=lambda: clock_s)
    monkeypatch.setattr(service, "Beliefs", believed)
    token = token_of(world)
    upload = parse_upload(json.dumps({"positions": positions(3)}).encode())
    async with committer.running(databases.main, world.pool) as stores:
        uploads = service.Uploads(world.pool, world.vault, stores)
        await activate(world, active=False)
        before = await uploads.take(token, upload, now=NOW)
        await activate(world, active=True)
        clock_s += gone_s

        after = await uploads.take(token, upload, now=NOW)
        await uploads.end()

    assert (before.accepted, len(before.refused)) == (0, 3)
    assert (after.accepted, after.refused) == (3, ())


async def activate(world: World, *, active: bool) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await gates.set_account_active(
            conn, world.company_id, world.driver.member_id, active=active
        )


async def test_what_was_read_for_who_came_before_is_asked_again_before_it_refuses(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()
    cells_of = beliefs_module._cells_of  # noqa: SLF001 - held up, nothing else

    async def held_up(*asked: Any) -> Any:
        read.set()
        await go_on.wait()
        return await cells_of(*asked)

    monkeypatch.setattr(beliefs_module, "_cells_of", held_up)
    token = token_of(world)
    upload = parse_upload(json.dumps({"positions": positions(3)}).encode())
    async with committer.running(databases.main, world.pool) as stores:
        uploads = service.Uploads(world.pool, world.vault, stores)
        await activate(world, active=False)
        first = asyncio.create_task(uploads.take(token, upload, now=NOW))
        await read.wait()
        await activate(world, active=True)
        second = asyncio.create_task(uploads.take(token, upload, now=NOW))
        await asyncio.sleep(0.05)
        go_on.set()
        answers = await asyncio.gather(first, second)

    assert [len(one.refused) for one in answers] == [0, 0]


async def test_reading_ends_with_the_process(world: World) -> None:
    beliefs = Counted(world.pool)
    asking = asyncio.create_task(beliefs.known(token_of(world), NOW))
    await asyncio.sleep(0)
    await beliefs.end()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert beliefs.held(token_of(world)) is None
