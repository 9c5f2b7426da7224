"""Frames that are held up between reading the gates and writing: at random, or for certain."""

import asyncio
import random
import threading
from collections.abc import Collection, Sequence
from datetime import datetime
from time import sleep
from typing import Final
from uuid import UUID

from server.live.hub import HEARTBEAT_S
from server.live.model import Sight
from server.live.wire import EventStream

STALL_S_MAX: Final = 0.012
HELD_S_MAX: Final = 5.0


class StallingStream(EventStream):
    """The thread stands still for a moment."""

    def __init__(self) -> None:
        super().__init__(heartbeat_s=HEARTBEAT_S)

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes:
        encoded = super().moves(moves, now=now)
        sleep(random.uniform(0, STALL_S_MAX))  # noqa: S311 - no secret
        return encoded


class Hold:
    """Holds frames of a driver, from when they are asked for until they may go.

    How long a stop takes from its commit to its answer depends on the machine, so a stall of any
    length could be too short for it to fall into.
    """

    def __init__(self) -> None:
        self._asked: dict[UUID, tuple[threading.Event, threading.Event]] = {}
        """By driver: a frame is held, and it may go."""

    async def a_frame_of(self, driver_id: UUID) -> None:
        """Wait until a frame with the driver is held: its gates are read, it is not written."""
        held, may_go = threading.Event(), threading.Event()
        self._asked[driver_id] = (held, may_go)
        async with asyncio.timeout(HELD_S_MAX):
            while not held.is_set():  # noqa: ASYNC110 - other threads
                await asyncio.sleep(0.001)

    def let_go(self, driver_id: UUID) -> None:
        _, may_go = self._asked.pop(driver_id)
        may_go.set()

    def meet(self, driver_ids: Collection[UUID]) -> None:
        """Stand still, in the thread that sends, if a frame of one of them is asked for."""
        for driver_id in driver_ids:
            asked = self._asked.get(driver_id)
            if asked is not None:
                held, may_go = asked
                held.set()
                may_go.wait(HELD_S_MAX)


class HoldingStream(EventStream):
    """The control's."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(heartbeat_s=HEARTBEAT_S)
        self._hold = hold

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes:
        encoded = super().moves(moves, now=now)
        self._hold.meet({sight.driver_id for sight in moves})
        return encoded
