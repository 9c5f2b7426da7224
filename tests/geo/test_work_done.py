"""A driver who ends the shift is done: what was left out is missed. Who only pauses is not."""

from dataclasses import replace

import numpy as np
import pytest

from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Floats
from geo.values import Plan, Taps, Track, Work
from tests.geo.days import START_S, make_plan, plane_at
from tests.geo.rounds import Round, drive_round

PLACES_M: Floats = np.linspace(0.0, 10_000.0, 6)
ROAD: Floats = plane_at().to_lon_lat(np.column_stack([PLACES_M, np.zeros(6)]))
LATER_S = START_S + 4.0 * 3_600.0


def planned(arrival_s: Floats) -> Plan:
    return make_plan(ROAD, service_s=300.0, planned_arrival_s=arrival_s)


PLAN = planned(START_S + np.linspace(300.0, 2_800.0, 6))
"""Its last stop is served by 3,100 s."""
# Stops 0, 1 and 5 are served, 2 to 4 driven past.
FAR_FIRST = drive_round([(0.0, 0.0, 300.0), (2_000.0, 0.0, 300.0), (10_000.0, 0.0, 300.0)])
END_S = float(FAR_FIRST.departed_s[-1] + 60.0)
# Stops 0 to 3 are served, 4 and 5 were never come near.
GAVE_UP = drive_round([(x, 0.0, 300.0) for x in (0.0, 2_000.0, 4_000.0, 6_000.0)])
GAVE_UP_S = float(GAVE_UP.departed_s[-1] + 60.0)


def compared(
    day: Round,
    *shared: tuple[float, float],
    work_done_s: float | None,
    plan: Plan = PLAN,
    until_s: float = LATER_S,
    over: bool = True,
    taps: Taps | None = None,
) -> PlanFact:
    return plan_versus_fact(
        day.track,
        plan,
        shared_s=np.array(shared),
        until_s=until_s,
        over=over,
        work=Work(done_s=work_done_s),
        taps=taps,
    )


def heard_until(day: Round, last_s: float) -> Round:
    heard = day.track.time_s <= last_s
    track = Track(
        time_s=day.track.time_s[heard],
        lon_lat=day.track.lon_lat[heard],
        accuracy_m=day.track.accuracy_m[heard],
    )
    return replace(day, track=track)


def statuses(found: PlanFact) -> list[str]:
    return [stop.status for stop in found.stops]


@pytest.mark.parametrize("arrival_s", [PLAN.planned_arrival_s, np.full(6, np.nan)])
def test_what_was_left_out_is_missed_once_the_driver_ended_the_shift(arrival_s: Floats) -> None:
    plan = planned(arrival_s)

    ended = compared(FAR_FIRST, (START_S, END_S), plan=plan, work_done_s=END_S)
    otherwise = compared(FAR_FIRST, (START_S, END_S), plan=plan, work_done_s=None)

    assert statuses(ended) == ["visited"] * 2 + ["missed"] * 3 + ["visited"]
    assert statuses(otherwise) == ["visited"] * 2 + ["unknown"] * 3 + ["visited"]
    # What is not known makes nobody's day worse.
    assert (ended.totals.completion, otherwise.totals.completion) == (0.5, 1.0)


def test_who_did_not_say_that_they_were_done_may_have_served_a_stop_after_the_plan_was_over() -> (
    None
):
    """Late, and where nothing was shared: the plan ended a quarter of an hour before sharing."""
    early = planned(START_S + np.linspace(0.0, END_S - START_S - 1_200.0, 6))

    found = compared(FAR_FIRST, (START_S, END_S), plan=early, work_done_s=None)

    assert statuses(found) == ["visited"] * 2 + ["unknown"] * 3 + ["visited"]


def test_what_was_still_ahead_is_missed_once_the_driver_ended_the_shift() -> None:
    ended = compared(GAVE_UP, (START_S, GAVE_UP_S), work_done_s=GAVE_UP_S)
    otherwise = compared(GAVE_UP, (START_S, GAVE_UP_S), work_done_s=None)

    assert statuses(ended) == ["visited"] * 4 + ["missed"] * 2
    assert statuses(otherwise) == ["visited"] * 4 + ["unknown"] * 2


def test_what_the_driver_says_to_have_done_after_the_shift_was_done() -> None:
    done_s = np.array([np.nan, np.nan, END_S + 1_800.0, END_S + 1_200.0, np.nan, np.nan])
    never = np.full(6, np.nan)

    found = compared(
        FAR_FIRST,
        (START_S, END_S),
        work_done_s=END_S,
        taps=Taps(arrived_s=never, done_s=done_s, failed_s=never),
    )

    assert statuses(found) == ["visited"] * 4 + ["missed", "visited"]
    assert [found.stops[stop].evidence for stop in (2, 3)] == ["driver_tap"] * 2


@pytest.mark.parametrize("day", [FAR_FIRST, GAVE_UP], ids=["back", "ahead"])
@pytest.mark.parametrize(
    ("paused_s", "status"), [(20.0, "missed"), (1_200.0, "unknown"), (3 * 3_600.0, "unknown")]
)
def test_a_pause_before_the_end_of_the_shift_excuses_what_could_be_reached_in_it(
    day: Round, paused_s: float, status: str
) -> None:
    """Also after the plan is over: then the driver still had not ended the shift."""
    from_s = float(day.departed_s[-1] + 60.0)
    early = planned(START_S + np.linspace(0.0, 1_000.0, 6))

    found = compared(day, (START_S, from_s), plan=early, work_done_s=from_s + paused_s)

    assert set(statuses(found)) == {"visited", status}


@pytest.mark.parametrize(("pause_s", "status"), [(3.0 * 3_600.0, "unknown"), (180.0, "missed")])
def test_the_end_of_the_shift_takes_no_excuse_from_a_pause_in_the_middle(
    pause_s: float, status: str
) -> None:
    places = (4_000.0, 6_000.0, 8_000.0)
    day = drive_round(
        [(0.0, 0.0, 300.0), *((x, 0.0, 300.0) for x in places), (8_500.0, 0.0, pause_s),
         (10_000.0, 0.0, 300.0)]
    )  # fmt: skip
    from_s, to_s = float(day.arrived_s[4]), float(day.departed_s[4])
    until_s = day.until_s + 3_600.0

    found = compared(
        day, (START_S, from_s), (to_s, day.until_s), until_s=until_s, work_done_s=day.until_s
    )

    assert statuses(found) == ["visited", status] + ["visited"] * 4


def test_the_end_of_the_shift_takes_no_excuse_from_what_came_before_sharing() -> None:
    day = drive_round([(x, 0.0, 300.0) for x in PLACES_M[1:].tolist()])
    plan = planned(np.append(START_S + 300.0, day.arrived_s))

    found = compared(day, (START_S, day.until_s), plan=plan, work_done_s=day.until_s)

    assert statuses(found) == ["unknown"] + ["visited"] * 5


@pytest.mark.parametrize("later_s", [(END_S + 3_600.0, END_S + 7_200.0), (LATER_S, np.inf)])
def test_who_begins_again_was_not_done(later_s: tuple[float, float]) -> None:
    found = compared(FAR_FIRST, (START_S, END_S), later_s, over=False, work_done_s=END_S)

    assert statuses(found) == ["visited"] * 2 + ["unknown"] * 3 + ["visited"]


def test_who_is_still_recorded_was_not_done() -> None:
    ended_s = float(GAVE_UP.departed_s[2])

    found = compared(GAVE_UP, (START_S, GAVE_UP_S), work_done_s=ended_s)

    assert statuses(found) == ["visited"] * 4 + ["unknown"] * 2


def test_who_ends_the_shift_after_the_report_was_not_done_yet() -> None:
    until_s = GAVE_UP_S + 30.0

    found = compared(GAVE_UP, (START_S, GAVE_UP_S), until_s=until_s, work_done_s=until_s + 1.0)

    assert statuses(found) == ["visited"] * 4 + ["unknown"] * 2


def test_of_a_route_that_goes_on_what_is_due_later_may_still_come() -> None:
    """The driver may begin a shift again before the route is over."""
    plan = planned(START_S + np.array([300.0, 800.0, 1_300.0, 1_800.0, 2_300.0, 9_000.0]))

    found = compared(
        GAVE_UP,
        (START_S, GAVE_UP_S),
        plan=plan,
        until_s=START_S + 3_000.0,
        over=False,
        work_done_s=GAVE_UP_S,
    )

    assert statuses(found) == ["visited"] * 4 + ["missed", "pending"]


@pytest.mark.parametrize(("away_m", "status"), [(150.0, "unknown"), (1_000.0, "missed")])
def test_who_ends_the_shift_on_arriving_is_not_accused(away_m: float, status: str) -> None:
    """The last fix, 40 s before, does not show yet whether the last stop was reached."""
    last_s = float(FAR_FIRST.departed_s[1] + (8_000.0 - away_m) / 10.0)
    day = heard_until(FAR_FIRST, last_s)
    ended_s = last_s + 40.0

    found = compared(day, (START_S, ended_s), work_done_s=ended_s)

    assert statuses(found) == ["visited"] * 2 + ["missed"] * 3 + [status]


# Stop 1 is left out, the others are served, and at last the driver goes back to it.
BACK = drive_round(
    [*((x, 0.0, 300.0) for x in (0.0, *PLACES_M[2:].tolist())), (2_000.0, 0.0, 60.0)]
)


@pytest.mark.parametrize("after_s", [0.0, 8.0 * 3_600.0])
def test_who_serves_a_stop_while_the_phone_is_silent_and_ends_the_shift_is_not_accused(
    after_s: float,
) -> None:
    """Whether the report is made at that moment or long after."""
    ended_s = float(BACK.departed_s[-1] + 60.0)
    day = heard_until(BACK, float(BACK.departed_s[4] + 60.0))

    found = compared(day, (START_S, ended_s), until_s=ended_s + after_s, work_done_s=ended_s)

    assert statuses(found) == ["visited", "unknown"] + ["visited"] * 4
    assert found.stops[1].unknown_reason == "not_recorded"


def test_a_phone_that_comes_back_as_the_shift_ends_accuses_nobody_either() -> None:
    """To end the shift the driver opens the app, and there is a position again."""
    ended_s = float(BACK.departed_s[-1] + 60.0)
    times_s = BACK.track.time_s
    heard = (times_s <= BACK.departed_s[4] + 60.0) | (times_s >= ended_s - 10.0)
    track = Track(
        time_s=times_s[heard],
        lon_lat=BACK.track.lon_lat[heard],
        accuracy_m=BACK.track.accuracy_m[heard],
    )
    day = replace(BACK, track=track)

    found = compared(day, (START_S, ended_s), work_done_s=ended_s)

    assert statuses(found) == ["visited", "unknown"] + ["visited"] * 4


def test_a_gap_of_less_than_ten_minutes_before_the_end_of_the_shift_accuses_nobody_either() -> None:
    """Stop 4 is left out; after the last one the driver goes back to it, unseen, and on."""
    places = (0.0, 2_000.0, 4_000.0, 6_000.0, 10_000.0)
    whole = drive_round(
        [*((x, 0.0, 300.0) for x in places), (8_000.0, 0.0, 250.0), (7_000.0, 0.0, 60.0)]
    )
    times_s = whole.track.time_s
    heard = (times_s <= whole.departed_s[4]) | (times_s >= whole.arrived_s[6])
    track = Track(
        time_s=times_s[heard],
        lon_lat=whole.track.lon_lat[heard],
        accuracy_m=whole.track.accuracy_m[heard],
    )
    ended_s = float(whole.departed_s[-1])

    found = compared(replace(whole, track=track), (START_S, ended_s), work_done_s=ended_s)

    assert statuses(found) == ["visited"] * 4 + ["unknown", "visited"]
    assert compared(whole, (START_S, ended_s), work_done_s=ended_s).stops[4].status == "visited"


@pytest.mark.parametrize("shares", [True, False], ids=["silent", "paused"])
@pytest.mark.parametrize(
    ("silent_s", "behind", "ahead"),
    [
        (60.0, "missed", "missed"),
        (110.0, "missed", "missed"),
        (400.0, "missed", "unknown"),
        (700.0, "unknown", "unknown"),
    ],
)
def test_what_could_be_reached_in_the_silence_before_the_end_of_the_shift_is_unknown(
    silent_s: float, behind: str, ahead: str, *, shares: bool
) -> None:
    """Be it a pause or a silent phone: stop 1 is 7 km away, stop 5 is 1 km away."""
    day = drive_round([(x, 0.0, 300.0) for x in (0.0, 4_000.0, 6_000.0, 8_000.0, 9_000.0)])
    last_s = float(day.departed_s[4] - 5.0)
    day, ended_s = heard_until(day, last_s), last_s + silent_s

    found = compared(day, (START_S, ended_s if shares else last_s + 1.0), work_done_s=ended_s)

    assert statuses(found) == ["visited", behind] + ["visited"] * 3 + [ahead]
    assert found.stops[5].unknown_reason == ("not_recorded" if ahead == "unknown" else None)


@pytest.mark.parametrize("shares", [True, False], ids=["silent", "paused"])
@pytest.mark.parametrize(
    ("away_m", "silent_s", "reason"),
    [
        (150.0, 60.0, "too_few_positions"),
        (150.0, 125.0, "not_recorded"),
        (750.0, 125.0, "not_recorded"),
        (150.0, 3_600.0, "not_recorded"),
    ],
)
def test_too_few_positions_are_no_reason_after_a_silence(
    away_m: float, silent_s: float, reason: str, *, shares: bool
) -> None:
    """Nor is it an accusation to end the shift just as the stop can have been reached."""
    last_s = float(FAR_FIRST.departed_s[1] + (8_000.0 - away_m) / 10.0)
    day, ended_s = heard_until(FAR_FIRST, last_s), last_s + silent_s

    found = compared(day, (START_S, ended_s if shares else last_s + 1.0), work_done_s=ended_s)

    assert (found.stops[5].status, found.stops[5].unknown_reason) == ("unknown", reason)
