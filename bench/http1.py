"""A keep-alive HTTP/1.1 connection that costs little: one whole request, one whole answer."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

_HEAD_BYTES_MAX: Final = 64 * 1024
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024


class Answer(NamedTuple):
    status: int
    head: bytes
    """In lower case, without the status line."""
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        _, found, rest = self.head.partition(b"\r\n" + name + b":")
        return rest.partition(b"\r\n")[0].strip() if found else None

    @property
    def stays(self) -> bool:
        """Whether the next request may follow on the same connection."""
        return self.header(b"connection") != b"close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a server answers."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Return the origin of an ``http`` or ``https`` URL.

        Raises
        ------
        ValueError
            It is neither, or has more than a scheme, a host and a port.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("The URL must begin with http:// or https:// and a host.")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
            raise ValueError("The URL must be a scheme, a host and a port, and nothing more.")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return cls(host=parts.hostname, port=parts.port or (443 if tls else 80), tls=tls)

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Line(asyncio.Protocol):
    """One connection. ``answered`` is called for each answer, ``ended`` once."""

    def __init__(self, answered: Callable[[Answer], None], ended: Callable[[], None]) -> None:
        self._answered = answered
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.open = True
        """Whether another request may be sent; after it ``ended`` is still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own transports derive from none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self._transport = None
        self._ended()

    def send(self, request: bytes) -> None:
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        try:
            parsed = _parsed(buffer)
        except ValueError:
            parsed = None
            self.close()
        if parsed is None:
            self._buffer = buffer
            return
        self._buffer = b""
        if not parsed.stays:
            self.close()
        self._answered(parsed)


def _parsed(buffer: bytes) -> Answer | None:
    """Return the answer if it is all there.

    Raises
    ------
    ValueError
        This is no HTTP/1.1, or a longer answer than is ever asked for.
    """
    if len(buffer) > _ANSWER_BYTES_MAX:
        raise ValueError("too long an answer")
    head, mark, body = buffer.partition(b"\r\n\r\n")
    if not mark:
        if len(buffer) > _HEAD_BYTES_MAX:
            raise ValueError("too long a head")
        return None
    line, _, rest = head.lower().partition(b"\r\n")
    answer = Answer(int(line.split(b" ", 2)[1]), b"\r\n" + rest, body)
    length = answer.header(b"content-length")
    if length is not None:
        return answer if len(body) >= int(length) else None
    if answer.header(b"transfer-encoding") == b"chunked":
        whole = _unchunked(body)
        return None if whole is None else answer._replace(body=whole)
    return answer


def _unchunked(body: bytes) -> bytes | None:
    parts: list[bytes] = []
    while True:
        size, mark, rest = body.partition(b"\r\n")
        if not mark:
            return None
        length = int(size.partition(b";")[0], 16)
        if len(rest) < length + 2:
            return None
        if not length:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]


async def dial(
    origin: Origin, answered: Callable[[Answer], None], ended: Callable[[], None]
) -> Line:
    """Connect.

    Raises
    ------
    OSError
    """
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(
        lambda: Line(answered, ended),
        origin.host,
        origin.port,
        ssl=origin.tls,
        server_hostname=origin.host if origin.tls else None,
    )
    return line


class Caller:
    """A connection asked one thing at a time. Make it with :meth:`connected`."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._line: Line | None = None
        self._awaited: asyncio.Future[Answer] | None = None

    @classmethod
    async def connected(cls, origin: Origin) -> "Caller":
        caller = cls(origin)
        caller._line = await dial(origin, caller._answered, caller._ended)
        return caller

    async def ask(self, method: str, path: str, token: str, body: bytes = b"") -> Answer:
        """Send one request; return its answer.

        Raises
        ------
        ConnectionError
        """
        if self._line is None:
            raise ConnectionResetError("the server hung up")
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._origin.authority}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._awaited = asyncio.get_running_loop().create_future()
        self._line.send(head.encode() + body)
        return await self._awaited

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _answered(self, answer: Answer) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(answer)

    def _ended(self) -> None:
        self._line = None
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(ConnectionResetError("the server hung up"))
