"""Processes that we start: they do not outlive us, and tell us how they are.

A child inherits one end of a socket pair. It has neither a path nor a port, so nobody else can ask
and nothing is left behind; and whoever is killed, the other side reads the end of the file.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

Message: TypeAlias = Mapping[str, Any]

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""The figures of a process are the longest line: some 100 kB."""
UNHEARD_BYTES_MAX: Final = 1024 * 1024
POLL_S: Final = 0.02
LAST_BREATH_S_MAX: Final = 5.0
"""Between the end of the line and the end of the process."""


class Line:
    """One end of the line between two processes: JSON objects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> Message | None:
        """Return what the other side said next; None when it is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        if not line.endswith(b"\n"):
            return None  # it ended in the middle of a word
        said: Message = json.loads(line)
        return said

    async def send(self, message: Message) -> None:
        """Say something; whether the other side is still there shows when it is listened to."""
        with suppress(ConnectionError):
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()

    def drop_in(self, message: Message) -> bool:
        """Say something without waiting; not, and False, if the other side does not listen."""
        if self._writer.transport.get_write_buffer_size() >= UNHEARD_BYTES_MAX:
            return False
        self._writer.write(json.dumps(message).encode() + b"\n")
        return True

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def line(end: socket.socket) -> AsyncGenerator[Line]:
    """Speak over one end of a socket pair until the block ends."""
    opened = Line(*await asyncio.open_unix_connection(sock=end, limit=LINE_BYTES_MAX))
    try:
        yield opened
    finally:
        await opened.close()


class Child:
    """One process and the line to it. Make it with :func:`start`."""

    def __init__(self, process: "subprocess.Popen[bytes]", line: Line) -> None:
        self._process = process
        self._line = line

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, message: Message) -> None:
        await self._line.send(message)

    def drop_in(self, message: Message) -> bool:
        return self._line.drop_in(message)

    async def receive(self) -> Message | None:
        """Return what the child said next; None when it has ended, or is about to."""
        return await self._line.receive()

    def send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ended(self, *, s_max: float = LAST_BREATH_S_MAX) -> int:
        """Return the exit status of a child that is about to end; kill it if that takes longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(s_max):
                # Not asyncio's own subprocess: uvloop's cannot inherit one socket only.
                while self._process.poll() is None:  # noqa: ASYNC110 - a process sets no Event
                    await asyncio.sleep(POLL_S)
        if self._process.poll() is None:
            self._process.kill()
        status = self._process.wait()
        await self._line.close()
        return status


async def start(command: Sequence[str]) -> Child:
    """Start ``command``, to which its end of the line is given as ``--line N``.

    Call it from the main thread: on Linux the child's life is tied to the thread that starts it.

    Raises
    ------
    OSError
        The machine gives us no process, or no files.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the name of the method says it
    try:
        with theirs:
            process = _started([*command, "--line", str(theirs.fileno())], theirs)
    except OSError:
        ours.close()
        raise
    try:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_BYTES_MAX)
    except BaseException:
        process.kill()
        process.wait()
        ours.close()
        raise
    return Child(process, Line(reader, writer))


def _started(command: Sequence[str], end: socket.socket) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  (our own words)
        command,
        env={**os.environ, "JOLDA_STOP_WITH_PARENT": "1"},
        stdin=subprocess.DEVNULL,
        pass_fds=(end.fileno(),),
        start_new_session=True,  # Ctrl-C in the terminal is for us, who then end it in order
    )
