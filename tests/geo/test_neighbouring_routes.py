"""A driver's routes before and after: no metres of this one, but which stops were served."""

import numpy as np
import pytest

from geo.live import advance, begin, summary
from geo.plan_fact import plan_versus_fact
from geo.values import ALONE, OwnTime, Plan
from tests.geo.days import START_S, make_plan
from tests.geo.replays import between
from tests.geo.rounds import drive_round
from tests.geo.test_outside_sharing import HOURS_LATER_S, PLACES_M, PLAN, PLANE, statuses

FOREVER = np.array([[START_S, np.inf]])
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
            own=own,
        )
        for until_s, own in ((over_s, OwnTime(to_s=NEXT_S)), (NEXT_S, ALONE))
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
            own=own,
        )
        for shared_from_s, own in ((START_S, OwnTime(from_s=from_s)), (from_s, ALONE))
    )

    assert statuses(found) == ["visited"] * 6
    assert [stop.actual_sequence for stop in found.stops] == [0, 1, 2, 3, 4, 5]
    assert found.stops[0].departed_s == pytest.approx(day.departed_s[0], abs=20.0)
    assert statuses(cut)[1:] == ["visited"] * 5
    assert found.totals.actual_m == cut.totals.actual_m


def round_trip(*stops_m: float, planned_s: list[float]) -> Plan:
    """Plan calls along a road from the depot, at 0 m."""
    places = np.column_stack([stops_m, np.zeros(len(stops_m))])
    return make_plan(
        PLANE.to_lon_lat(places), service_s=300.0, planned_arrival_s=np.array(planned_s)
    )


LOADED = drive_round([(x, 0.0, 300.0) for x in (0.0, 8_000.0, 12_000.0)])


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize(
    "from_s",
    [-np.inf, float(LOADED.departed_s[0] + 20.0), float(LOADED.departed_s[0] - 100.0)],
    ids=["no route before", "on the route before", "as this route begins"],
)
def test_loading_at_a_depot_that_is_the_last_stop_is_no_visit(from_s: float, *, over: bool) -> None:
    """The vehicle drives to the first stop, five minutes late."""
    late_s = float(LOADED.arrived_s[1] - 300.0)
    until_s = LOADED.until_s if over else float(LOADED.arrived_s[1] - 30.0)
    plan = round_trip(8_000.0, 12_000.0, 0.0, planned_s=[late_s, late_s + 900.0, late_s + 4_500.0])

    found = plan_versus_fact(
        LOADED.track, plan, shared_s=FOREVER, until_s=until_s, over=over, own=OwnTime(from_s=from_s)
    )

    if over:
        assert statuses(found) == ["visited"] * 2 + ["unknown"]
        assert [stay.from_s for stay in found.unplanned][:1] == (
            pytest.approx([LOADED.arrived_s[0]], abs=20.0) if np.isinf(from_s) else []
        )
    else:
        assert statuses(found) == ["pending"] * 3
        assert found.progress.next_stop == 0
        assert found.progress.deviation_s == pytest.approx(270.0, abs=10.0)
        assert [eta.planned_sequence for eta in found.progress.eta] == [0, 1, 2]


@pytest.mark.parametrize("from_s", [-np.inf, float(LOADED.departed_s[0] - 100.0)])
def test_nor_does_it_hide_that_the_running_route_is_late(from_s: float) -> None:
    """By what alerts are judged by."""
    late_s, until_s = float(LOADED.arrived_s[1] - 900.0), float(LOADED.arrived_s[1] - 30.0)
    plan = round_trip(8_000.0, 12_000.0, 0.0, planned_s=[late_s, late_s + 900.0, late_s + 4_500.0])
    track = between(LOADED.track, max(from_s, 0.0), until_s)

    state = begin(plan, own=OwnTime(from_s=from_s))
    seen = summary(advance(state, track, shared_s=FOREVER, until_s=until_s), now_s=until_s)

    assert (seen.next_stop, seen.visits) == (0, ())
    assert seen.deviation_s == pytest.approx(870.0, abs=10.0)
    assert len(seen.eta) == 3


@pytest.mark.parametrize("until", range(3))
def test_loading_at_a_depot_that_is_the_first_stop_is_its_visit(until: int) -> None:
    """Before the plan begins, and so its next call: while it runs, and when it was served."""
    arrived_s = LOADED.arrived_s
    plan = round_trip(
        0.0, 8_000.0, 12_000.0, 0.0, planned_s=[*(arrived_s + 1_200.0), arrived_s[2] + 6_000.0]
    )
    until_s = float(LOADED.departed_s[until] - 60.0)

    found = plan_versus_fact(LOADED.track, plan, shared_s=FOREVER, until_s=until_s)
    state = advance(begin(plan), LOADED.track, shared_s=FOREVER, until_s=until_s)

    assert statuses(found) == ["visited"] * (until + 1) + ["pending"] * (3 - until)
    live = summary(state, now_s=until_s)
    assert live.next_stop == found.progress.next_stop == until + 1
    assert [visit.stop for visit in live.visits] == list(range(until + 1))


def test_who_is_early_may_begin_with_another_stop() -> None:
    """But not with one that is planned for the evening."""
    day = drive_round([(x, 0.0, 300.0) for x in (4_000.0, 2_000.0, 9_000.0)])
    first_s = float(day.arrived_s[1] - 10.0)  # the second one was served before that
    plan = round_trip(
        2_000.0, 4_000.0, 9_000.0, planned_s=[first_s, first_s + 900.0, first_s + 1_800.0]
    )

    found = plan_versus_fact(day.track, plan, shared_s=FOREVER, until_s=day.until_s, over=True)

    assert statuses(found) == ["visited"] * 3
    assert [stop.actual_sequence for stop in found.stops] == [1, 0, 2]


@pytest.mark.parametrize("served", [False, True])
def test_what_was_served_on_the_route_before_is_not_waited_for(*, served: bool) -> None:
    """Though it counts from the first own visit on, or where the plan expects it soon."""
    day = drive_round([(0.0, 0.0, 300.0), (20_000.0, 0.0, 300.0), (26_000.0, 0.0, 300.0)])
    from_s = float(day.departed_s[0] + 200.0)
    until_s = float(day.departed_s[1] + 60.0) if served else from_s + 600.0
    plan = round_trip(
        0.0, 20_000.0, 26_000.0, planned_s=[from_s + 60.0, *(day.arrived_s[1:] + 100.0)]
    )

    found = plan_versus_fact(
        day.track, plan, shared_s=FOREVER, until_s=until_s, own=OwnTime(from_s=from_s)
    )

    assert statuses(found)[:2] == ["visited", "visited" if served else "pending"]
    assert found.progress.next_stop == (2 if served else 1)
    assert found.progress.deviation_s is not None
    assert found.progress.deviation_s < 0.0
    assert len(found.progress.eta) == (1 if served else 2)


@pytest.mark.parametrize(
    ("arrives_s", "deviation_s"), [((-7_200.0, -3_600.0), None), ((-7_200.0, 300.0), 600.0)]
)
def test_until_the_first_visit_only_what_is_planned_since_tells_how_late_who_took_over_is(
    arrives_s: tuple[float, float], deviation_s: float | None
) -> None:
    """What is overdue by then whoever drove the route before may have served."""
    taken_s, until_s = START_S + 100.0, START_S + 1_000.0
    plan = round_trip(-9_000.0, 20_000.0, planned_s=[START_S + one + 100.0 for one in arrives_s])
    own = OwnTime(from_s=taken_s, taken_over_s=taken_s)
    day = drive_round([(4_000.0, 0.0, 3_000.0)])

    found = plan_versus_fact(day.track, plan, shared_s=FOREVER, until_s=until_s, own=own)
    track = between(day.track, taken_s, until_s)
    state = advance(begin(plan, own=own), track, shared_s=FOREVER, until_s=until_s)

    for late_s in (found.progress.deviation_s, summary(state, now_s=until_s).deviation_s):
        assert late_s == (None if deviation_s is None else pytest.approx(deviation_s, abs=10.0))


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
        own=OwnTime(to_s=ended_s),
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
        own=OwnTime(to_s=float(day.arrived_s[2] - 60.0)),
    )

    assert statuses(found) == ["unknown", "visited", "visited"]
    assert found.totals.on_time_rate == 1.0
