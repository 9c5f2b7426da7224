"""What is not HTTP, or not quite: answered once, never repeated."""

import json
import logging
from collections.abc import AsyncGenerator

import pytest
from aiohttp import ClientSession, web

from server.kit.http_server import Address
from tests.kit import toy
from tests.kit.wire_taps import CANARY, HOST, Refusals, answers_in, edge, raw


@pytest.fixture(scope="module")
async def short() -> AsyncGenerator[Address]:
    async with edge() as address:
        yield address


MALFORMED = {
    "space before the colon": f"GET / HTTP/1.1\r\n{HOST}Authorization : Bearer {CANARY}\r\n\r\n",
    "length and chunks": f"POST /v1/places HTTP/1.1\r\n{HOST}Content-Length: 5\r\n"
    f"Transfer-Encoding: chunked\r\nX-A: {CANARY}\r\n\r\n0\r\n\r\n",
    "two lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a signed length": f"POST / HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\n",
    "two hosts": f"GET /{CANARY} HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "no host": f"GET /{CANARY} HTTP/1.1\r\n\r\n",
    "a bare line feed": f"GET /{CANARY} HTTP/1.1\nHost: jolda.test\n\n",
    "a folded header": f"GET / HTTP/1.1\r\n{HOST}X-A: a\r\n {CANARY}\r\n\r\n",
    "a control character": f"GET / HTTP/1.1\r\n{HOST}X-A: {CANARY}\x00\r\n\r\n",
    "an unknown method": f"{CANARY} / HTTP/1.1\r\n{HOST}\r\n",
    "an unknown protocol": f"GET / {CANARY}/1.1\r\n{HOST}\r\n",
    "another version": f"GET /{CANARY} HTTP/7.3\r\n{HOST}\r\n",
    "HTTP/2 at once": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS greeting": "\x16\x03\x01\x02\x00\x01\x00",
    "a long line": f"GET /{CANARY}{'a' * 9000} HTTP/1.1\r\n{HOST}\r\n",
    "a long header": f"GET / HTTP/1.1\r\n{HOST}X-A: {CANARY}{'a' * 9000}\r\n\r\n",
    "many headers": f"GET /{CANARY} HTTP/1.1\r\n{HOST}" + "X-A: b\r\n" * 500 + "\r\n",
    "an unreadable chunk": f"POST /v1/slow HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
    "a broken encoding": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {CANARY}\r\n\r\n",
    "an impossible target": f"GET http://[{CANARY} HTTP/1.1\r\n{HOST}\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_not_http_gets_one_400_that_repeats_nothing(
    short: Address, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with raw(short) as one:
        await one.send(MALFORMED[name])
        received = await one.rest()

    head, _, body = received.partition(b"\r\n\r\n")
    assert answers_in(received) == 1
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["status"] == 400
    assert b"application/problem+json" in head
    assert b"\r\nserver:" not in head.lower()
    assert b"aiohttp" not in received.lower()
    logged = "".join((*capfd.readouterr(), caplog.text))
    for trace in (CANARY, "55.7558"):
        assert trace.encode() not in received
        assert trace not in logged


async def test_control_aiohttp_alone_repeats_it_and_waits_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = web.AppRunner(toy.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bare = Address(*runner.addresses[0][:2])
    async with raw(bare) as one, raw(bare) as slow:
        await slow.send("G")
        await one.send(MALFORMED["space before the colon"])
        received = await one.rest()
        with pytest.raises(TimeoutError):
            await slow.rest(within_s=0.5)
    await runner.cleanup()

    assert CANARY.encode() in received
    assert CANARY in caplog.text
    assert b"aiohttp" in received


async def test_a_token_in_a_malformed_line_is_counted_not_kept() -> None:
    refused = Refusals()

    async with edge(refused=refused) as address, raw(address) as one:
        await one.send(MALFORMED["space before the colon"])
        await one.rest()

    assert refused == {"malformed": 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_an_unknown_expectation_is_not_repeated(short: Address, method: str) -> None:
    async with raw(short) as one:
        await one.send(f"{method} /v1/places HTTP/1.1\r\n{HOST}Expect: {CANARY}\r\n\r\n")
        received = await one.rest()

    assert received.startswith(b"HTTP/1.1 417 ")
    assert answers_in(received) == 1
    assert CANARY.encode() not in received
    assert received.endswith(b"\r\n\r\n") == (method == "HEAD")


async def test_no_answer_names_the_server_and_v1_is_never_stored(short: Address) -> None:
    async with ClientSession(short.url) as client:
        for path in ("/v1/places", "/v1/nothing", "/nothing", "/docs", "/openapi.json"):
            async with client.get(path) as response:
                await response.read()

                assert "Server" not in response.headers
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                if path.startswith("/v1/"):
                    assert response.headers["Cache-Control"] == "no-store"
