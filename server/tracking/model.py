"""Positions as values: as they are stored, and as they are read back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from server.credentials.model import Caller
from server.gate.model import CLOCK_AHEAD_MAX, GateMissing, Source, Windows
from server.kit.errors import Invalid

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]
Flags: TypeAlias = NDArray[np.bool_]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MILLISECOND: Final = timedelta(milliseconds=1)
DAY_MS: Final = 86_400_000

FUTURE_MAX_S: Final = int(CLOCK_AHEAD_MAX.total_seconds())
LATEST_KEPT_S: Final = 15 * 60
GAP_S: Final = 120
TRACK_SPAN_DAYS_MAX: Final = 31
TRACK_POSITIONS_MAX: Final = 300_000

# Rows of Positions.values.
LAT, LON, ACCURACY_M, SPEED_MPS, HEADING_DEG, ALTITUDE_M, BATTERY_PCT = range(7)
SOURCES: Final = (Source.GPS, Source.WIFI, Source.CELL, Source.FUSED, Source.BEACON)
"""A position's source stands in its flags as 1 + the index here, for good; 0 is unknown."""
SOURCE_BITS: Final = 0b0000_0111
MOCK_KNOWN: Final = 0b0000_1000
MOCK: Final = 0b0001_0000


class TrackPurpose(StrEnum):
    """What a location is read for. The person's own access is never fenced."""

    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"
    SUBJECT_ACCESS = "subject_access"


def purpose_of(caller: Caller, driver_id: UUID) -> TrackPurpose:
    """Return what the caller may read the driver's track for.

    Raises
    ------
    GateMissing
        Drivers see nobody's but their own, and not whether others exist.
    """
    if caller.is_staff:
        return TrackPurpose.PLAN_FACT
    if caller.member_id != driver_id:
        raise GateMissing
    return TrackPurpose.SUBJECT_ACCESS


class Availability(StrEnum):
    FULL = "full"
    NO_POSITIONS = "no_positions"
    NOT_SHARED = "not_shared"


class TrackSpanInvalid(Invalid):
    slug = "track-span-invalid"
    title = "The time span cannot be read"


class TrackTooLong(Invalid):
    slug = "track-too-long"
    title = "Too many positions for one answer"

    def __init__(self) -> None:
        super().__init__(f"At most {TRACK_POSITIONS_MAX} positions; ask for a shorter span.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Positions:
    """Positions of one device, column by column. NaN is unknown, never 0."""

    time_ms: Ints
    """Shape ``(n,)``: unix milliseconds, by the phone's clock."""
    values: Floats
    """Shape ``(7, n)``: lat, lon, accuracy, speed, heading, altitude, battery."""
    flags: Bytes
    """Shape ``(n,)``: source and mock."""

    def __len__(self) -> int:
        return self.time_ms.size

    def take(self, chosen: NDArray[np.intp] | Flags) -> "Positions":
        return Positions(
            time_ms=self.time_ms[chosen],
            values=self.values[:, chosen],
            flags=self.flags[chosen],
        )

    def split(self, places: NDArray[np.intp]) -> "list[Positions]":
        """Return the parts that begin at 0 and at each of the places."""
        bounds = [0, *places.tolist(), len(self)]
        return [
            Positions(
                time_ms=self.time_ms[start:end],
                values=self.values[:, start:end],
                flags=self.flags[start:end],
            )
            for start, end in pairwise(bounds)
        ]

    def in_order(self) -> "Positions":
        """Return them oldest first; what is in order already is not copied."""
        if (self.time_ms[1:] >= self.time_ms[:-1]).all():
            return self
        return self.take(np.argsort(self.time_ms, kind="stable"))


def joined(parts: Sequence[Positions]) -> Positions:
    """Return the parts one behind the other."""
    return Positions(
        time_ms=np.concatenate([part.time_ms for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
        flags=np.concatenate([part.flags for part in parts]),
    )


def are_in_order(times: Sequence[Ints]) -> list[bool]:
    """Tell of each run of times whether it is oldest first; none is empty."""
    whole = np.concatenate(times)
    ordered = np.ones(whole.size, np.bool_)
    np.greater_equal(whole[1:], whole[:-1], out=ordered[1:])
    starts = list(accumulate((one.size for one in times[:-1]), initial=0))
    ordered[starts] = True
    found: list[bool] = np.logical_and.reduceat(ordered, starts).tolist()
    return found


class ChunkRow(NamedTuple):
    """One row to store: the sealed positions of one upload and one month. Made per upload."""

    upload_id: UUID
    first_at: datetime
    last_at: datetime
    size: int
    """How many positions."""
    key_id: UUID
    blob: bytes


class RowPlace(NamedTuple):
    """Where a row is found again, and what it holds."""

    last_at: datetime
    upload_id: UUID
    first_at: datetime
    size: int


def in_batches(places: Iterable[RowPlace], most: int) -> Iterator[list[RowPlace]]:
    """Give them in order, so many positions at a time, or one row that has more."""
    batch: list[RowPlace] = []
    size = 0
    for place in places:
        if batch and size + place.size > most:
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += place.size
    if batch:
        yield batch


class SealedChunk(NamedTuple):
    """One row as it is read; its key's id is no secret."""

    upload_id: UUID
    key_id: UUID
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """A driver's positions over a time span, oldest first, each (device, time) once."""

    time_ms: Ints
    values: Floats
    flags: Bytes
    device: Bytes
    availability: Availability
    windows: Windows
    """The recording windows that touch the span."""

    @classmethod
    def empty(cls, availability: Availability, windows: Windows = ()) -> "Track":
        return cls(
            time_ms=np.empty(0, np.int64),
            values=np.empty((7, 0)),
            flags=np.empty(0, np.uint8),
            device=np.empty(0, np.uint8),
            availability=availability,
            windows=windows,
        )

    @classmethod
    def of(cls, positions: Positions, device: int) -> "Track":
        return cls(
            time_ms=positions.time_ms,
            values=positions.values,
            flags=positions.flags,
            device=np.full(len(positions), device, np.uint8),
            availability=Availability.FULL,
            windows=(),
        )

    def __len__(self) -> int:
        return self.time_ms.size

    def in_order(self) -> "Track":
        """Return the positions oldest first, each device and time once."""
        if np.all(self.time_ms[1:] > self.time_ms[:-1]):  # as merged hours of one device come
            return self
        # What a phone sent again in another batch: the same device, the same time.
        order = np.lexsort((self.device, self.time_ms))
        time_ms, device = self.time_ms[order], self.device[order].astype(np.int64)
        fresh = np.ones(order.size, np.bool_)
        fresh[1:] = (np.diff(time_ms) != 0) | (np.diff(device) != 0)
        chosen = order[fresh]
        return replace(
            self,
            time_ms=self.time_ms[chosen],
            values=self.values[:, chosen],
            flags=self.flags[chosen],
            device=self.device[chosen],
        )

    def earliest(self, most: int) -> "Track":
        """Return so many of the positions, which are in order, and what has the last one's time."""
        if len(self) <= most:
            return self
        return self.where(self.time_ms <= self.time_ms[most - 1])

    def where(self, chosen: Flags) -> "Track":
        """Return only the chosen positions."""
        if chosen.all():
            return self
        full = bool(chosen.any())
        return replace(
            self,
            time_ms=self.time_ms[chosen],
            values=self.values[:, chosen],
            flags=self.flags[chosen],
            device=self.device[chosen],
            availability=Availability.FULL if full else Availability.NO_POSITIONS,
        )

    def segments(self) -> list[slice]:
        """Return the parts without a gap over 120 s and without the end of a window inside."""
        opened_ms, _ = window_columns(self.windows)
        window = np.searchsorted(opened_ms, self.time_ms, side="right")
        breaks = (np.diff(self.time_ms) > GAP_S * 1000) | (np.diff(window) != 0)
        bounds = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self)]
        return [slice(start, end) for start, end in pairwise(bounds) if start < end]

    @property
    def time_s(self) -> Floats:
        """Unix seconds."""
        return self.time_ms / 1000.0

    @property
    def lon_lat(self) -> Floats:
        """Shape ``(n, 2)``: longitude, latitude, as geo takes them."""
        return np.ascontiguousarray(self.values[[LON, LAT]].T)

    @property
    def accuracy_m(self) -> Floats:
        column: Floats = self.values[ACCURACY_M]
        return column


def end_to_end(tracks: Sequence[Track]) -> Track:
    """Return the positions of at least one track, one behind the other.

    Windows and availability are those of the first.
    """
    return replace(
        tracks[0],
        time_ms=np.concatenate([one.time_ms for one in tracks]),
        values=np.concatenate([one.values for one in tracks], axis=1),
        flags=np.concatenate([one.flags for one in tracks]),
        device=np.concatenate([one.device for one in tracks]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestPosition:
    """Where a driver was last, while their consent to dispatch tracking covers it."""

    driver_id: UUID
    recorded_at: datetime
    lat: float
    lon: float
    accuracy_m: float | None
    speed_mps: float | None
    heading_deg: float | None
    epoch: int
    """Of the gate that was read with it."""


def to_us(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def to_ms(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def ceil_ms(at: datetime) -> int:
    """Return the first whole millisecond that is not before ``at``."""
    return -((EPOCH - at) // MILLISECOND)


def from_ms(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def end_of_month(until: datetime) -> datetime:
    """Return before when the last row ends that begins before ``until``: none spans two months.

    Without it every row since ``until`` would be looked at.
    """
    last = until.astimezone(UTC) - MICROSECOND
    first = last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def window_columns(windows: Windows) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return when each window opened and ended, oldest first."""
    return tuple(ceil_ms(one.opened_at) for one in windows), tuple(
        ceil_ms(one.end) for one in windows
    )


def in_windows(time_ms: Ints, opened_ms: Sequence[int], end_ms: Sequence[int]) -> Flags:
    """Tell for each time whether a window ``[opened, end)`` holds it. Windows do not overlap."""
    if not opened_ms:
        return np.zeros(time_ms.size, dtype=np.bool_)
    place = np.searchsorted(np.array(opened_ms), time_ms, side="right") - 1
    return (place >= 0) & (time_ms < np.array(end_ms)[np.maximum(place, 0)])
