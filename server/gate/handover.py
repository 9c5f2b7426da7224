"""Answers that hold a driver's positions: written down, made in turns, handed over in the barrier.

Nobody gets past :func:`answer` without a :class:`Viewing`, and there is none for a purpose that
the endpoint does not declare. A track or a report takes longer to make than a withdrawal to be
answered. So its gate is read again once it is made, inside the company's barrier, and again for
each piece that is written: after the answer to a withdrawal nothing of it leaves any more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final
from uuid import UUID

from aiohttp import web

from server.gate.model import Gate, GateMissing, Purpose
from server.gate.service import FRAME_LEASE_MS, FRAME_MARGIN_MS, frames, read
from server.kit.db import Connection as Db
from server.kit.errors import Unavailable
from server.kit.sending import FLUSH_POLL_S, Connection, flushed
from server.kit.web import CLOCK, COMPANY, POOL, PURPOSES, Clock
from server.ledger.model import Actor
from server.reads.alerts import Tell
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads

READS: web.AppKey[Reads] = web.AppKey("READS")
"""Where this process writes down who looks."""

# Within the lease of frames: whoever closes a gate waits no longer than that.
SEND_S_MAX: Final = (FRAME_LEASE_MS - FRAME_MARGIN_MS) / 1000
PIECE_BYTES: Final = 128 * 1024
"""What a kernel takes at once even when it grants a small buffer."""
UNREAD_BYTES_MAX: Final = 16 * 1024
"""So little of the piece before may be on its way when the next one asks for the barrier."""
UNREAD_S_MAX: Final = 30.0
"""How long a caller may take for one piece."""
DRAWINGS_MAX: Final = 2
DRAWINGS_WAITING_MAX: Final = 20
DRAW_TRIES_MAX: Final = 3
ANSWER_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
LEASE_TRIES_MAX: Final = 5
"""The barrier may come too late on a busy machine; nothing was written then."""


class ReadsBusy(Unavailable):
    slug = "reads-busy"
    title = "Tracks and reports cannot be read just now"
    retry_after_s = 1.0


class PurposeUndeclared(Exception):
    """An endpoint answers locations without saying what for: our own fault, never a caller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """A caller who looks at locations, for one purpose, on one screen. Made by :func:`viewing`."""

    company_id: UUID
    viewer: Actor
    purpose: ReadPurpose
    screen: Screen
    reads: Reads = field(repr=False)
    clock: Clock = field(repr=False)

    async def at(self, driver_ids: Collection[UUID]) -> None:
        """Write down whose location is about to be shown; committed when this returns."""
        if driver_ids:
            await self.reads.record(
                self.company_id, self.viewer, self.purpose, self.screen, driver_ids, self.clock()
            )

    async def refused(self, driver_id: UUID) -> None:
        """Write down who asked for what this driver does not share; committed when it returns."""
        await self.reads.refuse(
            self.company_id, self.viewer, self.purpose, self.screen, driver_id, self.clock()
        )


def writing_down(tell: Tell) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return the ``cleanup_ctx`` entry that writes down who looks, in this process.

    Needs POOL. ``tell`` hears of whoever looks at many drivers.
    """

    async def running(app: web.Application) -> AsyncIterator[None]:
        app[READS] = Reads(app[POOL], tell)
        yield
        await app[READS].close()

    return running


def viewing(request: web.Request, viewer: Actor, purpose: ReadPurpose, screen: Screen) -> Viewing:
    """Let the caller look for a purpose that their endpoint declares.

    Raises
    ------
    PurposeUndeclared
    """
    if purpose not in request[PURPOSES]:
        raise PurposeUndeclared
    return Viewing(
        company_id=request[COMPANY],
        viewer=viewer,
        purpose=purpose,
        screen=screen,
        reads=request.app[READS],
        clock=request.app[CLOCK],
    )


Stands = Callable[[Db], Awaitable[bool]]
"""Tells, inside the barrier, whether what the answer was made under still holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A finished answer."""

    body: bytes = field(repr=False)
    content_type: str = "application/json"
    gate: Gate | None
    """The gate it was read under; None: nothing in it is fenced from the caller."""
    refused: UUID | None = None
    """The driver who does not share what was asked for; with a gate there is none."""
    stands: Stands | None = None
    """What has to hold; None: the gate is the same and covers the purpose."""


class _GateChanged(Exception):
    """Consents or windows are not those the answer was made under."""


class Turns:
    """Lets a few through at a time, keeps some waiting, and refuses the rest."""

    def __init__(self, at_once: int, *, waiting_max: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._inside_max = at_once + waiting_max
        self._inside = 0

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        if self._inside >= self._inside_max:
            raise ReadsBusy
        self._inside += 1
        try:
            async with self._free:
                yield
        finally:
            self._inside -= 1


# Of the process, not of an application: they share its cores and its threads.
_turns: Final = Turns(DRAWINGS_MAX, waiting_max=DRAWINGS_WAITING_MAX)


async def answer(
    request: web.Request,
    seen: Viewing | None,
    draw: Callable[[], Awaitable[Drawn]],
    *,
    turns: Turns = _turns,
) -> web.StreamResponse:
    """Answer with what ``draw`` makes, as long as the gate it read it under still stands.

    ``seen`` is written down before the first byte; None is the person's own access, which is
    neither fenced nor written down. If the gate changed meanwhile, it is drawn again, and shows
    what may be shown then.

    Raises
    ------
    ReadsBusy
        Too many are being drawn, or the gate kept changing, or the barrier could not be had.
    """
    for _ in range(DRAW_TRIES_MAX):
        async with turns.one():
            drawn = await draw()
        if drawn.gate is None:
            if seen is not None and drawn.refused is not None:
                await seen.refused(drawn.refused)
            return web.Response(
                body=drawn.body, content_type=drawn.content_type, headers=ANSWER_HEADERS
            )
        if seen is None:
            raise PurposeUndeclared
        await seen.at((drawn.gate.driver_id,))
        stands = drawn.stands or partial(
            _unchanged, believed=drawn.gate, seen=seen, clock=request.app[CLOCK]
        )
        try:
            return await _hand_over(request, drawn, stands)
        except _GateChanged:
            continue
    raise ReadsBusy


async def _hand_over(request: web.Request, drawn: Drawn, stands: Stands) -> web.StreamResponse:
    response = web.StreamResponse(headers=ANSWER_HEADERS)
    response.content_type = drawn.content_type
    response.content_length = len(drawn.body)
    connection = Connection(request.transport, chunked=False)
    try:
        for start in range(0, len(drawn.body), PIECE_BYTES):
            await _room(connection)
            async with _judged(request, connection, stands) as until:
                if not response.prepared:
                    await response.prepare(request)
                connection.send(drawn.body[start : start + PIECE_BYTES], until=until)
                await flushed((connection,), until)
                if connection.is_gone():
                    break
        await response.write_eof()
    except (_GateChanged, TimeoutError, ConnectionError) as error:
        if not response.prepared:
            if isinstance(error, TimeoutError | ConnectionError):
                raise ReadsBusy from None
            raise
        # Once it was begun, nothing else can be said on this connection.
        connection.drop()
    except BaseException:
        if response.prepared:
            connection.drop()
        raise
    return response


async def _room(connection: Connection) -> None:
    """Wait, outside the barrier, until the caller received nearly all of the piece before.

    Raises
    ------
    TimeoutError
    """
    async with asyncio.timeout(UNREAD_S_MAX):
        while connection.unread_bytes() > UNREAD_BYTES_MAX:  # noqa: ASYNC110 - the kernel's own
            await asyncio.sleep(FLUSH_POLL_S)


@asynccontextmanager
async def _judged(
    request: web.Request, connection: Connection, stands: Stands
) -> AsyncGenerator[float]:
    """Hold the barrier while all still stands; give the time until which may be written.

    What the kernel has not taken when the block ends is never sent.

    Raises
    ------
    _GateChanged
    TimeoutError
        The lease ran out.
    """
    for tries_left in reversed(range(LEASE_TRIES_MAX)):
        in_time = False
        until = monotonic() + SEND_S_MAX
        try:
            async with frames(request.app[POOL], request[COMPANY]) as conn:
                if not await stands(conn):
                    raise _GateChanged
                # The whole process may have been stopped in between.
                in_time = monotonic() < until
                if in_time:
                    try:
                        yield until
                    finally:
                        if connection.unsent_bytes():
                            connection.drop()
            if in_time:
                return
        except TimeoutError:
            if in_time or not tries_left:
                raise
    raise TimeoutError


async def _unchanged(conn: Db, *, believed: Gate, seen: Viewing, clock: Clock) -> bool:
    found = await same_gate(conn, believed)
    if found is None:
        return False
    return found.since(Purpose(seen.purpose.value), clock()) is not None


async def same_gate(conn: Db, believed: Gate) -> Gate | None:
    """Return the gate as it is now; None if consents or windows are not those believed."""
    try:
        found = await read(conn, believed.company_id, believed.driver_id)
    except GateMissing:
        return None
    return found if (found.epoch, found.rev) == (believed.epoch, believed.rev) else None
