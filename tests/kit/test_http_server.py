"""Listening, counting connections, and stopping."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator

import pytest
import uvloop
from aiohttp import ClientPayloadError, ClientSession, web

from server.kit.http_connection import Connection, Limits, counted_address
from server.kit.http_server import Address, CannotListen, PortTaken, listening, reserved
from tests.kit import toy
from tests.kit.wire_taps import GET, HOST, SOON_S, Refusals, answers_in, edge, raw


@pytest.fixture(scope="module")
async def short() -> AsyncGenerator[Address]:
    async with edge() as address:
        yield address


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
    for name in ("_messages", "_max_msg_queue_size", "_msg_queue_resume_size"):
        assert name in web.RequestHandler.__slots__


def test_the_names_of_aiohttp_that_the_shortcut_reads_and_sets_are_still_there() -> None:
    slots = {name for kind in web.RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}
    read = {
        "_buffer_paused", "_close", "_force_close", "_handler_waiter", "_keepalive_handle",
        "_keepalive_timeout", "_messages", "_msg_queue_resume_size", "_next_keepalive_close_time",
        "_parser", "_request_factory", "_request_handler", "_request_in_progress", "_waiter",
    }  # fmt: skip

    assert read <= slots
    for name in ("_process_keepalive", "_resume_reading_if_drained"):
        assert callable(getattr(web.RequestHandler, name))


def test_it_serves_on_uvloop_too() -> None:
    async def once() -> tuple[int, bytes]:
        async with edge() as address, raw(address) as slow, raw(address) as one:
            await one.send(GET)
            status, _ = await one.answer()
            await slow.send("G")
            return status, await slow.rest()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once()) == (200, b"")


async def test_several_share_a_reserved_port_and_each_is_given_connections() -> None:
    asked = [0, 0]

    def counting(place: int) -> web.Application:
        async def count(_request: web.Request) -> web.Response:
            asked[place] += 1
            return web.Response()

        app = web.Application()
        app.router.add_get("/", count)
        return app

    async with (
        reserved("127.0.0.1", 0) as address,
        listening(counting(0), host=address.host, port=address.port, is_shared=True),
        listening(counting(1), host=address.host, port=address.port, is_shared=True),
    ):
        for _ in range(100):  # 2 ** -99 that the kernel gives them all to one
            async with ClientSession(address.url) as client, client.get("/") as response:
                assert response.status == 200

    assert sum(asked) == 100
    assert min(asked) > 0


async def test_a_reserved_port_is_nobody_elses() -> None:
    shared = toy.application()
    async with (
        reserved("127.0.0.1", 0) as address,
        listening(shared, host=address.host, port=address.port, is_shared=True),
    ):
        with pytest.raises(PortTaken):
            async with listening(toy.application(), host=address.host, port=address.port):
                pass
        with pytest.raises(PortTaken):
            async with reserved(address.host, address.port):
                pass


async def test_a_port_whose_owner_would_share_it_is_taken_all_the_same() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortTaken):
            async with reserved("127.0.0.1", port):
                pass
        # The control: without asking first, half of our callers would be theirs.
        async with listening(toy.application(), host="127.0.0.1", port=port, is_shared=True):
            pass
