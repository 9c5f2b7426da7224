"""Saying no to more than the event loop can read: when, to whom, and to which requests."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit import tokens
from server.kit.ids import uuid7
from server.kit.shedding import (
    BURST_S_MAX,
    GROUP_COUNT_MIN,
    IDLE_S_MIN,
    READING_SHARE_MIN,
    STANDING_S_MAX,
    Pace,
    glance,
    length_of,
)

LINE = b"POST /v1/positions HTTP/1.1\r\n"
COMPANY = uuid7()
TOKEN = tokens.mint("jd", COMPANY)[0].encode()
BODY = b'{"positions": []}'


def request(*headers: bytes, line: bytes = LINE, body: bytes = BODY) -> bytes:
    told = b"Content-Length: %d" % len(body)
    head = b"".join(one + b"\r\n" for one in (b"Host: x", *headers, told))
    return line + head + b"\r\n" + body


PLAIN = request(b"Authorization: Bearer " + TOKEN, b"Content-Type: application/json")


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


async def turn(pace: Pace, clock: Clock, takes_s: float, *, then_s: float = 0.0) -> bool:
    """Let one turn of the loop read so long, and work on it then; tell if its last is too much."""
    pace.is_behind()
    clock.s += takes_s
    behind = pace.is_behind()
    await asyncio.sleep(0)  # the end of the turn
    clock.s += then_s
    return behind


async def rest(clock: Clock, for_s: float) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    clock.s += for_s


async def test_a_burst_is_taken_whole() -> None:
    clock = Clock()
    pace = Pace(clock)

    assert not await turn(pace, clock, BURST_S_MAX * 0.9)


async def test_a_queue_that_stands_is_cut_short_and_a_short_turn_ends_that() -> None:
    clock = Clock()
    pace = Pace(clock)
    long_s = 2 * STANDING_S_MAX
    turns = 0
    while not await turn(pace, clock, long_s):
        turns += 1

    assert turns == pytest.approx(BURST_S_MAX / long_s, abs=2)
    assert await turn(pace, clock, long_s)
    assert not await turn(pace, clock, STANDING_S_MAX / 2)
    assert not await turn(pace, clock, long_s)


async def test_after_an_idle_time_a_burst_is_a_burst_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    while not await turn(pace, clock, 2 * STANDING_S_MAX):
        pass
    await rest(clock, IDLE_S_MIN * 1.1)

    assert not await turn(pace, clock, BURST_S_MAX * 0.9)


async def test_the_work_on_what_a_turn_brought_is_no_idle_time() -> None:
    clock = Clock()
    pace = Pace(clock)
    behind = [await turn(pace, clock, BURST_S_MAX * 0.8, then_s=IDLE_S_MIN * 1.5) for _ in range(6)]

    assert behind == [False, *[True] * 5]


async def test_work_that_is_no_reading_does_not_make_a_turn_long() -> None:
    clock = Clock()
    pace = Pace(clock)
    while not await turn(pace, clock, 2 * STANDING_S_MAX):
        pass
    pace.is_behind()
    clock.s += 5 * STANDING_S_MAX  # what was due before the end of the turn
    await asyncio.sleep(0)

    assert not await turn(pace, clock, 2 * STANDING_S_MAX)


async def test_a_part_of_each_turn_goes_into_reading_however_many_are_told_no() -> None:
    clock = Clock()
    pace = Pace(clock)
    while not await turn(pace, clock, 2 * STANDING_S_MAX):
        pass
    pace.is_behind()
    reading_s = saying_no_s = 0.0
    read_s, no_s = 0.0001, 0.00003
    while reading_s + saying_no_s < 1.0:
        if pace.is_behind():
            saying_no_s += no_s
            clock.s += no_s
        else:
            reading_s += read_s
            clock.s += read_s

    assert reading_s == pytest.approx(READING_SHARE_MIN, abs=0.02)


async def test_a_few_of_every_group_are_let_in_in_every_turn() -> None:
    pace = Pace(Clock())
    pace.is_behind()

    let_in = [pace.lets_in(b"one") for _ in range(GROUP_COUNT_MIN + 2)]
    assert let_in == [True] * GROUP_COUNT_MIN + [False] * 2
    assert pace.lets_in(b"other")
    await asyncio.sleep(0)
    assert pace.lets_in(b"one")


def test_a_glance_tells_the_length_and_the_company() -> None:
    seen = glance(PLAIN, LINE)

    assert seen is not None
    assert seen.whole_bytes == len(PLAIN) == length_of(PLAIN)
    assert TOKEN.startswith(b"jd_" + seen.company + b"_")


@pytest.mark.parametrize(
    "unusual",
    [
        request(b"Authorization: Bearer " + TOKEN, line=b"POST /v1/other HTTP/1.1\r\n"),
        request(b"Authorization: Bearer " + TOKEN, line=b"GET /v1/positions HTTP/1.1\r\n"),
        request(),
        request(b"Authorization: Basic abc"),
        request(b"Authorization: Bearer " + TOKEN, b"Authorization: Bearer " + TOKEN),
        request(b"Authorization: Bearer " + TOKEN, b"Expect: 100-continue"),
        request(b"Authorization: Bearer " + TOKEN, b"Transfer-Encoding: chunked"),
        request(b"Authorization: Bearer " + TOKEN, b"Upgrade: h2c"),
        request(b"Authorization: Bearer " + TOKEN, b"Connection: close"),
        request(b"Authorization: Bearer " + TOKEN, b"Content-Length: 5"),
        request(b"Authorization: Bearer " + TOKEN, b"Host: y"),
        request(b"Authorization: Bearer " + TOKEN, b"Cookie: a=b"),
        request(b"Authorization: Bearer " + TOKEN, b"Connection: keep-alive", b"Connection: close"),
        request(b"Authorization: Bearer " + TOKEN, b"X-Real-IP: 1\nTransfer-Encoding: chunked"),
        request(b"Authorization: Bearer " + TOKEN, b"X-Real-IP: 1\rContent-Length: 3"),
        request(b"Authorization: Bearer " + TOKEN, b"X-Real-IP: 1\r\n Content-Length: 3"),
        request(b"Authorization: Bearer " + TOKEN, b"X-Real-IP: \0"),
        request(b"Authorization: Bearer " + TOKEN, b"Via : x"),
        request(b"Authorization: Bearer " + TOKEN).replace(b"Length: ", b"Length:  "),
        request(b"Authorization: Bearer " + TOKEN).replace(b"Host: x\r\n", b""),
        PLAIN[:60],
        b"",
    ],
)
def test_whatever_is_not_plain_is_read_as_ever(unusual: bytes) -> None:
    assert glance(unusual, LINE) is None


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange_for_a_glance(data: bytes) -> None:
    for line in (LINE, b""):
        glance(line + data, LINE)
        glance(line + data + b"\r\n\r\n", LINE)
        length_of(line + data)
        length_of(line + data + b"\r\nContent-Length: 1\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", 47),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length: -9\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length : 9\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Le", None),
        (b"POST / HTTP/1.1\r\nHost: x\nContent-Length: 9\r\n\r\n", None),
        (b"POST / HTTP/1.1\nContent-Length: 9\r\n\r\n", None),
    ],
)
def test_a_length_is_told_where_it_is_clear(data: bytes, length: int | None) -> None:
    assert length_of(data) == length


def test_a_length_of_thousands_of_digits_is_no_number() -> None:
    told = length_of(b"GET / HTTP/1.1\r\nContent-Length: " + b"0" * 5_000 + b"\r\n\r\n")

    assert told is None
