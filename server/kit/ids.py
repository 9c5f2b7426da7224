"""Identifiers made by the application: uuid v7, sortable by the time they were made."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a new uuid v7 (RFC 9562, section 5.7). Never a secret: the time is readable.

    The millisecond is followed by twelve bits of its fraction (section 6.2, method 3): what one
    process makes one after the other sorts so.
    """
    unix_ms, ns = divmod(time.time_ns(), 1_000_000)
    tail = int.from_bytes(os.urandom(8), "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | (ns << 12) // 1_000_000 << 64 | tail
    value |= 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
