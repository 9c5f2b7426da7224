"""While more comes than can be read, most are told so at once; nothing of it is ever half taken."""

import asyncio

import pytest

from server.kit import tokens
from server.kit.http_connection import Limits
from server.kit.ids import uuid7
from server.kit.shedding import GROUP_COUNT_MIN, Pace
from tests.conftest import Databases
from tests.uploading import Api, uploading
from tests.uploads.raw_phone import Answer, chunked, numbered, raw_phone, request, zipped
from tests.world import World, add_company, add_driver

UPLOADS = 12
BEFORE = 1_000


@pytest.fixture
async def overrun(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every turn of the loop be one that has taken all it may, without an end."""
    async with raw_phone(api.address) as phone:  # so that the company is known here
        await phone.send(request(device(api), numbered(BEFORE)))
        assert (await phone.answer()).number == BEFORE
    monkeypatch.setattr(Pace, "is_behind", lambda _pace: True)


def device(api: Api) -> str:
    return api.world.driver.device_token


async def uploaded(api: Api, token: str, first: int = 0) -> list[Answer]:
    """Upload one after the other on one connection."""
    async with raw_phone(api.address) as phone:
        answers = []
        for number in range(first, first + UPLOADS):
            await phone.send(request(token, numbered(number)))
            answers.append(await phone.answer())
    return answers


@pytest.mark.usefixtures("overrun")
async def test_who_comes_too_much_is_told_when_to_come_again_and_stays_connected(
    api: Api,
) -> None:
    answers = await uploaded(api, device(api))

    let_in, refused = answers[:GROUP_COUNT_MIN], answers[GROUP_COUNT_MIN:]
    assert [one.number for one in let_in] == list(range(GROUP_COUNT_MIN))
    assert {one.status for one in refused} == {503}
    assert {one.body["code"] for one in refused} == {"uploads-busy"}
    waits = [one.body["retry_after_s"] for one in refused]
    assert min(waits) >= 1
    assert len(set(waits)) > 1  # not all at the same time
    assert await api.rows() == GROUP_COUNT_MIN + 1


@pytest.mark.usefixtures("overrun")
async def test_what_others_bring_takes_nothing_from_a_company(api: Api) -> None:
    world = api.world
    other = await add_driver(world.vault, world.pool, await add_company(world.vault, world.owner))
    await uploaded(api, device(api))

    answers = await uploaded(api, other.device_token, first=100)

    assert 503 not in {one.status for one in answers[:GROUP_COUNT_MIN]}
    assert 503 in {one.status for one in answers}


async def test_control_nobody_is_told_so_while_there_is_time(api: Api) -> None:
    answers = await uploaded(api, device(api))

    assert [one.status for one in answers] == [200] * UPLOADS
    assert await api.rows() == UPLOADS


@pytest.mark.usefixtures("overrun")
async def test_what_came_in_parts_or_with_others_is_read_and_answered_in_its_order(
    api: Api,
) -> None:
    token = device(api)
    whole = [request(token, numbered(number)) for number in range(UPLOADS)]
    async with raw_phone(api.address) as phone:
        await phone.send(whole[0] + whole[1])  # two in one go
        in_one = [await phone.answer() for _ in range(2)]
        await phone.send(whole[2])  # where a request ends is not known any more
        after = await phone.answer()
    async with raw_phone(api.address) as phone:
        cut = whole[3].index(b"\r\n\r\n") + 40
        await phone.send(whole[3][:cut])
        await asyncio.sleep(0.05)
        await phone.send(whole[3][cut:])
        in_parts = await phone.answer()
        await phone.send(chunked(token, numbered(4)))
        in_chunks = await phone.answer()
    async with raw_phone(api.address) as phone:
        await phone.send(zipped(token, numbered(5)))
        packed = await phone.answer()

    assert [one.number for one in (*in_one, after, in_parts, in_chunks, packed)] == [*range(6)]


@pytest.mark.usefixtures("overrun")
async def test_after_an_upload_in_parts_the_next_whole_one_is_told_so_again(api: Api) -> None:
    token = device(api)
    await uploaded(api, token)
    async with raw_phone(api.address) as phone:
        upload = request(token, numbered(50))
        await phone.send(upload[:30])
        await asyncio.sleep(0.05)
        await phone.send(upload[30:])
        begun_anew = await phone.answer()
    async with raw_phone(api.address) as phone:
        cut = upload.index(b"\r\n\r\n") + 40
        await phone.send(upload[:cut])
        await asyncio.sleep(0.05)
        await phone.send(upload[cut:])
        in_parts = await phone.answer()
        answers = []
        for number in range(60, 60 + UPLOADS):
            await phone.send(request(token, numbered(number)))
            answers.append(await phone.answer())

    assert (begun_anew.status, in_parts.status) == (200, 200)
    assert 503 in {one.status for one in answers}


@pytest.mark.usefixtures("overrun")
async def test_companies_that_are_made_up_have_one_share_together(api: Api) -> None:
    answers = []
    for _ in range(UPLOADS):
        forged, _ = tokens.mint("jd", uuid7())
        async with raw_phone(api.address) as phone:
            await phone.send(request(forged, numbered(1)))
            answers.append(await phone.answer())

    statuses = [one.status for one in answers]
    assert statuses == [401] * GROUP_COUNT_MIN + [503] * (UPLOADS - GROUP_COUNT_MIN)


async def test_a_length_of_thousands_of_digits_ends_in_an_answer(api: Api) -> None:
    upload = request(device(api), numbered(1))
    padded = upload.replace(b"Content-Length: ", b"Content-Length: " + b"0" * 5_000)
    async with raw_phone(api.address) as phone:
        await phone.send(padded)
        answer = await phone.answer()

    assert answer.status == 413


async def test_a_connection_that_is_only_told_no_is_one_in_use(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with uploading(world, databases, limits=Limits(idle_s_max=0.8)) as served:
        upload = request(device(served), numbered(1))
        async with raw_phone(served.address) as phone:
            await phone.send(upload)
            await phone.answer()
            monkeypatch.setattr(Pace, "is_behind", lambda _pace: True)
            monkeypatch.setattr(Pace, "lets_in", lambda _pace, _group: False)
            statuses = []
            for _ in range(8):
                await phone.send(upload)
                statuses.append((await phone.answer()).status)
                await asyncio.sleep(0.3)

    assert statuses == [503] * 8
