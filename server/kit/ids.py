"""Identifiers made by the application: uuid v7, sortable by the time they were made."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a new uuid v7 (RFC 9562, section 5.7). Never a secret: the time is readable."""
    unix_ms = time.time_ns() // 1_000_000
    tail = int.from_bytes(os.urandom(10), "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | tail
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
