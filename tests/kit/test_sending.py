"""What is handed to the kernel in time, and what never is."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
import uvloop

from server.kit.sending import Connection, flushed

LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)
IN_TIME_S = 5.0


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[asyncio.Transport, socket.socket]]:
    """Give a transport, and the socket at its other end, which never waits."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - the name of the method says it
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=ours)
    try:
        yield transport, theirs
    finally:
        transport.abort()
        theirs.close()


def arrived(theirs: socket.socket) -> bytes:
    """Return what the kernel has by now, without letting the event loop go on."""
    came = b""
    try:
        while chunk := theirs.recv(1 << 20):
            came += chunk
    except (BlockingIOError, ConnectionResetError):
        pass
    return came


def run(loop: Callable[[], asyncio.AbstractEventLoop], proof: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(proof)


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_leaves_from_the_deadline_on_however_the_process_was_held_up(loop: Any) -> None:
    async def proof() -> None:
        async with connected() as (transport, theirs):
            connection = Connection(transport, chunked=False)
            until = monotonic() + 0.05
            transport.write(b"head ")  # as the HTTP library does
            time.sleep(0.1)  # noqa: ASYNC251 - as if the process had been stopped

            connection.send(b"61.238", until=until)
            await flushed((connection,), monotonic() + 0.1)

            assert arrived(theirs) == b"head "
            assert connection.unsent_bytes() == len(b"61.238")
            connection.drop()
            await asyncio.sleep(0.05)
            assert arrived(theirs) == b""

    run(loop, proof())


@pytest.mark.parametrize("loop", LOOPS)
def test_the_rest_of_what_the_kernel_did_not_take_at_once_has_the_same_deadline(loop: Any) -> None:
    async def proof() -> None:
        async with connected() as (transport, theirs):
            connection = Connection(transport, chunked=False)
            whole = bytes(4 * 1024 * 1024)
            until = monotonic() + 0.05

            connection.send(whole, until=until)
            time.sleep(0.1)  # noqa: ASYNC251 - as if the process had been stopped
            taken = len(whole) - connection.unsent_bytes()
            first = len(arrived(theirs))
            await asyncio.sleep(0.05)

            assert 0 < first == taken < len(whole)
            assert arrived(theirs) == b""
            assert connection.unsent_bytes() == len(whole) - taken

    run(loop, proof())


@pytest.mark.parametrize("loop", LOOPS)
def test_control_a_transport_sends_its_rest_whenever_it_can(loop: Any) -> None:
    async def proof() -> None:
        async with connected() as (transport, theirs):
            transport.write(bytes(4 * 1024 * 1024))
            time.sleep(0.1)  # noqa: ASYNC251 - as if the process had been stopped
            first = len(arrived(theirs))
            await asyncio.sleep(0.05)

            assert first > 0
            assert len(arrived(theirs)) > 0

    run(loop, proof())


@pytest.mark.parametrize("loop", LOOPS)
def test_in_time_all_of_it_arrives_after_what_was_written_before(loop: Any) -> None:
    async def proof() -> None:
        async with connected() as (transport, theirs):
            connection = Connection(transport, chunked=True)
            whole = b"x" * (3 * 1024 * 1024)
            transport.write(b"head ")

            connection.send(whole, until=monotonic() + IN_TIME_S)
            flushing = asyncio.create_task(flushed((connection,), monotonic() + IN_TIME_S))
            came = b""
            while not flushing.done():
                await asyncio.sleep(0.001)
                came += arrived(theirs)

            assert came + arrived(theirs) == b"head %x\r\n" % len(whole) + whole + b"\r\n"
            assert connection.unsent_bytes() == 0

    run(loop, proof())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_caller_who_is_gone_holds_nobody_up(loop: Any) -> None:
    async def proof() -> None:
        async with connected() as (transport, theirs):
            connection = Connection(transport, chunked=False)
            theirs.close()
            began = monotonic()

            connection.send(b"61.238", until=monotonic() + IN_TIME_S)
            await flushed((connection,), monotonic() + IN_TIME_S)

            assert connection.unsent_bytes() == 0
            assert connection.is_gone()
            assert monotonic() - began < IN_TIME_S / 2

    run(loop, proof())
