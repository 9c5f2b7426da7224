"""Answers that hold a driver's positions: written down, made in turns, handed over in the barrier.

Nobody gets past :func:`answer` without a :class:`Viewing`, and there is none for a purpose that
the endpoint does not declare. A track or a report takes longer to make than a withdrawal to be
answered. So its gate is read again once it is made, inside the company's barrier, and again for
each piece that is written: after the answer to a withdrawal nothing of it leaves any more.

A long answer is drawn part by part while it leaves (``Drawn.rest``), for a caller who is asked for
again meanwhile (``Drawn.may``). What is drawn for one who has gone is cancelled, and its turn free.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final
from uuid import UUID

from aiohttp import HttpVersion11, web

from server.gate import drawing, looking
from server.gate.drawing import Streams, while_there
from server.gate.model import Gate, GateMissing, Purpose
from server.gate.service import FRAME_LEASE_MS, FRAME_MARGIN_MS, frames, read, read_some
from server.kit.db import Connection as Db
from server.kit.sending import FLUSH_POLL_S, Connection, flushed
from server.kit.web import CLOCK, COMPANY, POOL, Clock

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
DRAWINGS_OF_COMPANY_MAX: Final = 8
OWN_DRAWINGS_MAX: Final = 1
DRAW_TRIES_MAX: Final = 3
ReadsBusy = drawing.ReadsBusy
Turns = drawing.Turns
READS = looking.READS
PurposeUndeclared = looking.PurposeUndeclared
Viewing = looking.Viewing
viewing = looking.viewing
writing_down = looking.writing_down

STREAMS_MAX: Final = 20
STREAMS_OF_COMPANY_MAX: Final = 4
ANSWER_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
MAY_S: Final = 1.0
"""Nothing leaves for a caller of whom it was not asked for longer whether they still may."""
LEAVING_S_MAX: Final = 3600.0
"""What is kept is shown as it was when an answer was begun: none lasts longer than this."""
LEASE_TRIES_MAX: Final = 5
"""The barrier may come too late on a busy machine; nothing was written then."""


Stands = Callable[[Db], Awaitable[bool]]
"""Tells, inside the barrier, whether what the answer was made under still holds."""
May = Callable[[], Awaitable[bool]]
"""Tells whether the caller's session or token still lets them have the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A finished answer, or the beginning of a long one."""

    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    rest: AsyncGenerator[bytes] | None = field(default=None, repr=False)
    """What comes after ``body``, drawn part by part while it leaves; None: ``body`` is all.
    Such an answer is chunked: if it is cut, or drawing fails, its last chunk never comes."""
    may: May | None = field(default=None, repr=False)
    """Of one with a rest: asked once each part is drawn, and each second while it leaves."""
    gate: Gate | None
    """The gate it was read under; None: nothing in it is fenced from the caller."""
    gates: Sequence[Gate] = ()
    """Those of further drivers in it: it leaves only while all of them are as they were."""
    refused: UUID | None = None
    """The driver who does not share what was asked for; with a gate there is none."""
    stands: Stands | None = None
    """What has to hold; None: each gate is the same and covers the purpose."""

    @property
    def fenced(self) -> Sequence[Gate]:
        """The gates of everybody in it."""
        return self.gates if self.gate is None else (self.gate, *self.gates)


class _GateChanged(Exception):
    """Consents or windows are not those the answer was made under."""


class _MayNot(Exception):
    """The caller's session, token, role or account is not what it was."""


def _room_for(at_once: int) -> tuple[Turns, Streams]:
    return (
        Turns(at_once, waiting_max=DRAWINGS_WAITING_MAX, company_max=DRAWINGS_OF_COMPANY_MAX),
        Streams(process_max=STREAMS_MAX, company_max=STREAMS_OF_COMPANY_MAX),
    )


# Of the process, not of an application: they share its cores and its threads.
_turns, _streams = _room_for(DRAWINGS_MAX)
# No reader of a company is in the way of a person's own access.
_own_turns, _own_streams = _room_for(OWN_DRAWINGS_MAX)


async def answer(
    request: web.Request,
    seen: Viewing | None,
    draw: Callable[[], Awaitable[Drawn]],
    *,
    turns: Turns | None = None,
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
    if turns is None:
        turns = _own_turns if seen is None else _turns
    streams, company_id = _own_streams if seen is None else _streams, request[COMPANY]
    for _ in range(DRAW_TRIES_MAX):
        drawing_it = _in_turn(turns, company_id, draw)
        drawn = await while_there(drawing_it, partial(_is_gone, request))
        if drawn.rest is None:
            found = await _answer_with(request, seen, drawn, turns)
        else:
            async with aclosing(drawn.rest):
                with streams.one(company_id):
                    found = await _answer_with(request, seen, drawn, turns)
        if found is not None:
            return found
    raise ReadsBusy


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _in_turn(turns: Turns, company_id: UUID, draw: Callable[[], Awaitable[Drawn]]) -> Drawn:
    async with turns.one(company_id):
        return await draw()


async def _answer_with(
    request: web.Request, seen: Viewing | None, drawn: Drawn, turns: Turns
) -> web.StreamResponse | None:
    """Return the answer, handed over; None if the gate changed before its first byte left."""
    if not drawn.fenced:
        if seen is not None and drawn.refused is not None:
            await seen.refused(drawn.refused)
        if drawn.rest is not None:
            return await _hand_over(request, _Leaving(drawn, seen), None, turns)
        return web.Response(
            body=drawn.body,
            content_type=drawn.content_type,
            headers={**ANSWER_HEADERS, **drawn.headers},
        )
    if seen is None:
        raise PurposeUndeclared
    await seen.at([gate.driver_id for gate in drawn.fenced])
    stands = drawn.stands or partial(
        _unchanged, believed=drawn.fenced, seen=seen, clock=request.app[CLOCK]
    )
    try:
        return await _hand_over(request, _Leaving(drawn, seen), stands, turns)
    except _GateChanged:
        return None


class _Leaving:
    """An answer on its way: whether it still is for its caller, who is written down."""

    def __init__(self, drawn: Drawn, seen: Viewing | None) -> None:
        self.drawn = drawn
        self._seen = seen
        self._began_s = self._asked_s = monotonic()

    async def ask(self) -> None:
        """Ask whether its caller still may have it.

        Raises
        ------
        _MayNot
        """
        self._asked_s = monotonic()
        if self.drawn.may is not None and not await self.drawn.may():
            raise _MayNot

    async def goes_on(self) -> None:
        """Let a further piece leave: a look that lasts is written down in each bucket.

        Raises
        ------
        _MayNot
        TimeoutError
        """
        if monotonic() - self._began_s > LEAVING_S_MAX:
            raise TimeoutError
        if monotonic() - self._asked_s > MAY_S:
            await self.ask()
        if self._seen is not None:
            await self._seen.at([gate.driver_id for gate in self.drawn.fenced])


async def _hand_over(
    request: web.Request, leaving: _Leaving, stands: Stands | None, turns: Turns
) -> web.StreamResponse:
    """Send all of it. ``stands`` is asked for each piece; None: it is fenced from nobody."""
    response = _begun(request, leaving.drawn)
    connection = Connection(request.transport, chunked=response.chunked)
    try:
        async with aclosing(_pieces(request, leaving, turns)) as pieces:
            async for piece in pieces:
                await _room(connection)
                if response.prepared:
                    await leaving.goes_on()
                async with _judged(request, connection, stands) as until:
                    if not response.prepared:
                        await response.prepare(request)
                    connection.send(piece, until=until)
                    await flushed((connection,), until)
                if connection.is_gone():
                    return response
        await response.write_eof()
    except (_GateChanged, _MayNot, ReadsBusy, TimeoutError, ConnectionError) as error:
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


def _begun(request: web.Request, drawn: Drawn) -> web.StreamResponse:
    response = web.StreamResponse(headers={**ANSWER_HEADERS, **drawn.headers})
    response.content_type = drawn.content_type
    if drawn.rest is None:
        response.content_length = len(drawn.body)
    elif request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    else:  # HTTP/1.0 knows no chunks: it ends with the connection
        response.force_close()
    return response


async def _pieces(request: web.Request, leaving: _Leaving, turns: Turns) -> AsyncGenerator[bytes]:
    """Give the body and what comes after it; each part is drawn when the last one has left."""
    part: bytes | None = leaving.drawn.body
    while part is not None:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start : start + PIECE_BYTES]
        if leaving.drawn.rest is None:
            return
        part = await while_there(_next(leaving.drawn.rest, turns), partial(_is_gone, request))
        # Once it is read: who was erased has lost their session before the first of their rows.
        await leaving.ask()


async def _next(rest: AsyncGenerator[bytes], turns: Turns) -> bytes | None:
    async with turns.next():
        return await anext(rest, None)


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
    request: web.Request, connection: Connection, stands: Stands | None
) -> AsyncGenerator[float]:
    """Hold the barrier while all still stands; give the time until which may be written.

    Without anything to ask there is no barrier either. What the kernel has not taken when the
    block ends is never sent.

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
            async with _asked(request, stands) as still:
                if not still:
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


@asynccontextmanager
async def _asked(request: web.Request, stands: Stands | None) -> AsyncGenerator[bool]:
    if stands is None:
        yield True
        return
    async with frames(request.app[POOL], request[COMPANY]) as conn:
        yield await stands(conn)


async def _unchanged(conn: Db, *, believed: Sequence[Gate], seen: Viewing, clock: Clock) -> bool:
    """Tell whether every gate is as it was, and still covers the purpose."""
    driver_ids = [gate.driver_id for gate in believed]
    found = {gate.driver_id: gate for gate in await read_some(conn, seen.company_id, driver_ids)}
    purpose, at = Purpose(seen.purpose.value), clock()
    return all(
        (gate := found.get(before.driver_id)) is not None
        and (gate.epoch, gate.rev) == (before.epoch, before.rev)
        and gate.since(purpose, at) is not None
        for before in believed
    )


async def same_gate(conn: Db, believed: Gate) -> Gate | None:
    """Return the gate as it is now; None if consents or windows are not those believed."""
    try:
        found = await read(conn, believed.company_id, believed.driver_id)
    except GateMissing:
        return None
    return found if (found.epoch, found.rev) == (believed.epoch, believed.rev) else None
