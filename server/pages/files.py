"""The built web apps on disk: found by exact name, read once, compressed once."""

import gzip
import hashlib
import mimetypes
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 32 * 1024 * 1024
FILES_HELD_MAX: Final = 256
GZIP_BYTES_MIN: Final = 1_024
"""Below that the smaller file saves no packet."""
_GZIP_LEVEL: Final = 9
_TEXTUAL: Final = frozenset(
    {"application/json", "application/manifest+json", "image/svg+xml", "text/javascript"}
)

# What a bundler writes. No %, no backslash, no slash, nothing hidden, no way up.
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.))*", re.ASCII)
_NAME_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file as it is sent."""

    content_type: str
    body: bytes = field(repr=False)
    zipped: bytes | None = field(repr=False)
    """The same under gzip; None where that does not make it smaller."""
    digest: str
    stamp: tuple[int, int, int]
    """Inode, time of change and size when it was read."""


def is_plain_name(name: str) -> bool:
    """Tell whether ``name`` can be one file or folder of a build, and nothing cleverer."""
    return len(name) <= _NAME_CHARS_MAX and _NAME.fullmatch(name) is not None


class Files:
    """The files of one folder. Every method blocks on the disk: call it in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[tuple[str, ...], File] = {}

    def find(self, *parts: str) -> File | None:
        """Return the file; None for whatever is not a regular file right there, without links."""
        if not parts or not all(is_plain_name(part) for part in parts):
            return None
        try:
            # A link on the way makes the real place differ from the place that was asked for.
            path = self._root.resolve(strict=True).joinpath(*parts)
            if path.resolve(strict=True) != path:
                return None
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(descriptor, "rb") as opened:  # noqa: PTH123 - a descriptor, not a path
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES_MAX:
                return None
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            held = self._held.get(parts)
            if held is not None and held.stamp == stamp:
                return held
            read = _read(opened.read(FILE_BYTES_MAX), parts[-1], stamp)
        if len(self._held) >= FILES_HELD_MAX:  # leftovers of earlier builds
            self._held.clear()
        self._held[parts] = read
        return read


def _read(body: bytes, name: str, stamp: tuple[int, int, int]) -> File:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    zipped = None
    if len(body) >= GZIP_BYTES_MIN and (
        content_type.startswith("text/") or content_type in _TEXTUAL
    ):
        smaller = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        zipped = smaller if len(smaller) < len(body) else None
    return File(
        content_type=content_type,
        body=body,
        zipped=zipped,
        digest=hashlib.sha256(body).hexdigest()[:32],
        stamp=stamp,
    )
