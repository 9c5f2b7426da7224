"""Many uploads on one connection before the first answer: as if each had come alone.

Whatever the bytes are cut into, each request is answered once, in its order, by its own answer.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import repeat
from typing import Any, Final

import pytest

from server.gate import service as gates
from server.kit import db
from server.kit.http_connection import Limits
from server.uploads.web import PARSE_ASIDE_BYTES_MIN
from tests.conftest import Databases
from tests.uploading import Api, positions, uploading
from tests.uploads.raw_phone import (
    Answer,
    RawPhone,
    chunked,
    numbered,
    raw_phone,
    request,
    slices,
    zipped,
)
from tests.world import World, add_driver

PIPELINED: Final = 1_000
ABANDONED: Final = 200
SEEDS: Final = (1, 2, 3, 4)
HELD_S: Final = 0.3
ENDS_S: Final = 10.0
"""What must end does so before this, even on a busy machine."""
SHORT: Final = Limits(head_s_max=0.5, body_s_max=1, idle_s_max=1.5, linger_s_max=0.3)
FORGED: Final = "jd_forged"
GARBAGE: Final = b"\x16\x03\x01\x02\x00\x01\x00"


@pytest.fixture
async def hasty(world: World, databases: Databases) -> AsyncIterator[Api]:
    """The same endpoints, where every part of a request has a second or less."""
    async with uploading(world, databases, limits=SHORT) as served:
        yield served


def device(api: Api) -> str:
    return api.world.driver.device_token


async def test_a_thousand_uploads_in_one_go_are_answered_in_order_each_once(api: Api) -> None:
    whole = b"".join(request(device(api), numbered(number)) for number in range(PIPELINED))

    async with raw_phone(api.address) as phone:
        sending = asyncio.create_task(phone.send(whole))
        answers = [await phone.answer() for _ in range(PIPELINED)]
        await sending
        await phone.send(request(device(api), b"{", headers="Connection: close\r\n"))
        last = await phone.answer()

        assert await phone.is_closed_by_the_server()
    assert [one.number for one in answers] == list(range(PIPELINED))
    assert last.status == 400
    assert await api.rows() == PIPELINED


async def test_control_a_lost_doubled_or_exchanged_answer_would_be_seen(api: Api) -> None:
    numbers = range(5)

    async with raw_phone(api.address) as phone:
        await phone.send(b"".join(request(device(api), numbered(number)) for number in numbers))
        answers = [await phone.answer() for _ in numbers]

    first, second, *others = answers
    for wrong in ([second, first, *others], [first, first, *others], [second, *others]):
        assert [one.number for one in wrong] != list(numbers)


def mixture(api: Api, dice: random.Random) -> list[bytes]:
    """Return requests of every kind that one connection may carry, in any order."""
    token = device(api)
    kinds: list[Callable[[int], bytes]] = [
        lambda number: request(token, numbered(number)),
        lambda number: request(token, numbered(number)),
        lambda number: chunked(token, numbered(number)),
        lambda number: zipped(token, numbered(number)),
        lambda number: request(token, numbered(number), headers="Expect: 100-continue\r\n"),
        lambda number: request(token, numbered(number), headers="Connection: keep-alive\r\n"),
        lambda _number: request(token, b"{"),
        lambda _number: request(token, b""),
        lambda _number: request(token, b'{"positions": [{"lat": 91}]}'),
        lambda number: request(FORGED, numbered(number)),
        lambda number: request(token, numbered(number), path="/v1/nothing"),
        lambda _number: b"GET /v1/positions HTTP/1.1\r\nHost: jolda.test\r\n\r\n",
    ]
    shuffled = [dice.choice(kinds) for _ in range(3 * len(kinds))] + kinds
    dice.shuffle(shuffled)
    return [make(number) for number, make in enumerate(shuffled)]


def sense(answer: Answer) -> tuple[int, Any]:
    """Return what an answer says, whether or not the upload was stored before."""
    if answer.status != 200:
        return answer.status, answer.body["code"]
    return answer.number, answer.kept


@pytest.mark.parametrize("seed", SEEDS)
async def test_however_the_bytes_are_cut_each_request_gets_its_own_answer(
    api: Api, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - cuts, no secrets
    requests = mixture(api, dice)
    alone = []
    for one in requests:
        async with raw_phone(api.address) as phone:
            await phone.send(one)
            alone.append(await phone.answer())
    rows = await api.rows()
    whole = b"".join(requests)
    sizes = iter(lambda: dice.choice((1, 2, 7, 60, 400, 1500, 9000)), None)

    async with raw_phone(api.address) as phone:
        for part in slices(whole, sizes):
            await phone.send(part)
            if dice.random() < 0.3:
                await asyncio.sleep(0.001)
        together = [await phone.answer() for _ in requests]

    assert [sense(one) for one in together] == [sense(one) for one in alone]
    assert await api.rows() == rows


async def test_byte_by_byte_is_a_request_too(api: Api) -> None:
    numbers = (5, 1023, 0)
    whole = b"".join(request(device(api), numbered(number)) for number in numbers)

    async with raw_phone(api.address) as phone:
        for part in slices(whole, repeat(1)):
            phone.writer.write(part)
            await asyncio.sleep(0)
        answers = [await phone.answer() for _ in numbers]

    assert [one.number for one in answers] == list(numbers)


async def test_nothing_overtakes_an_upload_that_waits(api: Api) -> None:
    other = await add_driver(api.world.vault, api.world.pool, api.world.company_id)
    waiting = request(device(api), numbered(1))
    quick = request(FORGED, b"{}") + request(other.device_token, numbered(2))

    async with raw_phone(api.address) as phone:
        async with db.tenant(api.world.pool, api.world.company_id) as conn:
            await gates.lock(conn, api.world.company_id, api.world.driver.member_id)
            await phone.send(waiting + quick)
            with pytest.raises(TimeoutError):
                await phone.answer(within_s=HELD_S)
        answers = [await phone.answer() for _ in range(3)]

    assert [one.status for one in answers] == [200, 401, 200]
    assert [answers[0].number, answers[2].number] == [1, 2]


async def test_nothing_overtakes_a_large_upload(api: Api) -> None:
    large = request(device(api), b'{"positions": [' + b" " * PARSE_ASIDE_BYTES_MIN + b"]}")
    order = (large, request(device(api), numbered(3)), large, request(FORGED, b"{}"))

    async with raw_phone(api.address) as phone:
        await phone.send(b"".join(order))
        answers = [await phone.answer() for _ in order]

    assert [one.status for one in answers] == [422, 200, 422, 401]
    assert answers[1].number == 3


async def test_connection_close_ends_it_after_its_own_answer(api: Api) -> None:
    last = request(device(api), numbered(2), headers="Connection: close\r\n")

    async with raw_phone(api.address) as phone:
        await phone.send(request(device(api), numbered(1)) + last)
        answers = [await phone.answer() for _ in range(2)]

        assert await phone.is_closed_by_the_server()
    assert [one.number for one in answers] == [1, 2]


async def until_closed(phone: RawPhone) -> list[Answer]:
    answers = []
    with suppress(EOFError, ConnectionError):
        while True:
            answers.append(await phone.answer())
    return answers


@pytest.mark.parametrize("pause_s", [0, 0.05], ids=["at once", "later"])
@pytest.mark.parametrize("behind", [GARBAGE, b"one more"], ids=["no HTTP", "after the close"])
async def test_what_may_not_follow_takes_and_gives_no_answer_but_one_400(
    api: Api, behind: bytes, pause_s: float
) -> None:
    closes = behind != GARBAGE
    second = request(device(api), numbered(2), headers="Connection: close\r\n" if closes else "")
    if closes:
        behind = request(device(api), numbered(3))

    async with raw_phone(api.address) as phone:
        with suppress(ConnectionError):
            await phone.send(request(device(api), numbered(1)) + second)
            await asyncio.sleep(pause_s)
            await phone.send(behind)
        answers = await until_closed(phone)

    # The parser refuses a packet as a whole: what came in one with it may go unanswered.
    stored = [one.number for one in answers if one.status == 200]
    assert stored == [1, 2][: len(stored)]
    assert [one.status for one in answers[len(stored) :]] in ([], [400])
    assert len(stored) <= await api.rows() <= 2


async def test_two_connections_of_one_phone_are_answered_each_for_itself(api: Api) -> None:
    async with raw_phone(api.address) as one, raw_phone(api.address) as two:
        for phone, first in ((one, 0), (two, 500)):
            numbers = range(first, first + 50)
            await phone.send(b"".join(request(device(api), numbered(n)) for n in numbers))
        found = [[(await phone.answer()).number for _ in range(50)] for phone in (one, two)]

    assert found == [list(range(50)), list(range(500, 550))]
    assert await api.rows() == 100


async def tasks_end(before: set[asyncio.Task[Any]]) -> None:
    """Wait until no task lives that did not live before."""
    async with asyncio.timeout(ENDS_S):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - a task's end tells nobody else
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("locked", [False, True], ids=["storing", "waiting for the gate"])
async def test_who_goes_away_in_the_middle_leaves_nothing_behind(api: Api, *, locked: bool) -> None:
    await api.upload(positions(1, step_s=1, altitude_m=1.0))  # what is made once is made now
    before = asyncio.all_tasks()
    whole = b"".join(request(device(api), numbered(number)) for number in range(ABANDONED))

    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        if locked:
            await gates.lock(conn, api.world.company_id, api.world.driver.member_id)
        async with raw_phone(api.address) as phone:
            sending = asyncio.create_task(phone.send(whole))
            await asyncio.sleep(0.05)
            phone.abort()
            await asyncio.gather(sending, return_exceptions=True)
    await tasks_end(before)

    assert await api.rows() <= 1 + ABANDONED
    answer = await api.upload(positions(1, step_s=1, altitude_m=2.0))
    assert answer["accepted"] == 1


async def test_an_upload_cut_off_in_its_body_is_not_stored(api: Api) -> None:
    await api.upload(positions(1, altitude_m=1.0))
    before = asyncio.all_tasks()
    whole = request(device(api), numbered(1))

    for cut in (len(whole) - 1, len(whole) // 2, whole.index(b"\r\n\r\n") + 4, 30):
        async with raw_phone(api.address) as phone:
            await phone.send(request(device(api), numbered(2)) + whole[:cut])
            assert (await phone.answer()).number == 2
            phone.abort()
    await tasks_end(before)

    assert await api.rows() == 2


async def drip(phone: RawPhone, data: bytes) -> None:
    """Send one byte after the other, for as long as somebody takes them."""
    with suppress(ConnectionError):
        for part in slices(data, repeat(1)):
            await phone.send(part)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_one_byte_at_a_time_has_the_same_time_whatever_was_answered_before(
    hasty: Api, part: str, answered: int
) -> None:
    before = asyncio.all_tasks()
    whole = request(device(hasty), numbered(1))
    at_once = 0 if part == "head" else whole.index(b"\r\n\r\n") + 4

    async with raw_phone(hasty.address) as phone:
        for number in range(answered):
            await phone.send(request(device(hasty), numbered(number)))
            assert (await phone.answer()).number == number
        await phone.send(whole[:at_once])
        dripping = asyncio.create_task(drip(phone, whole[at_once:]))

        assert await phone.is_closed_by_the_server(within_s=ENDS_S)
        await dripping
    await tasks_end(before)

    assert await hasty.rows() == answered


async def test_a_slow_upload_in_time_is_answered_and_the_deadlines_begin_anew(hasty: Api) -> None:
    async with raw_phone(hasty.address) as phone:
        for number in range(4):  # together longer than a head or a body may take
            whole = request(device(hasty), numbered(number))
            middle = whole.index(b"\r\n\r\n") + 40
            for part in (whole[:30], whole[30:middle], whole[middle:]):
                await phone.send(part)
                await asyncio.sleep(0.15)
            assert (await phone.answer()).number == number


@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_a_connection_that_falls_silent_is_closed_after_its_time(
    hasty: Api, answered: int
) -> None:
    async with raw_phone(hasty.address) as phone:
        for number in range(answered):
            await phone.send(request(device(hasty), numbered(number)))
            assert (await phone.answer()).number == number
        await asyncio.sleep(SHORT.idle_s_max / 3)
        assert not phone.reader.at_eof()

        assert await phone.is_closed_by_the_server(within_s=ENDS_S)
