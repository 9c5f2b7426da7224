"""Slow callers: every part of a request has its time."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from aiohttp import ClientSession

from server.kit.http_connection import Limits
from server.kit.http_server import Address
from tests.kit.wire_taps import CANARY, GET, HOST, SOON_S, Raw, Refusals, answers_in, edge, raw


@pytest.fixture(scope="module")
async def short() -> AsyncGenerator[Address]:
    async with edge() as address:
        yield address


async def test_a_slow_header_is_cut_off_and_the_clock_starts_at_its_first_byte() -> None:
    refused = Refusals()

    async with edge(refused=refused) as address, raw(address) as one:
        await asyncio.sleep(0.7)  # longer than a head may take: silence is idleness
        began = time.monotonic()
        await one.send("G")
        received = await one.rest()

    assert received == b""
    assert 0.4 < time.monotonic() - began < SOON_S
    assert refused == {"head_slow": 1}


async def test_a_header_does_not_gain_time_by_dripping(short: Address) -> None:
    began = time.monotonic()

    async with raw(short) as one:
        with suppress(ConnectionError):
            for letter in GET:
                await one.send(letter)
                await asyncio.sleep(0.05)
                if one.reader.at_eof():
                    break

    assert time.monotonic() - began < SOON_S


async def test_the_second_request_of_a_connection_has_the_same_deadline(short: Address) -> None:
    async with raw(short) as one:
        await one.send(GET)
        status, _ = await one.answer()
        began = time.monotonic()
        await one.send(GET[:20])
        received = await one.rest()

    assert status == 200
    assert received == b""
    assert time.monotonic() - began < SOON_S


async def test_a_header_in_two_parts_and_in_time_is_served(short: Address) -> None:
    async with raw(short) as one:
        for _ in range(3):
            await one.send(GET[:20])
            await asyncio.sleep(0.1)
            await one.send(GET[20:])
            status, _ = await one.answer()

            assert status == 200
            await asyncio.sleep(0.45)  # the deadline of the first head must not hit the next


async def test_headers_that_never_end_are_cut_off_at_their_size() -> None:
    refused = Refusals()

    async with (
        edge(Limits(head_bytes_max=4096), refused=refused) as address,
        raw(address) as one,
    ):
        await one.send(f"GET / HTTP/1.1\r\n{HOST}")
        with suppress(ConnectionError):
            for _ in range(40):
                await one.send(f"X-A: {'a' * 200}\r\n")
                await asyncio.sleep(0.005)
        received = await one.rest()

    assert received == b""
    assert refused == {"head_large": 1}


async def test_a_silent_connection_is_closed_after_the_idle_limit(short: Address) -> None:
    began = time.monotonic()

    async with raw(short) as never, raw(short) as once:
        await once.send(GET)
        await once.answer()

        assert await never.rest() == b""
        assert await once.rest() == b""
    assert 1.4 < time.monotonic() - began < SOON_S


POST = f"POST /v1/%s HTTP/1.1\r\n{HOST}Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def test_a_body_one_byte_at_a_time_gets_408(short: Address) -> None:
    began = time.monotonic()

    async with raw(short) as one:
        await one.send(POST % ("slow", 1000))
        dripping = asyncio.create_task(_drip(one))
        status, answer = await one.answer()
        dripping.cancel()

    assert status == 408
    assert b"body-too-slow" in answer
    assert time.monotonic() - began < SOON_S


async def _drip(one: Raw) -> None:
    with suppress(ConnectionError):
        while True:
            await one.send("a")
            await asyncio.sleep(0.02)


async def test_a_slow_body_that_no_deadline_of_its_handler_covers_is_cut_off() -> None:
    refused = Refusals()
    began = time.monotonic()

    async with edge(refused=refused) as address, raw(address) as one:
        await one.send(POST % ("whole", 1000))
        dripping = asyncio.create_task(_drip(one))
        received = await one.rest()
        dripping.cancel()

    assert received == b""
    assert time.monotonic() - began < SOON_S
    assert refused == {"body_slow": 1}


@pytest.mark.parametrize("path", ["nothing", "places"])
async def test_a_slow_body_that_no_handler_reads_ends_soon(short: Address, path: str) -> None:
    began = time.monotonic()

    async with raw(short) as one:
        await one.send(POST % (path, 1_000_000))  # not found; not authenticated
        dripping = asyncio.create_task(_drip(one))
        status, _ = await one.answer()
        await one.rest()
        dripping.cancel()

    assert status in (401, 404)
    assert time.monotonic() - began < SOON_S


async def test_a_body_in_two_parts_and_in_time_is_read(short: Address) -> None:
    async with raw(short) as one:
        for _ in range(2):
            await one.send(POST % ("slow", 10) + "12345")
            await asyncio.sleep(0.1)
            await one.send("67890")
            status, answer = await one.answer()

            assert status == 200
            assert answer.endswith(b'{"bytes":10}')
            await asyncio.sleep(0.9)  # the deadline of the first body must not hit the next


async def test_half_a_request_and_then_the_end_disturbs_nobody(short: Address) -> None:
    for part in ("GET /v1/pl", POST % ("slow", 100) + "half", POST % ("whole", 100) + "half"):
        async with raw(short) as one:
            await one.send(part)
            await asyncio.sleep(0.02)

    async with ClientSession(short.url) as client, client.get("/v1/places") as response:
        assert response.status == 200


async def test_a_chunk_that_breaks_midway_gets_one_answer(short: Address) -> None:
    async with raw(short) as one:
        await one.send(
            f"POST /v1/slow HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
        )
        await asyncio.sleep(0.05)
        await one.send(f"zz{CANARY}\r\n{GET}")
        received = await one.rest()

    assert answers_in(received) == 1
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"body-broken" in received
    assert CANARY.encode() not in received


async def test_pipelined_requests_get_one_answer_each_in_their_order(short: Address) -> None:
    requests = 200
    paths = ["/v1/places" if n % 3 else f"/v1/places?kind={n}" for n in range(requests)]

    async with raw(short) as one:
        sending = asyncio.create_task(
            one.send("".join(f"GET {path} HTTP/1.1\r\n{HOST}\r\n" for path in paths))
        )
        statuses = [(await one.answer())[0] for _ in paths]
        await sending
        await one.send(f"GET /v1/places HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        last = await one.rest()

    assert statuses == [200 if n % 3 else 422 for n in range(requests)]
    assert answers_in(last) == 1


async def test_requests_queued_behind_a_slow_one_are_not_late(short: Address) -> None:
    async with raw(short) as one:
        # 40 are more than aiohttp parses ahead; the nap is longer than a head may take.
        await one.send(f"GET /v1/nap HTTP/1.1\r\n{HOST}\r\n" + GET * 40)
        await asyncio.sleep(0.05)
        await one.send(GET)
        statuses = [(await one.answer())[0] for _ in range(42)]

    assert statuses == [200] * 42


async def test_an_upgrade_that_is_not_offered_is_a_plain_request(short: Address) -> None:
    async with raw(short) as one:
        await one.send(
            f"GET /v1/places HTTP/1.1\r\n{HOST}Connection: upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        status, _ = await one.answer()

    assert status == 200


# The kernel's own deadline, which counts nothing, comes twice as late as ours: apart by so much
# that a busy machine does not turn them round.
UNREAD = Limits(unread_s_max=1.5)


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    refused = Refusals()

    async with edge(UNREAD, refused) as address, raw(address) as one:
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a real transport
        await one.send(f"GET /v1/large HTTP/1.1\r\n{HOST}\r\n")
        async with asyncio.timeout(SOON_S):
            await refused.first.wait()

    assert refused == {"unread": 1}


async def test_who_reads_slowly_is_not_cut_off_before_they_stop() -> None:
    refused = Refusals()

    async with edge(UNREAD, refused) as address, raw(address) as one:
        await one.send(f"GET /v1/large HTTP/1.1\r\n{HOST}\r\n")
        for _ in range(30):  # twice as long as nothing may be read
            await one.reader.readexactly(512 * 1024)
            await asyncio.sleep(0.1)
        assert not refused
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a real transport
        async with asyncio.timeout(SOON_S):
            await refused.first.wait()

    assert refused == {"unread": 1}
