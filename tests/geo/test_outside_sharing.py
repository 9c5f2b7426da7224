"""What may have happened outside sharing accuses nobody; the driver's word of it is believed."""

import dataclasses

import numpy as np
import pytest

from geo.live import advance, begin, summary
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Floats
from geo.values import OwnTime, Plan, Taps, Track, Work
from tests.geo.days import START_S, Day, make_day, make_plan, plane_at
from tests.geo.rounds import Round, drive_round

PLANE = plane_at()
PLACES_M: Floats = np.linspace(0.0, 10_000.0, 6)
ROAD: Floats = PLANE.to_lon_lat(np.column_stack([PLACES_M, np.zeros(6)]))
HOURS_LATER_S = 4.0 * 3_600.0
DAY = make_day(11, missed=(3,), outliers=0.0)
MIDDLE_S = float(DAY.departed_s[4] + 60.0)
FOREVER: Floats = np.array([[START_S, np.inf]])


def planned(arrival_s: Floats) -> Plan:
    return make_plan(ROAD, service_s=300.0, planned_arrival_s=arrival_s)


PLAN = planned(START_S + np.linspace(300.0, 2_800.0, 6))


def done(said_s: dict[int, float], stops: int = 6) -> Taps:
    never = np.full(stops, np.nan)
    done_s = never.copy()
    for stop, at_s in said_s.items():
        done_s[stop] = at_s
    return Taps(arrived_s=never, done_s=done_s, failed_s=never)


def statuses(found: PlanFact) -> list[str]:
    return [stop.status for stop in found.stops]


def compared(
    day: Round,
    *shared: tuple[float, float],
    plan: Plan = PLAN,
    until_s: float | None = None,
    taps: Taps | None = None,
) -> PlanFact:
    until_s = day.until_s if until_s is None else until_s
    return plan_versus_fact(day.track, plan, shared_s=np.array(shared), until_s=until_s, taps=taps)


# Stops 0, 1 and 5 are served, 2 to 4 driven past.
FAR_FIRST = drive_round([(0.0, 0.0, 300.0), (2_000.0, 0.0, 300.0), (10_000.0, 0.0, 300.0)])
END_S = float(FAR_FIRST.departed_s[-1] + 60.0)


def test_who_ends_sharing_before_the_plan_ends_may_serve_the_rest_on_the_way_back() -> None:
    later_s = START_S + HOURS_LATER_S

    untold = compared(FAR_FIRST, (START_S, END_S), until_s=later_s)
    told = compared(
        FAR_FIRST,
        (START_S, END_S),
        until_s=later_s,
        taps=done({2: END_S + 1_800.0, 3: END_S + 1_200.0, 4: END_S + 600.0}),
    )

    assert statuses(untold) == ["visited"] * 2 + ["unknown"] * 3 + ["visited"]
    assert statuses(told) == ["visited"] * 6
    assert (untold.totals.completion, told.totals.completion) == (1.0, 1.0)
    assert {told.stops[stop].evidence for stop in (2, 3, 4)} == {"driver_tap"}


@pytest.mark.parametrize(
    ("home_m", "rested_s", "left_out"),
    [
        (18_000.0, 5_400.0, "missed"),
        (18_000.0, 3_000.0, "unknown"),  # not for long enough
        (6_000.0, 5_400.0, "unknown"),  # at a stop that was left out, perhaps for its sake
    ],
)
def test_who_stood_for_an_hour_after_the_plan_was_over_goes_back_to_nothing(
    home_m: float, rested_s: float, left_out: str
) -> None:
    """A shift that was forgotten ends by itself, with the vehicle at home."""
    day = drive_round(
        [(x, 0.0, 300.0) for x in (0.0, 2_000.0, 10_000.0)] + [(home_m, 40.0, rested_s)]
    )
    ended_s = float(day.departed_s[-1] - 10.0)

    found = compared(day, (START_S, ended_s), until_s=START_S + HOURS_LATER_S)

    assert statuses(found)[2:4] == [left_out] * 2
    assert statuses(found)[5] == "visited"


@pytest.mark.parametrize(("next_s", "left_out"), [(-600.0, "unknown"), (np.inf, "missed")])
def test_who_stood_for_an_hour_on_the_next_route_may_still_go_back(
    next_s: float, left_out: str
) -> None:
    """A rest on it is no end of the work."""
    day = drive_round(
        [(x, 0.0, 300.0) for x in (0.0, 2_000.0, 10_000.0)] + [(18_000.0, 40.0, 5_400.0)]
    )

    found = plan_versus_fact(
        day.track,
        PLAN,
        shared_s=np.array([[START_S, day.departed_s[-1] - 10.0]]),
        until_s=START_S + HOURS_LATER_S,
        over=True,
        own=OwnTime(to_s=float(day.arrived_s[-1]) + next_s),
    )

    assert statuses(found)[2:4] == [left_out] * 2


def test_at_once_nobody_can_have_gone_back() -> None:
    found = compared(FAR_FIRST, (START_S, END_S), until_s=END_S + 120.0)

    assert statuses(found)[2:5] == ["missed"] * 3


@pytest.mark.parametrize("after_s", [-60.0, 60.0, 3_600.0])
def test_who_is_late_may_serve_the_rest_after_the_plan_is_over(after_s: float) -> None:
    """Four hours later the report is asked for; sharing ended before or after the plan did."""
    early = planned(END_S - after_s - 300.0 + np.linspace(-2_500.0, 0.0, 6))
    later_s = START_S + HOURS_LATER_S

    untold = compared(FAR_FIRST, (START_S, END_S), plan=early, until_s=later_s)
    told = compared(
        FAR_FIRST, (START_S, END_S), plan=early, until_s=later_s, taps=done({3: END_S + 1_200.0})
    )

    assert statuses(untold)[2:5] == ["unknown"] * 3
    assert statuses(told)[2:5] == ["unknown", "visited", "unknown"]


def test_a_plan_without_times_does_not_say_when_it_is_over() -> None:
    found = compared(
        FAR_FIRST,
        (START_S, END_S),
        plan=planned(np.full(6, np.nan)),
        until_s=START_S + HOURS_LATER_S,
    )

    assert statuses(found) == ["visited"] * 2 + ["unknown"] * 3 + ["visited"]


@pytest.mark.parametrize(("pause_s", "status"), [(3.0 * 3_600.0, "unknown"), (180.0, "missed")])
def test_in_a_long_pause_the_driver_may_go_back_to_any_stop(pause_s: float, status: str) -> None:
    day = drive_round(
        [
            (0.0, 0.0, 300.0),
            *((x, 0.0, 300.0) for x in (4_000.0, 6_000.0, 8_000.0)),
            (8_500.0, 0.0, pause_s),
            (10_000.0, 0.0, 300.0),
        ]
    )
    from_s, to_s = float(day.arrived_s[4]), float(day.departed_s[4])
    shared = (START_S, from_s), (to_s, day.until_s)

    untold = compared(day, *shared)
    told = compared(day, *shared, taps=done({1: (from_s + to_s) / 2.0}))

    assert statuses(untold) == ["visited", status] + ["visited"] * 4
    assert statuses(told) == ["visited"] * 6
    # While sharing went on the data contradict the driver.
    if status == "missed":
        contradicted = compared(day, *shared, taps=done({1: to_s + 100.0}))
        assert contradicted.stops[1].status == "missed"


@pytest.mark.parametrize("hours", [0.5, 4.0, 8.0])
@pytest.mark.parametrize("when", ["within", "at the end"])
@pytest.mark.parametrize("shares", [True, False], ids=["silent", "paused"])
def test_a_silent_phone_accuses_nobody_more_than_a_pause(
    hours: float, when: str, *, shares: bool
) -> None:
    """Stop 1 is left out, and all others are served, the last of them before or after it."""
    places = [*((x, 0.0, 300.0) for x in (0.0, 4_000.0, 6_000.0, 8_000.0))]
    rest = [(8_500.0, 0.0, hours * 3_600.0), (10_000.0, 0.0, 300.0)]
    day = drive_round([*places, *(rest if when == "within" else rest[::-1])])
    gone = 4 if when == "within" else 5
    from_s, to_s = float(day.arrived_s[gone]), float(day.departed_s[gone])
    times_s = day.track.time_s
    heard = (times_s <= from_s) | (times_s >= to_s) & (when == "within")
    track = Track(
        time_s=times_s[heard],
        lon_lat=day.track.lon_lat[heard],
        accuracy_m=day.track.accuracy_m[heard],
    )
    end_s = day.until_s + 60.0 if when == "within" else np.inf
    shared = np.array([[START_S, np.inf]] if shares else [[START_S, from_s], [to_s, end_s]])

    untold, told = (
        plan_versus_fact(track, PLAN, shared_s=shared, until_s=day.until_s, over=True, taps=taps)
        for taps in (None, done({1: (from_s + to_s) / 2.0}))
    )

    assert statuses(untold) == ["visited", "unknown"] + ["visited"] * 4
    assert statuses(told) == ["visited"] * 6


@pytest.mark.parametrize(("begun_s", "status"), [(None, "missed"), (START_S - 3_600.0, "unknown")])
def test_who_shared_only_later_in_the_shift_may_have_been_there_before(
    begun_s: float | None, status: str
) -> None:
    """Stop 4 is left out by all that was seen, and was to be served long after."""
    day = drive_round([(x, 0.0, 300.0) for x in PLACES_M[[0, 1, 2, 3, 5]].tolist()])

    found = plan_versus_fact(
        day.track,
        planned(START_S + np.linspace(300.0, 2_800.0, 6)),
        shared_s=np.array([[START_S, np.inf]]),
        until_s=day.until_s,
        over=True,
        work=Work(begun_s=begun_s),
    )

    assert statuses(found) == ["visited"] * 4 + [status, "visited"]


@pytest.mark.parametrize(("mps", "status"), [(10.0, "missed"), (28.0, "unknown")])
def test_who_drives_fast_gets_as_far_unseen(mps: float, status: str) -> None:
    """Stop 1 is 6 km from where a pause of twelve minutes began: at 14 m/s too far."""
    day = drive_round(
        [
            (0.0, 0.0, 300.0),
            *((x, 0.0, 300.0) for x in (4_000.0, 6_000.0, 8_000.0)),
            (8_001.0, 0.0, 720.0),
            (10_000.0, 0.0, 300.0),
        ],
        speed_mps=mps,
    )
    from_s, to_s = float(day.arrived_s[4]), float(day.departed_s[4])

    found = compared(day, (START_S, from_s), (to_s, day.until_s))

    assert statuses(found) == ["visited", status] + ["visited"] * 4


@pytest.mark.parametrize(
    ("planned_s", "said_s", "status"),
    [
        (300.0, None, "unknown"),
        (1_800.0, None, "missed"),
        (1_800.0, -300.0, "visited"),
        (1_800.0, 300.0, "missed"),
    ],
)
def test_the_first_stop_may_have_been_served_minutes_before_its_time_and_before_sharing(
    planned_s: float, said_s: float | None, status: str
) -> None:
    day = drive_round([(x, 0.0, 300.0) for x in PLACES_M[1:].tolist()])
    plan = planned(np.append(START_S + planned_s, day.arrived_s))
    taps = None if said_s is None else done({0: START_S + said_s})

    found = compared(day, (START_S, day.until_s), plan=plan, taps=taps)

    assert statuses(found) == [status] + ["visited"] * 5


def day_of(day: Day, plan: Plan, shared_s: Floats, until_s: float, *, over: bool) -> PlanFact:
    kept = day.track.time_s <= until_s
    track = Track(
        time_s=day.track.time_s[kept],
        lon_lat=day.track.lon_lat[kept],
        accuracy_m=day.track.accuracy_m[kept],
    )
    return plan_versus_fact(track, plan, shared_s=shared_s, until_s=until_s, over=over)


def windows(from_s: float, to_s: float) -> Plan:
    return dataclasses.replace(
        DAY.plan,
        planned_arrival_s=np.full(8, np.nan),
        window_from_s=np.full(8, from_s),
        window_to_s=np.full(8, to_s),
    )


ALL_DAY = windows(START_S + 600.0, START_S + 10.0 * 3_600.0)


def test_of_a_route_that_is_over_nothing_is_pending() -> None:
    """Its driver is recorded further, on the next route."""
    going_on = day_of(DAY, ALL_DAY, FOREVER, MIDDLE_S, over=False)
    over = day_of(DAY, ALL_DAY, FOREVER, MIDDLE_S, over=True)

    assert statuses(going_on)[5:] == ["pending"] * 3
    assert len(going_on.progress.eta) == 3
    assert statuses(over) == ["visited"] * 3 + ["missed", "visited"] + ["missed"] * 3
    assert over.totals.completion == 0.5
    assert over.progress.eta == ()


@pytest.mark.parametrize("shared_until_s", [np.inf, MIDDLE_S])
def test_what_was_still_to_come_when_a_route_was_cancelled_was_not_missed(
    shared_until_s: float,
) -> None:
    """Nor was what was left out by then, as its window stays open."""
    shared_s = np.array([[START_S, shared_until_s]])

    over, cancelled = (
        plan_versus_fact(
            DAY.track,
            ALL_DAY,
            shared_s=shared_s,
            until_s=MIDDLE_S,
            over=True,
            work=Work(cancelled=off),
        )
        for off in (False, True)
    )

    assert statuses(over) == ["visited"] * 3 + ["missed", "visited"] + ["missed"] * 3
    assert statuses(cancelled) == ["visited"] * 3 + ["unknown", "visited"] + ["unknown"] * 3
    reasons = [stop.unknown_reason for stop in cancelled.stops]
    assert reasons == [None] * 3 + ["cancelled", None] + ["cancelled"] * 3
    assert (over.totals.completion, cancelled.totals.completion) == (0.5, 1.0)
    assert cancelled.progress.eta == ()


def test_what_was_overdue_behind_the_vehicle_when_a_route_was_cancelled_was_missed() -> None:
    found = plan_versus_fact(
        DAY.track,
        DAY.plan,
        shared_s=FOREVER,
        until_s=MIDDLE_S,
        over=True,
        work=Work(cancelled=True),
    )

    assert statuses(found) == ["visited"] * 3 + ["missed", "visited"] + ["unknown"] * 3
    assert found.stops[3].unknown_reason is None


def test_of_a_route_that_is_over_what_was_not_shared_is_unknown() -> None:
    until_s = MIDDLE_S + 60.0
    shared_s = np.array([[START_S, MIDDLE_S]])

    paused = day_of(DAY, DAY.plan, shared_s, until_s, over=False)
    over = day_of(DAY, DAY.plan, shared_s, until_s, over=True)

    assert statuses(paused)[5:] == ["unknown", "pending", "pending"]  # one was due by now
    assert statuses(over)[5:] == ["unknown"] * 3


@pytest.mark.parametrize(
    ("from_s", "to_s", "status"),
    [(-60.0, 2_600.0, "missed"), (60.0, 2_600.0, "missed"), (-3_600.0, -60.0, "unknown")],
)
def test_a_window_that_was_open_when_sharing_began_excuses_nothing(
    from_s: float, to_s: float, status: str
) -> None:
    plan = windows(START_S + from_s, START_S + to_s)

    found = day_of(DAY, plan, DAY.shared_s, DAY.until_s, over=True)

    assert found.stops[3].status == status


@pytest.mark.parametrize("silent_s", [0.0, 130.0])
@pytest.mark.parametrize("timed", [True, False])
def test_the_stop_that_a_late_shift_drives_to_is_pending(silent_s: float, *, timed: bool) -> None:
    """The shift, and with it sharing, begins an hour after the plan."""
    times_s = START_S - 3_600.0 + np.array([500.0, 1_200.0, 1_900.0])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[5_000.0, 0.0], [9_000.0, 0.0], [13_000.0, 0.0]])),
        service_s=300.0,
        planned_arrival_s=times_s if timed else np.nan,
        window_from_s=np.nan if timed else START_S - 3_600.0,
        window_to_s=np.nan if timed else START_S - 1_800.0,
    )
    time_s = np.arange(0.0, 300.0, 5.0)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(np.column_stack([10.0 * time_s, np.zeros(60)])),
        accuracy_m=np.full(60, 7.5),
    )
    now_s = START_S + 300.0 + silent_s

    found = plan_versus_fact(track, plan, shared_s=FOREVER, until_s=now_s)
    live = summary(advance(begin(plan), track, shared_s=FOREVER, until_s=now_s), now_s=now_s)
    over = plan_versus_fact(track, plan, shared_s=FOREVER, until_s=now_s, over=True)

    assert statuses(found) == ["pending"] * 3
    assert found.progress.next_stop == live.next_stop == 0
    assert [eta.planned_sequence for eta in found.progress.eta] == [0, 1, 2]
    assert found.totals.completion is None
    assert over.stops[0].status == "unknown"
