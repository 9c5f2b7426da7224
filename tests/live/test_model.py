from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from server.credentials.model import MemberState
from server.gate.model import Gate
from server.kit.ids import uuid7
from server.live import model
from server.live.model import (
    Crew,
    Erasure,
    ErasureWord,
    Fix,
    Gone,
    Picture,
    Sight,
    Signal,
    Work,
    changes,
    picture_of,
    sights_of,
)
from server.tracking.model import LatestPosition
from tests.world import CONSENTED, NOW

DRIVER = uuid7()
GATE = Gate(
    company_id=uuid7(),
    driver_id=DRIVER,
    account_active=True,
    location_since=CONSENTED,
    dispatch_since=CONSENTED,
    plan_fact_since=None,
    epoch=3,
    rev=4,
    credential_epoch=0,
    key_epoch=0,
    closing=False,
)
ON_SHIFT = Crew(state=MemberState.ACTIVE, in_window=True, at_work=True, epoch=5)
PAUSED = replace(ON_SHIFT, in_window=False)
OFF = replace(PAUSED, at_work=False)
NOBODY = Picture(told={}, states={})


def position(at: datetime = NOW, *, driver_id: UUID = DRIVER) -> LatestPosition:
    return LatestPosition(
        driver_id=driver_id,
        recorded_at=at,
        lat=43.2,
        lon=76.9,
        accuracy_m=5.0,
        speed_mps=10.0,
        heading_deg=None,
        epoch=GATE.epoch,
    )


def sight(gate: Gate = GATE, crew: Crew = ON_SHIFT, found: LatestPosition | None = None) -> Sight:
    fix = Fix(position=found or position(), epoch=ON_SHIFT.epoch)
    return sights_of([gate], {DRIVER: crew}, {DRIVER: fix}, {}, now=NOW)[DRIVER]


@pytest.mark.parametrize(
    ("age_s", "signal", "shown"),
    [
        (-30, Signal.LIVE, True),
        (0, Signal.LIVE, True),
        (60, Signal.LIVE, True),
        (60.001, Signal.STALE, True),
        (600, Signal.STALE, True),
        (600.001, Signal.LOST, True),
        (900, Signal.LOST, True),
        (900.001, Signal.NOT_SHARED, False),
    ],
)
def test_the_signal_goes_by_age(age_s: float, signal: Signal, shown: bool) -> None:  # noqa: FBT001 - a table
    found = sight(found=position(NOW - timedelta(seconds=age_s)))

    assert (found.signal, found.position is not None) == (signal, shown)
    assert (found.work is not None) == (signal is Signal.LIVE)


@pytest.mark.parametrize(
    ("speed_mps", "work"),
    [(0.0, Work.IDLE), (1.99, Work.IDLE), (2.0, Work.DRIVING), (30.0, Work.DRIVING), (None, None)],
)
def test_the_speed_alone_tells_the_work(speed_mps: float | None, work: Work | None) -> None:
    assert sight(found=replace(position(), speed_mps=speed_mps)).work is work


@pytest.mark.parametrize(
    ("gate", "crew"),
    [
        (replace(GATE, location_since=None), ON_SHIFT),
        (replace(GATE, dispatch_since=None, plan_fact_since=CONSENTED), ON_SHIFT),
        (replace(GATE, dispatch_since=NOW + timedelta(seconds=1)), ON_SHIFT),
        (GATE, replace(ON_SHIFT, epoch=ON_SHIFT.epoch + 1)),  # ended and begun since it was read
        (GATE, PAUSED),
        (GATE, OFF),
    ],
)
def test_a_position_is_shown_only_under_what_it_was_read_with(gate: Gate, crew: Crew) -> None:
    found = sight(gate, crew)

    assert found.position is None
    assert found.signal is (Signal.OFF_SHIFT if crew is OFF else Signal.NOT_SHARED)


@pytest.mark.parametrize(
    "gate", [replace(GATE, epoch=4), replace(GATE, rev=5), replace(GATE, plan_fact_since=CONSENTED)]
)
def test_an_act_on_what_screens_do_not_show_is_not_seen_on_them(gate: Gate) -> None:
    crews = {DRIVER: ON_SHIFT}
    told = changes(picture_of({DRIVER: sight()}, crews), {DRIVER: sight(gate)}, crews)

    assert (told.events, told.moves) == ((), ())
    assert replace(sight(gate), driven_since=None) == sight()


def test_an_account_that_is_not_active_is_not_listed() -> None:
    assert (
        sights_of([replace(GATE, account_active=False)], {DRIVER: ON_SHIFT}, {}, {}, now=NOW) == {}
    )


def test_nothing_is_told_twice() -> None:
    sights = {DRIVER: sight()}
    first = changes(NOBODY, sights, {DRIVER: ON_SHIFT})

    again = changes(first.after, sights, {DRIVER: ON_SHIFT})

    assert (first.events, first.moves) == ((sights[DRIVER],), (sights[DRIVER],))
    assert (again.events, again.moves) == ((), ())


@pytest.mark.parametrize(
    ("gate", "crew"),
    [
        (replace(GATE, dispatch_since=None, epoch=4), ON_SHIFT),
        (replace(GATE, rev=5), PAUSED),
        (replace(GATE, rev=5), OFF),
        (GATE, PAUSED),  # a window that ended by itself changes no counter
        (replace(GATE, epoch=5), replace(ON_SHIFT, epoch=7)),  # ended and begun between two ticks
        (replace(GATE, account_active=False, epoch=4), PAUSED),
    ],
)
def test_who_stopped_sharing_is_gone_under_the_epoch_that_was_shown(gate: Gate, crew: Crew) -> None:
    before = picture_of({DRIVER: sight()}, {DRIVER: ON_SHIFT})
    now = sights_of([gate], {DRIVER: crew}, {}, {}, now=NOW)

    told = changes(before, now, {DRIVER: crew})

    assert told.events[0] == Gone(driver_id=DRIVER, epoch=ON_SHIFT.epoch)
    assert told.moves == ()


def test_who_only_has_no_signal_is_not_gone() -> None:
    before = picture_of({DRIVER: sight()}, {DRIVER: ON_SHIFT})
    old = sight(found=position(NOW - timedelta(seconds=901)))

    told = changes(before, {DRIVER: old}, {DRIVER: ON_SHIFT})

    assert told.events == (old,)


def test_after_gone_comes_no_second_gone() -> None:
    before = picture_of({DRIVER: sight()}, {DRIVER: ON_SHIFT})
    hidden = {DRIVER: sight(replace(GATE, rev=5), PAUSED)}

    once = changes(before, hidden, {DRIVER: PAUSED})
    later = {DRIVER: sight(replace(GATE, rev=6), OFF)}
    twice = changes(once.after, later, {DRIVER: OFF})

    assert [type(event) for event in once.events] == [Gone, Sight]
    assert [type(event) for event in twice.events] == [Sight]


@pytest.mark.parametrize(
    ("was", "now", "word"),
    [
        (MemberState.ACTIVE, MemberState.GRACE, ErasureWord.GRACE),
        (MemberState.GRACE, MemberState.ACTIVE, ErasureWord.CANCELLED),
        (MemberState.GRACE, MemberState.ERASING, ErasureWord.ERASING),
        (MemberState.ERASING, None, ErasureWord.ERASED),
        (MemberState.ACTIVE, None, ErasureWord.ERASED),
        (MemberState.ACTIVE, MemberState.BLOCKED, None),
        (MemberState.BLOCKED, MemberState.ACTIVE, None),
        (MemberState.ACTIVE, MemberState.ACTIVE, None),
    ],
)
def test_screens_hear_of_an_erasure(
    was: MemberState, now: MemberState | None, word: ErasureWord | None
) -> None:
    crews = {} if now is None else {DRIVER: replace(OFF, state=now)}

    told = changes(Picture(told={}, states={DRIVER: was}), {}, crews)

    assert told.events == (() if word is None else (Erasure(driver_id=DRIVER, state=word),))


def test_of_many_moves_the_longest_untold_come_first_and_none_is_forgotten() -> None:
    drivers = [uuid7() for _ in range(model.MOVES_PER_FRAME_MAX + 10)]
    crews = dict.fromkeys(drivers, ON_SHIFT)

    def sights(at: datetime) -> dict[UUID, Sight]:
        return sights_of(
            [replace(GATE, driver_id=one) for one in drivers],
            crews,
            {
                one: Fix(position=position(at, driver_id=one), epoch=ON_SHIFT.epoch)
                for one in drivers
            },
            {},
            now=NOW,
        )

    first = changes(picture_of(sights(CONSENTED), crews), sights(NOW), crews)
    second = changes(first.after, sights(NOW), crews)
    moved = [one.driver_id for one in (*first.moves, *second.moves)]

    assert len(first.moves) == model.MOVES_PER_FRAME_MAX
    assert sorted(moved) == sorted(drivers)
    assert changes(second.after, sights(NOW), crews).moves == ()


def test_a_move_that_waits_does_not_hide_that_its_driver_is_gone() -> None:
    waiting = replace(sight(), epoch=9)
    before = picture_of({DRIVER: sight()}, {DRIVER: ON_SHIFT})
    kept = model._untold(before, [waiting])  # noqa: SLF001 - the rule in question

    assert kept[DRIVER].fix_at is None
