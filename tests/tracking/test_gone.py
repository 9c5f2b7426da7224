"""A file on its way: cut when nothing of it may leave, drawn no further than somebody takes it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from server.gate import drawing, handover
from server.gate import service as gates
from server.gate.model import GateItem
from server.tracking import render, service, web
from tests.http import bearer
from tests.tracking import stored
from tests.tracking.asked import FORMATS, asked_on_a_socket, path, take
from tests.uploading import Api
from tests.world import NOW

IN_TIME_S = 10.0


def short(body: bytes) -> bool:
    return len(body) < 36_000 * 60


@pytest.mark.parametrize("media", FORMATS)
async def test_a_file_whose_driver_withdraws_midway_is_cut_and_looks_cut(
    api: Api, monkeypatch: pytest.MonkeyPatch, media: str
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 2000)
    monkeypatch.setattr(render, "LINE_POSITIONS_MAX", 1000)
    began = await stored.day(api.world)
    token = await api.world.session("dispatcher")
    first, withdrawn = asyncio.Event(), asyncio.Event()
    drawn_after = 0
    part = service.part

    async def held(*args: Any, **names: Any) -> Any:
        nonlocal drawn_after
        if first.is_set():
            await withdrawn.wait()
            drawn_after += 1
        return await part(*args, **names)

    monkeypatch.setattr(service, "part", held)
    reading = asyncio.create_task(take(api, token, began, media, first=first))
    await asyncio.wait_for(first.wait(), IN_TIME_S)
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_consent(conn, *driver, GateItem.PLAN_FACT, None)
    withdrawn.set()
    body, whole = await reading

    assert not whole
    assert body.startswith((b"recorded_at", b"{", b"<?xml"))
    assert drawn_after <= 1
    assert short(body)


async def test_without_the_judgement_of_each_piece_the_rest_would_leave(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""

    async def always(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr(handover, "_unchanged", always)
    with pytest.raises(AssertionError):
        await test_a_file_whose_driver_withdraws_midway_is_cut_and_looks_cut(
            api, monkeypatch, "csv"
        )


async def test_what_cannot_be_read_on_is_cut_and_looks_cut(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 2000)
    began = await stored.day(api.world)
    token = await api.world.session("dispatcher")
    first = asyncio.Event()
    part = service.part

    async def failing(*args: Any, **names: Any) -> Any:
        if first.is_set():
            raise ConnectionRefusedError
        return await part(*args, **names)

    monkeypatch.setattr(service, "part", failing)
    _, whole = await take(api, token, began, "csv", first=first)

    assert not whole


async def until(holds: Any) -> None:
    async with asyncio.timeout(IN_TIME_S):
        while not holds():  # noqa: ASYNC110 - told by a socket's end
            await asyncio.sleep(0.02)


class Drawing:
    """Counts the parts that are drawn; each waits a little in its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts = self.running = 0
        self._opened = service.opened
        monkeypatch.setattr(service, "opened", self._slowly)

    def _slowly(self, found: service.SealedTrack) -> Any:
        self.parts += 1
        self.running += 1
        try:
            return self._opened(found)
        finally:
            self.running -= 1


def idle(api: Api) -> bool:
    turns = handover._turns  # noqa: SLF001 - nobody else knows who is inside
    return turns.inside == 0 and api.world.pool.get_idle_size() == api.world.pool.get_size()


async def test_when_the_client_goes_away_drawing_stops_and_holds_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    began = await stored.day(api.world)
    drawing_parts = Drawing(monkeypatch)
    async with asked_on_a_socket(api, began) as (reader, _):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)

    await until(lambda: idle(api))
    stopped_at = drawing_parts.parts
    await asyncio.sleep(0.5)

    assert 0 < stopped_at < 10
    assert drawing_parts.parts == stopped_at
    assert not handover._streams._open  # noqa: SLF001


async def test_control_a_client_who_stays_gets_all_parts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    began = await stored.day(api.world)
    drawing_parts = Drawing(monkeypatch)
    async with asked_on_a_socket(api, began) as (reader, _):
        while not (await reader.readline()).startswith(b"0\r\n"):
            pass

    assert drawing_parts.parts >= 10


@pytest.mark.parametrize("watched", [True, False])
async def test_before_the_first_byte_too_what_nobody_waits_for_is_not_drawn_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, *, watched: bool
) -> None:
    """Positions outside windows: parts are opened, and nothing of them is ever sent."""
    if not watched:  # the control
        monkeypatch.setattr(handover, "_is_gone", lambda _request: False)
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    monkeypatch.setattr(drawing, "GONE_POLL_S", 0.01)
    began = await stored.day(api.world)
    await api.world.owner.execute(
        "UPDATE recording_window SET opened_at = $1", NOW - timedelta(seconds=1)
    )
    drawing_parts = Drawing(monkeypatch)
    part = service.part

    async def slow(*args: Any, **names: Any) -> Any:
        await asyncio.sleep(0.2)
        return await part(*args, **names)

    monkeypatch.setattr(service, "part", slow)
    async with asked_on_a_socket(api, began):
        await until(lambda: drawing_parts.parts >= 2)

    await until(lambda: idle(api))

    assert (drawing_parts.parts < 10) is watched


async def test_a_company_has_only_so_many_files_on_their_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    streams = drawing.Streams(process_max=10, company_max=1)
    monkeypatch.setattr(handover, "_streams", streams)
    began = await stored.day(api.world)
    token = await api.world.session("dispatcher")
    async with asked_on_a_socket(api, began) as (reader, _):
        assert b"200 OK" in await reader.readline()
        async with api.client.get(path(api, began, "gpx"), headers=bearer(token)) as second:
            told = await second.json(content_type=None)
            assert (second.status, told["code"]) == (503, "reads-busy")
            assert second.headers["Retry-After"] == "1"
        # A driver's own access is in nobody's way, and nobody in its.
        own = await api.world.driver_session()
        _, whole = await take(api, own, began, "csv", first=asyncio.Event())
        assert whole
    await until(lambda: not streams._open)  # noqa: SLF001

    _, whole = await take(api, token, began, "csv", first=asyncio.Event())
    assert whole
