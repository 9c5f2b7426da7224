import numpy as np
import pytest

from geo.plan_fact import PlanFact, plan_versus_fact
from geo.report import StopFact
from geo.types import Floats
from geo.values import DEFAULT, Track
from geo.visits import required_dwell_s
from tests.geo.days import START_S, make_plan, plane_at

PLANE = plane_at()


def test_the_rule_for_short_stops() -> None:
    service_s = np.array([np.nan, 0.0, 4.0, 20.0, 59.0, 60.0, 600.0])

    required_s = required_dwell_s(service_s, DEFAULT)

    assert required_s.tolist() == [50.0, 50.0, 5.0, 10.0, 29.5, 50.0, 50.0]


def halt_at_stop(
    halt_s: float, *, service_s: float, step_s: float, speed_mps: float = 10.0, aside_m: float = 5.0
) -> StopFact:
    """Drive by at ``speed_mps``, standing for ``halt_s`` at the stop; braking at 1.5 m/s2.

    Before that the vehicle stands elsewhere for 18 minutes, so nobody was there before sharing.
    """
    ramp_s = speed_mps / 1.5 if halt_s > 0.0 else 0.0
    reach_m = 0.5 * speed_mps * ramp_s
    knots_s = [-120.0, -ramp_s]
    knots_m = [-reach_m - speed_mps * (120.0 - ramp_s), -reach_m]
    for fraction in np.linspace(0.1, 1.0, 10):
        knots_s.append(-ramp_s * (1.0 - fraction))
        knots_m.append(-reach_m * (1.0 - fraction) ** 2)
    for s, m in list(zip(knots_s, knots_m, strict=True))[::-1]:
        knots_s.append(halt_s - s + 1e-9)
        knots_m.append(-m)
    time_s = np.arange(-1_198.0, 118.0 + halt_s, step_s)
    x: Floats = np.interp(time_s, knots_s, knots_m)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([x, np.full(len(x), aside_m)])),
        accuracy_m=np.full(len(x), 6.0),
    )
    plan = make_plan(
        PLANE.to_lon_lat(np.zeros((1, 2))),
        service_s=service_s,
        planned_arrival_s=START_S,
        radius_m=30.0,
    )
    span_s = START_S + np.array([[time_s[0], time_s[-1]]])
    return plan_versus_fact(track, plan, shared_s=span_s, until_s=span_s[0, 1]).stops[0]


@pytest.mark.parametrize("step_s", [1.0, 5.0])
@pytest.mark.parametrize("speed_mps", [6.0, 10.0, 15.0])
@pytest.mark.parametrize("service_s", [20.0, 300.0])
def test_a_drive_by_is_no_visit(step_s: float, speed_mps: float, service_s: float) -> None:
    stop = halt_at_stop(0.0, service_s=service_s, step_s=step_s, speed_mps=speed_mps)

    assert stop.status == "missed"


@pytest.mark.parametrize("step_s", [1.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("halt_s", [15.0, 40.0])
def test_a_short_halt_is_a_visit_where_a_short_one_was_planned(
    step_s: float, halt_s: float
) -> None:
    stop = halt_at_stop(halt_s, service_s=20.0, step_s=step_s)

    assert (stop.status, stop.evidence) == ("visited", "slow_pass")
    assert stop.arrived_s is not None
    assert stop.departed_s is not None
    assert stop.arrived_s - START_S == pytest.approx(0.0, abs=max(5.0, step_s))
    assert stop.departed_s - START_S == pytest.approx(halt_s, abs=max(5.0, step_s))


@pytest.mark.parametrize("service_s", [0.0, np.nan, 300.0])
def test_a_short_halt_is_none_where_a_long_one_was_planned(service_s: float) -> None:
    assert halt_at_stop(20.0, service_s=service_s, step_s=5.0).status == "missed"
    assert halt_at_stop(90.0, service_s=service_s, step_s=5.0).status == "visited"


def test_creeping_through_traffic_is_no_halt_where_the_fixes_show_it() -> None:
    stop = halt_at_stop(0.0, service_s=20.0, step_s=1.0, speed_mps=3.0)

    assert stop.status != "visited"


def test_a_stop_beside_a_parking_place_may_be_served_from_there_but_a_bus_stop_not() -> None:
    customer = halt_at_stop(120.0, service_s=120.0, step_s=5.0, aside_m=60.0)
    bus_stop = halt_at_stop(120.0, service_s=20.0, step_s=5.0, aside_m=60.0)

    assert customer.status == "visited"
    assert bus_stop.status == "missed"


def served_from(knots: list[tuple[float, float]], *, service_s: float, radius_m: float) -> PlanFact:
    """Drive along (time, x) knots past a stop at the origin, seen every 5 s."""
    table = np.array(knots)
    time_s = np.arange(table[0, 0], table[-1, 0], 5.0)
    x = np.interp(time_s, table[:, 0], table[:, 1])
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([x, np.zeros(len(x))])),
        accuracy_m=np.full(len(x), 6.0),
    )
    plan = make_plan(PLANE.to_lon_lat(np.zeros((1, 2))), service_s=service_s, radius_m=radius_m)
    span_s = START_S + np.array([[time_s[0], time_s[-1]]])
    return plan_versus_fact(track, plan, shared_s=span_s, until_s=span_s[0, 1])


def test_parking_anew_within_the_circle_is_one_visit() -> None:
    knots = [
        (0.0, -2_000.0),
        (200.0, -25.0),
        (500.0, -25.0),
        (520.0, 25.0),
        (820.0, 25.0),
        (1_020.0, 2_000.0),
    ]

    found = served_from(knots, service_s=600.0, radius_m=60.0)

    assert found.stops[0].arrived_s == pytest.approx(START_S + 200.0, abs=10.0)
    assert found.stops[0].departed_s == pytest.approx(START_S + 820.0, abs=10.0)
    assert found.unplanned == ()


def test_who_starts_standing_at_the_stop_was_there() -> None:
    stood = served_from([(0.0, 0.0), (20.0, 0.0), (120.0, 1_000.0)], service_s=600.0, radius_m=40.0)
    drove = served_from([(0.0, 0.0), (100.0, 1_000.0)], service_s=600.0, radius_m=40.0)

    assert stood.stops[0].status == "visited"
    assert stood.stops[0].arrived_s is None
    assert stood.stops[0].confidence == 0.5
    assert drove.stops[0].status == "unknown"


def test_times_of_a_visit_are_in_order() -> None:
    stop = halt_at_stop(200.0, service_s=200.0, step_s=5.0)

    times = [stop.entered_s, stop.arrived_s, stop.departed_s, stop.exited_s]
    known = [time for time in times if time is not None]
    assert len(known) == 4
    assert known == sorted(known)
