"""What is accepted: which positions of an upload may be kept, and why the others may not."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.gate.model import Gate, Purpose, Windows
from server.tracking.model import (
    CLOCK_OFFSET_MAX_S,
    FUTURE_MAX_S,
    Ints,
    Positions,
    Refusal,
    RefusalReason,
    ceil_ms,
    in_windows,
    window_columns,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What the gate and the company's settings let through, as one process believes it."""

    since_ms: int
    """Positions before the present consents are refused."""
    opened_ms: tuple[int, ...]
    """When each recording window opened, oldest first."""
    end_ms: tuple[int, ...]
    buffer_max_ms: int
    keeps_track: bool
    """Whether whole tracks are kept, or only the newest position."""

    def window_holds(self, first_ms: int, last_ms: int) -> bool:
        """Tell whether one window holds both times."""
        place = bisect_right(self.opened_ms, first_ms) - 1
        return place >= 0 and last_ms < self.end_ms[place]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedOut:
    """Which positions of an upload may be kept, and why the others may not."""

    kept: Positions | None
    refused: tuple[Refusal, ...] = ()
    newest_index: int | None = None
    """In the upload, of the only position kept; None where whole tracks are kept."""


def keeps_track(gate: Gate) -> bool:
    """Tell whether whole tracks are kept, not only the newest position."""
    return gate.plan_fact_since is not None


def terms_of(gate: Gate, windows: Windows, *, buffer_max_s: int) -> Terms | None:
    """Return what the gate lets through; None if nothing."""
    purpose = Purpose.PLAN_FACT if keeps_track(gate) else Purpose.DISPATCH_TRACKING
    since = gate.since(purpose)
    if since is None or not gate.is_open:
        return None
    opened_ms, end_ms = window_columns(windows)
    return Terms(
        since_ms=ceil_ms(since),
        opened_ms=opened_ms,
        end_ms=end_ms,
        buffer_max_ms=buffer_max_s * 1000,
        keeps_track=keeps_track(gate),
    )


def sort_out(
    positions: Positions, terms: Terms, *, now_ms: int, offset_ms: int | None
) -> SortedOut:
    """Decide for each position. ``offset_ms`` is received minus sent, None if not told.

    The stored times stay the phone's: with the offset they only have to lie in a window too.
    """
    if offset_ms is not None and abs(offset_ms) > CLOCK_OFFSET_MAX_S * 1000:
        return refuse_all(positions, RefusalReason.CLOCK_WRONG)
    time_ms = positions.time_ms
    first, last = int(time_ms.min()), int(time_ms.max())
    offset = offset_ms or 0
    if _all_fit(terms, first, last, offset, now_ms):
        fitting = positions
        refused: tuple[Refusal, ...] = ()
        chosen: NDArray[np.intp] | None = None
    else:
        reasons = _reasons(time_ms, terms, offset, now_ms)
        refused = tuple(
            Refusal(index, _TIME_REASONS[reasons[index] - 1])
            for index in np.flatnonzero(reasons).tolist()
        )
        chosen = np.flatnonzero(reasons == 0)
        if chosen.size == 0:
            return SortedOut(kept=None, refused=refused)
        fitting = positions.take(chosen)
    if terms.keeps_track:
        return SortedOut(kept=fitting, refused=refused)
    return _only_newest(fitting, refused, chosen)


_TIME_REASONS: Final = (
    RefusalReason.IN_FUTURE,
    RefusalReason.TOO_OLD,
    RefusalReason.BEFORE_CONSENT,
    RefusalReason.OUTSIDE_WINDOW,
)


def _reasons(time_ms: Ints, terms: Terms, offset: int, now_ms: int) -> Ints:
    """Return for each time 0, or 1 + the place of the first of ``_TIME_REASONS`` that holds."""
    shifted = time_ms + offset
    inside = in_windows(time_ms, terms.opened_ms, terms.end_ms)
    if offset:
        inside &= in_windows(shifted, terms.opened_ms, terms.end_ms)
    conditions = [
        np.maximum(time_ms, shifted) > now_ms + FUTURE_MAX_S * 1000,
        time_ms < now_ms - terms.buffer_max_ms,
        time_ms < terms.since_ms,
        ~inside,
    ]
    return np.select(conditions, range(1, len(conditions) + 1), default=0)


def _only_newest(
    fitting: Positions, refused: tuple[Refusal, ...], chosen: NDArray[np.intp] | None
) -> SortedOut:
    """Keep the newest, and refuse those that only a track could use."""
    newest = int(fitting.time_ms.argmax())
    indices = range(len(fitting)) if chosen is None else chosen.tolist()
    outdated = [
        Refusal(index, RefusalReason.NOT_KEPT)
        for place, index in enumerate(indices)
        if place != newest
    ]
    return SortedOut(
        kept=fitting.take(np.array([newest])),
        refused=tuple(sorted((*refused, *outdated))),
        newest_index=indices[newest],
    )


def _all_fit(terms: Terms, first: int, last: int, offset: int, now_ms: int) -> bool:
    """Tell quickly whether the whole upload lies in one window: nearly every upload does."""
    low, high = first + min(offset, 0), last + max(offset, 0)
    return (
        terms.window_holds(low, high)
        and high <= now_ms + FUTURE_MAX_S * 1000
        and first >= now_ms - terms.buffer_max_ms
        and first >= terms.since_ms
    )


def refuse_all(positions: Positions, reason: RefusalReason) -> SortedOut:
    return SortedOut(
        kept=None, refused=tuple(Refusal(index, reason) for index in range(len(positions)))
    )


def count_by_reason(refused: Sequence[Refusal]) -> dict[RefusalReason, int]:
    counts: dict[RefusalReason, int] = {}
    for one in refused:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    return counts


def month_starts(time_ms: Ints) -> NDArray[np.intp]:
    """Return where a new month (UTC) begins in times that are in order; never 0."""
    months = time_ms.astype("datetime64[ms]").astype("datetime64[M]")
    return np.flatnonzero(months[1:] != months[:-1]) + 1
