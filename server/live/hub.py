"""Tells every open screen what changed: one hub per process, one channel per watched company.

A tick writes down who is about to see whom. Then it reads what may be shown, compares it with what
was told and hands the difference to the kernel, all inside the company's barrier
(``gate.frames``). An act that closes a gate passes the barrier before it is answered, so no
position leaves after that answer. What a socket does not take within the barrier is never sent:
its watcher is dropped and comes back for a snapshot.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from server.alerts import reading as alerts
from server.alerts.model import news
from server.deposits.hints import HINT_CHANNEL
from server.gate import handover
from server.gate import service as gate
from server.gate.handover import Viewing
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.kit.sending import flushed
from server.kit.tasks import ended
from server.live import service
from server.live.channel import Channel, Encoder, Frame, Seat, Watcher, Written
from server.live.model import LiveUnavailable, Topic, WatchersFull, changes, picture_of
from server.reads.model import bucket_of
from server.stop_events import service as stop_events
from server.vault.service import Vault

log = structlog.get_logger(__name__)

TICK_S: Final = 0.7
"""From one frame to the next. With the time that a frame takes it is less than the second within
which what was committed is on the screens."""
HINTED_TICK_S_MIN: Final = 0.2
HEARTBEAT_S: Final = 15.0
SEND_S_MAX: Final = handover.SEND_S_MAX
HAND_OVER_S_MIN: Final = 0.1
"""With less of it left no frame is begun: screens that got none would be cut off for our delay."""
WATCHERS_PER_COMPANY_MAX: Final = 500
WATCHERS_MAX: Final = 2_000
LINGER_S: Final = 300.0
"""How long a company's events are kept for screens that lost their connection."""
FIRST_TICK_S_MAX: Final = 5.0
FAILED_TICKS_MAX: Final = 5
LISTEN_AGAIN_S: Final = 2.0
COMMITS_WITHIN: Final = timedelta(seconds=60)
"""What was received may be seen so much later; so far back it is asked for again."""

Barrier: TypeAlias = Callable[[Pool, UUID], AbstractAsyncContextManager[Connection]]


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
        looks: Mapping[Topic, Viewing | None],
        last_event_id: str | None,
        digest: bytes | None = None,
    ) -> None:
        """Let the screen hear of these topics, until :meth:`leave`. Each look is written down.

        ``digest`` is of the session or API token that the screen was let in with: when that ends,
        the screen is dropped before anything more is sent. Without one, nobody asks.
        """
        channel.admit(
            watcher,
            self._encoder,
            Seat(looks=looks, digest=digest),
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
        await ended(*(one.task for one in self._channels.values() if one.task is not None))
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
        channel.fixes = {}
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
        channel.fixes = {}

    async def _rest(self, channel: Channel, started: float, *, sent: bool) -> None:
        """Wait until the next frame is due; less when something was stored and none was sent."""
        earliest = started + (self._tick_s if sent else min(HINTED_TICK_S_MIN, self._tick_s))
        await asyncio.sleep(max(0.0, earliest - monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, started + self._tick_s - monotonic())):
                await channel.hinted.wait()
        channel.hinted.clear()

    async def tick(self, channel: Channel) -> bool:
        """Tell the screens what changed; return whether positions were sent."""
        now = self._clock()
        glimpsed = await service.glimpse(
            self._pool, self._vault, channel.company_id, now=now, before=channel.fixes
        )
        channel.fixes = glimpsed.fixes
        _drop(channel, [one for one in channel.watchers if one.is_gone() or one.unsent_bytes()])
        written_down = await _written_down(channel, glimpsed.shown)
        # From before the barrier is asked for, as its lease: what closes a gate comes later.
        until = monotonic() + SEND_S_MAX
        async with self.barrier(self._pool, channel.company_id) as conn:
            sights, crews = await service.judged(conn, channel.company_id, glimpsed, now=now)
            still = await alerts.standing(conn, channel.company_id, now=now)
            # As they were when the looks were written down, if they may still be shown.
            standing = {one: head for one, head in glimpsed.standing.items() if one in still}
            since = (channel.said_at or now) - COMMITS_WITHIN
            said = await stop_events.news(conn, channel.company_id, since)
            await _drop_shut_out(conn, channel, now)
            if channel.picture is None:
                channel.remember(picture_of(sights, crews), standing, said, glimpsed.plans, now)
                return False
            told = changes(channel.picture, sights, crews)
            new = [one for one in said if one.stop_event_id not in channel.said]
            planned = service.route_news(channel.plans, glimpsed.plans, since=since, now=now)
            found = (*told.events, *planned, *new, *news(channel.standing, standing))
            told = replace(told, events=found)
            if not told.events and not told.moves:
                channel.remember(told.after, standing, said, glimpsed.plans, now)
                return False
            if monotonic() >= until - HAND_OVER_S_MIN:
                raise TimeoutError
            frame = channel.encode(self._encoder, told, now=now)
            channel.remember(told.after, standing, said, glimpsed.plans, now)
            await _hand_over(channel, frame, written_down, until)
        return bool(told.moves)


async def _written_down(
    channel: Channel, shown: Mapping[Topic, frozenset[UUID]]
) -> frozenset[Watcher]:
    """Write down that every screen sees these drivers, by topic; return the screens.

    All that can be shown now, not only who moved: it is on the screen the whole time. Whose look
    cannot be written down, because they are no member any more, is dropped.
    """
    seats = dict(channel.watchers)
    if channel.picture is None:  # nothing is sent in this tick
        return frozenset(seats)
    for topic, drivers in shown.items():
        if drivers != channel.shown[topic]:
            channel.shown[topic] = drivers
    looks = (_write_down(seat, channel.shown) for seat in seats.values())
    failed = {
        watcher: error
        for watcher, error in zip(
            seats, await asyncio.gather(*looks, return_exceptions=True), strict=True
        )
        if error is not None
    }
    for error in failed.values():
        if not isinstance(error, Exception) or db.is_outage(error):
            raise error
    _drop(channel, failed)
    return frozenset(seats.keys() - failed.keys())


async def _write_down(seat: Seat, shown: Mapping[Topic, frozenset[UUID]]) -> None:
    for topic, look in seat.looks.items():
        if look is None:
            continue
        # Before it is written: should the minutes end meanwhile, it is written once more.
        bucket_at, written = bucket_of(look.clock()), seat.written.get(topic)
        if written is None or not written.covers(bucket_at, shown[topic]):
            await look.at(shown[topic])
            seat.written[topic] = Written(bucket_at, shown[topic])


async def _drop_shut_out(conn: Connection, channel: Channel, now: datetime) -> None:
    """Drop every screen whose session, role or token has ended, or never let it hear so much.

    Inside the barrier: who ends one passes it before they are answered, so nothing is sent after.
    """
    heard: dict[bytes, frozenset[Topic]] = {}
    # Again for who came while the answer was awaited: the frame would go to them as well.
    while new := {one.digest for one in channel.watchers.values() if one.digest} - heard.keys():
        let_in = await service.let_in(conn, channel.company_id, new, now=now)
        heard |= {digest: let_in.get(digest, frozenset()) for digest in new}
    shut_out = [
        watcher
        for watcher, seat in channel.watchers.items()
        if seat.digest and not seat.looks.keys() <= heard[seat.digest]
    ]
    _drop(channel, shut_out)


async def _hand_over(
    channel: Channel, frame: Frame, written_down: Collection[Watcher], until: float
) -> None:
    """Give the frame to the kernel for every watcher, or drop the watcher.

    Who came since the looks were written down gets no position or alert yet: they read the
    snapshots now.
    """
    sent_to = tuple(channel.watchers)
    try:
        for watcher, seat in tuple(channel.watchers.items()):
            # Each time anew: the whole process may have been stopped in between.
            if monotonic() >= until:
                _drop(channel, [watcher])
            # Nothing is not sent: to HTTP an empty chunk is the end of the answer.
            elif chunk := frame.chunk(seat.looks, with_looks=watcher in written_down):
                watcher.send(chunk, until=until)
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
