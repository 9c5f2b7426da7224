"""A ZIP file (APPNOTE 6.3.10) that is written part by part, and goes on after a crash. Pure.

Each file's local header is made when its data are, so it tells sizes and checksum itself: every
program opens it, also one that reads the archive as it comes. ZIP64 only where something needs it.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_LIMIT: Final = 0xFFFF_FFFF
_FILES_LIMIT: Final = 0xFFFF
_UTF_8: Final = 0x0800
_DEFLATED: Final = 8
_VERSION: Final = 20
_VERSION_64: Final = 45
_MADE_ON_UNIX: Final = 3 << 8
_PLAIN_FILE: Final = 0o100644 << 16
LEVEL: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A file that is in the archive."""

    name: str
    size_bytes: int
    sha256: str
    crc: int
    packed_bytes: int

    def to_json(self) -> Mapping[str, Any]:
        return asdict(self)

    @property
    def archive_bytes(self) -> int:
        """How much of the archive it takes, with its header and without its entry at the end."""
        return len(header(self, _ANY)) + self.packed_bytes


class Packing:
    """Packs one file: its bytes go in, packed ones come out."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._sha256 = hashlib.sha256()
        self._crc = self._size_bytes = self._packed_bytes = 0

    def add(self, data: bytes) -> bytes:
        self._sha256.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size_bytes += len(data)
        return self._out(self._deflate.compress(data))

    def end(self) -> tuple[bytes, Packed]:
        """Return the last packed bytes, and what the file is."""
        last = self._out(self._deflate.flush())
        return last, Packed(
            name=self._name,
            size_bytes=self._size_bytes,
            sha256=self._sha256.hexdigest(),
            crc=self._crc,
            packed_bytes=self._packed_bytes,
        )

    def _out(self, packed: bytes) -> bytes:
        self._packed_bytes += len(packed)
        return packed


def header(file: Packed, at: datetime) -> bytes:
    """Return what stands before the packed bytes of a file."""
    name = file.name.encode()
    sizes = (file.packed_bytes, file.size_bytes)
    large = max(sizes) >= _LIMIT
    # The order is that of the extra field: first the size, then the packed one.
    extra = struct.pack("<2H2Q", 1, 16, file.size_bytes, file.packed_bytes) if large else b""
    return (
        _LOCAL.pack(
            b"PK\x03\x04",
            _VERSION_64 if large else _VERSION,
            _UTF_8,
            _DEFLATED,
            *_dos(at),
            file.crc,
            *((_LIMIT, _LIMIT) if large else sizes),
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def directory(files: Sequence[Packed], at: datetime) -> bytes:
    """Return what ends the archive, with these files in their order."""
    entries, offset = [], 0
    for file in files:
        entries.append(_entry(file, offset, at))
        offset += file.archive_bytes
    listed = b"".join(entries)
    count, size = len(files), len(listed)
    end_64 = b""
    if count >= _FILES_LIMIT or offset >= _LIMIT:
        end_64 = _END_64.pack(
            b"PK\x06\x06", 44, _VERSION_64, _VERSION_64, 0, 0, count, count, size, offset
        ) + _LOCATOR_64.pack(b"PK\x06\x07", 0, offset + size, 1)
    few, near = min(count, _FILES_LIMIT), min(offset, _LIMIT)
    return listed + end_64 + _END.pack(b"PK\x05\x06", 0, 0, few, few, size, near, 0)


def _entry(file: Packed, offset: int, at: datetime) -> bytes:
    name = file.name.encode()
    far = [value for value in (file.size_bytes, file.packed_bytes, offset) if value >= _LIMIT]
    extra = struct.pack(f"<2H{len(far)}Q", 1, 8 * len(far), *far) if far else b""
    version = _VERSION_64 if far else _VERSION
    return (
        _CENTRAL.pack(
            b"PK\x01\x02",
            _MADE_ON_UNIX | version,
            version,
            _UTF_8,
            _DEFLATED,
            *_dos(at),
            file.crc,
            min(file.packed_bytes, _LIMIT),
            min(file.size_bytes, _LIMIT),
            len(name),
            len(extra),
            0,
            0,
            0,
            _PLAIN_FILE,
            min(offset, _LIMIT),
        )
        + name
        + extra
    )


def _dos(at: datetime) -> tuple[int, int]:
    """Return time and date as MS-DOS wrote them: in UTC, to two seconds."""
    moment = at.astimezone(UTC)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, (moment.year - 1980) << 9 | moment.month << 5 | moment.day


_ANY: Final = datetime(2000, 1, 1, tzinfo=UTC)
