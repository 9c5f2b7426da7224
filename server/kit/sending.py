"""The socket of one caller, for what must be handed to the kernel at once or not at all."""

import asyncio
import fcntl
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
        """Return how much has not been handed to the kernel yet."""
        ...


class Connection:
    """Writes to a transport without ever waiting for it."""

    def __init__(self, transport: asyncio.Transport | None, *, chunked: bool) -> None:
        self.ended = asyncio.Event()
        self._transport = transport
        self._chunked = chunked
        if transport is not None:
            _widen(transport)

    def send(self, chunk: bytes) -> None:
        """Hand ``chunk`` to the transport; :meth:`unsent_bytes` tells when the kernel has it."""
        if self._transport is not None and not self._transport.is_closing():
            # The HTTP library's own writer may wait in the middle of a barrier.
            framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk
            self._transport.write(framed)

    def unsent_bytes(self) -> int:
        if self._transport is None or self.ended.is_set():
            return 0
        return self._transport.get_write_buffer_size()

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
        self.ended.set()

    def is_gone(self) -> bool:
        return self.ended.is_set() or self._transport is None or self._transport.is_closing()


async def flushed(connections: Collection[Flushable], until: float) -> None:
    """Wait until the kernel took everything, at most until that time of :func:`time.monotonic`."""
    # The event loop may write only at the end of its round.
    await asyncio.sleep(0)
    while (  # noqa: ASYNC110 - a transport has no event for "everything is out"
        any(one.unsent_bytes() for one in connections) and monotonic() < until
    ):
        await asyncio.sleep(FLUSH_POLL_S)


def _widen(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    # Never narrower: setting a size also ends the kernel's own tuning of it.
    if found is not None and (
        found.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < SEND_BUFFER_BYTES
    ):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
