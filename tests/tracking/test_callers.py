"""A file on its way: it goes on only for the caller who may still have it, and is written down."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from server.gate import handover
from server.gate import service as gates
from server.tracking import service, web
from server.tracking import service as tracking
from tests.tracking import stored
from tests.tracking.asked import asked_on_a_socket, path, read, take
from tests.uploading import Api
from tests.world import NOW, add_member, open_session

IN_TIME_S = 10.0
ROWS = 36_000

Act = Callable[[Api], Awaitable[Any]]


async def while_it_leaves(
    api: Api, monkeypatch: pytest.MonkeyPatch, token: str, act: Act
) -> tuple[int, bool]:
    """Act once the first rows came; return how many came in all, and if that was the whole."""
    monkeypatch.setattr(web, "PART_POSITIONS", 2000)
    began = await stored.day(api.world)
    first, done = asyncio.Event(), asyncio.Event()
    part = service.part

    async def held(*args: Any, **names: Any) -> Any:
        if first.is_set():
            await done.wait()
        return await part(*args, **names)

    monkeypatch.setattr(service, "part", held)
    reading = asyncio.create_task(take(api, token, began, "csv", first=first))
    await asyncio.wait_for(first.wait(), IN_TIME_S)
    await act(api)
    done.set()
    body, whole = await reading
    return body.count(b"\r\n") - 1, whole


def changing(statement: str) -> Act:
    async def act(api: Api) -> None:
        assert not (await api.world.owner.execute(statement)).endswith(" 0")

    return act


LOG_OUT = changing("DELETE FROM session")
ENDS = {
    "logged out": LOG_OUT,
    "ran out": changing("UPDATE session SET expires_at = created_at + interval '1 second'"),
    "account blocked": changing("UPDATE member SET state = 'blocked'"),
}


async def token_of(api: Api, who: str) -> str:
    world = api.world
    return await (world.driver_session() if who == "driver" else world.session(who))


@pytest.mark.parametrize(
    ("end", "who"),
    [
        ("logged out", "dispatcher"),
        ("logged out", "driver"),
        ("ran out", "dispatcher"),
        ("ran out", "driver"),
        ("account blocked", "dispatcher"),  # a blocked driver still reads what is kept of them
    ],
)
async def test_a_file_is_cut_when_its_caller_may_not_have_it_any_more(
    api: Api, monkeypatch: pytest.MonkeyPatch, who: str, end: str
) -> None:
    rows, whole = await while_it_leaves(api, monkeypatch, await token_of(api, who), ENDS[end])

    assert not whole
    assert 0 < rows <= ROWS // 10


@pytest.mark.parametrize("who", ["dispatcher", "driver"])
async def test_control_who_is_not_asked_for_again_gets_all_of_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    async def always(*_: Any) -> bool:
        return True

    monkeypatch.setattr(web, "_still_may", always)

    found = await while_it_leaves(api, monkeypatch, await token_of(api, who), LOG_OUT)

    assert found == (ROWS, True)


async def test_it_is_cut_for_a_member_whose_role_is_another(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers may ask for tracks too, but only for their own."""
    world = api.world
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    token = await open_session(world.pool, world.company_id, member_id)

    async def act(_: Api) -> None:
        await world.owner.execute(
            "UPDATE member SET role = 'driver' WHERE member_id = $1", member_id
        )

    _, whole = await while_it_leaves(api, monkeypatch, token, act)

    assert not whole


async def test_a_part_that_takes_long_to_leave_is_asked_about_meanwhile(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAY_S", 0.0)
    monkeypatch.setattr(web, "PART_POSITIONS", 30_000)
    began = await stored.day(api.world)
    body = b""
    async with asked_on_a_socket(api, began) as (reader, _):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await LOG_OUT(api)
        with suppress(ConnectionError):
            while came := await reader.read(4096):
                body += came

    assert 0 < body.count(b"2026-11-22T") < 30_000


async def test_a_file_that_lasts_is_written_down_in_each_five_minutes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def five_minutes_pass(api: Api) -> None:
        api.clock.at += timedelta(minutes=5)

    token = await api.world.session("dispatcher")

    found = await while_it_leaves(api, monkeypatch, token, five_minutes_pass)

    looks = await api.world.owner.fetch("SELECT screen FROM location_read ORDER BY bucket_at")
    assert found == (ROWS, True)
    assert [tuple(one) for one in looks] == [("export",), ("export",)]


@pytest.mark.parametrize(("most_s", "cut"), [(-1.0, True), (60.0, False)])
async def test_no_file_leaves_for_longer_than_its_time(
    api: Api, monkeypatch: pytest.MonkeyPatch, *, most_s: float, cut: bool
) -> None:
    monkeypatch.setattr(handover, "LEAVING_S_MAX", most_s)
    monkeypatch.setattr(web, "PART_POSITIONS", 2000)
    began = await stored.day(api.world)
    token = await api.world.session("dispatcher")

    _, whole = await take(api, token, began, "csv", first=asyncio.Event())

    assert whole is not cut


@pytest.mark.parametrize("step", ["sessions", "keys"])
async def test_the_drivers_own_file_is_cut_when_they_are_erased_midway(
    api: Api, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As an erasure goes: sessions end first, then rows go; keys last, of what still were there."""
    world = api.world
    ids = (world.company_id, world.driver.member_id)

    async def erased(_: Api) -> None:
        if step == "keys":
            await world.vault.destroy(*ids, NOW)
            return
        await LOG_OUT(api)
        async with gates.stopping(world.pool, *ids, now=NOW) as conn:
            await tracking.erase(conn, *ids)

    rows, whole = await while_it_leaves(api, monkeypatch, await world.driver_session(), erased)

    assert not whole
    assert 0 < rows <= ROWS // 10


@pytest.mark.parametrize("who", ["dispatcher", "driver"])
async def test_a_file_that_would_lack_a_row_does_not_begin(api: Api, who: str) -> None:
    began = await stored.day(api.world, 1)
    token = await token_of(api, who)
    whole, _ = await read(api, token, began, "csv")
    await api.world.owner.execute("UPDATE chunk SET blob = '\\x00'")

    async with api.client.get(
        path(api, began, "csv"), headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        told = await answer.json(content_type=None)

    assert whole.count(b"\r\n") == 3601
    assert (answer.status, told["code"]) == (503, "reads-busy")
