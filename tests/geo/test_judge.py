import dataclasses

import numpy as np
import pytest

from geo.judge import needed_silence_s
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Flags, Floats
from geo.values import DEFAULT, Plan
from tests.geo.days import START_S, Day, make_day

DAY = make_day(11, missed=(3,), outliers=0.0)
FOREVER: Floats = np.array([[START_S, np.inf]])
MIDDLE_S = float(DAY.departed_s[4] + 60.0)


def report(
    day: Day = DAY,
    *,
    keep: Flags | None = None,
    plan: Plan | None = None,
    shared_s: Floats | None = None,
    until_s: float | None = None,
) -> PlanFact:
    keep = np.ones(len(day.track.time_s), dtype=bool) if keep is None else keep
    track = dataclasses.replace(
        day.track,
        time_s=day.track.time_s[keep],
        lon_lat=day.track.lon_lat[keep],
        accuracy_m=day.track.accuracy_m[keep],
    )
    return plan_versus_fact(
        track,
        plan or day.plan,
        shared_s=day.shared_s if shared_s is None else shared_s,
        until_s=day.until_s if until_s is None else until_s,
    )


def statuses(found: PlanFact) -> list[str]:
    return [stop.status for stop in found.stops]


def test_a_stop_driven_past_under_observation_is_missed() -> None:
    assert statuses(report()) == ["visited"] * 3 + ["missed"] + ["visited"] * 4


def silence(after: int, before: int) -> Flags:
    """Flag the fixes between leaving one stop and coming to another."""
    time_s = DAY.track.time_s
    return np.asarray(
        (time_s > DAY.departed_s[after] + 30.0) & (time_s < DAY.arrived_s[before] - 30.0)
    )


def test_a_stop_in_a_silence_is_unknown() -> None:
    found = report(keep=~silence(5, 7))

    assert found.stops[6].status == "unknown"
    assert found.quality.gaps == 1


def test_a_silence_in_which_there_was_no_time_for_the_work_excuses_nothing() -> None:
    """The vehicle drove on: who drives from stop to stop in that time served nobody between."""
    found = report(keep=~silence(2, 4))

    assert found.stops[3].status == "missed"
    assert found.quality.gaps == 1


def test_a_silence_elsewhere_excuses_nothing() -> None:
    found = report(keep=~silence(4, 6))

    assert found.stops[5].status == "unknown"
    assert found.stops[3].status == "missed"


def test_in_ten_silent_minutes_a_driver_may_have_gone_back() -> None:
    found = report(keep=~silence(4, 7))

    assert statuses(found)[5:7] == ["unknown"] * 2
    assert found.stops[3].status == "unknown"


def test_a_stop_served_in_a_pause_is_unknown() -> None:
    pause_s = np.array([DAY.arrived_s[5] - 60.0, DAY.departed_s[5] + 60.0])
    shared_s = np.array([[DAY.shared_s[0, 0], pause_s[0]], [pause_s[1], DAY.shared_s[0, 1]]])

    found = report(shared_s=shared_s)

    assert found.stops[5].status == "unknown"
    assert found.quality.gaps == 0  # a pause is no fault of the data
    assert found.quality.dropped["not_shared"] > 10


def test_a_phone_that_dies_leaves_the_rest_unknown() -> None:
    found = report(keep=DAY.track.time_s < MIDDLE_S)

    assert statuses(found)[5:] == ["unknown"] * 3


def test_what_is_still_planned_is_pending() -> None:
    found = report(until_s=MIDDLE_S, shared_s=FOREVER)

    assert statuses(found) == ["visited"] * 3 + ["missed", "visited"] + ["pending"] * 3


def test_late_is_not_missed_while_the_route_runs() -> None:
    hurried = dataclasses.replace(DAY.plan, planned_arrival_s=DAY.plan.planned_arrival_s - 3_600.0)

    running = report(plan=hurried, until_s=MIDDLE_S, shared_s=FOREVER)
    over = report(
        plan=hurried,
        until_s=MIDDLE_S,
        shared_s=np.array([[START_S, MIDDLE_S]]),
    )

    assert running.progress.deviation_s == pytest.approx(3_720.0, abs=200.0)
    assert statuses(running)[5:] == ["pending"] * 3
    assert "pending" not in statuses(over)


def test_without_planned_times_the_end_of_the_sharing_decides() -> None:
    timeless = dataclasses.replace(DAY.plan, planned_arrival_s=np.full(8, np.nan))

    running = report(plan=timeless, until_s=MIDDLE_S, shared_s=FOREVER)
    over = report(plan=timeless, until_s=MIDDLE_S, shared_s=np.array([[START_S, MIDDLE_S]]))

    assert statuses(running)[5:] == ["pending"] * 3
    assert statuses(over)[5:] == ["missed"] * 3


def test_nothing_recorded_is_nothing_known() -> None:
    none = np.zeros(len(DAY.track.time_s), dtype=bool)

    assert set(statuses(report(keep=none))) == {"unknown"}


def test_how_long_nobody_must_have_looked() -> None:
    needed_s = needed_silence_s(np.array([np.nan, 0.0, 20.0, 600.0]), DEFAULT)

    assert needed_s.tolist() == [50.0, 50.0, 20.0, 50.0]
