"""A driver's routes before and after: no metres of this one, but which stops were served."""

import numpy as np
import pytest

from geo.plan_fact import plan_versus_fact
from geo.values import Work
from tests.geo.days import START_S, make_plan
from tests.geo.rounds import drive_round
from tests.geo.test_outside_sharing import HOURS_LATER_S, PLACES_M, PLAN, PLANE, statuses

# Stops 1 and 2 are left out; when the next route was to begin the driver goes back to stop 1.
BACK = drive_round(
    [(0.0, 0.0, 300.0), (6_000.0, 0.0, 300.0), (7_000.0, 0.0, 60.0), (2_000.0, 0.0, 300.0)]
)
NEXT_S = float(BACK.departed_s[2] + 60.0) + 1.0  # between two fixes


@pytest.mark.parametrize("shared_until_s", [BACK.until_s, np.inf])
def test_what_is_served_after_the_next_route_began_was_served(shared_until_s: float) -> None:
    """What is driven from then on is of the next one; which stops were served it still tells."""
    over_s = BACK.until_s if shared_until_s < np.inf else BACK.until_s - 30.0

    found, cut = (
        plan_versus_fact(
            BACK.track,
            PLAN,
            shared_s=np.array([[START_S, shared_until_s]]),
            until_s=until_s,
            over=True,
            work=work,
        )
        for until_s, work in ((over_s, Work(to_s=NEXT_S)), (NEXT_S, Work()))
    )

    assert statuses(found) == ["visited"] * 2 + ["missed", "visited"] + ["missed"] * 2
    assert statuses(cut)[1] == "missed"
    assert found.stops[1].arrived_s == pytest.approx(BACK.arrived_s[3], abs=20.0)
    assert [stop.actual_sequence for stop in found.stops] == [0, 2, None, 1, None, None]
    assert found.totals.actual_m == cut.totals.actual_m
    assert found.quality.fixes == found.quality.used == cut.quality.used < len(BACK.track.time_s)
    assert found.quality.coverage == cut.quality.coverage
    assert found.unplanned == cut.unplanned


def test_what_is_served_while_the_route_before_still_went_on_was_served() -> None:
    """Loading before the planned start."""
    day = drive_round([(x, 0.0, 300.0) for x in PLACES_M.tolist()])
    from_s = float(day.departed_s[0] + 20.0)

    found, cut = (
        plan_versus_fact(
            day.track,
            PLAN,
            shared_s=np.array([[shared_from_s, np.inf]]),
            until_s=day.until_s,
            over=True,
            work=work,
        )
        for shared_from_s, work in ((START_S, Work(from_s=from_s)), (from_s, Work()))
    )

    assert statuses(found) == ["visited"] * 6
    assert [stop.actual_sequence for stop in found.stops] == [0, 1, 2, 3, 4, 5]
    assert found.stops[0].departed_s == pytest.approx(day.departed_s[0], abs=20.0)
    assert statuses(cut)[1:] == ["visited"] * 5
    assert found.totals.actual_m == cut.totals.actual_m


@pytest.mark.parametrize("over", [False, True])
def test_a_halt_at_the_depot_on_the_route_before_is_none_of_this_one(*, over: bool) -> None:
    """The depot is the last stop here; the vehicle drives to the first, five minutes late."""
    day = drive_round([(x, 0.0, 300.0) for x in (0.0, 8_000.0, 12_000.0)])
    from_s, late_s = float(day.departed_s[0] + 20.0), float(day.arrived_s[1] - 300.0)
    until_s = day.until_s if over else float(day.arrived_s[1] - 30.0)
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[8_000.0, 0.0], [12_000.0, 0.0], [0.0, 0.0]])),
        service_s=300.0,
        planned_arrival_s=late_s + np.array([0.0, 900.0, 4_500.0]),
    )

    found = plan_versus_fact(
        day.track,
        plan,
        shared_s=np.array([[START_S, np.inf]]),
        until_s=until_s,
        over=over,
        work=Work(from_s=from_s),
    )

    if over:
        assert statuses(found) == ["visited"] * 2 + ["unknown"]
    else:
        assert statuses(found) == ["pending"] * 3
        assert [eta.planned_sequence for eta in found.progress.eta] == [0, 1, 2]


@pytest.mark.parametrize("shares", [True, False], ids=["silent", "unshared"])
def test_who_is_not_seen_after_the_next_route_began_may_have_gone_back(*, shares: bool) -> None:
    gave_up = drive_round([(0.0, 0.0, 300.0), (6_000.0, 0.0, 300.0)])
    ended_s = float(gave_up.departed_s[-1] + 60.0)

    found = plan_versus_fact(
        gave_up.track,
        PLAN,
        shared_s=np.array([[START_S, np.inf if shares else ended_s]]),
        until_s=START_S + HOURS_LATER_S,
        over=True,
        work=Work(to_s=ended_s),
    )

    assert statuses(found) == ["visited"] + ["unknown"] * 2 + ["visited"] + ["unknown"] * 2


def test_the_next_routes_loading_at_the_same_depot_makes_nobody_late() -> None:
    """Sharing began after the loading for this route."""
    day = drive_round([(x, 0.0, 300.0) for x in (4_000.0, 6_000.0, 0.0)])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[0.0, 0.0], [4_000.0, 0.0], [6_000.0, 0.0]])),
        service_s=300.0,
        planned_arrival_s=np.append(START_S - 900.0, day.arrived_s[:2]),
        window_to_s=np.append(START_S, day.arrived_s[:2] + 600.0),
    )

    found = plan_versus_fact(
        day.track,
        plan,
        shared_s=np.array([[START_S, np.inf]]),
        until_s=day.until_s,
        over=True,
        work=Work(to_s=float(day.arrived_s[2] - 60.0)),
    )

    assert statuses(found) == ["unknown", "visited", "visited"]
    assert found.totals.on_time_rate == 1.0
