"""The HTTP listener: begins, serves, drains. What one connection may do: http_connection.py."""

import asyncio
import contextlib
import errno
import socket
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, http, http_parser, web

from server.kit.http_connection import Connection, CountRefused, Door, Limits
from server.kit.http_direct import DIRECT, DirectConnection, Shortcut

Say: TypeAlias = Callable[[str], None]

BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where the listener really is: the port is known only now if 0 was asked for."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class CannotListen(Exception):
    """The address cannot be used. ``str`` is one sentence for a person."""


class PortTaken(CannotListen):
    """Another program listens there already."""


class ParserUnsafe(Exception):
    """aiohttp runs without its C parser, the only one these promises were tried with."""


def _say_nothing(_sentence: str) -> None:
    pass


def _count_nothing(_reason: str) -> None:
    pass


@asynccontextmanager
async def listening(
    app: web.Application,
    *,
    host: str,
    port: int,
    limits: Limits | None = None,
    is_shared: bool = False,
    say: Say = _say_nothing,
    count_refused: CountRefused = _count_nothing,
) -> AsyncGenerator[Address]:
    """Serve ``app`` until the block ends; then drain, for at most ``limits.drain_s_max``.

    ``is_shared`` lets other processes of this user listen on the same port: see
    :func:`reserved`. The kernel then deals out the connections.

    ``say`` hears one sentence when it listens; ``count_refused`` the reason of every connection
    or request that was cut off here: ``address_full``, ``full``, ``malformed``, ``head_slow``,
    ``head_large``, ``body_slow`` or ``unread``.

    Raises
    ------
    PortTaken, CannotListen, ParserUnsafe
        Before the application starts.
    """
    refuse_python_parser()
    limits = limits or Limits()
    # Server-sent events never end by themselves: the drain ends them, or nothing would.
    streams: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
    app.on_response_prepare.append(partial(_prepare, streams))
    with contextlib.closing(await _bound(host, port, is_shared=is_shared)) as bound:
        # aiohttp waits this long twice: for handlers to end, then for cancelled ones.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=limits.drain_s_max / 2)
        try:
            await runner.setup()
            manager = runner.server
            if manager is None:
                raise RuntimeError("the application is not set up")
            door = Door(limits, count_refused)
            loop = asyncio.get_running_loop()
            connect: Callable[[], Connection] = partial(Connection, manager, loop=loop, door=door)
            if DIRECT in app:
                shortcut = Shortcut(app[DIRECT])
                connect = partial(
                    DirectConnection, manager, loop=loop, door=door, shortcut=shortcut
                )
            listener = await _listener(bound, connect)
            try:
                host, port = bound.getsockname()[:2]
                address = Address(host, port)
                say(f"Listening on {address.url}")
                yield address
            finally:
                listener.close()
                for stream in list(streams):
                    stream.cancel()
        finally:
            await runner.cleanup()


def refuse_python_parser() -> None:
    """Refuse to serve with aiohttp's Python parser, which lets more through.

    Raises
    ------
    ParserUnsafe
    """
    if http.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ParserUnsafe(
            "aiohttp runs without its C parser here: install it as a wheel, and unset "
            "AIOHTTP_NO_EXTENSIONS."
        )


async def refuse_taken(host: str, port: int) -> None:
    """Refuse now what :func:`listening` would refuse later, before anything slow is begun.

    Raises
    ------
    CannotListen
    """
    with contextlib.closing(await _bound(host, port)) as bound:
        _try_listening(bound)


def _try_listening(bound: socket.socket) -> None:
    try:
        bound.listen(1)
    except OSError as error:
        raise _explained(error, *bound.getsockname()[:2]) from None


@asynccontextmanager
async def reserved(host: str, port: int) -> AsyncGenerator[Address]:
    """Keep the port for processes of this user that share it, for as long as the block lasts.

    Several that share a port do not see a stranger who shares it as well, so the port is first
    asked for as if for us alone. With port 0 a free one is chosen, the same for all of them.

    Raises
    ------
    PortTaken, CannotListen
    """
    with contextlib.closing(await _bound(host, port)) as alone:
        _try_listening(alone)
        chosen: int = alone.getsockname()[1]
    with contextlib.closing(await _bound(host, chosen, is_shared=True)) as bound:
        # It never listens, so the kernel gives it no connection.
        yield Address(*bound.getsockname()[:2])


async def _bound(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror:
        raise CannotListen(f"{host} is not an address of this machine.") from None
    # A name may mean both families; people then type the IPv4 one.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setblocking(False)  # noqa: FBT003 - the name of the method says it
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _explained(error, host, port) from None
    return bound


def _explained(error: OSError, host: str, port: int) -> CannotListen:
    match error.errno:
        case errno.EADDRINUSE:
            return PortTaken(f"Port {port} on {host} is taken by another program.")
        case errno.EACCES:
            return CannotListen(f"This user may not listen on port {port}; take one above 1023.")
        case errno.EADDRNOTAVAIL:
            return CannotListen(f"{host} is not an address of this machine.")
        case _:
            return CannotListen(f"Cannot listen on {host}, port {port}.")


async def _listener(
    bound: socket.socket, connect: Callable[[], Connection]
) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    taken = bound.getsockname()
    try:
        return await loop.create_server(connect, sock=bound, backlog=BACKLOG)
    except OSError as error:  # two programs bound it, and the other was first to listen
        raise _explained(error, taken[0], taken[1]) from None


async def _prepare(
    streams: "weakref.WeakSet[asyncio.Task[Any]]",
    request: web.Request,
    response: web.StreamResponse,
) -> None:
    response.headers.pop(hdrs.SERVER, None)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path.startswith("/v1/"):
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if response.content_type == "text/event-stream":
        handler = asyncio.current_task()
        if handler is not None:
            streams.add(handler)
