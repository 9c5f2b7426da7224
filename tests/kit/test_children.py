"""The line between two processes, and a process that is started with one."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from server.kit import children
from server.kit.children import UNHEARD_BYTES_MAX, Line, line

HEARS_AND_REPEATS = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[sys.argv.index("--line") + 1]))
while heard := end.recv(65536):
    end.sendall(heard)
sys.exit(7)
"""
STAYS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@asynccontextmanager
async def two_ends() -> AsyncGenerator[tuple[Line, Line]]:
    ours, theirs = socket.socketpair()
    async with line(ours) as one, line(theirs) as other:
        yield one, other


async def test_what_is_said_is_heard_in_its_order() -> None:
    async with two_ends() as (one, other):
        await one.send({"first": ["a", 1.5, None]})
        await one.send({"second": "two\nlines"})

        assert await other.receive() == {"first": ["a", 1.5, None]}
        assert await other.receive() == {"second": "two\nlines"}


async def test_the_end_of_the_other_side_is_heard_also_in_the_middle_of_a_word() -> None:
    ours, theirs = socket.socketpair()
    async with line(ours) as one:
        theirs.sendall(b'{"rea')
        theirs.close()

        assert await one.receive() is None
        await one.send({"still": "there?"})


async def test_who_does_not_listen_loses_what_is_dropped_in_and_nothing_piles_up() -> None:
    async with two_ends() as (one, other):
        for number in range(20_000):
            one.drop_in({"number": number, "text": "x" * 1_000})
        unheard_bytes = one._writer.transport.get_write_buffer_size()  # noqa: SLF001 - the claim
        assert unheard_bytes < UNHEARD_BYTES_MAX + 2_000

        assert await other.receive() == {"number": 0, "text": "x" * 1_000}


async def test_a_process_hears_and_says_and_its_end_is_told() -> None:
    child = await children.start([sys.executable, "-c", HEARS_AND_REPEATS])
    await child.send({"said": 1})

    assert await child.receive() == {"said": 1}

    child.send_signal(signal.SIGKILL)
    assert await child.receive() is None
    assert await child.ended() == -signal.SIGKILL


async def test_a_process_that_does_not_end_in_time_is_killed() -> None:
    child = await children.start([sys.executable, "-c", STAYS])
    await asyncio.sleep(0.5)
    child.send_signal(signal.SIGTERM)

    async with asyncio.timeout(10):
        assert await child.ended(s_max=0.3) == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match="No such file"):
        await children.start(["/nowhere/at/all"])
