"""Positions as bytes at rest: packed, compressed, sealed.

Version 1. A blob is the version byte, a nonce and AES-256-GCM text of the packed positions, bound
to company, driver, key, row and version. Packed positions begin with ``_HEADER``: layout, device
number, which optional columns have unknowns, bytes of a delta, count, first time. Then

- rows (up to 16 positions): ``_ROW`` each, its last byte telling what is unknown;
- columns: one bitmap per optional column that has unknowns, then zstd of nine first values
  (int64) and, column by column, byte plane by byte plane, the zigzag deltas.

A later version adds a reader and keeps this one: tests/tracking/golden holds bytes to read.
"""

import os
import struct
import threading
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import zstandard
from cryptography.exceptions import InvalidTag

from server.tracking.model import ACCURACY_M, BATTERY_PCT, Flags, Floats, Ints, Positions
from server.vault.model import DataKey

VERSION: Final = 1
ROWS_MAX: Final = 16
NONCE_BYTES: Final = 12
CHUNK_SCHEMA: Final = "chunk.v1"
LATEST_SCHEMA: Final = "latest_position.v1"

_VERSION_BYTE: Final = bytes([VERSION])
_LAYOUT_ROWS: Final = 0
_LAYOUT_COLUMNS: Final = 1
_HEADER: Final = struct.Struct("<BBBBIq")
_VALUE_NAMES: Final = ("lat", "lon", "accuracy", "speed", "heading", "altitude", "battery")
_ROW: Final = np.dtype(
    [
        ("after_ms", "<u4"),
        ("lat", "<i4"),
        ("lon", "<i4"),
        ("accuracy", "<u4"),
        ("speed", "<u2"),
        ("heading", "<u2"),
        ("altitude", "<i4"),
        ("battery", "u1"),
        ("flags", "u1"),
        ("unknown", "u1"),
    ]
)
_COLUMNS: Final = 9
_OPTIONAL: Final = BATTERY_PCT + 1 - ACCURACY_M
_OPTIONAL_BITS: Final = np.array([1 << bit for bit in range(_OPTIONAL)], dtype=np.uint8)
_NARROW: Final = 4
_WIDE: Final = 8
_DELTA: Final[dict[int, np.dtype[np.unsignedinteger]]] = {
    _NARROW: np.dtype("<u4"),
    _WIDE: np.dtype("<u8"),
}
_FIRST: Final = np.dtype("<i8")

# Integer steps per unit: 1e-7 deg, 0.1 m, 0.01 m/s, 0.1 deg, 0.1 m, 1 %.
SCALE: Final[Floats] = np.array([1e7, 1e7, 10, 100, 10, 10, 1.0])[:, None]

LEVEL: Final = 1
_of_thread = threading.local()


class BlobUnreadable(Exception):
    """The bytes are not what was sealed here: changed, moved, or of an unknown version."""


class Unpacked(NamedTuple):
    positions: Positions
    device_number: int


def pack(positions: Positions, device_number: int, *, level: int = LEVEL) -> bytes:
    """Return the positions of one device, oldest first, as plain bytes; ``level`` is zstd's."""
    unknown = np.isnan(positions.values[ACCURACY_M:])
    scaled = positions.values * SCALE
    np.rint(scaled, out=scaled)
    some_unknown = bool(unknown.any())
    if some_unknown:
        scaled[ACCURACY_M:][unknown] = 0
    if len(positions) <= ROWS_MAX:
        return _pack_rows(positions, scaled, unknown, device_number)
    holes = unknown if some_unknown else None
    return _pack_columns(positions, scaled, holes, device_number, level)


def _pack_rows(positions: Positions, scaled: Floats, unknown: Flags, device_number: int) -> bytes:
    base_ms = int(positions.time_ms[0])
    rows = np.empty(len(positions), _ROW)
    rows["after_ms"] = positions.time_ms - base_ms
    for name, column in zip(_VALUE_NAMES, scaled, strict=True):
        rows[name] = column
    rows["flags"] = positions.flags
    rows["unknown"] = _OPTIONAL_BITS @ unknown
    header = _HEADER.pack(_LAYOUT_ROWS, device_number, 0, 0, len(positions), base_ms)
    return header + rows.tobytes()


def _pack_columns(
    positions: Positions, scaled: Floats, unknown: Flags | None, device_number: int, level: int
) -> bytes:
    count = len(positions)
    matrix = np.empty((_COLUMNS, count), np.int64)
    matrix[0] = positions.time_ms
    matrix[1:8] = scaled
    matrix[8] = positions.flags
    columns_unknown, bitmaps = 0, b""
    if unknown is not None:
        holed = unknown.any(axis=1)
        columns_unknown = int(_OPTIONAL_BITS @ holed)
        bitmaps = np.packbits(unknown[holed], axis=1).tobytes()
        # What is unknown repeats what came before, so that it costs nothing.
        last_known = np.maximum.accumulate(np.where(unknown, 0, np.arange(count)), axis=1)
        optional = matrix[1 + ACCURACY_M : 8]
        optional[:] = np.take_along_axis(optional, last_known, axis=1)
    delta = np.diff(matrix, axis=1)
    zigzag = ((delta << 1) ^ (delta >> 63)).view(np.uint64)
    width = _NARROW if zigzag.max() < 1 << 32 else _WIDE
    planes = zigzag.astype(_DELTA[width]).view(np.uint8).reshape(_COLUMNS, count - 1, width)
    plain = matrix[:, 0].astype(_FIRST).tobytes() + planes.transpose(0, 2, 1).tobytes()
    header = _HEADER.pack(
        _LAYOUT_COLUMNS, device_number, columns_unknown, width, count, int(matrix[0, 0])
    )
    return header + bitmaps + _compressor(level).compress(plain)


def unpack(packed: bytes) -> Unpacked:
    """Return what :func:`pack` packed."""
    layout, device_number, columns_unknown, width, count, base_ms = _HEADER.unpack_from(packed)
    if layout == _LAYOUT_ROWS:
        positions = _unpack_rows(packed, count, base_ms)
    else:
        positions = _unpack_columns(packed, columns_unknown, width, count)
    return Unpacked(positions, device_number)


def _unpack_rows(packed: bytes, count: int, base_ms: int) -> Positions:
    rows = np.frombuffer(packed, _ROW, count, _HEADER.size)
    values = np.array([rows[name] for name in _VALUE_NAMES], np.float64)
    values /= SCALE
    unknown = rows["unknown"]
    if unknown.any():
        values[ACCURACY_M:][(unknown & _OPTIONAL_BITS[:, None]) > 0] = np.nan
    return Positions(
        time_ms=base_ms + rows["after_ms"].astype(np.int64), values=values, flags=rows["flags"]
    )


def _unpack_columns(packed: bytes, columns_unknown: int, width: int, count: int) -> Positions:
    bitmap_bytes = (count + 7) // 8
    holed = (columns_unknown & _OPTIONAL_BITS) > 0
    start = _HEADER.size + bitmap_bytes * int(holed.sum())
    first_bytes = _COLUMNS * _FIRST.itemsize
    plain = _decompressor().decompress(
        packed[start:], max_output_size=first_bytes + _COLUMNS * (count - 1) * width
    )
    planes = np.frombuffer(plain, np.uint8, offset=first_bytes).reshape(_COLUMNS, width, count - 1)
    zigzag = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(_DELTA[width])[:, :, 0]
    matrix = np.empty((_COLUMNS, count), np.int64)
    matrix[:, 0] = np.frombuffer(plain, _FIRST, _COLUMNS)
    matrix[:, 1:] = _signed(zigzag)
    np.cumsum(matrix, axis=1, out=matrix)
    values = matrix[1:8] / SCALE
    if columns_unknown:
        bitmaps = np.frombuffer(packed, np.uint8, start - _HEADER.size, _HEADER.size)
        unknown = np.zeros((_OPTIONAL, count), np.bool_)
        unknown[holed] = np.unpackbits(bitmaps.reshape(-1, bitmap_bytes), axis=1, count=count)
        values[ACCURACY_M:][unknown] = np.nan
    return Positions(time_ms=matrix[0].copy(), values=values, flags=matrix[8].astype(np.uint8))


def _signed(zigzag: "np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]") -> Ints:
    wide = zigzag.astype(np.uint64)
    return (wide >> np.uint64(1)).view(np.int64) ^ -(wide & np.uint64(1)).view(np.int64)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    made: dict[int, zstandard.ZstdCompressor] | None = getattr(_of_thread, "compressors", None)
    if made is None:
        made = _of_thread.compressors = {}
    if level not in made:
        made[level] = zstandard.ZstdCompressor(
            level=level, write_content_size=False, write_checksum=False
        )
    return made[level]


def _decompressor() -> zstandard.ZstdDecompressor:
    found: zstandard.ZstdDecompressor | None = getattr(_of_thread, "decompressor", None)
    if found is None:
        found = _of_thread.decompressor = zstandard.ZstdDecompressor()
    return found


def upload_id_of(key: DataKey, device_id: UUID, batch_id: str | None, packed: bytes) -> UUID:
    """Return the id of an upload, bound to its content: the same again is the same row.

    Of what is kept, not of the body: sent again when more of it may be kept, it is another row
    (reading drops what repeats), so that nothing new is ever taken for a duplicate.
    """
    batch = b"" if batch_id is None else batch_id.encode()
    number = int.from_bytes(key.mac(device_id.bytes, batch, packed)[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76  # uuid v8 (RFC 9562): made by us
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def seal(key: DataKey, packed: bytes, *, row_id: UUID, schema: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return _VERSION_BYTE + nonce + key.cipher.encrypt(nonce, packed, key.aad(row_id.bytes, schema))


def unseal(key: DataKey, blob: bytes, *, row_id: UUID, schema: str) -> bytes:
    """Return the packed positions.

    Raises
    ------
    BlobUnreadable
    """
    if blob[:1] != _VERSION_BYTE:
        raise BlobUnreadable
    nonce, text = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
    try:
        return key.cipher.decrypt(nonce, text, key.aad(row_id.bytes, schema))
    except InvalidTag:
        raise BlobUnreadable from None


def open_chunk(key: DataKey, blob: bytes, upload_id: UUID) -> Unpacked:
    """Return the positions of one row of ``chunk``.

    Raises
    ------
    BlobUnreadable
    """
    return unpack(unseal(key, blob, row_id=upload_id, schema=CHUNK_SCHEMA))
