"""The socket of one open screen: written at once or not at all, never buffered by us."""

import asyncio
import socket
from typing import Final

SEND_BUFFER_BYTES: Final = 512 * 1024
"""What the kernel should take at once; it may grant less."""


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

    def drop(self) -> None:
        """Cut the connection; what the kernel has not taken is never sent."""
        if self._transport is not None and not self.ended.is_set():
            self._transport.abort()
        self.ended.set()

    def is_gone(self) -> bool:
        return self.ended.is_set() or self._transport is None or self._transport.is_closing()


def _widen(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    # Never narrower: setting a size also ends the kernel's own tuning of it.
    if found is not None and (
        found.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < SEND_BUFFER_BYTES
    ):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
