"""The driver's word beside the data."""

import dataclasses

import numpy as np
import pytest

from geo.plan_fact import PlanFact, Taps, plan_versus_fact
from geo.stop_facts import with_taps
from geo.types import Flags, Floats
from tests.geo.days import START_S, Day, make_day

DAY = make_day(42, missed=(5,))
NEVER = np.full(8, np.nan)


def taps(*, arrived: dict[int, float] | None = None, done: dict[int, float] | None = None) -> Taps:
    said = []
    for at_s in (arrived or {}, done or {}, {}):
        values = NEVER.copy()
        for stop, unix_s in at_s.items():
            values[stop] = unix_s
        said.append(values)
    return Taps(arrived_s=said[0], done_s=said[1], failed_s=said[2])


def only(day: Day, seen: Flags) -> Day:
    track = day.track
    return dataclasses.replace(
        day,
        track=dataclasses.replace(
            track,
            time_s=track.time_s[seen],
            lon_lat=track.lon_lat[seen],
            accuracy_m=track.accuracy_m[seen],
        ),
    )


def report(day: Day, said: Taps | None = None, *, shared_s: Floats | None = None) -> PlanFact:
    return plan_versus_fact(
        day.track,
        day.plan,
        shared_s=day.shared_s if shared_s is None else shared_s,
        until_s=day.until_s,
        taps=said,
    )


def silent_at(stop: int) -> Day:
    """Return the day with nothing recorded round the visit of a stop."""
    time_s = DAY.track.time_s
    seen = (time_s < DAY.arrived_s[stop] - 60.0) | (time_s > DAY.departed_s[stop] + 60.0)
    return only(DAY, seen)


def test_what_the_data_do_not_know_the_driver_may_say() -> None:
    arrived_s, done_s = float(DAY.arrived_s[3]), float(DAY.departed_s[3])
    day = silent_at(3)
    assert report(day).stops[3].status == "unknown"

    found = report(day, taps(arrived={3: arrived_s}, done={3: done_s}))

    stop = found.stops[3]
    assert (stop.status, stop.evidence, stop.tapped_s) == ("visited", "driver_tap", done_s)
    assert (stop.arrived_s, stop.departed_s) == (arrived_s, done_s)
    assert stop.service_s == pytest.approx(done_s - arrived_s)
    assert stop.distance_m is None
    assert stop.confidence < found.stops[2].confidence
    visited = [stop for stop in found.stops if stop.status == "visited"]
    assert [stop.actual_sequence for stop in visited] == list(range(len(visited)))
    assert found.legs[2].method == "gap"


def test_only_done_is_a_visit_without_an_arrival() -> None:
    found = report(silent_at(3), taps(done={3: float(DAY.departed_s[3])})).stops[3]

    assert found.status == "visited"
    assert found.arrived_s is None
    assert found.window_status == "none"


def test_having_arrived_is_not_being_done() -> None:
    found = report(silent_at(3), taps(arrived={3: float(DAY.arrived_s[3])})).stops[3]

    assert found.status == "unknown"
    assert found.tapped_s is None


def test_what_the_data_covered_stays_missed_with_the_tap_beside_it() -> None:
    assert report(DAY).stops[5].status == "missed"
    done_s = float(DAY.plan.planned_arrival_s[5] + 120.0)

    found = report(DAY, taps(done={5: done_s})).stops[5]

    assert (found.status, found.tapped_s, found.evidence) == ("missed", done_s, None)


def test_a_visit_in_the_data_keeps_its_times() -> None:
    done_s = float(DAY.departed_s[2] + 500.0)

    found = report(DAY, taps(done={2: done_s})).stops[2]

    assert found.evidence == "stay"
    assert found.departed_s == report(DAY).stops[2].departed_s
    assert found.tapped_s == done_s


def test_what_the_driver_settled_is_not_next() -> None:
    until_s = float(DAY.departed_s[3] + 40.0)
    running = np.array([[START_S, np.inf]])
    day = dataclasses.replace(only(DAY, DAY.track.time_s <= until_s), until_s=until_s)
    failed = dataclasses.replace(taps(), failed_s=np.where(np.arange(8) == 4, until_s, np.nan))

    assert report(day, shared_s=running).progress.next_stop == 4
    found = report(day, failed, shared_s=running).progress

    assert found.next_stop == 5
    assert 4 not in [eta.planned_sequence for eta in found.eta]


def test_a_tap_of_the_last_two_minutes_is_believed_before_its_fixes_are_there() -> None:
    status = with_taps(
        ("missed", "missed", "unknown", "missed"),
        np.array([950.0, 100.0, np.nan, 1_050.0]),
        seen_s=np.array([[0.0, 1_000.0]]),
        until_s=1_000.0,
        gap_s=120.0,
    )

    assert status == ("visited", "missed", "unknown", "missed")


def test_no_data_contradict_a_tap_where_nobody_looked() -> None:
    status = with_taps(
        ("missed",) * 6,
        np.array([50.0, 150.0, 250.0, 350.0, 450.0, np.nan]),
        seen_s=np.array([[100.0, 200.0], [300.0, 400.0]]),
        until_s=1_000.0,
        gap_s=120.0,
    )

    assert status == ("visited", "missed", "visited", "missed", "visited", "missed")


def test_without_a_fix_the_word_alone_makes_the_report() -> None:
    nothing = only(DAY, np.zeros(len(DAY.track.time_s), dtype=bool))
    said = taps(
        arrived={stop: START_S + 1_000.0 * stop for stop in (0, 1)},
        done={stop: START_S + 1_000.0 * stop + 300.0 for stop in (0, 1)},
    )

    found = report(nothing, said)

    assert [stop.status for stop in found.stops] == ["visited"] * 2 + ["unknown"] * 6
    assert found.legs[0].actual_s == pytest.approx(700.0)
    assert found.legs[0].actual_m is None
    assert found.totals.actual_m == 0.0


def test_taps_of_another_plan_are_refused() -> None:
    short = Taps(arrived_s=np.zeros(3), done_s=np.zeros(3), failed_s=np.zeros(3))

    with pytest.raises(ValueError, match="taps"):
        report(DAY, short)
