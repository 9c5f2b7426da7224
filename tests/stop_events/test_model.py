from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.errors import DomainError
from server.stop_events.model import (
    AHEAD_MAX,
    LATE_MAX,
    EventKind,
    Said,
    SealedEvent,
    StopEvent,
    StopEventBlank,
    StopEventTimeInvalid,
    StopState,
    StopTaps,
    from_bytes,
    refuse_unsayable,
    taps_of,
    to_bytes,
)
from tests.world import NOW

ARRIVED, DONE, PROBLEM, COMMENT = EventKind


def said(kind: EventKind, at: datetime = NOW, text: str | None = None) -> Said:
    some = UUID(int=1)
    return Said(event_id=some, route_id=some, stop_id=some, kind=kind, at=at, text=text)


def event(kind: EventKind, minute: float, *, received: float | None = None) -> StopEvent:
    at = NOW + timedelta(minutes=minute)
    received_at = at if received is None else NOW + timedelta(minutes=received)
    return StopEvent(
        stop_event_id=UUID(int=1),
        driver_id=UUID(int=2),
        received_at=received_at,
        said=said(kind, at),
    )


def minute(at: datetime | None) -> float | None:
    return None if at is None else (at - NOW).total_seconds() / 60


@pytest.mark.parametrize(
    ("told", "state", "minutes"),
    [
        ([], StopState.PLANNED, (None, None, None)),
        ([(COMMENT, 1)], StopState.PLANNED, (None, None, None)),
        ([(ARRIVED, 1)], StopState.ARRIVED, (1, None, None)),
        ([(ARRIVED, 1), (DONE, 9)], StopState.DONE, (1, 9, None)),
        ([(DONE, 9), (ARRIVED, 1)], StopState.DONE, (1, 9, None)),
        ([(DONE, 9)], StopState.DONE, (None, 9, None)),
        ([(ARRIVED, 1), (PROBLEM, 5)], StopState.PROBLEM, (1, None, 5)),
        ([(ARRIVED, 1), (PROBLEM, 5), (DONE, 6)], StopState.DONE, (1, 6, None)),
        ([(ARRIVED, 1), (DONE, 5), (PROBLEM, 6)], StopState.PROBLEM, (1, None, 6)),
        # A second attempt in the afternoon.
        ([(ARRIVED, 1), (PROBLEM, 5), (ARRIVED, 90)], StopState.ARRIVED, (90, None, None)),
        ([(ARRIVED, 1), (ARRIVED, 3), (DONE, 5)], StopState.DONE, (3, 5, None)),
        ([(DONE, 1), (ARRIVED, 1)], StopState.DONE, (1, 1, None)),
        ([(ARRIVED, 1), (DONE, 9), (COMMENT, 12)], StopState.DONE, (1, 9, None)),
    ],
)
def test_what_was_said_last_holds(
    told: list[tuple[EventKind, float]],
    state: StopState,
    minutes: tuple[float | None, float | None, float | None],
) -> None:
    taps = taps_of([event(kind, at) for kind, at in told])

    assert taps.state is state
    assert (minute(taps.arrived_at), minute(taps.done_at), minute(taps.failed_at)) == minutes


EVENTS: Final = st.tuples(st.sampled_from(list(EventKind)), st.integers(0, 600))


@given(st.lists(EVENTS, max_size=12), st.randoms(use_true_random=False))
def test_in_which_order_it_was_received_changes_nothing(
    told: list[tuple[EventKind, int]], random: Random
) -> None:
    at_once = {at: kind for kind, at in told}  # of one moment the later received holds
    events = [event(kind, at) for at, kind in at_once.items()]
    shuffled = random.sample(events, k=len(events))

    assert taps_of(shuffled) == taps_of(events)


@given(st.lists(EVENTS, max_size=12))
def test_a_stop_is_done_or_failed_and_never_before_it_was_come_to(
    told: list[tuple[EventKind, int]],
) -> None:
    taps = taps_of([event(kind, at) for kind, at in told])

    assert None in (taps.done_at, taps.failed_at)
    ended_at = taps.done_at or taps.failed_at
    assert taps.arrived_at is None or ended_at is None or taps.arrived_at <= ended_at
    assert (taps.state is StopState.PLANNED) is all(kind is COMMENT for kind, _ in told)


def test_nothing_was_said_later_than_it_was_received() -> None:
    taps = taps_of([event(ARRIVED, 4, received=1)])

    assert taps == StopTaps(arrived_at=NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("what", "refused"),
    [
        (said(COMMENT), StopEventBlank),
        (said(COMMENT, text=" \n"), StopEventBlank),
        (said(PROBLEM, text=" "), StopEventBlank),
        (said(DONE, NOW + AHEAD_MAX + timedelta(seconds=1)), StopEventTimeInvalid),
        (said(DONE, NOW - LATE_MAX - timedelta(seconds=1)), StopEventTimeInvalid),
    ],
)
def test_what_tells_nothing_or_cannot_be_is_refused(what: Said, refused: type[DomainError]) -> None:
    with pytest.raises(refused):
        refuse_unsayable(what, now=NOW)


@pytest.mark.parametrize(
    "what",
    [
        said(DONE),
        said(PROBLEM, text="Shut."),
        said(COMMENT, text="Ring."),
        said(DONE, NOW + AHEAD_MAX),
        said(DONE, NOW - LATE_MAX),
    ],
)
def test_everything_else_may_be_said(what: Said) -> None:
    refuse_unsayable(what, now=NOW)


@pytest.mark.parametrize("text", [None, "Қақпа жабық.\n“Rang” twice"])
def test_what_is_sealed_reads_back(text: str | None) -> None:
    what = said(PROBLEM, NOW + timedelta(microseconds=1), text)
    stored = SealedEvent(
        stop_event_id=UUID(int=3),
        driver_id=UUID(int=2),
        event_id=what.event_id,
        route_id=what.route_id,
        stop_id=what.stop_id,
        received_at=NOW,
        event_sealed=b"",
    )

    assert from_bytes(to_bytes(what), stored).said == what
