"""One endpoint answered beside the application: without router, middlewares and response object.

aiohttp still reads the request and keeps the connection; what is left out cost a fifth of the
processor time of an upload, and phones upload all day. The endpoint stands in the application as
well, which answers whatever is unusual: HTTP/1.0, ``Expect``, ``Connection: close``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple, cast

from aiohttp import hdrs, http, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import StreamReader

from server.kit.problem import of_exception


class Direct(NamedTuple):
    """An endpoint with a fixed path, answered beside the application."""

    method: str
    path: str
    name: str
    """As the log calls it."""
    answer: Callable[[web.BaseRequest], Awaitable[bytes]]
    """Returns the JSON of a 200; raises what the endpoint in the application raises."""
    observe: Callable[[int | None, float], None]
    """Hears the status of each answer, None if there was none, and the seconds it took."""


DIRECT: web.AppKey[Direct] = web.AppKey("DIRECT")
"""Set by whoever has one before the application listens."""


class _Request(web.BaseRequest):
    """A request to the direct endpoint."""


class _Written:
    """The bytes of a whole answer: all that aiohttp needs of a response, and no more."""

    __slots__ = ("_whole", "prepared")
    keep_alive: Final = True

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self.prepared = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self.prepared = True
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError
        request.transport.write(self._whole)
        # Or whoever sends and never reads would be answered into our memory.
        await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: ``prepare`` wrote it to the end."""


class Shortcut:
    """Stands before the application: takes the usual requests to one endpoint, leaves the rest."""

    def __init__(self, manager: web.Server, direct: Direct) -> None:
        self._handle_there = manager.request_handler
        self._request_there = manager.request_factory
        self._direct = direct
        self._loop = asyncio.get_running_loop()
        self._second = 0
        self._head = b""
        manager.request_factory = self._request
        manager.request_handler = self._handle

    def _request(
        self,
        message: http.RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        direct = self._direct
        if (
            message.path == direct.path
            and message.method == direct.method
            and message.version == http.HttpVersion11
            and not message.should_close
            and hdrs.EXPECT not in message.headers
        ):
            return _Request(message, payload, protocol, writer, task, self._loop)
        return self._request_there(message, payload, protocol, writer, task)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if type(request) is not _Request:
            return await self._handle_there(request)
        began = time.perf_counter()
        status: HTTPStatus | None = None  # the caller went away, or the server is stopping
        try:
            body = await self._direct.answer(request)
            head, status = self._usual_head(), HTTPStatus.OK
        except Exception as error:  # noqa: BLE001 - told as a problem, as in the application
            connected = request.transport is not None
            problem = of_exception(error, self._direct.name, connected=connected)
            status = HTTPStatus(problem.status)
            head, body = _head(status, problem.headers), cast("bytes", problem.body)
        finally:
            self._direct.observe(status, time.perf_counter() - began)
        whole = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
        # aiohttp asks no more of a response than _Written has.
        return cast("web.StreamResponse", _Written(whole))

    def _usual_head(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            usual = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            self._head = _head(HTTPStatus.OK, usual)
        return self._head


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
