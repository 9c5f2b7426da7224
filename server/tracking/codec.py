"""Positions as bytes at rest: packed, compressed, sealed.

A blob is the version byte, a nonce and AES-256-GCM text of the packed positions, bound to company,
driver, key, row and schema. Packed positions begin with their layout:

- short (version 2, up to 16 positions): ``_SHORT`` (layout, device number, count, first time), the
  first position as ``_ROW``, half a byte for each column that tells how many bytes its deltas
  take, and row by row the zigzag deltas;
- columns: ``_HEADER`` (layout, device number, which optional columns have unknowns, bytes of a
  delta, count, first time), one bitmap per optional column that has unknowns, then zstd of nine
  first values (int64) and, column by column, byte plane by byte plane, the zigzag deltas;
- rows (version 1, only read): ``_HEADER``, then for each position the time after the first, and
  ``_ROW``.

A later version adds a reader and keeps these: tests/tracking/golden holds bytes to read.
"""

import os
import struct
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import zstandard
from cryptography.exceptions import InvalidTag
from numpy.typing import NDArray

from server.tracking.model import (
    ACCURACY_M,
    BATTERY_PCT,
    Bytes,
    Flags,
    Floats,
    Ints,
    Positions,
    joined,
)
from server.vault.model import DataKey

VERSION: Final = 2
VERSIONS: Final = frozenset({1, VERSION})
SHORT_MAX: Final = 16
"""Positions that are packed without zstd: it gains nothing on so few."""
NONCE_BYTES: Final = 12
CHUNK_SCHEMA: Final = "chunk.v1"
LATEST_SCHEMA: Final = "latest_position.v1"

_VERSION_BYTE: Final = bytes([VERSION])
_LAYOUT_ROWS: Final = 0
_LAYOUT_COLUMNS: Final = 1
_LAYOUT_SHORT: Final = 2
_HEADER: Final = struct.Struct("<BBBBIq")
_VALUE_NAMES: Final = ("lat", "lon", "accuracy", "speed", "heading", "altitude", "battery")
_ROW: Final = np.dtype(
    [
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
_ROW_NAMES: Final = (*_VALUE_NAMES, "flags", "unknown")
_TIMED_ROW: Final = np.dtype([("after_ms", "<u4"), *_ROW.descr])
_SHORT: Final = struct.Struct("<BBBq")
_SHORT_COLUMNS: Final = 1 + len(_ROW_NAMES)
_BYTE_SHIFTS: Final = np.arange(0, 64, 8, dtype=np.uint64)
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
    if len(positions) <= SHORT_MAX:
        [packed] = pack_short([positions], [device_number])
        return packed
    return _pack_columns(positions, *_scaled(positions), device_number, level)


def pack_many(parts: Sequence[Positions], device_numbers: Sequence[int]) -> list[bytes]:
    """Return what :func:`pack` returns for each part."""
    numbered = list(zip(parts, device_numbers, strict=True))
    short = [one for one in numbered if len(one[0]) <= SHORT_MAX]
    packed = iter(pack_short(*zip(*short, strict=True)) if short else ())
    return [next(packed) if len(part) <= SHORT_MAX else pack(part, no) for part, no in numbered]


def pack_short(parts: Sequence[Positions], device_numbers: Sequence[int]) -> list[bytes]:
    """Return what :func:`pack` returns for each part; none has more than ``SHORT_MAX``.

    At once, because numpy takes as long for fifty parts as for one.
    """
    whole = parts[0] if len(parts) == 1 else joined(parts)
    sizes = np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    matrix = _short_columns(whole)
    zigzag = np.zeros(matrix.shape, _DELTA[_WIDE])
    zigzag[1:] = _zigzag(np.diff(matrix, axis=0))
    zigzag[starts] = 0
    needed = np.maximum.reduceat(zigzag, starts, axis=0)[:, :, None] >> _BYTE_SHIFTS > 0
    widths = needed.sum(axis=2, dtype=np.uint8)
    taken = np.repeat(needed, sizes, axis=0)
    taken[starts] = False
    deltas = zigzag.view(np.uint8).reshape(taken.shape)[taken].tobytes()
    ends = np.cumsum(widths.sum(axis=1, dtype=np.int64) * (sizes - 1)).tolist()
    firsts = _first_rows(matrix[starts]).tobytes()
    halves = (widths[:, ::2] | widths[:, 1::2] << 4).tobytes()
    row, half = _ROW.itemsize, _SHORT_COLUMNS // 2
    return [
        _SHORT.pack(_LAYOUT_SHORT, number, size, first_ms)
        + firsts[place * row : place * row + row]
        + halves[place * half : place * half + half]
        + deltas[begin:end]
        for place, (number, size, first_ms, begin, end) in enumerate(
            zip(
                device_numbers,
                sizes.tolist(),
                matrix[starts, 0].tolist(),
                [0, *ends[:-1]],
                ends,
                strict=True,
            )
        )
    ]


def _short_columns(positions: Positions) -> Ints:
    """Return shape ``(n, 10)``: time, the values in whole steps, flags, and what is unknown."""
    scaled, unknown = _scaled(positions)
    matrix = np.empty((len(positions), _SHORT_COLUMNS), np.int64)
    matrix[:, 0] = positions.time_ms
    matrix[:, 1:8] = scaled.T
    matrix[:, 8] = positions.flags
    matrix[:, 9] = 0 if unknown is None else _OPTIONAL_BITS @ unknown
    return matrix


def _first_rows(matrix: Ints) -> "np.ndarray[tuple[int, ...], np.dtype[np.void]]":
    rows = np.empty(len(matrix), _ROW)
    for name, column in zip(_ROW_NAMES, matrix.T[1:], strict=True):
        rows[name] = column
    return rows


def _zigzag(delta: Ints) -> "NDArray[np.unsignedinteger]":
    """Return small whole numbers for small differences of either sign."""
    return ((delta << 1) ^ (delta >> 63)).view(np.uint64)


def _scaled(positions: Positions) -> tuple[Floats, Flags | None]:
    """Return the values in whole steps, what is unknown as 0; and what is, if anything is."""
    scaled = positions.values * SCALE
    np.rint(scaled, out=scaled)
    unknown = np.isnan(scaled[ACCURACY_M:])
    if not unknown.any():
        return scaled, None
    scaled[ACCURACY_M:][unknown] = 0
    return scaled, unknown


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
    zigzag = _zigzag(delta)
    width = _NARROW if zigzag.max() < 1 << 32 else _WIDE
    planes = zigzag.astype(_DELTA[width]).view(np.uint8).reshape(_COLUMNS, count - 1, width)
    plain = matrix[:, 0].astype(_FIRST).tobytes() + planes.transpose(0, 2, 1).tobytes()
    header = _HEADER.pack(
        _LAYOUT_COLUMNS, device_number, columns_unknown, width, count, int(matrix[0, 0])
    )
    return header + bitmaps + _compressor(level).compress(plain)


def unpack(packed: bytes) -> Unpacked:
    """Return what :func:`pack` packed."""
    if packed[0] == _LAYOUT_SHORT:
        return _unpack_short(packed)
    layout, device_number, columns_unknown, width, count, base_ms = _HEADER.unpack_from(packed)
    if layout == _LAYOUT_ROWS:
        positions = _unpack_rows(packed, count, base_ms)
    elif layout == _LAYOUT_COLUMNS:
        positions = _unpack_columns(packed, columns_unknown, width, count)
    else:
        raise BlobUnreadable
    return Unpacked(positions, device_number)


def _unpack_short(packed: bytes) -> Unpacked:
    _, device_number, count, first_ms = _SHORT.unpack_from(packed)
    [first] = np.frombuffer(packed, _ROW, 1, _SHORT.size)
    start = _SHORT.size + _ROW.itemsize
    halves = np.frombuffer(packed, np.uint8, _SHORT_COLUMNS // 2, start)
    widths = np.stack((halves & 15, halves >> 4), axis=1).ravel()
    taken = np.broadcast_to(np.arange(_WIDE) < widths[:, None], (count - 1, _SHORT_COLUMNS, _WIDE))
    raw = np.zeros(taken.shape, np.uint8)
    raw[taken] = np.frombuffer(packed, np.uint8, offset=start + halves.size)
    matrix = np.empty((count, _SHORT_COLUMNS), np.int64)
    matrix[0] = [first_ms, *first.tolist()]
    matrix[1:] = _signed(raw.view(_DELTA[_WIDE])[:, :, 0])
    np.cumsum(matrix, axis=0, out=matrix)
    values = matrix[:, 1:8].T / SCALE
    _forget_unknown(values, matrix[:, 9])
    flags = matrix[:, 8].astype(np.uint8)
    return Unpacked(
        Positions(time_ms=matrix[:, 0].copy(), values=values, flags=flags), device_number
    )


def _forget_unknown(values: Floats, unknown: Ints | Bytes) -> None:
    if unknown.any():
        values[ACCURACY_M:][(unknown & _OPTIONAL_BITS[:, None]) > 0] = np.nan


def _unpack_rows(packed: bytes, count: int, base_ms: int) -> Positions:
    rows = np.frombuffer(packed, _TIMED_ROW, count, _HEADER.size)
    values = np.array([rows[name] for name in _VALUE_NAMES], np.float64)
    values /= SCALE
    _forget_unknown(values, rows["unknown"])
    return Positions(
        time_ms=base_ms + rows["after_ms"].astype(np.int64), values=values, flags=rows["flags"]
    )


def _unpack_columns(packed: bytes, columns_unknown: int, width: int, count: int) -> Positions:
    bitmap_bytes = (count + 7) // 8
    start = _HEADER.size + bitmap_bytes * columns_unknown.bit_count()
    first_bytes = _COLUMNS * _FIRST.itemsize
    plain = _decompressor().decompress(
        memoryview(packed)[start:], max_output_size=first_bytes + _COLUMNS * (count - 1) * width
    )
    planes = np.frombuffer(plain, np.uint8, offset=first_bytes).reshape(_COLUMNS, width, count - 1)
    matrix = np.empty((_COLUMNS, count), np.int64)
    matrix[:, 0] = np.frombuffer(plain, _FIRST, _COLUMNS)
    matrix[:, 1:] = _signed(_zigzag_of(planes, width))
    np.cumsum(matrix, axis=1, out=matrix)
    values = matrix[1:8] / SCALE
    if columns_unknown:
        bitmaps = np.frombuffer(packed, np.uint8, start - _HEADER.size, _HEADER.size)
        bits = np.unpackbits(bitmaps.reshape(-1, bitmap_bytes), axis=1, count=count).view(np.bool_)
        holed = [row for row in range(_OPTIONAL) if columns_unknown >> row & 1]
        for row, unknown in zip(holed, bits, strict=True):
            values[ACCURACY_M + row][unknown] = np.nan
    return Positions(time_ms=matrix[0].copy(), values=values, flags=matrix[8].astype(np.uint8))


def _zigzag_of(planes: Bytes, width: int) -> "NDArray[np.unsignedinteger]":
    """Return the zigzag deltas of byte planes; most upper ones hold nothing and are skipped."""
    kind = _DELTA[width]
    zigzag = planes[:, 0].astype(kind)
    for place in range(1, width):
        plane = planes[:, place]
        if plane.any():
            zigzag |= plane.astype(kind) << kind.type(8 * place)
    return zigzag


def _signed(zigzag: "NDArray[np.unsignedinteger]") -> "NDArray[np.signedinteger]":
    """Return the differences that :func:`_zigzag` was given."""
    one = zigzag.dtype.type(1)
    signed: NDArray[np.signedinteger] = (zigzag >> one) ^ (~(zigzag & one) + one)
    return signed.view(f"i{zigzag.dtype.itemsize}")


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


def nonces(count: int) -> list[bytes]:
    """Return so many nonces, drawn at once: asking the kernel for one costs as much as sealing."""
    drawn = os.urandom(NONCE_BYTES * count)
    return [
        drawn[end - NONCE_BYTES : end] for end in range(NONCE_BYTES, len(drawn) + 1, NONCE_BYTES)
    ]


def seal(
    key: DataKey, packed: bytes, *, row_id: UUID, schema: str, nonce: bytes | None = None
) -> bytes:
    """Return the sealed bytes of one row. A ``nonce`` of :func:`nonces` may be used once."""
    if nonce is None:
        nonce = os.urandom(NONCE_BYTES)
    return _VERSION_BYTE + nonce + key.cipher.encrypt(nonce, packed, key.aad(row_id.bytes, schema))


def unseal(key: DataKey, blob: bytes, *, row_id: UUID, schema: str) -> bytes:
    """Return the packed positions.

    Raises
    ------
    BlobUnreadable
    """
    if not blob or blob[0] not in VERSIONS:
        raise BlobUnreadable
    nonce, text = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
    try:
        return key.cipher.decrypt(nonce, text, key.aad(row_id.bytes, schema))
    except (InvalidTag, ValueError):  # the latter where it ends within the nonce
        raise BlobUnreadable from None


def open_chunk(key: DataKey, blob: bytes, upload_id: UUID) -> Unpacked:
    """Return the positions of one row of ``chunk``.

    Raises
    ------
    BlobUnreadable
    """
    return unpack(unseal(key, blob, row_id=upload_id, schema=CHUNK_SCHEMA))
