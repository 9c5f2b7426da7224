"""When an alert is raised and when it is over. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.alerts.judging import CALM_FOR, Finding, Level, Step, findings, step
from server.alerts.model import USUAL, AlertHead, AlertKind, Limits
from tests.alerts.seen import MINUTE, NOW_S, TICK, OnTheWay, on_the_way
from tests.world import NOW

LIMITS: Final = Limits(
    late_min=10, off_route_m=200, off_route_min=3, no_signal_min=10, long_stop_min=20
)
WINDOW_OPENED: Final = NOW - timedelta(hours=2)


def found(
    kind: AlertKind,
    one: OnTheWay,
    *,
    limits: Limits = LIMITS,
    recorded_since: datetime | None = WINDOW_OPENED,
    at: datetime = NOW,
) -> Finding:
    told = {f.kind: f for f in findings(limits, one, recorded_since=recorded_since, now=at)}
    assert set(told) == set(AlertKind)
    return told[kind]


@pytest.mark.parametrize(
    ("kind", "members", "level"),
    [
        (AlertKind.LATE, {"deviation_s": 600.0}, Level.REACHED),
        (AlertKind.LATE, {"deviation_s": 599.0}, Level.BETWEEN),
        (AlertKind.LATE, {"deviation_s": 480.0}, Level.CALM),
        (AlertKind.LATE, {"deviation_s": -900.0}, Level.CALM),
        (AlertKind.LATE, {"deviation_s": None}, Level.BETWEEN),
        (AlertKind.LATE, {"deviation_s": 9_000.0, "next_stop": None}, Level.CALM),
        (AlertKind.OFF_ROUTE, {}, Level.CALM),
        (AlertKind.OFF_ROUTE, {"off_route_m": 200.0, "lasts_s": 180}, Level.REACHED),
        (AlertKind.OFF_ROUTE, {"off_route_m": 200.0, "lasts_s": 179}, Level.BETWEEN),
        (AlertKind.OFF_ROUTE, {"off_route_m": 199.0, "lasts_s": 900}, Level.BETWEEN),
        (AlertKind.OFF_ROUTE, {"off_route_m": 160.0, "lasts_s": 900}, Level.CALM),
        (AlertKind.NO_SIGNAL, {}, Level.CALM),
        (AlertKind.NO_SIGNAL, {"last_fix_s": NOW_S - 600}, Level.REACHED),
        (AlertKind.NO_SIGNAL, {"last_fix_s": NOW_S - 599}, Level.BETWEEN),
        (AlertKind.NO_SIGNAL, {"last_fix_s": NOW_S - 300}, Level.CALM),
        (AlertKind.NO_SIGNAL, {"last_fix_s": None}, Level.REACHED),
        (AlertKind.NO_SIGNAL, {"last_fix_s": NOW_S - 9_000, "next_stop": None}, Level.CALM),
        (
            AlertKind.NO_SIGNAL,
            {"last_fix_s": None, "next_stop": None, "visits": ()},
            Level.REACHED,
        ),
        (AlertKind.LONG_STOP, {}, Level.CALM),
        (AlertKind.LONG_STOP, {"stands_s": 1_200}, Level.REACHED),
        (AlertKind.LONG_STOP, {"stands_s": 1_199}, Level.BETWEEN),
        (AlertKind.LONG_STOP, {"stands_s": 600}, Level.CALM),
    ],
)
def test_each_kind_has_its_limit_and_is_calm_well_below_it(
    kind: AlertKind, members: dict[str, Any], level: Level
) -> None:
    lasts_s, stands_s = members.pop("lasts_s", None), members.pop("stands_s", None)
    if lasts_s is not None:
        members["off_route_since_s"] = NOW_S - lasts_s
    if stands_s is not None:
        members["standing_since_s"] = NOW_S - stands_s

    assert found(kind, on_the_way().seen(**members)).level is level


@pytest.mark.parametrize("kind", AlertKind)
def test_what_is_switched_off_is_not_judged(kind: AlertKind) -> None:
    off = Limits(
        late_min=None, off_route_m=None, off_route_min=None, no_signal_min=None, long_stop_min=None
    )
    worst = on_the_way().seen(
        deviation_s=9e9,
        last_fix_s=NOW_S - 9_000,
        off_route_since_s=0.0,
        off_route_m=9e9,
        standing_since_s=0.0,
    )

    assert found(kind, worst, limits=off).level is Level.VOID
    assert found(kind, worst).level is Level.REACHED


def test_paused_or_off_shift_is_no_lost_signal() -> None:
    silent = on_the_way().seen(last_fix_s=NOW_S - 9_000)

    assert found(AlertKind.NO_SIGNAL, silent, recorded_since=None).level is Level.VOID


def test_silence_is_counted_from_when_recording_began_or_went_on() -> None:
    silent = on_the_way().seen(last_fix_s=NOW_S - 9_000)

    just_resumed = found(AlertKind.NO_SIGNAL, silent, recorded_since=NOW - 2 * MINUTE)
    long_resumed = found(AlertKind.NO_SIGNAL, silent, recorded_since=NOW - 10 * MINUTE)

    assert just_resumed.level is Level.CALM
    assert long_resumed.level is Level.REACHED
    assert long_resumed.particulars is not None
    assert long_resumed.particulars.since == NOW - 10 * MINUTE


def test_silence_is_not_counted_from_before_positions_are_read_for_the_route() -> None:
    unheard = on_the_way().seen(last_fix_s=None)

    just_begun = found(AlertKind.NO_SIGNAL, replace(unheard, since=NOW - TICK))
    long_begun = found(AlertKind.NO_SIGNAL, replace(unheard, since=NOW - 10 * MINUTE))

    assert just_begun.level is Level.CALM
    assert long_begun.level is Level.REACHED
    assert long_begun.particulars is not None
    assert long_begun.particulars.since == NOW - 10 * MINUTE


@pytest.mark.parametrize("kind", [AlertKind.OFF_ROUTE, AlertKind.LONG_STOP])
def test_what_came_after_the_last_position_nobody_knows(kind: AlertKind) -> None:
    long_ago = NOW_S - 9_000
    one = on_the_way().seen(
        last_fix_s=long_ago + 60,
        off_route_since_s=long_ago,
        off_route_m=190.0,
        standing_since_s=long_ago,
    )

    assert found(kind, one).level is not Level.REACHED


def test_the_next_stop_is_told_by_its_id() -> None:
    one = on_the_way()

    late = found(AlertKind.LATE, one.late(12.0)).particulars
    lost = found(AlertKind.NO_SIGNAL, one.seen(last_fix_s=None, next_stop=None, visits=()))

    assert late is not None
    assert (late.next_stop_id, late.late_s, late.off_route_m) == (one.stop_ids[1], 720.0, None)
    assert lost.particulars is not None
    assert lost.particulars.next_stop_id is None


def standing(calm_since: datetime | None) -> AlertHead:
    return AlertHead(
        alert_id=UUID(int=1),
        kind=AlertKind.LATE,
        route_id=UUID(int=2),
        driver_id=UUID(int=3),
        occurrence=1,
        raised_at=NOW - timedelta(hours=1),
        calm_since=calm_since,
    )


NONE, OPEN = None, standing(None)
JUST_CALM, LONG_CALM = standing(NOW - CALM_FOR + TICK), standing(NOW - CALM_FOR)


@pytest.mark.parametrize(
    ("before", "level", "expected"),
    [
        (NONE, Level.REACHED, Step.RAISE),
        (NONE, Level.BETWEEN, Step.NOTHING),
        (NONE, Level.CALM, Step.NOTHING),
        (NONE, Level.VOID, Step.NOTHING),
        (OPEN, Level.REACHED, Step.NOTHING),
        (OPEN, Level.BETWEEN, Step.NOTHING),
        (OPEN, Level.CALM, Step.BEGIN_CALM),
        (OPEN, Level.VOID, Step.CLEAR),
        (JUST_CALM, Level.REACHED, Step.END_CALM),
        (JUST_CALM, Level.BETWEEN, Step.END_CALM),
        (JUST_CALM, Level.CALM, Step.NOTHING),
        (JUST_CALM, Level.VOID, Step.CLEAR),
        (LONG_CALM, Level.REACHED, Step.END_CALM),
        (LONG_CALM, Level.BETWEEN, Step.END_CALM),
        (LONG_CALM, Level.CALM, Step.CLEAR),
        (LONG_CALM, Level.VOID, Step.CLEAR),
    ],
)
def test_every_pair_of_what_stands_and_what_is_found(
    before: AlertHead | None, level: Level, expected: Step
) -> None:
    assert step(before, level, NOW) is expected


def raised(levels: list[Level]) -> int:
    """Return how many alerts a series of judgements raises, one each half minute."""
    count, before = 0, None
    for number, level in enumerate(levels):
        at = NOW + number * TICK
        match step(before, level, at):
            case Step.RAISE:
                count, before = count + 1, standing(None)
            case Step.CLEAR:
                before = None
            case Step.BEGIN_CALM if before is not None:
                before = replace(before, calm_since=at)
            case Step.END_CALM if before is not None:
                before = replace(before, calm_since=None)
    return count


@pytest.mark.parametrize("swing_min", [1.0, 2.5, 4.0])
def test_what_swings_about_its_limit_raises_one_alert(swing_min: float) -> None:
    one = on_the_way()
    delays = [10.0 + swing_min * (-1) ** (number // 2) for number in range(120)]

    levels = [found(AlertKind.LATE, one.late(delay)).level for delay in delays]

    assert raised(levels) == 1
    # The control: of the very same hour, cleared as soon as it is below the limit.
    naive = [Level.REACHED if delay >= 10.0 else Level.VOID for delay in delays]
    assert raised(naive) == 30


def test_what_comes_back_after_it_was_over_is_raised_again() -> None:
    calm = int(CALM_FOR / TICK) + 1
    an_alert = [Level.REACHED] * 4 + [Level.CALM] * calm

    assert raised(an_alert * 3) == 3


@given(st.lists(st.sampled_from(list(Level)), max_size=200))
def test_no_series_raises_more_often_than_what_it_is_about_was_over(levels: list[Level]) -> None:
    needed = int(CALM_FOR / TICK) + 1
    over = sum(
        1
        for level, group in groupby(levels)
        if level is Level.VOID or (level is Level.CALM and len(list(group)) >= needed)
    )

    assert raised(levels) <= over + 1
    assert (raised(levels) > 0) is (Level.REACHED in levels)


def test_the_usual_limits_are_such_as_may_be_chosen() -> None:
    assert None not in (USUAL.late_min, USUAL.no_signal_min, USUAL.long_stop_min)
    assert (USUAL.off_route_m is None) is (USUAL.off_route_min is None)
