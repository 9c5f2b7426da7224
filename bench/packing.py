"""How a body is packed for the way."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import zstandard


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    headers: tuple[str, ...] = ()
    pack: Callable[[bytes], bytes] | None = None
    """None leaves the body as it is."""


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1)


ENCODINGS: Final[Mapping[str, Encoding]] = {
    "none": Encoding(),
    "gzip": Encoding(headers=("Content-Encoding: gzip",), pack=_gzip),
    "zstd": Encoding(
        headers=("Content-Encoding: zstd",), pack=zstandard.ZstdCompressor(level=1).compress
    ),
}
