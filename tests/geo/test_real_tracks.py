"""Plan versus fact on recorded drives: see tests/data/tracks/README.md."""

import dataclasses

import numpy as np
import pytest

from geo.plan_fact import Plan, PlanFact, Track, plan_versus_fact
from geo.plane import Plane, norms, segment_lengths_m
from geo.progress import Line
from geo.types import Floats
from tests.geo.days import make_plan
from tests.geo.tracks import liverpool, munich

REFERENCE = ("4841", "1101")
OTHER_WHOLE_RUNS = [
    ("4842", "1097"),
    ("4720", "1111"),
    ("4733", "1099"),
    ("4803", "1109"),
    ("4836", "1105"),
]
# Places along the reference run, in metres, where buses of several runs stand. At 1,660 the bus
# of trip 1097 drives past; at 9,780 the runs end.
STOPS_M = np.array([777, 1_660, 2_459, 3_173, 3_927, 4_823, 5_706, 6_291, 7_584, 9_780.0])
TIME_POINT = 8

# Read by eye from the fixes of trip 1097, in seconds after the first: per stop the last fix before
# it and the first at it, the last at it and the first after it.
READ_BY_EYE = {
    0: ((428, 443), (448, 471)),
    2: ((1_102, 1_122), (1_148, 1_166)),
    3: ((1_261, 1_280), (1_317, 1_337)),
    4: ((1_578, 1_609), (1_642, 1_671)),
    5: ((1_805, 1_818), (1_827, 1_843)),
    6: ((1_958, 1_978), (1_986, 2_000)),
    7: ((2_085, 2_123), (2_171, 2_194)),
    8: ((2_606, 2_645), (2_775, 2_814)),
}


def spaced(xy: Floats, apart_m: float) -> Floats:
    """Return points at least so far apart: a bus that stands draws no line."""
    kept = [xy[0]]
    for point in xy[1:]:
        if norms(point - kept[-1]) >= apart_m:
            kept.append(point)
    return np.array(kept)


def bus_plan() -> Plan:
    run = liverpool(*REFERENCE)
    plane = Plane.around(run.lon_lat)
    xy = plane.to_xy(run.lon_lat)
    whole = Line.of(xy, plane)
    assert whole is not None
    stops = [np.interp(STOPS_M, whole.along_m, whole.xy[:, axis]) for axis in (0, 1)]
    return make_plan(
        plane.to_lon_lat(np.column_stack(stops)),
        service_s=np.where(np.arange(len(STOPS_M)) == TIME_POINT, 120.0, 20.0),
        radius_m=30.0,
        line=plane.to_lon_lat(spaced(xy, 25.0)),
    )


def report(track: Track, plan: Plan, *, until_s: float | None = None) -> PlanFact:
    shared_s = np.array([[track.time_s.min(), track.time_s.max()]])
    if until_s is not None:
        shared_s[0, 1] = np.inf
    return plan_versus_fact(
        track, plan, shared_s=shared_s, until_s=until_s or float(track.time_s.max())
    )


PLAN = bus_plan()
RUN = liverpool("4842", "1097")
BUS = report(RUN, PLAN)


@pytest.mark.proves("relog-driver-app:3.2-plan-fact")
def test_a_bus_halts_where_an_eye_sees_it_halt() -> None:
    first_s = RUN.time_s[0]
    for stop, (came, went) in READ_BY_EYE.items():
        fact = BUS.stops[stop]
        assert fact.status == "visited"
        assert fact.arrived_s is not None
        assert fact.departed_s is not None
        assert came[0] <= fact.arrived_s - first_s <= came[1]
        assert went[0] <= fact.departed_s - first_s <= went[1]
        assert fact.distance_m is not None
        assert fact.distance_m < 15.0


def test_a_bus_that_drives_past_misses_the_stop() -> None:
    assert BUS.stops[1].status == "missed"


def test_a_record_that_ends_at_the_stop_does_not_know() -> None:
    assert BUS.stops[9].status == "unknown"
    assert BUS.totals.completion == pytest.approx(8 / 9)


def test_a_long_halt_is_a_stay_and_a_short_one_a_slow_pass() -> None:
    assert BUS.stops[TIME_POINT].evidence == "stay"
    assert BUS.stops[0].evidence == "slow_pass"
    assert BUS.stops[0].confidence < BUS.stops[TIME_POINT].confidence


def test_a_bus_drives_the_line_in_order_without_deviation() -> None:
    assert BUS.totals.order_score == 1.0
    assert BUS.deviations == ()
    assert BUS.totals.compliance == pytest.approx(1.0, abs=0.01)
    assert BUS.totals.actual_m == pytest.approx(BUS.totals.planned_m, rel=0.01)
    for leg in BUS.legs:
        if leg.actual_m is not None:
            assert leg.actual_m == pytest.approx(leg.planned_m, rel=0.03)


def test_seconds_add_up() -> None:
    totals = BUS.totals

    whole_s = totals.drive_s + totals.idle_s + totals.service_s
    assert whole_s == pytest.approx(np.ptp(RUN.time_s), rel=0.02)


@pytest.mark.parametrize("run", OTHER_WHOLE_RUNS)
def test_every_whole_run_is_as_long_as_its_own_fixes_say(run: tuple[str, str]) -> None:
    track = liverpool(*run)

    found = report(track, PLAN)

    raw_m = segment_lengths_m(track.lon_lat).sum()
    assert found.totals.actual_m == pytest.approx(raw_m, rel=0.04)
    assert (found.totals.compliance or 0.0) > 0.95
    assert found.totals.order_score == 1.0
    assert found.quality.dropped == {}
    visited = [stop for stop in found.stops if stop.status == "visited"]
    assert len(visited) >= 4
    known = [stop for stop in found.stops if stop.status != "unknown"]
    assert found.totals.completion == len(visited) / len(known)


def test_in_the_middle_of_the_run_the_rest_is_pending() -> None:
    found = report(RUN, PLAN, until_s=float(RUN.time_s[0] + 1_700.0))

    assert [stop.status for stop in found.stops[5:]] == ["pending"] * 5
    assert found.progress.next_stop == 5
    assert found.progress.along_m == pytest.approx(4_083.0, abs=100.0)


def test_without_a_line_smoothed_positions_agree_with_it() -> None:
    straight = report(RUN, dataclasses.replace(PLAN, line=None))

    assert straight.totals.actual_m == pytest.approx(BUS.totals.actual_m, rel=0.05)
    assert [stop.status for stop in straight.stops] == [stop.status for stop in BUS.stops]
    assert straight.totals.matched_m == 0.0
    assert straight.totals.compliance is None


@pytest.fixture(scope="module")
def drives() -> tuple[PlanFact, PlanFact]:
    """Report on Munich at 1 Hz and at 15 s, without a line."""
    plan = make_plan(munich("001").lon_lat[[300]])
    one, other = report(munich("001"), plan), report(munich("015"), plan)
    return one, other


def test_one_drive_sampled_twice_has_one_length(drives: tuple[PlanFact, PlanFact]) -> None:
    every_second, every_fifteenth = drives

    assert every_fifteenth.totals.actual_m == pytest.approx(every_second.totals.actual_m, rel=0.02)
    raw_m = segment_lengths_m(munich("001").lon_lat).sum()
    assert every_second.totals.actual_m == pytest.approx(raw_m, rel=0.02)


def test_positions_stuck_before_a_jump_are_not_believed(
    drives: tuple[PlanFact, PlanFact],
) -> None:
    every_second, _ = drives

    # 21 fixes at 1 Hz stand still before the vehicle is 470 m further on, 13 more elsewhere.
    assert every_second.quality.dropped == {"stuck": 33}


def test_the_coarse_track_follows_the_line_of_the_fine_one() -> None:
    fine, coarse = munich("001"), munich("015")
    plane = Plane.around(fine.lon_lat)
    line = plane.to_lon_lat(spaced(plane.to_xy(fine.lon_lat), 15.0))
    plan = make_plan(fine.lon_lat[[300]], line=line)

    found = report(coarse, plan)

    assert found.deviations == ()
    assert (found.totals.compliance or 0.0) > 0.95
    assert found.totals.actual_m == pytest.approx(found.totals.planned_m, rel=0.015)
