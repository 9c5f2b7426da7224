"""One endpoint answered beside the application: what phones ask all day.

A request to it whose body is short is given to the endpoint as soon as its last byte is there,
without aiohttp's task, request, router, middlewares and response, which cost more processor time
than storing an upload does. The endpoint stands in the application as well, which answers whatever
is unusual: HTTP/1.0, ``Expect``, ``Connection: close``, chunked and long bodies.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from aiohttp import hdrs, http, web
from multidict import CIMultiDictProxy

from server.kit.http_connection import Connection, Door
from server.kit.problem import of_exception
from server.kit.shedding import DIGITS_MAX, Pace, glance, length_of

BODY_BYTES_MAX: Final = 64 * 1024
"""Of a body as it is sent: aiohttp holds so much of one that nobody reads yet."""
AWAITED_BYTES_MAX: Final = 16 * 1024
"""Of a body that is not there yet: nobody is asked before it is whether there is room for it."""
BUSY_ANSWERS: Final = 16
"""Made each second for whom there is no time: their times to come again differ."""
JSON: Final = frozenset(
    {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}
)

Headers: TypeAlias = CIMultiDictProxy[str]
Done: TypeAlias = Callable[["bytes | Exception"], None]


class Direct(NamedTuple):
    """An endpoint with a fixed path, answered beside the application."""

    method: str
    path: str
    name: str
    """As the log calls it."""
    begin: Callable[[Headers, bytes, Done], None]
    """Takes headers and body as they were sent. What it is given last it calls once, now or later,
    with the JSON of a 200 or with what the endpoint in the application would raise; it may raise
    that as well."""
    observe: Callable[[int | None, float], None]
    """Hears the status of each answer, None if nobody waited for it any more, and the seconds."""
    busy: "Busy | None" = None
    """None: while more comes than can be read, whoever comes waits."""


class Busy(NamedTuple):
    """What becomes of requests while more come than can be read."""

    told: Callable[[], Exception]
    """Returns what is told, as if it was raised."""
    knows: Callable[[bytes], bool]
    """Tells whether a company, as tokens write it, is one that was served lately: each of those
    has a share of its own, and whatever is made up has one together."""


DIRECT: web.AppKey[Direct] = web.AppKey("DIRECT")
"""Set by whoever has one before the application listens."""


class Caller(Protocol):
    """The connection that a request came on."""

    def is_there(self) -> bool: ...

    def answered(self, whole: bytes) -> None:
        """Send a whole answer and go on with what came after the request."""
        ...


class Shortcut:
    """Takes the usual requests to one endpoint, for all connections of a listener."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self._pace = Pace()
        self._request_line = f"{direct.method} {direct.path} HTTP/1.1\r\n".encode()
        self._second = 0
        self._head = b""
        self._busy_second = 0
        self._busy: Iterator[tuple[HTTPStatus, bytes]] = iter(())

    def takes(self, message: http.RawRequestMessage, *, is_whole: bool) -> bool:
        """Tell whether a request with this head is a usual one; ``is_whole`` with its body."""
        direct, headers = self._direct, message.headers
        if (
            message.path != direct.path
            or message.method != direct.method
            or message.version != http.HttpVersion11
            or message.should_close
            or message.chunked
            or message.upgrade
            or hdrs.EXPECT in headers
            or headers.get(hdrs.CONTENT_TYPE, "").lower() not in JSON
        ):
            return False
        # The parser let nothing but digits through, however many.
        told = headers.get(hdrs.CONTENT_LENGTH, "0")
        return len(told) <= DIGITS_MAX and int(told) <= (
            BODY_BYTES_MAX if is_whole else AWAITED_BYTES_MAX
        )

    def shed(self, data: bytes) -> bytes | None:
        """Return the answer to a request for which there is no time; None if it is to be read.

        Only what came whole and alone is answered so.
        """
        busy = self._direct.busy
        if busy is None or not self._pace.is_behind():
            return None
        seen = glance(data, self._request_line)
        if seen is None or seen.whole_bytes != len(data):
            return None
        if self._pace.lets_in(seen.company if busy.knows(seen.company) else b""):
            return None
        second = int(time.time())
        if second != self._busy_second:
            self._busy_second = second
            self._busy = itertools.cycle([self._told(busy.told()) for _ in range(BUSY_ANSWERS)])
        status, whole = next(self._busy)
        self._direct.observe(status, 0.0)
        return whole

    def _told(self, error: Exception) -> tuple[HTTPStatus, bytes]:
        status, head, body = self._problem(error, connected=True)
        return status, _whole(head, body)

    def answer(self, headers: Headers, body: bytes, caller: Caller) -> None:
        """Have the endpoint answer the caller, now or later."""
        began = time.perf_counter()

        def done(answer: bytes | Exception) -> None:
            if isinstance(answer, Exception):
                status, head, answer = self._problem(answer, connected=caller.is_there())
            else:
                status, head = HTTPStatus.OK, self._usual_head()
            observed = status if caller.is_there() else None
            self._direct.observe(observed, time.perf_counter() - began)
            caller.answered(_whole(head, answer))

        try:
            self._direct.begin(headers, body, done)
        except Exception as error:  # noqa: BLE001 - told as a problem, as in the application
            done(error)

    def _problem(self, error: Exception, *, connected: bool) -> tuple[HTTPStatus, bytes, bytes]:
        problem = of_exception(error, self._direct.name, connected=connected)
        status = HTTPStatus(problem.status)
        return status, _head(status, problem.headers), cast("bytes", problem.body)

    def _usual_head(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            usual = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            self._head = _head(HTTPStatus.OK, usual)
        return self._head


class DirectConnection(Connection):
    """A connection whose usual requests to one endpoint take the shortcut.

    aiohttp's own task sleeps through them, and is woken for whatever else is asked. Answers keep
    the order of the requests: each begins only when the one before it was given, whoever gives it.
    """

    __slots__ = ("_answering", "_here", "_left_bytes", "_ordinary", "_shortcut", "_there", "_turn")

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        door: Door,
        shortcut: Shortcut,
    ) -> None:
        super().__init__(manager, loop=loop, door=door)
        self._shortcut = shortcut
        self._answering = False
        """Whether the shortcut has a request."""
        self._turn: asyncio.Future[None] | None = None
        """What aiohttp's task waits for until the shortcut has answered."""
        self._ordinary = False
        """Whether aiohttp's task has a request, or was woken for one."""
        self._left_bytes: int | None = 0
        """Of the request that is coming in; 0 between two, None once that is not clear any more."""
        self._here, self._request_factory = manager.request_factory, self._taken_over
        self._there, self._request_handler = manager.request_handler, self._in_turn

    def data_received(self, data: bytes) -> None:
        if data and self._is_shed(data):
            return
        # Hidden, so that aiohttp does not wake its task before it is known who answers.
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter
        if data:  # else it is aiohttp, which parses on while it takes a request over
            self._pass_on()

    def _is_shed(self, data: bytes) -> bool:
        """Answer at once where there is no time to read this; tell whether that was done."""
        left_bytes = self._left_bytes
        if left_bytes is None:
            return False
        if left_bytes == 0:
            answer = self._shortcut.shed(data) if self._is_waiting() else None
            if answer is not None and self.transport is not None:
                self.transport.write(answer)
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                return True
            left_bytes = length_of(data)
        if left_bytes is not None:
            left_bytes -= len(data)
            # Less than nothing: more requests follow in the same packet.
            self._left_bytes = left_bytes if left_bytes >= 0 else None
        else:
            self._left_bytes = None
        return False

    def _is_waiting(self) -> bool:
        """Tell whether nothing of this connection is under way."""
        return self._admitted and not (
            self._answering
            or self._ordinary
            or self._messages
            or self._close
            or self._force_close
            or self.writing_paused
        )

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the oldest request to whoever answers it, once that can begin."""
        if self._answering or self._ordinary or self._force_close or not self._messages:
            return
        message, body = self._messages[0]
        if (
            not isinstance(message, http.RawRequestMessage)
            or not self._shortcut.takes(message, is_whole=body.is_eof())
            or body.exception() is not None
        ):
            self._wake()
        elif body.is_eof() and not self.writing_paused and not self._close:
            self._answering = self._request_in_progress = True
            self._messages.popleft()
            self._made_room()
            self._shortcut.answer(message.headers, body.read_nowait(), self)

    def _wake(self) -> None:
        """Let aiohttp's task take the request; it comes by itself where it does not wait yet."""
        if self._waiter is not None and not self._waiter.done():
            self._ordinary = True
            self._waiter.set_result(None)

    def _taken_over(self, *request: Any) -> web.BaseRequest:
        self._ordinary = True
        return self._here(*request)

    async def _in_turn(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._my_turn()
        return await self._there(request)

    async def _my_turn(self) -> None:
        """Wait until the shortcut has answered what came before."""
        if self._answering:
            self._turn = self._loop.create_future()
            await self._turn

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; what came after the request may take the shortcut again."""
        await self._my_turn()  # of what could not be parsed nobody has waited yet
        written, reset = await super().finish_response(request, resp, start_time)
        if written.keep_alive and not reset:
            self._ordinary = False
            # Not from here: aiohttp has yet to note that its own request is over.
            self._loop.call_soon(self._pass_on)
        return written, reset

    def _made_room(self) -> None:
        """Let what waited for a place in the queue in, as aiohttp's task does."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def is_there(self) -> bool:
        return self.transport is not None

    def answered(self, whole: bytes) -> None:
        """Send a whole answer and go on with what came after the request."""
        self._answering = False
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
        if not self._ordinary:
            self._request_in_progress = False
            stopping, self._handler_waiter = self._handler_waiter, None
            if stopping is not None and not stopping.done():  # the server waits for this
                stopping.set_result(None)
        if self.transport is None:
            return
        self.transport.write(whole)
        if self._close:
            self.transport.close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self._messages:
            self._loop.call_soon(self._pass_on)  # not from here: a thousand may be waiting

    def _process_keepalive(self) -> None:
        if not self._answering and not self._messages:
            super()._process_keepalive()
            return
        # To aiohttp the connection looks idle, since its task sleeps.
        self._keepalive_handle = self._loop.call_later(
            self._keepalive_timeout, self._process_keepalive
        )


def _whole(head: bytes, body: bytes) -> bytes:
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def _head(status: HTTPStatus, headers: Mapping[str, str]) -> bytes:
    """Return the status line and the headers but for the length, of values of ours alone."""
    said = {
        **headers,
        "X-Content-Type-Options": "nosniff",
        "Date": formatdate(usegmt=True),
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in said.items() if name != hdrs.CONTENT_LENGTH]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
