"""One connection of the HTTP edge: it cannot be held open, flooded or made to repeat.

aiohttp by itself waits for headers and bodies as long as the caller likes, repeats malformed
requests to the caller and to the log, and tells its version. :class:`Connection` is where that
ends; it overrides public methods of aiohttp's protocol, and uses the private names of its queue of
parsed messages. tests/kit/test_http_server.py fails when an aiohttp release moves any of them.
"""

import asyncio
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, TypeAlias, cast

import structlog
from aiohttp import hdrs, http, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from server.kit.problem import problem, where

log = structlog.get_logger(__name__)

CountRefused: TypeAlias = Callable[[str], None]

SPARE_FILES: Final = 256
"""File descriptors kept for the database, logs and exports: connections never take them."""
CONNECTIONS_FLOOR: Final = 16
UNREAD_BYTES_PS_MIN: Final = 1024
AHEAD_MAX: Final = 4
"""Requests of a connection that are parsed while the one before them is answered."""
_SILENT: Final = logging.getLogger("server.kit.http_connection.silent")
_SILENT.disabled = True  # aiohttp writes what it was sent; see log_exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one caller may take. Tests pass shorter ones."""

    head_s_max: float = 10.0
    """From a request's first byte to the end of its headers, on every request."""
    head_bytes_max: int = 64 * 1024
    body_s_max: float = 30.0
    """From the end of the headers to the end of the body, whether or not a handler reads it."""
    idle_s_max: float = 75.0
    """Between two requests, and before the first."""
    unread_s_max: float = 30.0
    """How long an answer may wait for a caller who reads less than UNREAD_BYTES_PS_MIN."""
    linger_s_max: float = 2.0
    """How long the rest of a refused body is read past, so that the refusal arrives."""
    drain_s_max: float = 5.0
    connections_per_address_max: int = 256
    """One IPv4 address or one IPv6 /64 network."""
    connections_max: int = 8192
    """In total; lower where the process may not open as many files."""


class Door:
    """How many are in, in total and by address."""

    def __init__(self, limits: Limits, count_refused: CountRefused) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = limits.connections_max
        if files != resource.RLIM_INFINITY:
            room = min(room, max(files - SPARE_FILES, CONNECTIONS_FLOOR))
        self.limits = limits
        self.count_refused = count_refused
        self._room = room
        self._inside: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        reason = None
        if self._inside.total() >= self._room:
            reason = "full"
        elif self._inside[address] >= self.limits.connections_per_address_max:
            reason = "address_full"
        if reason is not None:
            self.count_refused(reason)
            return False
        self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]


def counted_address(peername: object) -> str:
    """Return what connections are counted by: an IPv4 address or an IPv6 /64 network."""
    if not isinstance(peername, tuple):
        return "local"
    address = ip_address(str(peername[0]).partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


class _LastWord(web.Response):
    """A problem from outside the application, written as it stands; then the connection ends.

    aiohttp's own way of writing one would add its version, and no signal is sent to drop it.
    """

    def __init__(self, status: HTTPStatus, slug: str, title: str) -> None:
        written = problem(status, slug, title)
        super().__init__(status=status, body=written.body, headers=written.headers)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        body = self.body if isinstance(self.body, bytes) else b""
        headers = CIMultiDict(
            {
                **self.headers,
                "Content-Length": str(len(body)),
                "Connection": "close",
                "X-Content-Type-Options": "nosniff",
            }
        )
        status = HTTPStatus(self.status)
        await request.writer.write_headers(f"HTTP/1.1 {status.value} {status.phrase}", headers)
        await request.writer.write_eof(b"" if request.method == hdrs.METH_HEAD else body)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: ``prepare`` wrote it to the end."""


class _Unanswerable(ConnectionError):
    """An answer has begun, or was given: nothing may follow it but the end of the connection."""


class Connection(web.RequestHandler):
    """One connection: aiohttp's, with deadlines, a place at the door, and its mouth shut."""

    __slots__ = (
        "_address",
        "_admitted",
        "_body",
        "_body_timer",
        "_door",
        "_head_bytes",
        "_head_timer",
        "_socket",
        "_unread_timer",
    )

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, door: Door) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=door.limits.idle_s_max,
            lingering_time=door.limits.linger_s_max,
            auto_decompress=False,  # kit.body decompresses, with a limit
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp's own runner turns it off
            logger=_SILENT,
        )
        # aiohttp would parse 32 ahead, and hold the bodies of all of them.
        self._max_msg_queue_size = AHEAD_MAX
        self._msg_queue_resume_size = AHEAD_MAX // 2
        self._door = door
        self._address = ""
        self._admitted = False
        self._socket: asyncio.Transport | None = None
        self._body: StreamReader | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._address = counted_address(transport.get_extra_info("peername"))
        self._admitted = self._door.enter(self._address)
        stream = cast("asyncio.Transport", transport)  # uvloop's is none by birth
        if not self._admitted:
            stream.abort()
            return
        self._socket = stream
        # Later than our own deadline, which counts what it cuts off.
        _end_when_unacknowledged(stream, 2 * self._door.limits.unread_s_max)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._admitted:
            return
        self._admitted = False
        self._door.leave(self._address)
        for timer in (self._head_timer, self._body_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._socket = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        body = self._body
        in_body = body is not None and not body.is_eof()
        before = self._messages[-1] if self._messages else None
        super().data_received(data)
        latest = self._messages[-1] if self._messages else None
        if latest is not None and latest is not before:
            message, payload = latest
            if in_body and body is not None and not isinstance(message, http.RawRequestMessage):
                # aiohttp forgets the body that broke, and its reader would wait for ever. The
                # exception also ends the connection, so that the broken rest gets no answer.
                body.set_exception(web.RequestPayloadError("broken"))
                self._body_ended()
            else:
                self._head_ended(payload)
        elif data and not in_body:
            self._head_grew(len(data))

    def _head_grew(self, size: int) -> None:
        # A beginning that came in one packet with the end of the request before it is not seen
        # here until its next byte; until then it counts as idle, which costs as little.
        self._head_bytes += size
        if self._head_bytes > self._door.limits.head_bytes_max:
            self._cut_off("head_large")
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(
                self._door.limits.head_s_max, self._cut_off, "head_slow"
            )

    def _head_ended(self, body: StreamReader) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._body = body
        if not body.is_eof():
            self._body_timer = self._loop.call_later(
                self._door.limits.body_s_max, self._cut_off, "body_slow"
            )
            body.on_eof(self._body_ended)

    def _body_ended(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def _watch_reading(self, unread_bytes_max: float | None = None) -> None:
        """Look again later, and expect the caller to have read something by then."""
        unread_bytes = 0 if self._socket is None else self._socket.get_write_buffer_size()
        if unread_bytes_max is not None and unread_bytes > unread_bytes_max:
            self._cut_off("unread")
            return
        wait_s = self._door.limits.unread_s_max
        self._unread_timer = self._loop.call_later(
            wait_s, self._watch_reading, unread_bytes - wait_s * UNREAD_BYTES_PS_MIN
        )

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _cut_off(self, reason: str) -> None:
        self._door.count_refused(reason)
        self.force_close()
        if self._socket is not None:
            self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may repeat what was sent
    ) -> web.StreamResponse:
        """Answer what never reached the application, in words of our own."""
        if isinstance(exc, _Unanswerable) or request.writer.output_size > 0:
            raise _Unanswerable
        if status == HTTPStatus.BAD_REQUEST:
            self._door.count_refused("malformed")
            return _LastWord(HTTPStatus.BAD_REQUEST, "request-malformed", "Not an HTTP request")
        if exc is not None:
            log.error("unhandled_error", **where(exc))
        return _LastWord(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, unless another one has already begun on this connection."""
        if not resp.prepared and request.writer.output_size > 0:
            raise _Unanswerable
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            # It did not pass our middleware: aiohttp repeats an unknown Expect, for instance.
            status = HTTPStatus(resp.status)
            resp = _LastWord(status, status.phrase.lower().replace(" ", "-"), status.phrase)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - holds what was sent
        """Log the kind of the error and its place, never its text."""
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, web.RequestPayloadError):
            log.error("unhandled_error", **where(error))


def _end_when_unacknowledged(transport: asyncio.Transport, after_s: float) -> None:
    """Let the kernel end connections whose caller is gone or no longer reads (Linux)."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connected = transport.get_extra_info("socket")
    if option is not None and connected is not None and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, option, round(after_s * 1000))
