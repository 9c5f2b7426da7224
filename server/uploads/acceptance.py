"""What is accepted: which positions of an upload may be kept, and why the others may not.

Where the upload says when it was sent, a position's true time is known up to the time the upload
travelled. It is kept only if the phone's own time and every time it may truly have been recorded
at pass each rule, in one and the same window: docs/explanation/acceptance.md.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.gate.model import USUAL_REACH, Gate, Purpose, Reach, Windows
from server.tracking.model import (
    DAY_MS,
    FUTURE_MAX_S,
    LATEST_KEPT_S,
    SOURCE_BITS,
    SOURCES,
    Bytes,
    Flags,
    Ints,
    Positions,
    to_us,
)
from server.uploads.model import CLOCK_OFFSET_MAX_S, TRANSIT_S_MAX, AppState, Refusal, RefusalReason

# Phones tell milliseconds, gates and clocks of ours microseconds: nothing is rounded here.
SECOND_US: Final = 1_000_000
MILLISECOND_US: Final = 1_000
CLOCK_OFFSET_US_MAX: Final = CLOCK_OFFSET_MAX_S * SECOND_US
FUTURE_US_MAX: Final = FUTURE_MAX_S * SECOND_US
LATEST_KEPT_US: Final = LATEST_KEPT_S * SECOND_US
TRANSIT_US_MAX: Final = TRANSIT_S_MAX * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coverage:
    """What the consent to location covers beside the time, as it is looked up."""

    sources: Flags
    """By a position's source code, whether it is covered."""
    background: bool
    is_whole: bool
    """Whether nothing is left out: then no upload has to be looked at for it."""


@lru_cache(maxsize=64)
def coverage_of(reach: Reach) -> Coverage:
    """Return what a consent that reaches so far covers.

    A position of unknown source could be of any, so it is covered only where all are.
    """
    covered = [source in reach.sources for source in SOURCES]
    codes = np.zeros(SOURCE_BITS + 1, np.bool_)
    codes[: 1 + len(SOURCES)] = [all(covered), *covered]
    return Coverage(
        sources=codes, background=reach.background, is_whole=reach.background and all(covered)
    )


EVERYTHING: Final = coverage_of(USUAL_REACH)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What the gate and the company's settings let through, as one process believes it."""

    since_us: int
    """Positions before the present consents are refused."""
    opened_us: tuple[int, ...]
    """When each recording window opened, oldest first."""
    end_us: tuple[int, ...]
    buffer_us_max: int
    keeps_track: bool
    """Whether whole tracks are kept, or only the newest position."""
    coverage: Coverage = EVERYTHING
    until_us: int | None = None
    """When one of the consents runs out by itself: from then on these are not the terms."""

    def ran_out(self, now_us: int) -> bool:
        return self.until_us is not None and now_us >= self.until_us

    def window_holds(self, first_us: int, last_us: int) -> bool:
        """Tell whether one window holds both times."""
        place = bisect_right(self.opened_us, first_us) - 1
        return place >= 0 and last_us < self.end_us[place]

    def windows_hold(self, first_us: Ints, last_us: Ints) -> Flags:
        """Tell for each pair of times whether one window holds both."""
        if not self.opened_us:
            return np.zeros(first_us.size, dtype=np.bool_)
        place = np.searchsorted(np.array(self.opened_us), first_us, side="right") - 1
        return (place >= 0) & (last_us < np.array(self.end_us)[np.maximum(place, 0)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedOut:
    """Which positions of an upload may be kept, and why the others may not."""

    kept: Positions | None
    refused: tuple[Refusal, ...] = ()
    newest_index: int | None = None
    """In the upload, of the only position kept; None where whole tracks are kept."""


def terms_of(gate: Gate, windows: Windows, *, buffer_max_s: int, now: datetime) -> Terms | None:
    """Return what the gate lets through, until a consent runs out; None if nothing.

    With ``plan_fact`` whole tracks are kept, without it only the newest position.
    """
    purpose, since = Purpose.PLAN_FACT, gate.since(Purpose.PLAN_FACT, now)
    if since is None:
        purpose = Purpose.DISPATCH_TRACKING
        since = gate.since(purpose, now)
    if since is None or not gate.is_open:
        return None
    until = gate.until(purpose)
    ends = (one.end if until is None else min(one.end, until) for one in windows)
    return Terms(
        since_us=to_us(since),
        opened_us=tuple(to_us(one.opened_at) for one in windows),
        end_us=tuple(to_us(end) for end in ends),
        buffer_us_max=buffer_max_s * SECOND_US,
        keeps_track=purpose is Purpose.PLAN_FACT,
        coverage=coverage_of(gate.reach),
        until_us=None if until is None else to_us(until),
    )


def sort_out(
    positions: Positions,
    terms: Terms,
    *,
    now_us: int,
    offset_us: int | None,
    app_state: Bytes | None = None,
) -> SortedOut:
    """Decide for each position. ``offset_us`` is received minus sent, None if not told.

    The stored times stay the phone's: with the offset they only have to fit in as well.
    """
    if terms.ran_out(now_us):
        return refuse_all(positions, RefusalReason.NO_CONSENT)
    first_ms, last_ms = int(positions.time_ms.min()), int(positions.time_ms.max())
    if _clock_is_wrong(last_ms * MILLISECOND_US, now_us, offset_us):
        return refuse_all(positions, RefusalReason.CLOCK_WRONG)
    earlier, later = _reach_us(offset_us)
    if all_fit(terms, first_ms, last_ms, now_us=now_us, offset_us=offset_us):
        fitting = positions
        refused: tuple[Refusal, ...] = ()
        chosen: NDArray[np.intp] | None = None
    else:
        time_us = positions.time_ms * MILLISECOND_US
        reasons = _reasons(terms, time_us + earlier, time_us + later, now_us)
        if not terms.coverage.is_whole:
            reasons = np.where(reasons, reasons, _uncovered(terms.coverage, positions, app_state))
        refused = tuple(
            Refusal(index, _REASONS[reasons[index] - 1])
            for index in np.flatnonzero(reasons).tolist()
        )
        chosen = np.flatnonzero(reasons == 0)
        if chosen.size == 0:
            return SortedOut(kept=None, refused=refused)
        fitting = positions.take(chosen)
    if terms.keeps_track:
        return SortedOut(kept=fitting, refused=refused)
    outdated_us = now_us - LATEST_KEPT_US - earlier
    return _only_newest(fitting, refused, chosen, outdated_us=outdated_us)


_REASONS: Final = (
    RefusalReason.IN_FUTURE,
    RefusalReason.TOO_OLD,
    RefusalReason.BEFORE_CONSENT,
    RefusalReason.OUTSIDE_WINDOW,
    RefusalReason.SOURCE_NOT_COVERED,
    RefusalReason.BACKGROUND_NOT_COVERED,
)
_TIME_REASONS: Final = 4


def _clock_is_wrong(newest_us: int, now_us: int, offset_us: int | None) -> bool:
    """Tell whether the phone's clock cannot be trusted in anything.

    Without ``sent_at`` only the newest position can give a clock away: nothing is recorded in the
    future.
    """
    if offset_us is None:
        return newest_us > now_us + FUTURE_US_MAX
    return abs(offset_us) > CLOCK_OFFSET_US_MAX


def _reach_us(offset_us: int | None) -> tuple[int, int]:
    """Return how much before and after its raw time a position has to fit in as well.

    It was truly recorded at ``raw + offset`` less the time that the upload travelled.
    """
    if offset_us is None:
        return 0, 0
    return min(0, offset_us - TRANSIT_US_MAX), max(0, offset_us)


def _reasons(terms: Terms, earliest_us: Ints, latest_us: Ints, now_us: int) -> Ints:
    """Return for each time 0, or 1 + the place of the first of ``_REASONS`` that holds."""
    conditions = [
        latest_us > now_us + FUTURE_US_MAX,
        earliest_us < now_us - terms.buffer_us_max,
        earliest_us < terms.since_us,
        ~terms.windows_hold(earliest_us, latest_us),
    ]
    return np.select(conditions, range(1, 1 + _TIME_REASONS), default=0)


def _uncovered(coverage: Coverage, positions: Positions, app_state: Bytes | None) -> Ints:
    """Return for each position 0, or 1 + the place in ``_REASONS`` of what is not covered."""
    uncovered = ~coverage.sources[positions.flags & SOURCE_BITS]
    reasons = np.where(uncovered, 1 + _TIME_REASONS, 0)
    if coverage.background:
        return reasons
    if app_state is None:
        behind = np.ones(len(positions), np.bool_)
    else:
        behind = app_state != AppState.FOREGROUND
    return np.where(behind & ~uncovered, 2 + _TIME_REASONS, reasons)


def _only_newest(
    fitting: Positions,
    refused: tuple[Refusal, ...],
    chosen: NDArray[np.intp] | None,
    *,
    outdated_us: int,
) -> SortedOut:
    """Keep the newest unless it is outdated, and refuse those that only a track could use."""
    newest = int(fitting.time_ms.argmax())
    is_kept = int(fitting.time_ms[newest]) * MILLISECOND_US >= outdated_us
    indices = range(len(fitting)) if chosen is None else chosen.tolist()
    not_kept = [
        Refusal(index, RefusalReason.NOT_KEPT)
        for place, index in enumerate(indices)
        if place != newest or not is_kept
    ]
    return SortedOut(
        kept=fitting.take(np.array([newest])) if is_kept else None,
        refused=tuple(sorted((*refused, *not_kept))),
        newest_index=indices[newest] if is_kept else None,
    )


def all_fit(
    terms: Terms, first_ms: int, last_ms: int, *, now_us: int, offset_us: int | None
) -> bool:
    """Tell quickly whether all between the first and the last position may be kept.

    Nearly every upload lies in one window: then no position has to be looked at.
    """
    first, last = first_ms * MILLISECOND_US, last_ms * MILLISECOND_US
    if terms.ran_out(now_us) or _clock_is_wrong(last, now_us, offset_us):
        return False
    earlier, later = _reach_us(offset_us)
    earliest, latest = first + earlier, last + later
    return (
        terms.coverage.is_whole
        and terms.window_holds(earliest, latest)
        and latest <= now_us + FUTURE_US_MAX
        and earliest >= now_us - terms.buffer_us_max
        and earliest >= terms.since_us
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


def day_starts(time_ms: Ints) -> NDArray[np.intp]:
    """Return where a new day (UTC) begins in times that are in order; never 0."""
    days = time_ms // DAY_MS
    return np.flatnonzero(days[1:] != days[:-1]) + 1
