"""Endless drives: the bodies of uploads whose times are put in when each is due.

A body built whole for every upload of half an hour would take gigabytes. Here each drive is a loop
of bodies with places for the times; what an upload costs to build is its times alone.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from bench.bodies import Shape, bodies, drive

LOOP_POSITIONS: Final = 600
DRIVES_MAX: Final = 200
"""Drives of their own; more drivers than that follow one another on the same roads."""
# Any whole second in every place, found again in the text and replaced.
_SOME: Final = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
_SOME_MS: Final = b"1000000000000"
_SOME_TEXT: Final = b'"2001-09-09T01:46:40.000Z"'


class Track:
    """One drive, driven again and again."""

    def __init__(self, seed: int, *, size: int, shape: Shape, step_s: float) -> None:
        self._size = size
        self._step_ms = step_s * 1000
        self._write = _milliseconds if shape == "columns" else _texts
        place = _SOME_MS if shape == "columns" else _SOME_TEXT
        count = max(LOOP_POSITIONS // size, 2) * size
        whole = drive(seed, count, began=_SOME, step_s=step_s)
        whole.time_ms[:] = int(_SOME_MS)
        self._bodies = [
            body.replace(b"%", b"%%").replace(place, b"%b")
            for body in bodies(whole, size=size, shape=shape)
        ]

    def body(self, number: int, first_ms: int) -> bytes:
        """Return the drive's upload of this number, its first position recorded at that time."""
        times_ms = [first_ms + round(place * self._step_ms) for place in range(self._size)]
        return self._bodies[number % len(self._bodies)] % self._write(times_ms)


def tracks(drivers: int, *, size: int, shape: Shape | None, step_s: float) -> list[Track]:
    """Return the drives of so many drivers; without a shape, every other one sends columns."""
    turns: tuple[Shape, ...] = ("objects", "columns") if shape is None else (shape,)
    return [
        Track(seed, size=size, shape=turns[seed % len(turns)], step_s=step_s)
        for seed in range(min(drivers, DRIVES_MAX))
    ]


def _milliseconds(times_ms: list[int]) -> tuple[bytes, ...]:
    return tuple([b"%d" % one for one in times_ms])


def _texts(times_ms: list[int]) -> tuple[bytes, ...]:
    return tuple([b'%b.%03dZ"' % (_second(one // 1000), one % 1000) for one in times_ms])


@lru_cache(maxsize=100_000)
def _second(second: int) -> bytes:
    return b'"' + datetime.fromtimestamp(second, UTC).isoformat()[:19].encode()
