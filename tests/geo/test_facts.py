import dataclasses

import numpy as np
import pytest

from geo.plan_fact import PlanFact, plan_versus_fact
from geo.values import Parameters, Plan
from tests.geo.days import START_S, Day, make_day, make_plan, plane_at
from tests.geo.rounds import drive_round

PLANE = plane_at()


def report(day: Day, plan: Plan | None = None) -> PlanFact:
    return plan_versus_fact(day.track, plan or day.plan, shared_s=day.shared_s, until_s=day.until_s)


def totals_s(found: PlanFact) -> float:
    totals = found.totals
    return totals.drive_s + totals.service_s + totals.wait_s + totals.idle_s


def without(plan: Plan, stop: int) -> Plan:
    keep = np.arange(len(plan.lon_lat)) != stop
    return Plan(
        lon_lat=plan.lon_lat[keep],
        radius_m=plan.radius_m[keep],
        service_s=plan.service_s[keep],
        planned_arrival_s=plan.planned_arrival_s[keep],
        window_from_s=plan.window_from_s[keep],
        window_to_s=plan.window_to_s[keep],
        line=plan.line,
    )


@pytest.mark.parametrize("step_s", [1.0, 5.0, 15.0, 30.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arrivals_and_departures_are_near_the_truth(seed: int, step_s: float) -> None:
    day = make_day(seed, step_s=step_s)

    stops = report(day).stops

    assert [stop.status for stop in stops] == ["visited"] * 8
    arrived = [stop.arrived_s or np.nan for stop in stops]
    departed = [stop.departed_s or np.nan for stop in stops]
    bound_s = max(10.0, 0.6 * step_s)
    assert np.abs(np.array(arrived) - day.arrived_s).max() < bound_s
    assert np.abs(np.array(departed) - day.departed_s).max() < bound_s
    assert [stop.evidence for stop in stops] == ["stay"] * 8
    assert max(stop.distance_m or np.inf for stop in stops) < 30.0


def test_the_stated_uncertainty_holds_for_most_arrivals() -> None:
    within = []
    for seed in range(20, 26):
        day = make_day(seed, sigma_m=10.0)
        within += [
            abs(stop.arrived_s - day.arrived_s[stop.planned_sequence]) <= stop.arrival_uncertainty_s
            for stop in report(day).stops
            if stop.arrived_s is not None and stop.arrival_uncertainty_s is not None
        ]

    assert len(within) > 40
    assert np.mean(within) > 0.8


def test_stops_served_in_another_order_are_visited_and_the_order_is_scored() -> None:
    day = make_day(6, order=np.array([0, 1, 5, 2, 3, 4, 6, 7]))

    found = report(day)

    assert [stop.status for stop in found.stops] == ["visited"] * 8
    assert [stop.actual_sequence for stop in found.stops] == [0, 1, 5, 2, 3, 4, 6, 7]
    assert found.totals.order_score == pytest.approx(7 / 8)
    assert found.legs[2].actual_m is None  # from the sixth served to the third: not driven


def test_a_leg_was_driven_only_from_one_halt_to_the_next() -> None:
    """Driven A, C, B, D, E: on the way from A to B and from C to D there was another halt."""
    day = drive_round([(x, 0.0, 180.0) for x in (0.0, 4_000.0, 2_000.0, 6_000.0, 8_000.0)])
    plan = make_plan(
        PLANE.to_lon_lat(np.column_stack([2_000.0 * np.arange(5), np.zeros(5)])), service_s=180.0
    )

    found = plan_versus_fact(
        day.track, plan, shared_s=np.array([[START_S, day.until_s]]), until_s=day.until_s
    )

    assert [stop.actual_sequence for stop in found.stops] == [0, 2, 1, 3, 4]
    assert [leg.actual_s is None for leg in found.legs] == [True, True, True, False]
    assert found.legs[3].actual_m == pytest.approx(2_000.0, rel=0.03)


def test_a_plan_that_leaves_no_time_for_a_leg_says_nothing_of_it() -> None:
    day = make_day(9)
    plan = dataclasses.replace(
        day.plan,
        planned_arrival_s=START_S + 60.0 * np.arange(8.0),
        service_s=np.full(8, 600.0),
    )
    waits = dataclasses.replace(
        day.plan,
        planned_arrival_s=START_S + 1_000.0 * np.arange(8.0),
        window_from_s=START_S + 1_000.0 * np.arange(8.0) + 300.0,
        service_s=np.full(8, 600.0),
    )

    assert [leg.planned_s for leg in report(day, plan).legs] == [None] * 7
    assert [leg.planned_s for leg in report(day, waits).legs] == [100.0] * 7


def test_windows_are_judged_by_arrival() -> None:
    day = make_day(7)
    arrived_s = day.arrived_s
    plan = dataclasses.replace(
        day.plan,
        window_from_s=np.where(np.arange(8) == 1, arrived_s + 40.0, arrived_s - 600.0),
        window_to_s=np.where(np.arange(8) == 2, arrived_s - 300.0, arrived_s + 600.0),
    )

    found = report(day, plan)

    status = [stop.window_status for stop in found.stops]
    assert status == ["on_time", "early", "late", *["on_time"] * 5]
    assert found.stops[1].wait_s == pytest.approx(40.0, abs=6.0)
    assert found.stops[2].late_s == pytest.approx(300.0, abs=6.0)
    assert found.totals.on_time_rate == pytest.approx(6 / 8)
    assert found.totals.wait_s == pytest.approx(40.0, abs=6.0)


def test_a_stay_nobody_planned_is_reported() -> None:
    day = make_day(8, dwell_s=(200.0, 500.0))

    found = report(day, without(day.plan, 4))

    assert len(found.unplanned) == 1
    stay = found.unplanned[0]
    assert stay.from_s == pytest.approx(day.arrived_s[4], abs=10.0)
    assert stay.dwell_s == pytest.approx(day.departed_s[4] - day.arrived_s[4], abs=20.0)
    assert [stay.lon, stay.lat] == pytest.approx(day.plan.lon_lat[4].tolist(), abs=4e-4)


def test_legs_are_as_long_as_the_road() -> None:
    day = make_day(9)

    found = report(day)

    assert len(found.legs) == 7
    for i, leg in enumerate(found.legs):
        driven_s = day.arrived_s[i + 1] - day.departed_s[i]
        assert leg.method == "plan"
        assert leg.actual_m == pytest.approx(leg.planned_m, abs=0.02 * leg.planned_m + 30.0)
        assert leg.actual_s == pytest.approx(driven_s, abs=15.0)
        assert leg.planned_s == pytest.approx(driven_s, abs=1.0)
        assert (leg.moving_s or 0.0) + (leg.idle_s or 0.0) == pytest.approx(leg.actual_s)


def test_a_detour_is_a_deviation_with_its_geometry() -> None:
    day = make_day(10, outliers=0.0)
    assert day.plan.line is not None
    # The plan leads another way between the fourth and the fifth stop.
    line = day.plan.line.copy()
    middle = len(line) // 2
    line[middle : middle + 3] += [0.006, 0.0]

    found = report(day, dataclasses.replace(day.plan, line=line))
    straight = report(day)

    assert len(straight.deviations) == 0
    assert len(found.deviations) >= 1
    longest = max(found.deviations, key=lambda deviation: deviation.length_m)
    assert longest.max_m > 100.0
    assert longest.length_m > 200.0
    assert longest.lon_lat.shape[1] == 2
    assert (found.totals.compliance or 1.0) < (straight.totals.compliance or 0.0)


def test_a_spur_nobody_drove_is_a_part_left_out() -> None:
    day = make_day(10, outliers=0.0)
    assert day.plan.line is not None
    line, middle = day.plan.line, len(day.plan.line) // 2
    tip = line[middle] + np.array([0.006, 0.004])  # 650 m off, and back
    plan = dataclasses.replace(
        day.plan, line=np.concatenate([line[: middle + 1], [tip], line[middle:]])
    )

    (found,) = report(day, plan).deviations

    assert found.kind == "skipped_segment"
    assert found.length_m == pytest.approx(2 * 658.0, rel=0.1)
    assert found.max_m == pytest.approx(658.0, rel=0.2)
    assert np.abs(found.lon_lat - tip).sum(axis=1).min() < 1e-6  # the planned line, not the driven
    assert day.shared_s[0, 0] < found.from_s < found.to_s < day.until_s


def test_the_plan_driven_backwards_is_told_as_such() -> None:
    day = make_day(11, outliers=0.0)
    assert day.plan.line is not None
    plan = dataclasses.replace(day.plan, line=day.plan.line[::-1])

    found = report(day, plan)

    assert {deviation.kind for deviation in found.deviations} == {"reverse"}
    driven_m = sum(deviation.length_m for deviation in found.deviations)
    assert driven_m == pytest.approx(day.driven_m, rel=0.05)
    assert found.totals.actual_m == pytest.approx(day.driven_m, rel=0.02)


def test_speeding_is_judged_only_against_a_limit() -> None:
    day = make_day(12)
    assert report(day).speeding == ()

    found = plan_versus_fact(
        day.track,
        day.plan,
        shared_s=day.shared_s,
        until_s=day.until_s,
        parameters=Parameters(speed_limit_mps=11.0),
    ).speeding

    assert found
    for one in found:
        assert one.limit_mps == 11.0
        assert 11.0 < one.max_mps < 18.0
        assert one.length_m == pytest.approx((one.to_s - one.from_s) * 12.5, rel=0.35)
        assert one.lon_lat.shape[1] == 2


def test_totals_add_up() -> None:
    day = make_day(12, missed=(2,))

    totals = report(day).totals

    assert totals.completion == pytest.approx(7 / 8)
    assert totals.order_score == 1.0
    assert totals.service_s == pytest.approx(np.nansum(day.departed_s - day.arrived_s), rel=0.03)
    assert totals_s(report(day)) == pytest.approx(day.until_s - day.shared_s[0, 0], rel=0.03)
    assert totals.planned_m == pytest.approx(day.driven_m, rel=1e-3)


def test_two_stops_in_one_building_share_the_visit() -> None:
    day = make_day(13)
    twice = np.array([0, 1, 2, 3, 3, 4, 5, 6, 7])
    plan = day.plan
    shared = Plan(
        lon_lat=plan.lon_lat[twice],
        radius_m=plan.radius_m[twice],
        service_s=plan.service_s[twice],
        planned_arrival_s=plan.planned_arrival_s[twice],
        window_from_s=plan.window_from_s[twice],
        window_to_s=plan.window_to_s[twice],
        line=plan.line,
    )

    found = report(day, shared)

    assert [stop.status for stop in found.stops] == ["visited"] * 9
    assert found.stops[3].arrived_s == found.stops[4].arrived_s
    assert found.totals.order_score == 1.0
    apart = report(day)
    assert found.totals.service_s == pytest.approx(apart.totals.service_s, abs=1.0)
    assert found.stops[3].service_s == apart.stops[3].service_s
    planned_s = float(plan.service_s[3])  # of each of the two
    for stop in found.stops[3:5]:
        assert stop.service_delta_s == pytest.approx((stop.service_s or 0.0) - 2.0 * planned_s)
    spent_s = totals_s(found)
    assert spent_s <= day.until_s - day.shared_s[0, 0] + 1.0
    assert spent_s == pytest.approx(totals_s(apart), abs=1.0)
