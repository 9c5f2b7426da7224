"""Tells every open screen what changed: one hub per process, one channel per watched company.

A tick reads what may be shown, compares it with what was told and hands the difference to the
kernel, all inside the company's barrier (``gate.frames``). An act that closes a gate passes the
barrier before it is answered, so no position leaves after that answer. What a socket does not take
within the barrier is never sent: its watcher is dropped and comes back for a snapshot.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from time import monotonic
from typing import Final, Protocol, TypeAlias
from uuid import UUID

import structlog

from server.gate import handover
from server.gate import service as gate
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.kit.sending import flushed
from server.live import service
from server.live.model import (
    Changes,
    Event,
    LiveUnavailable,
    Picture,
    Sight,
    WatchersFull,
    changes,
    picture_of,
)
from server.tracking.committer import HINT_CHANNEL
from server.vault.service import Vault

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
HINTED_TICK_S_MIN: Final = 0.2
HEARTBEAT_S: Final = 15.0
SEND_S_MAX: Final = handover.SEND_S_MAX
WATCHERS_PER_COMPANY_MAX: Final = 500
WATCHERS_MAX: Final = 2_000
EVENTS_KEPT_MAX: Final = 512
LINGER_S: Final = 300.0
"""How long a company's events are kept for screens that lost their connection."""
FIRST_TICK_S_MAX: Final = 5.0
FAILED_TICKS_MAX: Final = 5
LISTEN_AGAIN_S: Final = 2.0

_EVENT_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)

Barrier: TypeAlias = Callable[[Pool, UUID], AbstractAsyncContextManager[Connection]]


class Watcher(Protocol):
    """One open screen. Writing never waits."""

    def send(self, chunk: bytes) -> None: ...

    def unsent_bytes(self) -> int:
        """Return how much has not been handed to the kernel yet."""
        ...

    def drop(self) -> None:
        """Cut the connection and forget what it has not taken. May be called again."""
        ...

    def is_gone(self) -> bool: ...


class Encoder(Protocol):
    """Writes what is told as server-sent events."""

    def hello(self, event_id: str, *, stream_id: str, now: datetime) -> bytes: ...

    def resync(self, event_id: str, reason: str) -> bytes: ...

    def event(self, event_id: str, event: Event) -> bytes: ...

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes: ...


class Channel:
    """What one company's screens were told, and who is watching."""

    def __init__(self, company_id: UUID, *, idle_since: float) -> None:
        self.company_id = company_id
        self.stream_id = secrets.token_hex(8)
        self.watchers: dict[Watcher, bytes | None] = {}
        """Each with the digest of the token it was let in with; None is not asked again."""
        self.joined = 0
        """Screens that are open or about to be."""
        self.idle_since = idle_since
        self.picture: Picture | None = None
        self.ready = asyncio.Event()
        """There is a picture, and it is being kept."""
        self.hinted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._number = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=EVENTS_KEPT_MAX)

    def admit(
        self,
        watcher: Watcher,
        encoder: Encoder,
        *,
        digest: bytes | None,
        last_event_id: str | None,
        now: datetime,
    ) -> None:
        """Greet the screen, give it the events it missed, and tell it everything from now on.

        Nothing here waits, so no event comes between. Positions are never among what was missed.
        """
        here = self._id(self._number)
        missed = self._missed(last_event_id)
        if last_event_id is None:
            watcher.send(encoder.hello(here, stream_id=self.stream_id, now=now))
        elif missed is None:
            watcher.send(
                encoder.hello(here, stream_id=self.stream_id, now=now)
                + encoder.resync(here, "events_lost")
            )
        else:
            # Under the old id: a screen that is cut off right here asks for them again.
            hello = encoder.hello(last_event_id, stream_id=self.stream_id, now=now)
            watcher.send(hello + b"".join(missed))
        self.watchers[watcher] = digest

    def encode(self, encoder: Encoder, told: Changes, *, now: datetime) -> bytes:
        """Return one frame: events with their ids, kept for resuming; then the moves."""
        frame = []
        for event in told.events:
            self._number += 1
            encoded = encoder.event(self._id(self._number), event)
            self._kept.append((self._number, encoded))
            frame.append(encoded)
        if told.moves:
            frame.append(encoder.moves(told.moves, now=now))
        return b"".join(frame)

    def _id(self, number: int) -> str:
        return f"{self.stream_id}-{number}"

    def _missed(self, last_event_id: str | None) -> list[bytes] | None:
        """Return the events after that id; None if they are not all here."""
        stream_id, _, text = (last_event_id or "").partition("-")
        if stream_id != self.stream_id or _EVENT_NUMBER.fullmatch(text) is None:
            return None
        after = int(text)
        missed = [encoded for number, encoded in self._kept if number > after]
        return missed if after + len(missed) == self._number else None


class Hub:
    """The channels of this process. Make it with :func:`running`."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        clock: Callable[[], datetime],
        encoder: Encoder,
        *,
        tick_s: float = TICK_S,
        heartbeat_s: float = HEARTBEAT_S,
        watchers_max: int = WATCHERS_PER_COMPANY_MAX,
        barrier: Barrier = gate.frames,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._clock = clock
        self._encoder = encoder
        self._tick_s = tick_s
        self._watchers_max = watchers_max
        self.barrier = barrier
        self.heartbeat_s = heartbeat_s
        self._channels: dict[UUID, Channel] = {}
        self._closed = False

    @asynccontextmanager
    async def joined(self, company_id: UUID) -> AsyncGenerator[Channel]:
        """Give the company's channel, ticking at least until the block ends.

        Raises
        ------
        WatchersFull, LiveUnavailable
        """
        self._forget_idle()
        channel = self._channels.get(company_id)
        if channel is None:
            channel = Channel(company_id, idle_since=monotonic())
        if (
            channel.joined >= self._watchers_max
            or sum(one.joined for one in self._channels.values()) >= WATCHERS_MAX
        ):
            raise WatchersFull
        if self._closed:
            raise LiveUnavailable
        self._channels[company_id] = channel
        channel.joined += 1
        try:
            if channel.task is None or channel.task.done():
                channel.task = asyncio.create_task(self._run(channel))
            # A screen takes its snapshot after the greeting. Were the first picture made after
            # that snapshot, whatever happened between the two would never be told.
            try:
                async with asyncio.timeout(FIRST_TICK_S_MAX):
                    await channel.ready.wait()
            except TimeoutError:
                raise LiveUnavailable from None
            yield channel
        finally:
            channel.joined -= 1
            channel.idle_since = monotonic()

    def admit(
        self,
        channel: Channel,
        watcher: Watcher,
        *,
        last_event_id: str | None,
        digest: bytes | None = None,
    ) -> None:
        """Let the screen hear the channel, until :meth:`leave`.

        ``digest`` is of the session or API token that the screen was let in with: when that ends,
        the screen is dropped before anything more is sent. Without one, nobody asks.
        """
        channel.admit(
            watcher,
            self._encoder,
            digest=digest,
            last_event_id=last_event_id,
            now=self._clock(),
        )

    def leave(self, channel: Channel, watcher: Watcher) -> None:
        channel.watchers.pop(watcher, None)

    def hint(self, company_id: UUID) -> None:
        """Something was stored; do not wait for the second to be full if nothing was sent in it."""
        channel = self._channels.get(company_id)
        if channel is not None:
            channel.hinted.set()

    async def close(self) -> None:
        """End every stream and take no more."""
        self._closed = True
        tasks = [one.task for one in self._channels.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self._channels.values():
            _drop(channel, channel.watchers)
        self._channels.clear()

    def _forget_idle(self) -> None:
        before = monotonic() - LINGER_S
        for company_id, channel in list(self._channels.items()):
            if channel.joined == 0 and channel.idle_since < before:
                del self._channels[company_id]

    async def _run(self, channel: Channel) -> None:
        failed = 0
        while channel.joined > 0:
            started = monotonic()
            sent = False
            try:
                sent = await self.tick(channel)
                failed = 0
                channel.ready.set()
            except Exception as error:  # noqa: BLE001 - an outage; the next tick tries again
                failed += 1
                log.warning("live_tick_failed", attempt=failed, **where(error))
                if failed >= FAILED_TICKS_MAX:
                    # A silent screen would look alive: let it say that it lost us.
                    channel.ready.clear()
                    _drop(channel, channel.watchers)
            await self._rest(channel, started, sent=sent)

    async def _rest(self, channel: Channel, started: float, *, sent: bool) -> None:
        """Wait for the next second; less when something was stored and none of this one is used."""
        earliest = started + (self._tick_s if sent else min(HINTED_TICK_S_MIN, self._tick_s))
        await asyncio.sleep(max(0.0, earliest - monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, started + self._tick_s - monotonic())):
                await channel.hinted.wait()
        channel.hinted.clear()

    async def tick(self, channel: Channel) -> bool:
        """Tell the screens what changed; return whether positions were sent."""
        now = self._clock()
        glimpsed = await service.glimpse(self._pool, self._vault, channel.company_id, now=now)
        _drop(channel, [one for one in channel.watchers if one.is_gone() or one.unsent_bytes()])
        # From before the barrier is asked for, as its lease: what closes a gate comes later.
        until = monotonic() + SEND_S_MAX
        async with self.barrier(self._pool, channel.company_id) as conn:
            sights, crews = await service.judged(conn, channel.company_id, glimpsed, now=now)
            await _drop_shut_out(conn, channel, now)
            if channel.picture is None:
                channel.picture = picture_of(sights, crews)
                return False
            told = changes(channel.picture, sights, crews)
            if not told.events and not told.moves:
                channel.picture = told.after
                return False
            if monotonic() >= until:
                raise TimeoutError
            frame = channel.encode(self._encoder, told, now=now)
            channel.picture = told.after
            await _hand_over(channel, frame, until)
        return bool(told.moves)


async def _drop_shut_out(conn: Connection, channel: Channel, now: datetime) -> None:
    """Drop every screen whose session, role or token has ended.

    Inside the barrier: who ends one passes it before they are answered, so nothing is sent after.
    """
    asked: set[bytes] = set()
    still_in: set[bytes] = set()
    # Again for who came while the answer was awaited: the frame would go to them as well.
    while new := {one for one in channel.watchers.values() if one is not None} - asked:
        still_in |= await service.let_in(conn, channel.company_id, new, now=now)
        asked |= new
    _drop(channel, [one for one, digest in channel.watchers.items() if digest in asked - still_in])


async def _hand_over(channel: Channel, frame: bytes, until: float) -> None:
    """Give the frame to the kernel for every watcher, or drop the watcher."""
    sent_to = tuple(channel.watchers)
    try:
        for watcher in sent_to:
            # Each time anew: the whole process may have been stopped in between.
            if monotonic() >= until:
                _drop(channel, [watcher])
            else:
                watcher.send(frame)
        await flushed(sent_to, until)
    finally:
        _drop(channel, [watcher for watcher in sent_to if watcher.unsent_bytes()])


def _drop(channel: Channel, watchers: Collection[Watcher]) -> None:
    for watcher in tuple(watchers):
        channel.watchers.pop(watcher, None)
        watcher.drop()


async def listen(pool: Pool, hub: Hub) -> None:
    """Pass hints on until cancelled. Without them a tick comes a little later, never not at all."""

    def hinted(_conn: object, _pid: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):
            hub.hint(UUID(str(payload)))

    while True:
        try:
            async with pool.acquire() as conn:
                await conn.add_listener(HINT_CHANNEL, hinted)
                try:
                    while not conn.is_closed():  # noqa: ASYNC110 - asyncpg has no event for it
                        await asyncio.sleep(LISTEN_AGAIN_S)
                finally:
                    if not conn.is_closed():
                        await conn.remove_listener(HINT_CHANNEL, hinted)
        except Exception as error:  # noqa: BLE001 - an outage; polling goes on
            log.warning("live_hints_lost", **where(error))
        await asyncio.sleep(LISTEN_AGAIN_S)
