"""When the next stops will be reached: rules, honesty of the quantiles, buses placed exactly."""

import dataclasses
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.eta import Outlook, etas
from geo.pace import passing_s
from geo.report import Eta
from geo.types import Floats
from geo.values import Plan
from tests.geo.buses import bus_guesses
from tests.geo.days import START_S, make_plan
from tests.geo.timetables import SPEED_MPS, Timetabled, make_timetabled

LEG_S = 600.0
SERVICE_S = 200.0


def steady(
    *, stops: int = 6, window_from_s: Floats | float = np.nan, timed: bool = True
) -> tuple[Plan, Floats]:
    """Plan a stop every ten minutes of driving, two hundred seconds at each."""
    number = np.arange(float(stops))
    arrival_s: Floats = START_S + number * (LEG_S + SERVICE_S)
    stops_m: Floats = number * LEG_S * SPEED_MPS
    plan = make_plan(
        np.column_stack([76.9 + stops_m / 81_200.0, np.full(stops, 43.24)]),
        service_s=SERVICE_S,
        planned_arrival_s=arrival_s if timed else np.nan,
        window_from_s=window_from_s,
        line=np.array([[76.9, 43.24], [77.9, 43.24]]),
    )
    return plan, stops_m


def outlook(stops: int = 6, **known: Any) -> Outlook:
    """Know nothing but what is told."""
    nothing = np.full(stops, np.nan)
    blank = Outlook(
        now_s=START_S,
        at_s=START_S,
        along_m=None,
        arrived_s=nothing,
        departed_s=nothing,
        passed_s=nothing,
        pending=np.ones(stops, dtype=bool),
        here=None,
    )
    return dataclasses.replace(blank, **known)


def first(value: float, stops: int = 6) -> Floats:
    return np.append(value, np.full(stops - 1, np.nan))


def underway(**known: Any) -> Outlook:
    """Left the first stop on time, half a leg ago."""
    on_time: dict[str, Any] = {
        "now_s": START_S + 500.0,
        "at_s": START_S + 500.0,
        "along_m": 300.0 * SPEED_MPS,
        "arrived_s": first(START_S),
        "departed_s": first(START_S + 200.0),
        "pending": np.arange(6) > 0,
    }
    return outlook(**(on_time | known))


def after_s(found: tuple[Eta, ...]) -> list[float]:
    return [eta.p50_s - START_S for eta in found]


def test_who_keeps_the_plan_arrives_as_planned() -> None:
    found = etas(*steady(), underway())

    assert [eta.planned_sequence for eta in found] == [1, 2, 3, 4, 5]
    assert after_s(found) == pytest.approx([800.0, 1_600.0, 2_400.0, 3_200.0, 4_000.0], rel=0.04)


def test_who_is_late_on_the_way_stays_late_and_a_little_more() -> None:
    late = underway(now_s=START_S + 1_100.0, at_s=START_S + 1_100.0)

    found = after_s(etas(*steady(), late))

    assert found[0] == pytest.approx(1_400.0, abs=150.0)
    assert found[-1] - 4_000.0 > found[0] - 800.0


def test_waiting_for_a_window_delays_what_follows_by_no_more_than_the_window() -> None:
    opens_s = np.full(6, np.nan)
    opens_s[1] = START_S + 2_000.0

    found = after_s(etas(*steady(window_from_s=opens_s, timed=False), underway()))

    assert found[0] < 1_000.0  # arriving is not waiting
    assert found[1] == pytest.approx(2_000.0 + SERVICE_S + LEG_S, rel=0.05)


def test_a_window_that_is_open_already_changes_nothing() -> None:
    opened = steady(window_from_s=START_S - 3_600.0)

    assert etas(*opened, underway()) == etas(*steady(), underway())


def test_a_service_that_lasts_has_less_left_but_never_nothing() -> None:
    plan, stops_m = steady()

    def standing(lasted_s: float) -> float:
        there = outlook(
            now_s=START_S + lasted_s,
            at_s=START_S + lasted_s,
            along_m=0.0,
            arrived_s=first(START_S),
            pending=np.arange(6) > 0,
            here=0,
        )
        return etas(plan, stops_m, there)[0].p50_s - START_S

    assert standing(10.0) == pytest.approx(800.0, rel=0.1)
    assert standing(150.0) > standing(10.0)
    assert standing(2_000.0) > 2_000.0 + 0.9 * LEG_S


def test_nobody_is_expected_before_the_first_planned_arrival() -> None:
    early = outlook(now_s=START_S - 7_200.0, at_s=START_S - 7_200.0, along_m=0.0, standing=True)

    found = etas(*steady(), early)

    assert found[0].p10_s >= START_S
    assert after_s(found)[1] == pytest.approx(800.0, rel=0.1)


def test_a_day_that_began_at_the_first_stop_goes_on_when_planned() -> None:
    parked = outlook(
        now_s=START_S - 1_000.0,
        at_s=START_S - 1_000.0,
        along_m=0.0,
        pending=np.arange(6) > 0,
        here=0,
    )

    assert after_s(etas(*steady(), parked))[0] == pytest.approx(800.0, rel=0.05)


def test_without_planned_times_lengths_tell() -> None:
    found = after_s(etas(*steady(timed=False), underway()))

    assert found == pytest.approx([800.0, 1_600.0, 2_400.0, 3_200.0, 4_000.0], rel=0.05)


def test_without_a_place_and_a_time_nothing_is_said() -> None:
    assert etas(*steady(timed=False), outlook()) == ()


def test_without_a_place_the_plan_is_all_there_is() -> None:
    assert after_s(etas(*steady(), outlook())) == pytest.approx(
        [0.0, 800.0, 1_600.0, 2_400.0, 3_200.0, 4_000.0], rel=0.08, abs=1.0
    )


def test_stops_left_behind_have_none() -> None:
    skipped = underway(
        arrived_s=np.array([START_S, np.nan, START_S + 400.0, np.nan, np.nan, np.nan]),
        departed_s=np.array([START_S + 200.0, np.nan, START_S + 450.0, np.nan, np.nan, np.nan]),
        along_m=2.5 * LEG_S * SPEED_MPS,
        pending=np.array([False, True, False, True, True, True]),
    )

    assert [eta.planned_sequence for eta in etas(*steady(), skipped)] == [3, 4, 5]


def test_stops_driven_past_have_none() -> None:
    beyond = underway(along_m=1.5 * LEG_S * SPEED_MPS)

    assert [eta.planned_sequence for eta in etas(*steady(), beyond)] == [2, 3, 4, 5]


def test_passing_stops_teaches_the_pace() -> None:
    plan, stops_m = steady(stops=6)
    nothing = np.full(6, np.nan)
    plan = dataclasses.replace(plan, service_s=nothing)
    slow_s = 1.5 * (LEG_S + SERVICE_S)

    def at(now_s: float, passed_s: Floats) -> list[float]:
        known = outlook(
            now_s=START_S + now_s,
            at_s=START_S + now_s,
            along_m=float(stops_m[3]),
            passed_s=passed_s,
            pending=np.arange(6) > 3,
        )
        return after_s(etas(plan, stops_m, known))

    slow = START_S + np.append(slow_s * np.arange(4), [np.nan, np.nan])
    found = at(3 * slow_s, slow)

    assert found[0] - 3 * slow_s > 1.15 * (LEG_S + SERVICE_S)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(-0.1, 1.1), shift_s=st.integers(0, 10**7))
def test_quantiles_are_in_order_not_past_and_shift_with_time(
    seed: int, share: float, shift_s: int
) -> None:
    day = make_timetabled(seed, stops=8)
    now_s = float(START_S + share * (day.departed_s[-1] - START_S))
    later = _shifted(day, float(shift_s))

    found = etas(day.plan, day.stops_m, day.outlook(now_s))
    shifted = etas(later.plan, later.stops_m, later.outlook(now_s + shift_s))

    for one, other in zip(found, shifted, strict=True):
        assert now_s <= one.p10_s <= one.p50_s <= one.p90_s
        assert other.p50_s - shift_s == pytest.approx(one.p50_s, abs=0.01)


def _shifted(day: Timetabled, shift_s: float) -> Timetabled:
    plan = dataclasses.replace(
        day.plan,
        planned_arrival_s=day.plan.planned_arrival_s + shift_s,
        window_from_s=day.plan.window_from_s + shift_s,
    )
    return dataclasses.replace(
        day, plan=plan, arrived_s=day.arrived_s + shift_s, departed_s=day.departed_s + shift_s
    )


@pytest.mark.parametrize(
    "spreads",
    [
        {"day_spread": 0.25, "leg_spread": 0.2, "service_spread": 0.35},
        {"day_spread": 0.15, "leg_spread": 0.3, "service_spread": 0.5},
        {"windows": 0.0},
    ],
)
def test_quantiles_are_honest_and_the_middle_beats_plan_and_delay(
    spreads: dict[str, Any],
) -> None:
    below, above, ours_s, simple_s = [], [], [], []
    for seed in range(120):
        day = make_timetabled(seed, **spreads)
        for share in (0.15, 0.4, 0.65):
            now_s = float(day.arrived_s[0] + share * np.ptp(day.departed_s))
            delay_s = _delay_s(day, now_s)
            for eta in etas(day.plan, day.stops_m, day.outlook(now_s)):
                truth_s = day.arrived_s[eta.planned_sequence]
                planned_s = day.plan.planned_arrival_s[eta.planned_sequence]
                below.append(truth_s < eta.p10_s)
                above.append(truth_s > eta.p90_s)
                ours_s.append(abs(eta.p50_s - truth_s))
                simple_s.append(abs(max(planned_s + delay_s, now_s) - truth_s))

    assert np.mean(below) == pytest.approx(0.1, abs=0.05)
    assert np.mean(above) == pytest.approx(0.1, abs=0.05)
    assert np.mean(ours_s) < 0.85 * np.mean(simple_s)


def _delay_s(day: Timetabled, now_s: float) -> float:
    last = np.flatnonzero(day.departed_s <= now_s)
    if not len(last):
        return 0.0
    leave_s = np.fmax(day.plan.planned_arrival_s, day.plan.window_from_s) + day.plan.service_s
    return float((day.departed_s - leave_s)[last[-1]])


def test_exact_places_and_a_dense_timetable_foretell_buses_better_than_their_delay_does() -> None:
    """The whole report of the same buses knows less: the scoreboard tells how well it does."""
    guesses = bus_guesses()

    assert len(guesses) > 200
    error_s, simple_s = np.abs(guesses[:, :2]).mean(axis=0)
    assert error_s <= 130.0
    assert error_s < 0.85 * simple_s
    assert guesses[:, 2:].mean() <= 0.15


def test_five_hundred_stops_take_milliseconds() -> None:
    day = make_timetabled(7, stops=500)
    known = day.outlook(float(day.arrived_s[3] + 10.0))
    etas(day.plan, day.stops_m, known)
    began_s = process_time()

    found = etas(day.plan, day.stops_m, known)

    assert len(found) == 496
    assert process_time() - began_s < 0.15  # about 15 ms on an idle core


def test_passing_a_place_is_between_the_fixes_around_it() -> None:
    time_s = np.array([0.0, 10.0, 20.0, 30.0])
    along_m = np.array([0.0, 100.0, np.nan, 300.0])

    found = passing_s(time_s, along_m, np.array([-5.0, 50.0, 200.0, 400.0]))

    assert found[1:3] == pytest.approx([5.0, 20.0])
    assert np.isnan(found[[0, 3]]).all()


def test_a_jump_along_the_plan_passes_nothing() -> None:
    found = passing_s(np.array([0.0, 5.0]), np.array([0.0, 9_000.0]), np.array([4_000.0]))

    assert np.isnan(found).all()
