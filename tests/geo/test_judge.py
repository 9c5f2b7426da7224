import dataclasses

import numpy as np
import pytest

from geo.judge import needed_silence_s
from geo.live import advance, begin, summary
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Flags, Floats
from geo.values import DEFAULT, Plan, Taps, Track
from tests.geo.days import START_S, Day, make_day, make_plan, plane_at

DAY = make_day(11, missed=(3,), outliers=0.0)
FOREVER: Floats = np.array([[START_S, np.inf]])
PLANE = plane_at()
TIMELESS = dataclasses.replace(DAY.plan, planned_arrival_s=np.full(8, np.nan))
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


def straight(time_s: Floats, x: Floats) -> Track:
    """Drive along a straight road; what is planned lies on it, too."""
    return Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([x, np.zeros(len(x))])),
        accuracy_m=np.full(len(x), 7.5),
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


def test_without_planned_times_what_was_shared_decides() -> None:
    running = report(plan=TIMELESS, until_s=MIDDLE_S, shared_s=FOREVER)
    to_the_end = report(plan=TIMELESS, until_s=MIDDLE_S, shared_s=np.array([[START_S, MIDDLE_S]]))
    no_longer = report(
        plan=TIMELESS, until_s=MIDDLE_S + 10.0, shared_s=np.array([[START_S, MIDDLE_S]])
    )

    assert statuses(running)[5:] == ["pending"] * 3
    assert statuses(to_the_end)[5:] == ["missed"] * 3
    assert statuses(no_longer)[5:] == ["unknown"] * 3


@pytest.mark.parametrize("later_s", [10.0, 600.0, 4.0 * 3_600.0])
def test_what_was_still_ahead_when_sharing_ended_is_unknown(later_s: float) -> None:
    found = report(
        keep=DAY.track.time_s < MIDDLE_S,
        shared_s=np.array([[START_S, MIDDLE_S]]),
        until_s=float(DAY.plan.planned_arrival_s[7]) + later_s,
    )

    # In the time that the plan leaves, the driver may have gone back to the one left out, too.
    assert statuses(found) == ["visited"] * 3 + ["unknown", "visited"] + ["unknown"] * 3
    assert found.quality.gaps == 0  # not to share is no fault of the data


def test_what_was_due_before_sharing_began_is_unknown() -> None:
    found = report(
        keep=DAY.track.time_s > MIDDLE_S,
        shared_s=np.array([[MIDDLE_S, DAY.shared_s[0, 1]]]),
    )

    assert statuses(found) == ["unknown"] * 5 + ["visited"] * 3
    assert found.quality.gaps == 0


def test_without_planned_times_what_comes_before_the_first_visit_may_have_been_served_before() -> (
    None
):
    found = report(
        keep=DAY.track.time_s > MIDDLE_S,
        plan=TIMELESS,
        shared_s=np.array([[MIDDLE_S, DAY.shared_s[0, 1]]]),
    )

    assert statuses(found) == ["unknown"] * 5 + ["visited"] * 3


def test_a_pause_of_this_moment_hides_what_is_served_in_it() -> None:
    pause_s = float(DAY.arrived_s[5] - 60.0)
    for now_s in (pause_s + 5.0, float(DAY.departed_s[5]), float(DAY.departed_s[5] + 400.0)):
        found = report(
            keep=DAY.track.time_s < pause_s,
            shared_s=np.array([[START_S, pause_s]]),
            until_s=now_s,
        )

        assert "missed" not in statuses(found)[4:]


@pytest.mark.parametrize(("said_s", "status"), [(-300.0, "visited"), (300.0, "missed")])
def test_who_says_that_they_came_before_sharing_is_believed(said_s: float, status: str) -> None:
    """The stop was due an hour later, and driven past while it was shared."""
    drives_past = make_day(11, missed=(0,), outliers=0.0)
    plan = dataclasses.replace(
        drives_past.plan, planned_arrival_s=drives_past.plan.planned_arrival_s + 3_600.0
    )
    never = np.full(8, np.nan)

    found = plan_versus_fact(
        drives_past.track,
        plan,
        shared_s=drives_past.shared_s,
        until_s=drives_past.until_s,
        taps=Taps(
            arrived_s=never,
            done_s=np.where(np.arange(8) == 0, START_S + said_s, np.nan),
            failed_s=never,
        ),
    )

    assert found.stops[0].status == status


@pytest.mark.parametrize(("stood_s", "planned_s"), [(120.0, 240.0), (900.0, 1_800.0)])
def test_a_silence_round_a_stop_may_hide_less_than_the_planned_service(
    stood_s: float, planned_s: float
) -> None:
    """Plans hold slack: the vehicle did stand there, for half of it."""
    time_s = np.arange(0.0, 600.0 + stood_s, 5.0)
    x = np.interp(time_s, [0.0, 300.0, 300.0 + stood_s, 600.0 + stood_s], [0.0, 3e3, 3e3, 6e3])
    heard = (time_s < 294.0) | (time_s > 306.0 + stood_s)
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[3_000.0, 0.0]])),
        service_s=planned_s,
        planned_arrival_s=START_S + 300.0,
    )
    track = straight(time_s, x)
    day = dataclasses.replace(
        DAY, track=track, plan=plan, shared_s=START_S + time_s[[0, -1]][np.newaxis]
    )

    assert report(day, keep=heard, until_s=day.shared_s[0, 1]).stops[0].status == "unknown"


def test_a_running_route_misses_only_what_lies_before_the_latest_visit() -> None:
    """Driven A, D, B: C is next, however late it is, and all parts of the report say so."""
    x = np.array([0.0, 3_000.0, 6_000.0, 9_000.0])
    knots_s, knots_m = [0.0], [-2_000.0]
    for place_m in x[[0, 3, 1]].tolist():
        knots_s += [knots_s[-1] + abs(place_m - knots_m[-1]) / 10.0]
        knots_s += [knots_s[-1] + 300.0]
        knots_m += [place_m, place_m]
    knots_s, knots_m = [*knots_s, knots_s[-1] + 100.0], [*knots_m, knots_m[-1] + 1_000.0]
    time_s = np.arange(0.0, knots_s[-1], 5.0)
    driven_m = np.interp(time_s, knots_s, knots_m)
    plan = make_plan(
        PLANE.to_lon_lat(np.column_stack([x, np.zeros(4)])),
        service_s=300.0,
        planned_arrival_s=START_S + np.array([200.0, 800.0, 1_400.0, 2_000.0]),
    )
    track = straight(time_s, driven_m)
    now_s = START_S + float(time_s[-1])

    found = report(
        dataclasses.replace(DAY, track=track, plan=plan), shared_s=FOREVER, until_s=now_s
    )
    live = summary(advance(begin(plan), track, shared_s=FOREVER, until_s=now_s), now_s=now_s)

    assert statuses(found) == ["visited", "visited", "pending", "visited"]
    assert found.progress.next_stop == live.next_stop == 2
    assert [eta.planned_sequence for eta in found.progress.eta] == [2]
    assert found.totals.completion == 1.0


def test_of_one_halt_the_last_in_the_plan_is_the_latest_stop() -> None:
    """Stops 0 and 2 are at one place: after the halt there stop 3 is next, and 1 was left out."""
    time_s = np.arange(0.0, 900.0, 5.0)
    x = np.interp(time_s, [0.0, 200.0, 700.0, 900.0], [-2_000.0, 0.0, 0.0, 1_500.0])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[0.0, 5.0], [3_000.0, 0.0], [0.0, -5.0], [6_000.0, 0.0]])),
        service_s=240.0,
        planned_arrival_s=START_S + np.array([200.0, 800.0, 1_200.0, 1_600.0]),
    )
    track = straight(time_s, x)

    found = report(
        dataclasses.replace(DAY, track=track, plan=plan), shared_s=FOREVER, until_s=START_S + 900.0
    )

    assert statuses(found) == ["visited", "missed", "visited", "pending"]
    assert found.progress.next_stop == 3
    assert [eta.planned_sequence for eta in found.progress.eta] == [3]


def test_nothing_recorded_is_nothing_known() -> None:
    none = np.zeros(len(DAY.track.time_s), dtype=bool)

    assert set(statuses(report(keep=none))) == {"unknown"}


def test_how_long_nobody_must_have_looked() -> None:
    needed_s = needed_silence_s(np.array([np.nan, 0.0, 20.0, 600.0]), DEFAULT)

    assert needed_s.tolist() == [50.0, 50.0, 20.0, 50.0]
