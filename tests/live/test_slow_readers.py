"""Screens that do not read: cut off with what one frame holds, while the others go on."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from server.kit.sending import Connection
from server.live.hub import Hub
from server.live.wire import EventStream
from tests.conftest import Databases
from tests.http import Clock
from tests.live.screens import serve_live, upload
from tests.live.test_hub import hub_of, socket_pair
from tests.looks import looking
from tests.world import World

SLOW = 10
QUICK = 3
FRAMES = 30
KERNEL_BYTES = 2_048
TICK_S = 0.02
FRAME_BYTES = 21_000


class WideStream(EventStream):
    """Frames as wide as those of a company with a hundred drivers who move: FRAME_BYTES."""

    def moves(self, *args: object, **options: object) -> bytes:
        return super().moves(*args, **options) + b": " + 20_000 * b"." + b"\n\n"  # type: ignore[arg-type]  # passed on


@dataclass(eq=False)
class Meter:
    """A screen, and the most that was ever held in memory for it."""

    connection: Connection
    drops: bool = True
    """Whether it lets itself be cut off; the control does not, and says nothing of what waits."""
    held_max: int = 0
    frames: int = 0

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        self.connection.send(chunk, until=until)
        self.frames += 1
        self._measure()

    def unsent_bytes(self) -> int:
        found = self._measure()
        return found if self.drops else 0

    def _measure(self) -> int:
        found = self.connection.unsent_bytes()
        self.held_max = max(self.held_max, found)
        return found

    def drop(self) -> None:
        if self.drops:
            self.connection.drop()

    def is_gone(self) -> bool:
        return self.drops and self.connection.is_gone()


@asynccontextmanager
async def watched(
    world: World, clock: Clock, hub: Hub, *, drops: bool
) -> AsyncIterator[tuple[list[Meter], list[Meter]]]:
    """Open screens at the hub that never read, and some that read everything."""
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(hub.joined(world.company_id))
        slow, quick = [], []
        for number in range(SLOW + QUICK):
            connection, other = await stack.enter_async_context(
                socket_pair(kernel_bytes=KERNEL_BYTES if number < SLOW else 1 << 20)
            )
            meter = Meter(connection, drops=drops)
            if number < SLOW:
                slow.append(meter)
            else:
                quick.append(meter)
                stack.callback(asyncio.create_task(_drain(other)).cancel)
            hub.admit(
                channel,
                meter,
                looks=looking(world.pool, world.company_id, clock),
                last_event_id=None,
            )
        yield slow, quick
        await hub.close()


async def _drain(other: socket.socket) -> None:
    other.setblocking(False)  # noqa: FBT003 - the socket's own signature
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(other, 1 << 16):
        pass


async def move(
    world: World, databases: Databases, clock: Clock, meters: Sequence[Meter], *, frames: int
) -> None:
    """Let the driver move until these screens were all sent so many frames."""
    async with serve_live(world, databases.main, clock=clock) as client, asyncio.timeout(60):
        while min(one.frames for one in meters) < frames:
            clock.at += timedelta(seconds=1)
            await upload(client, world.driver, clock.at)
            await asyncio.sleep(TICK_S)


async def test_who_does_not_read_costs_one_frame_and_no_one_elses_pace(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock, encoder=WideStream(heartbeat_s=15.0), tick_s=TICK_S)
    async with watched(world, clock, hub, drops=True) as (slow, quick):
        await move(world, databases, clock, quick, frames=FRAMES)

        assert all(one.is_gone() for one in slow)
        assert not any(one.is_gone() for one in quick)
        assert max(one.held_max for one in slow) <= FRAME_BYTES
        assert sum(one.unsent_bytes() for one in slow) == 0
        # Only in the frame that a screen did not take the others waited for it, all at once.
        assert max(one.frames for one in slow) <= 2


async def test_the_check_finds_a_stream_that_cuts_nobody_off(
    world: World, databases: Databases, clock: Clock
) -> None:
    hub = hub_of(world, clock, encoder=WideStream(heartbeat_s=15.0), tick_s=TICK_S)
    async with watched(world, clock, hub, drops=False) as (slow, _quick):
        await move(world, databases, clock, slow, frames=FRAMES)

        assert min(one.held_max for one in slow) > FRAMES // 2 * FRAME_BYTES
