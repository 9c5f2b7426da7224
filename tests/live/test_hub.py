import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from server.gate import service as gate
from server.kit.db import Connection as Db
from server.kit.db import Pool
from server.kit.sending import Connection
from server.live import hub as hubs
from server.live.hub import Barrier, Hub
from server.live.model import LiveUnavailable, WatchersFull
from server.live.wire import EventStream
from tests.conftest import Databases
from tests.http import Clock
from tests.live.screens import serve_live, upload
from tests.looks import looking
from tests.world import World


def hub_of(world: World, clock: Clock, **options: object) -> Hub:
    usual = {"encoder": EventStream(heartbeat_s=15.0), "tick_s": 0.02}
    return Hub(world.pool, world.vault, clock, **{**usual, **options})  # type: ignore[arg-type]  # tests vary them


@asynccontextmanager
async def socket_pair(*, kernel_bytes: int) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Give our end of a real socket, and the other end, which nobody reads."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=ours)
    connection = Connection(transport, chunked=False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel_bytes)
    try:
        yield connection, theirs
    finally:
        transport.abort()
        theirs.close()
        await asyncio.sleep(0)


async def test_who_does_not_read_is_dropped_and_the_others_go_on(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock)
    async with (
        serve_live(world, databases.main, clock=clock) as client,
        socket_pair(kernel_bytes=2_048) as (slow, unread),
        socket_pair(kernel_bytes=1 << 20) as (quick, _),
        hub.joined(world.company_id) as channel,
    ):
        for watcher in (slow, quick):
            hub.admit(
                channel,
                watcher,
                looks=looking(world.pool, world.company_id, clock),
                last_event_id=None,
            )
        async with asyncio.timeout(10):
            while not slow.is_gone():
                clock.at += timedelta(seconds=1)
                await upload(client, world.driver, clock.at)
        assert set(channel.watchers) == {quick}
        # What the kernel had not taken was never sent: the last frame the reader gets is cut.
        unread.setblocking(True)  # noqa: FBT003 - the socket's own signature
        taken = b""
        while part := unread.recv(1 << 16):
            taken += part
        assert len(taken) < 20_000
        await hub.close()


async def test_what_the_kernel_has_not_taken_is_cut_off(clock: Clock) -> None:
    _ = clock
    async with socket_pair(kernel_bytes=2_048) as (slow, _unread):
        slow.send(b"x" * 1_000_000)
        assert slow.unsent_bytes() > 0

        slow.drop()

        assert (slow.unsent_bytes(), slow.is_gone()) == (0, True)
        slow.send(b"more")


def held_up(seconds: float) -> Barrier:
    """Give the real barrier to a process that stands still right after it was asked for."""

    @asynccontextmanager
    async def barrier(pool: Pool, company_id: UUID) -> AsyncIterator[Db]:
        async with gate.frames(pool, company_id) as conn:
            await asyncio.sleep(seconds)
            yield conn

    return barrier


async def test_a_tick_that_outlives_its_lease_sends_nothing(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock)
    async with (
        serve_live(world, databases.main, clock=clock) as client,
        socket_pair(kernel_bytes=1 << 20) as (watcher, other),
        hub.joined(world.company_id) as channel,
    ):
        hub.admit(
            channel, watcher, looks=looking(world.pool, world.company_id, clock), last_event_id=None
        )
        hub.barrier = held_up(hubs.SEND_S_MAX)
        other.setblocking(False)  # noqa: FBT003 - the socket's own signature
        assert b"event: hello" in other.recv(1 << 16)
        await upload(client, world.driver, clock.at)
        await asyncio.sleep(2 * hubs.SEND_S_MAX)
        with pytest.raises(BlockingIOError):
            other.recv(1)

        # The picture was not taken for told: once the barrier is quick again, everything comes.
        hub.barrier = gate.frames
        await asyncio.sleep(2 * hubs.SEND_S_MAX)
        assert b"event: pos" in other.recv(1 << 16)
        await hub.close()


async def test_screens_are_cut_off_when_nothing_can_be_read_any_more(
    world: World, clock: Clock
) -> None:
    @asynccontextmanager
    async def broken(pool: Pool, company_id: UUID) -> AsyncIterator[Db]:
        async with gate.frames(pool, company_id) as conn:
            await conn.execute("SELECT 1 / 0")
            yield conn

    hub = hub_of(world, clock)
    async with (
        socket_pair(kernel_bytes=1 << 20) as (watcher, _),
        hub.joined(world.company_id) as channel,
    ):
        hub.admit(
            channel, watcher, looks=looking(world.pool, world.company_id, clock), last_event_id=None
        )
        hub.barrier = broken
        async with asyncio.timeout(10):
            await watcher.ended.wait()
        assert not channel.ready.is_set()
        hub.barrier = gate.frames
        async with asyncio.timeout(10):
            await channel.ready.wait()
        await hub.close()


async def test_screens_are_counted(world: World, clock: Clock) -> None:
    hub = hub_of(world, clock, watchers_max=2)
    async with hub.joined(world.company_id), hub.joined(world.company_id):
        with pytest.raises(WatchersFull):
            async with hub.joined(world.company_id):
                pass
    async with hub.joined(world.company_id):
        await hub.close()


async def test_a_closed_hub_takes_no_screens(world: World, clock: Clock) -> None:
    hub = hub_of(world, clock)
    await hub.close()

    with pytest.raises(LiveUnavailable):
        async with hub.joined(world.company_id):
            pass


async def test_without_screens_nothing_ticks(world: World, clock: Clock) -> None:
    hub = hub_of(world, clock)
    async with hub.joined(world.company_id) as channel:
        assert channel.task is not None
    async with asyncio.timeout(2):
        await channel.task


TICK_S = 30.0
"""So long that what comes much earlier was hinted at."""


async def _until_shown(screen: socket.socket) -> None:
    """Read until a position came."""
    loop, came = asyncio.get_running_loop(), b""
    while b"event: pos" not in came:
        more = await loop.sock_recv(screen, 1 << 16)
        assert more, "the screen was cut off"
        came += more


async def test_a_hint_brings_the_frame_before_the_second_is_full(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock, tick_s=TICK_S)
    listening = asyncio.create_task(hubs.listen(world.pool, hub))
    async with (
        serve_live(world, databases.main, clock=clock) as client,
        socket_pair(kernel_bytes=1 << 20) as (watcher, other),
        hub.joined(world.company_id) as channel,
    ):
        hub.admit(
            channel, watcher, looks=looking(world.pool, world.company_id, clock), last_event_id=None
        )
        other.setblocking(False)  # noqa: FBT003 - the socket's own signature
        shown = asyncio.create_task(_until_shown(other))
        async with asyncio.timeout(TICK_S / 2):
            while not shown.done():  # until the listener is there nobody hears a hint
                clock.at += timedelta(seconds=1)
                await upload(client, world.driver, clock.at)
                await asyncio.wait((shown,), timeout=0.5)
        await shown
        await hub.close()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


class Chunks:
    """A screen that remembers each chunk."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        _ = until
        self.chunks.append(chunk)

    def unsent_bytes(self) -> int:
        return 0

    def drop(self) -> None:
        return

    def is_gone(self) -> bool:
        return False


async def test_a_screen_that_came_too_late_for_a_frame_of_positions_is_sent_no_empty_chunk(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock, tick_s=0.05)
    early, late = Chunks(), Chunks()
    looks = looking(world.pool, world.company_id, clock)
    async with (
        serve_live(world, databases.main, clock=clock) as client,
        hub.joined(world.company_id) as channel,
        asyncio.timeout(10),
    ):
        hub.admit(channel, early, looks=looks, last_event_id=None)
        await upload(client, world.driver, clock.at)
        while not any(b"event: pos" in one for one in early.chunks):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)

        @asynccontextmanager
        async def joining(pool: Pool, company_id: UUID) -> AsyncIterator[Db]:
            """Let the other screen come while the barrier is asked for."""
            async with gate.frames(pool, company_id) as conn:
                if late not in channel.watchers:
                    hub.admit(channel, late, looks=looks, last_event_id=None)
                yield conn

        before = len(early.chunks)
        clock.at += timedelta(seconds=1)
        # Stored before the barrier lets anybody in, so that this very tick tells of it.
        hub.barrier = held_up(hubs.SEND_S_MAX)
        await upload(client, world.driver, clock.at)
        await asyncio.sleep(0.1)
        hub.barrier = joining
        while len(early.chunks) == before:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        await hub.close()

    assert b"event: pos" in early.chunks[-1]
    assert b"event: hello" in late.chunks[0]
    assert b"" not in late.chunks
