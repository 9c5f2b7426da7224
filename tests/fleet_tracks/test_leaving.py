"""A search ends with whoever asked for it, and only so many run at once."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from yarl import URL

from server.fleet_tracks import model, service
from server.fleet_tracks import web as fleet_tracks
from server.gate import drawing, handover
from server.tracking.service import SealedTrack
from tests.fleet_tracks.fleet import HERE, Fleet

DRIVERS: Final = 12
BATCH_S: Final = 0.15


class Batches:
    """Stands in for reading a batch: takes a while, and counts."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.held: asyncio.Event | None = None

    async def gather(self, *known: Any) -> list[SealedTrack]:
        self.begun += 1
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(BATCH_S)
        found = await _gather(*known)
        self.ended += 1
        return found


_gather = service.gather


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - told by no event
            await asyncio.sleep(0.005)


@pytest.fixture
async def batches(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Batches:
    """A fleet that is searched driver by driver."""
    for driver in (fleet.first, *await fleet.add(DRIVERS - 1)):
        await fleet.stand(driver)
    found = Batches()
    monkeypatch.setattr(service, "gather", found.gather)
    monkeypatch.setattr(model, "BATCH_POSITIONS", 1)
    monkeypatch.setattr(fleet_tracks, "_searches", drawing.Turns(1, waiting_max=1))
    return found


@asynccontextmanager
async def searching(fleet: Fleet) -> AsyncGenerator[asyncio.StreamReader]:
    """Ask on a socket of its own, and leave at the end of the block without waiting."""
    url = URL(str(fleet.api.client._base_url))  # noqa: SLF001 - where the server listens
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    body = json.dumps(HERE).encode()
    writer.write(
        b"POST /v1/area-searches HTTP/1.1\r\nHost: jolda\r\n"
        b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (fleet.staff.encode(), len(body), body)
    )
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_search_ends_when_the_caller_goes_away(fleet: Fleet, batches: Batches) -> None:
    async with searching(fleet):
        await until(lambda: batches.ended >= 2)
    await asyncio.sleep(2 * drawing.GONE_POLL_S + BATCH_S)
    stopped = batches.begun

    status, answer = await fleet.search()

    assert stopped < DRIVERS / 2
    # Its turn is free, and no connection of the pool was kept.
    assert (status, len(answer["items"]), batches.begun) == (200, DRIVERS, stopped + DRIVERS)
    await until(lambda: fleet.world.pool.get_idle_size() == fleet.world.pool.get_size())


async def test_control_whose_leaving_nobody_sees_is_searched_for_to_the_end(
    fleet: Fleet, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_is_gone", lambda _request: False)
    async with searching(fleet):
        await until(lambda: batches.ended >= 2)

    await until(lambda: batches.ended == DRIVERS)


async def test_beyond_a_short_queue_searches_are_sent_away(fleet: Fleet, batches: Batches) -> None:
    batches.held = asyncio.Event()
    running = [asyncio.create_task(fleet.search()) for _ in range(2)]
    await until(lambda: fleet_tracks._searches.inside == 2)  # noqa: SLF001 - one runs, one waits

    async with fleet.api.client.post(
        "/v1/area-searches", json=HERE, headers={"Authorization": f"Bearer {fleet.staff}"}
    ) as answer:
        refused = await answer.json(content_type=None)
    batches.held.set()

    assert (answer.status, refused["code"]) == (503, "reads-busy")
    assert answer.headers["Retry-After"] == "1"
    assert [status for status, _ in await asyncio.gather(*running)] == [200, 200]


async def test_no_connection_is_held_while_positions_are_opened(
    fleet: Fleet, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle: list[bool] = []
    pool = fleet.world.pool

    async def looking(*known: Any) -> Any:
        idle.append(pool.get_idle_size() == pool.get_size())
        return await drawing.in_thread(*known)

    monkeypatch.setattr(service, "in_thread", looking)

    await fleet.search()

    assert idle == [True] * DRIVERS
    assert batches.ended == DRIVERS
