"""The edge, with raw bytes on real sockets: what no well-behaved client would ever send."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop
from aiohttp import ClientPayloadError, ClientSession, web

from server.kit.http_connection import Connection, Limits, counted_address
from server.kit.http_server import Address, CannotListen, PortTaken, listening
from tests.kit import toy

CANARY = "CANARY-55.7558"
HOST = "Host: jolda.test\r\n"
GET = f"GET /v1/places HTTP/1.1\r\n{HOST}\r\n"
SHORT = Limits(head_s_max=0.5, body_s_max=1, idle_s_max=1.5, unread_s_max=0.5, linger_s_max=0.3)
SOON_S = 8.0
"""What must happen at some time does so before this, even on a busy machine."""


class Refusals(Counter[str]):
    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def count(self, reason: str) -> None:
        self[reason] += 1
        self.first.set()


@asynccontextmanager
async def edge(limits: Limits = SHORT, refused: Refusals | None = None) -> AsyncGenerator[Address]:
    async with listening(
        toy.application(),
        host="127.0.0.1",
        port=0,
        limits=limits,
        count_refused=(refused if refused is not None else Refusals()).count,
    ) as address:
        yield address


@pytest.fixture(scope="module")
async def short() -> AsyncGenerator[Address]:
    async with edge() as address:
        yield address


class Raw:
    """A socket and what came out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: str | bytes) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def rest(self, within_s: float = SOON_S) -> bytes:
        """Return everything until the server closes, which it must do in time."""
        async with asyncio.timeout(within_s):
            try:
                return await self.reader.read()
            except (ConnectionResetError, BrokenPipeError):
                return b""

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(SOON_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            return int(head.split()[1]), head + await self.reader.readexactly(size)


@asynccontextmanager
async def raw(address: Address) -> AsyncGenerator[Raw]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def answers_in(received: bytes) -> int:
    return received.count(b"HTTP/1.")


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


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    refused = Refusals()

    async with edge(refused=refused) as address, raw(address) as one:
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a real transport
        await one.send(f"GET /v1/large HTTP/1.1\r\n{HOST}\r\n")
        async with asyncio.timeout(SOON_S):
            await refused.first.wait()

    assert refused == {"unread": 1}


async def test_who_reads_slowly_is_not_cut_off_before_they_stop() -> None:
    refused = Refusals()

    async with edge(refused=refused) as address, raw(address) as one:
        await one.send(f"GET /v1/large HTTP/1.1\r\n{HOST}\r\n")
        for _ in range(30):  # three times as long as nothing may be read
            await one.reader.readexactly(512 * 1024)
            await asyncio.sleep(0.05)
        assert not refused
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a real transport
        async with asyncio.timeout(SOON_S):
            await refused.first.wait()

    assert refused == {"unread": 1}


async def test_an_error_after_the_answer_began_ends_the_connection(short: Address) -> None:
    async with raw(short) as one:
        await one.send(f"GET /v1/half HTTP/1.1\r\n{HOST}\r\n")
        received = await one.rest()

    assert answers_in(received) == 1
    assert b"one half" in received
    assert not received.endswith(b"0\r\n\r\n")  # nobody can take it for a whole one


async def test_an_error_below_the_application_is_a_problem_without_its_text() -> None:
    bare = toy.application(middlewares=[])

    async with (
        listening(bare, host="127.0.0.1", port=0) as address,
        ClientSession(address.url) as client,
        client.get("/v1/wrong") as response,
    ):
        assert response.status == 500
        assert response.content_type == "application/problem+json"
        assert "Server" not in response.headers
        assert "CANARY" not in await response.text()


async def test_one_address_gets_so_many_connections_and_its_place_back() -> None:
    refused = Refusals()
    limits = Limits(connections_per_address_max=3)

    async with edge(limits, refused) as address:
        async with raw(address) as one, raw(address) as two, raw(address) as three:
            for inside in (one, two, three):
                await inside.send(GET)
                assert (await inside.answer())[0] == 200
            async with raw(address) as four:
                assert await four.rest() == b""
        assert refused == {"address_full": 1}
        await asyncio.sleep(0.05)
        async with raw(address) as again:
            await again.send(GET)
            assert (await again.answer())[0] == 200


async def test_all_together_get_so_many_connections() -> None:
    refused = Refusals()

    async with (
        edge(Limits(connections_max=1), refused) as address,
        raw(address) as one,
        raw(address) as two,
    ):
        assert await two.rest() == b""
        await one.send(GET)
        assert (await one.answer())[0] == 200

    assert refused == {"full": 1}


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::"),
        ("", "local"),
        (None, "local"),
    ],
)
def test_connections_are_counted_by_ipv4_address_or_ipv6_network(
    peer: object, counted: str
) -> None:
    assert counted_address(peer) == counted


async def test_the_drain_is_bounded_and_ends_streams_at_once() -> None:
    limits = Limits(drain_s_max=20)
    async with ClientSession() as client:
        async with edge(limits) as address:
            stream = await client.get(f"{address.url}/v1/stream")
            assert await stream.content.readany() == b": here\n\n"
            napping = asyncio.create_task(client.get(f"{address.url}/v1/nap"))
            await asyncio.sleep(0.05)
            began = time.monotonic()

        assert time.monotonic() - began < 4  # the nap's time, not the limit
        assert (await napping).status == 200  # what had begun was finished
        with pytest.raises(ClientPayloadError):  # ended, and not as if it were whole
            await stream.content.read()
        stream.close()
        with pytest.raises(OSError, match="onnect"):
            await client.get(f"{address.url}/v1/places")


async def test_a_handler_that_never_ends_does_not_hold_the_drain() -> None:
    limits = Limits(drain_s_max=0.4)

    async def forever(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    app = toy.application()
    app.router.add_get("/forever", forever)
    async with listening(app, host="127.0.0.1", port=0, limits=limits) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(f"GET /forever HTTP/1.1\r\n{HOST}\r\n".encode())
        await asyncio.sleep(0.05)
        began = time.monotonic()

    assert time.monotonic() - began < SOON_S
    assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken_is_said_before_the_application_starts() -> None:
    app = toy.application()
    started = False

    async def on_startup(_app: web.Application) -> None:
        nonlocal started
        started = True

    app.on_startup.append(on_startup)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortTaken, match=f"^Port {port} on 127.0.0.1 is taken by another"):
            async with listening(app, host="127.0.0.1", port=port):
                pass

    assert not started


async def test_an_address_of_another_machine_is_said_in_one_sentence() -> None:
    for host in ("192.0.2.1", "no-such-name.invalid"):
        with pytest.raises(CannotListen, match="is not an address of this machine"):
            async with listening(toy.application(), host=host, port=0):
                pass


async def test_the_port_is_free_again_at_once_although_connections_were_open() -> None:
    async with edge() as address, raw(address) as one:
        await one.send(GET)
        await one.answer()
        port = address.port

    async with listening(toy.application(), host="127.0.0.1", port=port) as again:
        assert again.port == port


async def test_it_says_where_it_listens() -> None:
    said: list[str] = []

    async with listening(toy.application(), host="localhost", port=0, say=said.append) as address:
        assert said == [f"Listening on http://127.0.0.1:{address.port}"]


def test_without_the_c_parser_it_does_not_start() -> None:
    code = "from server.kit.http_server import refuse_python_parser as check; check()"
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "runs without its C parser" in done.stderr


def test_the_names_of_aiohttp_that_are_overridden_or_read_are_still_there() -> None:
    for name in (
        "connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing",
        "handle_error", "finish_response", "log_exception", "force_close",
    ):  # fmt: skip
        assert name in vars(Connection) or name == "force_close"
        assert callable(getattr(web.RequestHandler, name))
    assert "_messages" in web.RequestHandler.__slots__


def test_it_serves_on_uvloop_too() -> None:
    async def once() -> tuple[int, bytes]:
        async with edge() as address, raw(address) as slow, raw(address) as one:
            await one.send(GET)
            status, _ = await one.answer()
            await slow.send("G")
            return status, await slow.rest()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once()) == (200, b"")
