"""After the answer to a withdrawal no answer for several drivers holds a byte of that driver."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession

from server.gate import handover
from server.gate import service as gates
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Connection, Pool
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.fleet_tracks.fleet import HERE, SPAN, Fleet, ids
from tests.http import Clock, bearer, serve
from tests.uploading import Api
from tests.world import Driver, World

ROUNDS: Final = 8
STALL_S_MAX: Final = 0.3
"""A server that is held up right after it judged: within its lease."""
LATE_S: Final = 0.03
"""What one event loop may need to hand a test two things that came together."""

Ask = Callable[[Fleet], Awaitable[ClientResponse]]


@pytest.fixture
async def fleet(world: World, databases: Databases) -> AsyncIterator[Fleet]:
    """The same with the endpoints of consents."""
    clock = Clock()

    async def opened(client: ClientSession) -> Fleet:
        api = Api(client=client, world=world, clock=clock)
        return Fleet(api=api, staff=await world.session("dispatcher"))

    async with serve(
        world,
        CONSENT,
        TRACKING,
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as client:
        yield await opened(client)


async def ask_tracks(fleet: Fleet) -> ClientResponse:
    return await fleet.api.client.get("/v1/tracks", params=SPAN, headers=bearer(fleet.staff))


async def ask_area(fleet: Fleet) -> ClientResponse:
    return await fleet.api.client.post("/v1/area-searches", json=HERE, headers=bearer(fleet.staff))


each_way = pytest.mark.parametrize("ask", [ask_tracks, ask_area])


async def withdraw(fleet: Fleet, person: str) -> None:
    path = "/v1/me/consents/plan_fact/withdraw"
    async with fleet.api.client.post(path, headers=bearer(person)) as answer:
        assert answer.status == 200


def withdrawing(fleet: Fleet, person: str) -> Callable[..., Any]:
    """Return the barrier; somebody withdraws, once, right before it is first held."""
    left = [person]

    @asynccontextmanager
    async def after_it(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
        if left:
            await withdraw(fleet, left.pop())
        async with gates.frames(pool, company_id) as conn:
            yield conn

    return after_it


async def fleet_of_three(fleet: Fleet) -> list[Driver]:
    drivers = [fleet.first, *await fleet.add(2)]
    for driver in drivers:
        await fleet.stand(driver)
    return drivers


@each_way
async def test_it_is_drawn_again_without_whoever_withdrew_meanwhile(
    fleet: Fleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, *others = await fleet_of_three(fleet)
    person = await fleet.world.driver_session(gone)
    monkeypatch.setattr(handover, "frames", withdrawing(fleet, person))

    answer = await ask(fleet)

    shown = [one["driver_id"] for one in (await answer.json())["items"]]
    assert (answer.status, shown) == (200, ids(others))


@each_way
async def test_control_without_judging_again_they_are_still_in_it(
    fleet: Fleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers = await fleet_of_three(fleet)
    person = await fleet.world.driver_session(drivers[0])
    monkeypatch.setattr(handover, "frames", withdrawing(fleet, person))
    monkeypatch.setattr(handover, "_unchanged", anything_stands)

    answer = await ask(fleet)

    shown = [one["driver_id"] for one in (await answer.json())["items"]]
    assert (answer.status, shown) == (200, ids(drivers))


async def anything_stands(_conn: Connection, **_known: Any) -> bool:
    return True


@asynccontextmanager
async def no_barrier(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
    async with db.tenant(pool, company_id) as conn:
        yield conn


async def stalling(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Gate]:
    found = await gates.read_some(conn, company_id, driver_ids)
    await asyncio.sleep(random.uniform(0, STALL_S_MAX))  # noqa: S311 - no secret
    return found


async def arrivals(fleet: Fleet, ask: Ask, driver: Driver) -> list[float]:
    """Return when something of the driver came."""
    mark = str(driver.member_id).encode()
    came: list[float] = []
    try:
        async with await ask(fleet) as answer:
            async for chunk in answer.content.iter_any():
                came += [monotonic()] if mark in chunk else []
    except ClientError:
        pass  # cut off, as it should be
    return came


async def late_and_all(fleet: Fleet) -> tuple[int, int]:
    """Withdraw while several are read and searched for; count the arrivals after its answer."""
    late = total = 0
    for _ in range(ROUNDS):
        (driver,) = await fleet.add()
        await fleet.stand(driver)
        person = await fleet.world.driver_session(driver)
        reading = [
            asyncio.create_task(arrivals(fleet, ask, driver))
            for ask in (ask_tracks, ask_area, ask_tracks)
        ]
        await asyncio.sleep(random.uniform(0, 0.25))  # noqa: S311 - no secret
        await withdraw(fleet, person)
        answered = monotonic()
        for came in await asyncio.gather(*reading):
            total += len(came)
            late += sum(at > answered + LATE_S for at in came)
    return late, total


async def test_after_a_withdrawal_is_answered_nothing_of_the_driver_arrives(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "read_some", stalling)

    late, total = await late_and_all(fleet)

    assert total > 0
    assert late == 0


async def test_control_without_the_barrier_something_arrives_late(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "read_some", stalling)
    monkeypatch.setattr(handover, "frames", no_barrier)

    late, _ = await late_and_all(fleet)

    assert late > 0
