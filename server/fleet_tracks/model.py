"""Tracks of many drivers: who passed a place, and how much of it is answered at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np

from geo.circle import Circle, Links, passes
from server.gate.model import Gate
from server.kit.errors import Invalid
from server.tracking.model import GAP_S, Floats, Ints, Track, end_to_end, from_ms, window_columns

DRIVERS_MAX: Final = 50
"""Of one page of tracks."""
POSITIONS_MAX: Final = 100_000
"""Of one page of tracks, of all drivers together: it is held in memory until it has left."""
RADIUS_M_MIN: Final = 10.0
"""Hardly a phone knows better where it is."""
RADIUS_M_MAX: Final = 5_000.0
AREA_SPAN_H_MAX: Final = 24
AREA_POSITIONS_MAX: Final = 10_000_000
"""What one search may open: 1,000 drivers who send every 9 s for 24 h."""
BATCH_POSITIONS: Final = 50_000
"""Of several drivers, opened in one go: a caller who went away costs no more than that."""
PART_POSITIONS_MIN: Final = 100_000
"""Who has more is opened part by part."""

LINKS: Final = Links(apart_s_max=GAP_S, speed_mps_max=70.0)
"""A position that a vehicle cannot have come from (250 km/h) is not joined with the next."""


class AreaSpanInvalid(Invalid):
    slug = "area-span-invalid"
    title = "The time span cannot be searched"

    def __init__(self) -> None:
        super().__init__(f"Ask for more than nothing and at most {AREA_SPAN_H_MAX} hours.")


class AreaSearchTooLong(Invalid):
    slug = "area-search-too-long"
    title = "Too many positions for one search"

    def __init__(self) -> None:
        super().__init__(f"At most {AREA_POSITIONS_MAX:,} positions; search a shorter span.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Where and when somebody was. Never logged: it may be where a person lives."""

    circle: Circle = field(repr=False)
    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if not timedelta(0) < self.until - self.since <= timedelta(hours=AREA_SPAN_H_MAX):
            raise AreaSpanInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a driver shares with the company of a span."""

    gate: Gate
    """As it was read before anything else."""
    since: datetime
    """Nothing from before is covered by the purpose."""
    positions: int
    """How many lie in rows that touch the rest of the span; some of them are not shown."""

    @property
    def driver_id(self) -> UUID:
        return self.gate.driver_id

    def is_as(self, before: "Share") -> bool:
        """Tell whether what was found of ``before`` may still be shown; more may have come."""
        return (self.gate, self.since) == (before.gate, before.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A time in the area; short absences within one recording window do not end it."""

    entered_at: datetime
    left_at: datetime
    closest_m: float
    accuracy_m: float | None
    """How exact the closest position is, as the phone said; None: unknown."""
    positions: int
    """How many lie in the area; none where the driver only crossed it between two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A driver who was there."""

    gate: Gate
    visits: Sequence[Visit]


def batches(shares: Sequence[Share]) -> list[list[Share]]:
    """Return who has positions, so many together as are opened in one go."""
    found: list[list[Share]] = []
    filled = BATCH_POSITIONS
    for share in shares:
        if not share.positions:
            continue
        if filled + share.positions > BATCH_POSITIONS:
            found.append([])
            filled = 0
        found[-1].append(share)
        filled += share.positions
    return found


class Sightings:
    """Finds when one driver was in the circle, part after part of their track.

    Each device makes a line of its own: two of them never make one that nobody drove.
    """

    def __init__(self, circle: Circle) -> None:
        self._circle = circle
        self._found: list[tuple[int, Visit]] = []
        self._before: Track | None = None
        """The last position of each device: a line may lead from it into the next part."""

    def add(self, part: Track) -> None:
        """Look at the next part; parts go on where the one before ended."""
        if not len(part):
            return
        track = part if self._before is None else end_to_end([self._before, part])
        known = len(track) - len(part)
        opened_ms, _ = window_columns(track.windows)
        window = np.searchsorted(np.array(opened_ms, np.int64), track.time_ms, side="right")
        last = np.zeros(len(track), np.bool_)
        for device in np.unique(track.device):
            own = np.flatnonzero(track.device == device)
            self._look(track, window, own, again=bool(own[0] < known))
            last[own[-1]] = True
        self._before = track.where(last)

    def _look(self, track: Track, window: Ints, own: Ints, *, again: bool) -> None:
        lon_lat, time_s = track.lon_lat[own], track.time_s[own]
        # One that was looked at with the part before, and lies inside, was counted there.
        counted = int(
            again and bool(passes(self._circle, lon_lat[:1], time_s[:1], window[own[:1]], LINKS))
        )
        for one in passes(self._circle, lon_lat, time_s, window[own], LINKS):
            visit = Visit(
                entered_at=from_ms(round(one.entered_s * 1000)),
                left_at=from_ms(round(one.left_s * 1000)),
                closest_m=one.closest_m,
                accuracy_m=_accuracy(track.accuracy_m, own[list(one.nearest)]),
                positions=one.positions - counted,
            )
            counted = 0
            self._found.append((int(window[own[one.nearest[0]]]), visit))

    def visits(self) -> list[Visit]:
        """Return when the driver was in the circle, in order."""
        return _joined(sorted(self._found, key=lambda pair: (pair[0], pair[1].entered_at)))


def _accuracy(accuracy_m: Floats, nearest: Ints) -> float | None:
    worst = float(np.max(accuracy_m[nearest]))  # of a line, the less exact of its ends
    return None if np.isnan(worst) else worst


def _joined(found: Sequence[tuple[int, Visit]]) -> list[Visit]:
    """Join what lies no further apart than joined positions do, within one window."""
    whole: list[Visit] = []
    before: int | None = None
    for window, visit in found:
        if window == before and visit.entered_at - whole[-1].left_at <= timedelta(seconds=GAP_S):
            last = whole[-1]
            nearer = min(last, visit, key=lambda one: one.closest_m)
            whole[-1] = replace(
                last,
                left_at=max(last.left_at, visit.left_at),
                closest_m=nearer.closest_m,
                accuracy_m=nearer.accuracy_m,
                positions=last.positions + visit.positions,
            )
        else:
            whole.append(visit)
        before = window
    return whole
