"""Request bodies: the only place that reads, decompresses and parses them."""

import asyncio
import json
import zlib
from typing import Final

import zstandard
from aiohttp import hdrs, web

from server.kit.errors import Malformed, TooLarge, TooSlow, Unsupported
from server.kit.shedding import DIGITS_MAX

BODY_BYTES_MAX: Final = 256 * 1024
"""Decoded size allowed where an endpoint does not say otherwise."""
MEMBERS_MAX: Final = 256
"""Of one object. No schema of ours has a tenth of that."""
ZSTD_WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024  # RFC 9659
BODY_READ_S_MAX: Final = 20.0


class BodyTooLarge(TooLarge):
    slug = "body-too-large"
    title = "Body too large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"At most {bytes_max} bytes, counted after decompression.")


class BodyTooSlow(TooSlow):
    slug = "body-too-slow"
    title = "The body did not arrive in time"

    def __init__(self, read_s_max: float = BODY_READ_S_MAX) -> None:
        super().__init__(f"A body has {read_s_max:g} s to arrive.")


class BodyBroken(Malformed):
    slug = "body-broken"
    title = "The body is not framed as HTTP asks"

    def __init__(self) -> None:
        super().__init__("A chunk's length is wrong.")


class EncodingUnsupported(Unsupported):
    slug = "encoding-unsupported"
    title = "Content encoding not supported"

    def __init__(self) -> None:
        super().__init__("Send the body plain, or with exactly one of gzip and zstd.")


class ContentTypeUnsupported(Unsupported):
    slug = "content-type-unsupported"
    title = "Content type not supported"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"Send {wanted}.")


class EncodingBroken(Malformed):
    slug = "encoding-broken"
    title = "The compressed body is damaged"

    def __init__(self) -> None:
        super().__init__("It does not decompress to its end.")


class JsonMalformed(Malformed):
    slug = "json-malformed"
    title = "The body is not JSON"

    def __init__(self, place: str) -> None:
        super().__init__(place)


class JsonKeyTwice(Malformed):
    slug = "json-key-twice"
    title = "A member stands twice in one object"

    def __init__(self) -> None:
        super().__init__("Each member name may stand once in an object.")


def told_bytes(request: web.BaseRequest) -> int | None:
    """Return what a request tells of its body's length; None where it tells nothing.

    aiohttp lets digits through however many, and fails at making a number of thousands.
    """
    digits = request.headers.get(hdrs.CONTENT_LENGTH)
    if digits is None:
        return None
    return int(digits) if len(digits) <= DIGITS_MAX else 10**DIGITS_MAX


async def read_json(
    request: web.BaseRequest,
    *,
    bytes_max: int = BODY_BYTES_MAX,
    read_s_max: float = BODY_READ_S_MAX,
) -> bytes:
    """Return the decoded JSON bytes of a request, checked for size, encoding and type.

    Raises
    ------
    ContentTypeUnsupported, EncodingUnsupported, EncodingBroken, BodyTooLarge, BodyTooSlow,
    BodyBroken
    """
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in (
        "utf-8",
        "utf8",
    ):
        wanted = "application/json in UTF-8"
        raise ContentTypeUnsupported(wanted)
    return await _decoded(request, bytes_max, read_s_max)


async def read_file(
    request: web.BaseRequest,
    *,
    content_type: str,
    bytes_max: int,
    read_s_max: float = BODY_READ_S_MAX,
) -> bytes:
    """Return the decoded bytes of a request that is a file of one type, checked for its size.

    Raises
    ------
    ContentTypeUnsupported, EncodingUnsupported, EncodingBroken, BodyTooLarge, BodyTooSlow,
    BodyBroken
    """
    if request.content_type != content_type:
        raise ContentTypeUnsupported(content_type)
    return await _decoded(request, bytes_max, read_s_max)


async def _decoded(request: web.BaseRequest, bytes_max: int, read_s_max: float) -> bytes:
    encodings = request.headers.getall("Content-Encoding", [])
    if not _spoken(encodings):  # before the body: it would be read only to be thrown away
        raise EncodingUnsupported
    return decode_body(await _read(request, bytes_max, read_s_max), encodings, bytes_max=bytes_max)


async def _read(request: web.BaseRequest, bytes_max: int, read_s_max: float) -> bytes:
    if (told_bytes(request) or 0) > bytes_max:
        raise BodyTooLarge(bytes_max)
    content = request.content
    if content.is_eof() and content.exception() is None:  # all there: nothing to wait for
        whole = content.read_nowait()
        if len(whole) > bytes_max:
            raise BodyTooLarge(bytes_max)
        return whole
    parts = []
    size = 0
    try:
        async with asyncio.timeout(read_s_max):
            async for part in content.iter_any():
                size += len(part)
                if size > bytes_max:
                    raise BodyTooLarge(bytes_max)
                parts.append(part)
    except TimeoutError:
        raise BodyTooSlow(read_s_max) from None
    except web.RequestPayloadError:
        raise BodyBroken from None
    return b"".join(parts)


def _spoken(encodings: list[str]) -> bool:
    return not encodings or (
        len(encodings) == 1 and encodings[0].strip().lower() in ("gzip", "zstd")
    )


def decode_body(body: bytes, encodings: list[str], *, bytes_max: int) -> bytes:
    """Return ``body`` decompressed. Never holds more than ``bytes_max`` + 1 bytes of output.

    Raises
    ------
    EncodingUnsupported, EncodingBroken, BodyTooLarge
    """
    if not _spoken(encodings):
        raise EncodingUnsupported
    if not encodings:
        decoded = body
    elif encodings[0].strip().lower() == "gzip":
        decoded = _gunzip(body, bytes_max)
    else:
        decoded = _unzstd(body, bytes_max)
    if len(decoded) > bytes_max:
        raise BodyTooLarge(bytes_max)
    return decoded


def _gunzip(body: bytes, bytes_max: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        decoded = inflater.decompress(body, bytes_max + 1)
    except zlib.error:
        raise EncodingBroken from None
    if len(decoded) <= bytes_max and (not inflater.eof or inflater.unused_data):
        raise EncodingBroken
    return decoded


def _unzstd(body: bytes, bytes_max: int) -> bytes:
    # decompress(max_output_size=...) ignores its limit when the frame states a size: 9.6 kB
    # became 314 MB. The stream reader keeps it.
    inflater = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    parts = []
    left = bytes_max + 1
    try:
        with inflater.stream_reader(body) as reader:
            while left > 0 and (part := reader.read(min(left, 65_536))):
                parts.append(part)
                left -= len(part)
    except zstandard.ZstdError:
        raise EncodingBroken from None
    decoded = b"".join(parts)
    if left > 0 and not _zstd_is_whole(body, len(decoded)):
        raise EncodingBroken
    return decoded


def _zstd_is_whole(body: bytes, decoded_bytes: int) -> bool:
    """Tell whether the frame really ended: the stream reader takes a cut one without a word."""
    inflater = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX).decompressobj()
    try:
        again = inflater.decompress(body)  # its size is known to be within the limit
    except zstandard.ZstdError:
        return False
    return inflater.eof and not inflater.unused_data and len(again) == decoded_bytes


def refuse_doubled_keys(body: bytes) -> None:
    """Refuse JSON in which an object names a member twice: the last would silently win.

    Also one with more members than any of ours has: each that is not known costs ten times what
    reading it does.

    Raises
    ------
    JsonMalformed, JsonKeyTwice
    """
    try:
        # From text: json would guess UTF-16 and UTF-32 from bytes, and take a byte order mark.
        json.loads(body.decode("utf-8"), object_pairs_hook=_once_each)
    except RecursionError:
        place = "It is nested too deeply."
        raise JsonMalformed(place) from None
    except json.JSONDecodeError as error:
        place = f"Line {error.lineno}, column {error.colno}: {error.msg.partition(':')[0]}."
        raise JsonMalformed(place) from None
    except ValueError:
        place = "It is not UTF-8, or a number is too long."
        raise JsonMalformed(place) from None


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MEMBERS_MAX:
        raise JsonMalformed(f"An object has more than {MEMBERS_MAX} members.")
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise JsonKeyTwice
    return whole
