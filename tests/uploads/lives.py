"""Drivers, their consents and shifts, their phones and what these send: drawn from a seed.

The true time at which a position was recorded is known here, and nowhere else. Times are whole
microseconds since 1970; phones know only milliseconds.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tests.uploads.oracle import (
    ALL_SOURCES,
    MINUTE,
    SECOND,
    Fix,
    Grant,
    Interval,
    Life,
    Rules,
    Sent,
    held,
)

MILLISECOND: Final = 1_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
SHIFT_MAX: Final = 14 * HOUR
FAR: Final = 10_000 * DAY
TRANSIT_MAX: Final = 5 * SECOND
MONTH_END: Final = int(datetime(2026, 10, 31, tzinfo=UTC).timestamp()) * SECOND
SOURCES: Final = sorted(ALL_SOURCES)
APP_STATES: Final = ("foreground", "background", None)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One upload, the rules that are in force when it arrives, and the truth."""

    life: Life
    rules: Rules
    sent: Sent
    recorded_at: Sequence[int | None]
    """The true times; None where the phone states what never was."""


@dataclass(frozen=True, kw_only=True)
class Phone:
    """How one phone's clock and connection are, for a run of uploads."""

    error: int = 0
    """What its clock shows too much."""
    told: bool = True
    """Whether it says when it sends."""
    transit_min: int = 20 * MILLISECOND
    transit_max: int = TRANSIT_MAX
    late: int = 0
    """How long it holds positions back."""
    set_by: int = 0
    """By how much the clock was put right between recording and sending."""
    records_off_shift: bool = False


def milliseconds(at: float) -> int:
    return round(at) // MILLISECOND * MILLISECOND


def rules_at(life: Life, at: int) -> Rules:
    """Return what the server knows at that moment."""
    grant = next((one for one in life.location if one.holds(at)), None)
    windows = [
        # Of a window that is still open only its own end is known.
        (one.start, one.end if one.end is not None and one.end <= at else one.start + SHIFT_MAX)
        for one in life.windows
        if one.start <= at
    ]
    if grant is not None and grant.always:
        windows = [one for one in windows if one[1] <= grant.start]
        windows.append((grant.start, FAR))
    return Rules(
        location_since=None if grant is None else grant.start,
        dispatch_since=held(life.dispatch, at),
        plan_fact_since=held(life.plan_fact, at),
        windows=[one for one in windows if one[1] > at - life.buffer_max],
        buffer_max=life.buffer_max,
        sources=ALL_SOURCES if grant is None else grant.sources,
        background=grant is None or grant.background,
    )


# Working days: what the share of wrongly refused positions is measured on.


def working_days(rng: random.Random, phone: Phone, *, days: int) -> Iterator[Case]:
    """Yield the uploads of a driver who consented to all, with shifts of some nine hours."""
    start = MONTH_END - rng.randrange(days * DAY)
    given = Interval(start=start - HOUR)
    windows = [one for day in range(days) for one in _shift(rng, start + day * DAY)]
    life = Life(
        location=[Grant(start=given.start)],
        dispatch=[given],
        plan_fact=[given],
        windows=windows,
        buffer_max=3 * DAY,
    )
    until = start + days * DAY
    at = windows[0].start
    while at < until:
        size = rng.choice((1, 6, 6, 30))
        times = [milliseconds(at + step * 10 * SECOND) for step in range(size)]
        at += size * 10 * SECOND
        if not phone.records_off_shift:
            times = [one for one in times if any(window.holds(one) for window in windows)]
        if times:
            yield _upload(rng, life, phone, times, sent_at=times[-1] + phone.late)


def _shift(rng: random.Random, day: int) -> list[Interval]:
    """Return the windows of one shift with two pauses."""
    at = day + 6 * HOUR + rng.randrange(2 * HOUR)
    windows = []
    for _ in range(3):
        end = at + int(rng.uniform(2.5, 3.5) * HOUR)
        windows.append(Interval(start=at, end=end))
        at = end + rng.randrange(5 * MINUTE, 40 * MINUTE)
    return windows


def _upload(
    rng: random.Random, life: Life, phone: Phone, times: Sequence[int], *, sent_at: int
) -> Case:
    transit = int(rng.lognormvariate(-1.6, 1) * SECOND)
    transit = max(phone.transit_min, min(transit, phone.transit_max))
    received_at = sent_at + transit
    return Case(
        life=life,
        rules=rules_at(life, received_at),
        sent=Sent(
            fixes=[Fix(recorded_at=one + phone.error, source="gps") for one in times],
            received_at=received_at,
            sent_at=sent_at + phone.error - phone.set_by if phone.told else None,
        ),
        recorded_at=times,
    )


# Hostile lives: short windows, consents given again and again, times on every edge.


def hostile(rng: random.Random, *, uploads: int, told: bool) -> Iterator[Case]:
    """Yield uploads of one driver, whose phone's clock may be off by up to a day."""
    life = _hostile_life(rng)
    began = life.location[0].start
    last = max(one.end or one.start for one in life.windows or life.location) + HOUR
    for _ in range(uploads):
        error = milliseconds(_error(rng))
        transit = rng.choice((rng.randrange(1, TRANSIT_MAX + 1), rng.randrange(1, SECOND)))
        at = rng.choice((_some_edge(rng, life), rng.randrange(began, last)))
        sent_at = milliseconds(at + rng.choice((0, MILLISECOND, rng.randrange(10 * MINUTE))))
        received_at = sent_at + transit
        times = _times(rng, life, error=error, sent_at=sent_at, received_at=received_at)
        truths, fixes = [], []
        for one in times:
            truth = one if one <= sent_at and rng.random() < 0.95 else None
            stated = one + error if truth is not None else one + _error(rng)
            truths.append(truth)
            fixes.append(
                Fix(
                    recorded_at=milliseconds(stated),
                    source=rng.choice((*SOURCES, None)),
                    app_state=rng.choice(APP_STATES),
                )
            )
        yield Case(
            life=life,
            rules=rules_at(life, received_at),
            sent=Sent(
                fixes=fixes, received_at=received_at, sent_at=sent_at + error if told else None
            ),
            recorded_at=truths,
        )


def _error(rng: random.Random) -> int:
    """Return how far a clock is off: mostly a little, sometimes a day."""
    most = rng.choice((0, *(5 * SECOND,) * 4, MINUTE, 2 * MINUTE, HOUR, DAY))
    return rng.randint(-most, most)


def _hostile_life(rng: random.Random) -> Life:
    start = MONTH_END - rng.randrange(2 * DAY)
    location = [
        Grant(
            start=one.start,
            end=one.end,
            sources=ALL_SOURCES if rng.random() < 0.85 else frozenset(rng.sample(SOURCES, 3)),
            background=rng.random() < 0.9,
            always=rng.random() < 0.2,
        )
        for one in _grants(rng, start, rng.randint(1, 3))
    ]
    windows: list[Interval] = []
    for grant in location:
        if not grant.always:
            windows += _hostile_windows(rng, grant)
    return Life(
        location=location,
        dispatch=_grants(rng, start, rng.randint(1, 2)),
        plan_fact=_grants(rng, start, rng.randint(1, 4)),
        windows=windows,
        buffer_max=rng.choice((HOUR, 6 * HOUR, 3 * DAY)),
    )


def _grants(rng: random.Random, start: int, count: int) -> list[Interval]:
    """Return consents given and withdrawn in turn; the last may still hold."""
    found = []
    at = start + rng.randrange(HOUR)
    for number in range(count):
        end = at + rng.choice((rng.randrange(1, MINUTE), *(rng.randrange(1, 24 * HOUR),) * 3))
        open_ended = number == count - 1 and rng.random() < 0.8
        found.append(Interval(start=at, end=None if open_ended else end))
        at = end + rng.choice((rng.randrange(SECOND), rng.randrange(2 * HOUR)))
    return found


def _hostile_windows(rng: random.Random, grant: Grant) -> list[Interval]:
    until = grant.start + 12 * HOUR if grant.end is None else grant.end
    found: list[Interval] = []
    at = grant.start + rng.choice((0, rng.randrange(HOUR)))
    while at < until and len(found) < 8:
        length = rng.choice((10 * SECOND, 3 * MINUTE, 5 * HOUR))
        end = min(at + rng.randrange(1, length), until)
        found.append(Interval(start=at, end=end))
        at = end + rng.choice((rng.randrange(1, 3 * SECOND), rng.randrange(3 * MINUTE)))
    return found


def _edges(life: Life) -> list[int]:
    spans: list[Interval] = [*life.windows, *life.location, *life.dispatch, *life.plan_fact]
    return [edge for one in spans for edge in (one.start, one.end) if edge is not None]


def _some_edge(rng: random.Random, life: Life) -> int:
    return rng.choice(_edges(life))


def _times(
    rng: random.Random, life: Life, *, error: int, sent_at: int, received_at: int
) -> list[int]:
    """Return true times: a run of a phone's positions, and some whose times meet an edge."""
    step = rng.choice((SECOND, 10 * SECOND))
    newest = sent_at - rng.choice((0, 0, rng.randrange(MINUTE), rng.randrange(DAY)))
    found = [milliseconds(newest - step * place) for place in range(rng.randint(1, 6))]
    edges = [
        *(_some_edge(rng, life) for _ in range(4)),
        received_at - life.buffer_max,
        received_at - 15 * MINUTE,
        received_at + 30 * SECOND,
    ]
    for edge in rng.sample(edges, 4):
        # The true time itself, what the phone shows, what it is corrected to, what it may be.
        meets = edge - rng.choice(
            (0, error, received_at - sent_at, received_at - sent_at - TRANSIT_MAX)
        )
        found.append(milliseconds(meets) + rng.choice((-1, 0, 1, 2)) * MILLISECOND)
    rng.shuffle(found)
    return found
