"""The socket of one caller, for what must be handed to the kernel at once or not at all."""

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Collection
from time import monotonic
from typing import Final, Protocol

SEND_BUFFER_BYTES: Final = 512 * 1024
"""What the kernel should take at once; it may grant less."""
FLUSH_POLL_S: Final = 0.002


class Flushable(Protocol):
    def unsent_bytes(self) -> int:
        """Hand over what the kernel takes now; return how much it has not taken yet."""
        ...


class Connection:
    """Writes to a transport without ever waiting for it."""

    def __init__(self, transport: asyncio.Transport | None, *, chunked: bool) -> None:
        self.ended = asyncio.Event()
        self._transport = transport
        self._chunked = chunked
        self._rest = b""
        self._until = 0.0
        if transport is not None:
            _widen(transport)

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        """Hand ``chunk`` to the kernel; :meth:`unsent_bytes` tells when it has all of it.

        With ``until`` (of :func:`time.monotonic`) nothing of it leaves from then on. The transport
        could not promise that: it writes when it can, and the process may have been stopped for
        any time since somebody looked at the clock.
        """
        if self._transport is None or self.is_gone():
            return
        # The HTTP library's own writer may wait in the middle of a barrier.
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk
        if until is not None:
            self._until = until
        elif not self._rest:
            self._transport.write(framed)
            return
        self._rest += framed
        self._push()

    def unsent_bytes(self) -> int:
        if self._transport is None or self.ended.is_set():
            return 0
        if self._rest:
            self._push()
        return self._transport.get_write_buffer_size() + len(self._rest)

    def _push(self) -> None:
        """Hand over as much of the rest as the kernel takes, if it is not too late."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._rest = b""
            return
        if transport.get_write_buffer_size():  # what was written before it goes first
            return
        number = transport.get_extra_info("socket").fileno()
        # The clock is looked at right before each call to the kernel: nothing comes in between.
        while self._rest and monotonic() < self._until:
            try:
                taken = os.write(number, self._rest)
            except BlockingIOError:
                return
            except OSError:  # the caller is gone
                self.drop()
                return
            self._rest = self._rest[taken:]

    def unread_bytes(self) -> int:
        """Return how much the kernel holds that the caller has not received yet."""
        if self._transport is None or self.is_gone():
            return 0
        found = self._transport.get_extra_info("socket")
        if found is None:
            return 0
        try:
            held = fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        except OSError:  # closed just now
            return 0
        return int(struct.unpack("i", held)[0])

    def drop(self) -> None:
        """Cut the connection; what the kernel has not taken is never sent."""
        if self._transport is not None and not self.ended.is_set():
            self._transport.abort()
        self._rest = b""
        self.ended.set()

    def is_gone(self) -> bool:
        return self.ended.is_set() or self._transport is None or self._transport.is_closing()


async def flushed(connections: Collection[Flushable], until: float) -> None:
    """Wait until the kernel took everything, at most until that time of :func:`time.monotonic`."""
    # The event loop may write only at the end of its round.
    await asyncio.sleep(0)
    while (  # noqa: ASYNC110 - a transport has no event for "everything is out"
        sum(one.unsent_bytes() for one in connections) and monotonic() < until
    ):
        await asyncio.sleep(FLUSH_POLL_S)


def _widen(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    # Never narrower: setting a size also ends the kernel's own tuning of it.
    if found is not None and (
        found.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < SEND_BUFFER_BYTES
    ):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
