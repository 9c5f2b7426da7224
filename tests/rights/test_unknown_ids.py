"""Ids that are tried out are all answered alike, and soon somebody is told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession, web

from server.accounts.web import ENDPOINTS as ACCOUNTS
from server.fleet_tracks.web import read_tracks
from server.kit.wire import rfc3339
from server.rights.model import UNKNOWN_IDS_MAX
from server.rights.web import counting, noticing_unknown_ids
from server.tracking.web import read_track
from tests.http import Clock, bearer, serve
from tests.told import last_entry, told
from tests.world import NOW, World, add_company, add_driver, add_member

ALERT = ("unknown_ids_alert", "dispatcher", {"ids": UNKNOWN_IDS_MAX + 1})
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    def prepare(app: web.Application) -> None:
        app.middlewares.append(noticing_unknown_ids)
        app.cleanup_ctx.append(counting)

    reading = (read_track, read_tracks)
    async with serve(world, ACCOUNTS, reading, clock=clock, prepare=prepare) as opened:
        yield opened


async def ask(client: ClientSession, token: str, driver_id: UUID) -> tuple[int, bytes]:
    since, until = rfc3339(NOW - HOUR), rfc3339(NOW)
    path = f"/v1/drivers/{driver_id}/track?from={since}&to={until}"
    async with client.get(path, headers=bearer(token)) as answer:
        return answer.status, await answer.read()


async def alerts(world: World) -> int:
    count: int = await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE act = 'unknown_ids_alert'"
    )
    return count


@pytest.mark.proves("gocargo:use-of-the-site-scraping")
async def test_trying_out_ids_is_answered_alike_and_reported(
    client: ClientSession, world: World
) -> None:
    boss = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    token = await world.session("dispatcher")
    other = await add_company(world.vault, world.owner)
    theirs = await add_driver(world.vault, world.pool, other)
    ids = [theirs.member_id, *(uuid4() for _ in range(UNKNOWN_IDS_MAX - 1))]

    answers = {await ask(client, token, one) for one in ids}
    early = await alerts(world), await told(world, boss)
    answers.add(await ask(client, token, uuid4()))

    # One answer for all: also for a driver who is there, in another company.
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    assert early == (0, [])
    assert await last_entry(world) == ALERT
    ((kind, values),) = await told(world, boss)
    assert (kind, values["by_role"], values["count"]) == ("unknown_ids", "dispatcher", "51")

    for _ in range(3):
        await ask(client, token, uuid4())
    assert await alerts(world) == 1


async def test_ids_tried_out_as_parameters_are_counted_with_those_in_paths(
    client: ClientSession, world: World
) -> None:
    token = await world.session("dispatcher")
    for _ in range(UNKNOWN_IDS_MAX):
        await ask(client, token, uuid4())
    assert await alerts(world) == 0

    span = {"from": rfc3339(NOW - HOUR), "to": rfc3339(NOW), "driver_id": str(uuid4())}
    async with client.get("/v1/tracks", params=span, headers=bearer(token)) as answer:
        assert answer.status == 404

    assert await last_entry(world) == ALERT


async def test_each_of_many_ids_in_one_request_is_counted_and_those_that_are_there_are_not(
    client: ClientSession, world: World
) -> None:
    token = await world.session("dispatcher")
    span = [("from", rfc3339(NOW - HOUR)), ("to", rfc3339(NOW))]

    async def ask_for(*ids: UUID) -> None:
        asked = span + [("driver_id", str(one)) for one in ids]
        async with client.get("/v1/tracks", params=asked, headers=bearer(token)) as answer:
            assert answer.status == 404

    nobody = [uuid4() for _ in range(UNKNOWN_IDS_MAX - 1)]
    for _ in range(2):
        await ask_for(world.driver.member_id, *nobody)
    await ask(client, token, uuid4())
    assert await alerts(world) == 0

    await ask_for(world.driver.member_id, uuid4())

    assert await last_entry(world) == ALERT


async def test_one_id_that_does_not_exist_is_one_however_often_it_is_asked(
    client: ClientSession, world: World
) -> None:
    token, nobody = await world.session("dispatcher"), uuid4()

    for _ in range(UNKNOWN_IDS_MAX + 5):
        assert (await ask(client, token, nobody))[0] == 404
        assert (await ask(client, token, world.driver.member_id))[0] == 200

    assert await alerts(world) == 0


async def test_each_caller_and_hour_counts_by_itself(
    client: ClientSession, world: World, clock: Clock
) -> None:
    one, other = await world.session("dispatcher"), await world.session("dispatcher")

    for number in range(2 * UNKNOWN_IDS_MAX):
        await ask(client, one if number % 2 else other, uuid4())
    clock.at += HOUR
    await ask(client, one, uuid4())
    assert await alerts(world) == 0

    for _ in range(UNKNOWN_IDS_MAX):
        await ask(client, one, uuid4())
    assert await alerts(world) == 1
    assert await last_entry(world) == ALERT


async def test_nobody_is_counted_before_it_is_known_who_asks(
    client: ClientSession, world: World
) -> None:
    for _ in range(UNKNOWN_IDS_MAX + 5):
        assert (await ask(client, "not-a-token", uuid4()))[0] == 401

    assert await alerts(world) == 0


async def test_an_alert_that_failed_comes_with_the_next_id(
    client: ClientSession, world: World
) -> None:
    token = await world.session("dispatcher")
    for _ in range(UNKNOWN_IDS_MAX):
        await ask(client, token, uuid4())
    await world.owner.execute("REVOKE INSERT ON ledger_entry FROM jolda_app")
    try:
        assert (await ask(client, token, uuid4()))[0] == 500
    finally:
        await world.owner.execute("GRANT INSERT ON ledger_entry TO jolda_app")
    assert await alerts(world) == 0

    assert (await ask(client, token, uuid4()))[0] == 404

    assert await last_entry(world) == ALERT
