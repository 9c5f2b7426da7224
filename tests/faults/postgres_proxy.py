"""A proxy between a PostgreSQL client and its server that can fail any exchange of the two.

It reads whole messages and passes them on byte for byte. An exchange is what the client sends up
to a message that asks for an answer (Query, Sync, Flush), with that answer; making a connection is
one, too. Of each the judge decides before anything of it reaches the server.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

PORT: Final = 5432
TASK: Final = "postgres proxy"
"""The name of our tasks, by which to tell them from those of a program in the same loop."""
_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102
_HEADER_BYTES: Final = 5
# Frontend messages that ask for an answer, and those after which the client says no more.
_SIMPLE, _SYNC, _FLUSH = b"Q", b"S", b"H"
_PARSE, _BIND, _TERMINATE = b"P", b"B", b"X"
_COPY: Final = frozenset({b"d", b"c", b"f"})
# Backend messages that end an answer: ReadyForQuery; and where no Sync was sent, what Describe
# answers (RowDescription, NoData) or an error.
_READY: Final = frozenset({b"Z"})
_DESCRIBED: Final = frozenset({b"T", b"n", b"E"})


class Kind(Enum):
    """What a client asks for."""

    CONNECT = "connect"
    QUERY = "query"
    PREPARE = "prepare"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange, before it takes place."""

    number: int
    """Of this proxy, from 1."""
    session: int
    role: str
    """The ``application_name``: our pools and lanes give their role."""
    database: str
    kind: Kind
    statement: str
    """Its SQL; empty for a connection."""


class Cut(Enum):
    """The link breaks."""

    BEFORE = "before"
    """Nothing of the exchange reached the server."""
    AFTER = "after"
    """The server has answered, but the client never hears: what it did is unknown there."""


class ErrorInstead(NamedTuple):
    """The server fails the statement instead of doing it; 57Pxx also ends the session."""

    sqlstate: str


Fault: TypeAlias = Cut | ErrorInstead
Judge: TypeAlias = Callable[[Exchange], Awaitable[Fault | None]]
"""May take its time: the exchange waits."""


async def let_pass(_exchange: Exchange) -> Fault | None:
    return None


class _Message(NamedTuple):
    kind: bytes
    whole: bytes

    @property
    def body(self) -> bytes:
        return self.whole[_HEADER_BYTES:]


class _Stream(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def message(self) -> _Message:
        head = await self.reader.readexactly(_HEADER_BYTES)
        rest = await self.reader.readexactly(int.from_bytes(head[1:]) - 4)
        return _Message(head[:1], head + rest)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        self.writer.transport.abort()


class _Pass(Enum):
    """What the client hears of an answer."""

    ALL = "all"
    NOT_THE_END = "not the end"
    ONLY_THE_END = "only the end"
    NOTHING = "nothing, and the link is cut at its end"


class _Awaited(NamedTuple):
    ends: frozenset[bytes]
    told: _Pass = _Pass.ALL


class _Session:
    """One client's connection, and ours to the server for it."""

    def __init__(
        self,
        proxy: "Proxy",
        client: _Stream,
        server: _Stream,
        *,
        number: int,
        names: dict[str, str],
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self.number = number
        self._names = names
        self._statements: dict[bytes, str] = {}
        self._awaited = deque([_Awaited(_READY)])  # the answer to the startup message

    def cut(self) -> None:
        self._client.abort()
        self._server.abort()

    async def run(self) -> None:
        """Pass messages on, both ways, until either side ends."""
        ways = [asyncio.create_task(way, name=TASK) for way in (self._requests(), self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._client.writer.close()
            self._server.writer.close()
        for task in ways:
            if not task.cancelled():
                task.result()

    async def _answers(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await self._server.message()
                awaited = self._awaited[0] if self._awaited else _Awaited(frozenset())
                ended = message.kind in awaited.ends
                if _is_told(awaited.told, ended=ended):
                    await self._client.send(message.whole)
                if ended:
                    self._awaited.popleft()
                    if awaited.told is _Pass.NOTHING:
                        self.cut()
                        return

    async def _requests(self) -> None:
        group: list[_Message] = []
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await self._client.message()
                group.append(message)
                if message.kind in _COPY or message.kind == _TERMINATE:
                    await self._forward(group)
                elif message.kind == _SYNC and len(group) == 1:  # what follows an error
                    self._awaited.append(_Awaited(_READY))
                    await self._forward(group)
                elif message.kind in (_SIMPLE, _SYNC, _FLUSH):
                    if not await self._exchange(group):
                        return
                else:
                    continue
                group = []

    async def _forward(self, group: list[_Message]) -> None:
        await self._server.send(b"".join(message.whole for message in group))

    async def _exchange(self, group: list[_Message]) -> bool:
        """Do as the judge says; tell whether the session goes on."""
        kind, statement = self._understood(group)
        fault = await self._proxy.judged(self.number, self._names, kind, statement)
        ends = _DESCRIBED if group[-1].kind == _FLUSH else _READY
        if isinstance(fault, ErrorInstead):
            return await self._fail(fault, statement, ends)
        if fault is Cut.BEFORE:
            self.cut()
            return False
        self._awaited.append(_Awaited(ends, _Pass.NOTHING if fault is Cut.AFTER else _Pass.ALL))
        await self._forward(group)
        return True

    def _understood(self, group: list[_Message]) -> tuple[Kind, str]:
        if group[-1].kind == _SIMPLE:
            return Kind.QUERY, _text(group[-1].body)
        name = b""
        for message in group:
            if message.kind == _PARSE:
                name, _, rest = message.body.partition(b"\0")
                self._statements[name] = _text(rest)
            elif message.kind == _BIND:
                name = message.body.split(b"\0", 2)[1]
        kind = Kind.PREPARE if group[-1].kind == _FLUSH else Kind.EXECUTE
        return kind, self._statements.get(name, "")

    async def _fail(self, fault: ErrorInstead, statement: str, ends: frozenset[bytes]) -> bool:
        if fault.sqlstate.startswith("57P"):
            await self._client.send(_fatal(fault.sqlstate))
            return False
        # The server itself fails, so that it and the client agree on the state of the transaction.
        raising = f"DO $$ BEGIN RAISE 'fault' USING ERRCODE = '{fault.sqlstate}'; END $$"
        script = [_query(raising)]
        if statement.strip("; ").upper() == "COMMIT":
            # A failed COMMIT ends its transaction.
            script.append(_query("ROLLBACK"))
            told = [_Pass.NOT_THE_END, _Pass.ONLY_THE_END]
        elif ends is _DESCRIBED:
            told = [_Pass.NOT_THE_END]  # the client asks for the end itself, by a Sync
        else:
            told = [_Pass.ALL]
        self._awaited.extend(_Awaited(_READY, one) for one in told)
        await self._server.send(b"".join(script))
        return True


class Proxy:
    """Stands before one PostgreSQL. Make it with :func:`proxied`."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._sessions: set[_Session] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self._session_number = 0
        self.place = ("", "")
        """Host with port, and query, of a DSN that leads here."""
        self.judge: Judge = let_pass
        self.exchanges = 0
        """How many there were."""

    def dsn(self, dsn: str) -> str:
        """Return the DSN of a database of that server, by way of this proxy."""
        parts = urlsplit(dsn)
        user, _, _ = parts.netloc.rpartition("@")
        host, query = self.place
        return urlunsplit(parts._replace(netloc=f"{user}@{host}", query=query))

    def cut_all(self) -> None:
        """Break every link there is."""
        for session in list(self._sessions):
            session.cut()

    @property
    def links(self) -> frozenset[int]:
        """The numbers of the sessions that there are."""
        return frozenset(session.number for session in self._sessions)

    async def end(self) -> None:
        """Break every link, and wait until nothing is left of them."""
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def judged(
        self, session: int, names: dict[str, str], kind: Kind, statement: str
    ) -> Fault | None:
        self.exchanges += 1
        return await self.judge(
            Exchange(
                number=self.exchanges,
                session=session,
                role=names.get("application_name", ""),
                database=names.get("database", ""),
                kind=kind,
                statement=statement,
            )
        )

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        task = asyncio.create_task(self._take(_Stream(reader, writer)), name=TASK)
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        # Not by the task itself: it may be cancelled before it has begun.
        task.add_done_callback(lambda _task: writer.close())

    async def _take(self, client: _Stream) -> None:
        # Either side may go away, as they do.
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(client)

    async def _serve(self, client: _Stream) -> None:
        while True:
            head = await client.reader.readexactly(8)
            startup = head + await client.reader.readexactly(int.from_bytes(head[:4]) - 8)
            code = int.from_bytes(head[4:])
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            await client.send(b"N")  # asked for encryption: this link has none
        if code == _CANCEL_REQUEST:
            server = await self._open()
            with closing(server.writer):
                await server.send(startup)
                await server.reader.read()
            return
        names = _names(startup[8:])
        self._session_number += 1
        number = self._session_number
        fault = await self.judged(number, names, Kind.CONNECT, "")
        if isinstance(fault, ErrorInstead):
            await client.send(_fatal(fault.sqlstate))
        if fault is not None:
            client.abort() if isinstance(fault, Cut) else client.writer.close()
            return
        server = await self._open()
        session = _Session(self, client, server, number=number, names=names)
        self._sessions.add(session)
        try:
            with closing(server.writer):
                await server.send(startup)
                await session.run()
        finally:
            self._sessions.discard(session)

    async def _open(self) -> _Stream:
        parts = urlsplit(self._upstream)
        if folder := parse_qs(parts.query).get("host"):
            path = Path(folder[0]) / f".s.PGSQL.{PORT}"
            return _Stream(*await asyncio.open_unix_connection(str(path)))
        return _Stream(*await asyncio.open_connection(parts.hostname, parts.port or PORT))


@asynccontextmanager
async def proxied(dsn: str, *, tcp: bool = False) -> AsyncGenerator[Proxy]:
    """Stand before the server of ``dsn``, on a socket in a private folder or on a TCP port."""
    with TemporaryDirectory(prefix="jolda-proxy-") as folder:
        proxy = Proxy(dsn)
        if tcp:
            server = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
            proxy.place = (f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "")
        else:
            path = str(Path(folder) / f".s.PGSQL.{PORT}")
            server = await asyncio.start_unix_server(proxy.take, path)
            proxy.place = ("", f"host={quote(folder, safe='/')}")
        try:
            yield proxy
        finally:
            server.close()
            await proxy.end()


def _is_told(told: _Pass, *, ended: bool) -> bool:
    match told:
        case _Pass.ALL:
            return True
        case _Pass.NOT_THE_END:
            return not ended
        case _Pass.ONLY_THE_END:
            return ended
        case _Pass.NOTHING:
            return False


def _text(zero_ended: bytes) -> str:
    return zero_ended.partition(b"\0")[0].decode()


def _names(parameters: bytes) -> dict[str, str]:
    words = [word.decode() for word in parameters.split(b"\0")]
    return dict(zip(words[::2], words[1::2], strict=False))


def _query(sql: str) -> bytes:
    body = sql.encode() + b"\0"
    return _SIMPLE + (4 + len(body)).to_bytes(4) + body


def _fatal(sqlstate: str) -> bytes:
    """Return the message with which a server ends a session."""
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": "fault"}
    body = b"".join(name + text.encode() + b"\0" for name, text in fields.items()) + b"\0"
    return b"E" + (4 + len(body)).to_bytes(4) + body
