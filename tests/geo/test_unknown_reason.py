"""Why a stop is unknown: never whether the phone was silent or the driver shared nothing."""

from dataclasses import replace
from typing import get_args

import numpy as np

from geo.plan_fact import PlanFact, plan_versus_fact
from geo.report import UnknownReason
from geo.types import Flags, Floats
from geo.values import Plan, Taps, Track, Work
from tests.geo.days import START_S, make_day

DAY = make_day(11, missed=(3,), outliers=0.0)
AWAY_S = (float(DAY.departed_s[4] + 30.0), float(DAY.arrived_s[6] - 30.0))
PAUSED = np.array([[START_S, AWAY_S[0]], [AWAY_S[1], DAY.until_s]])
HEARD = (DAY.track.time_s < AWAY_S[0]) | (DAY.track.time_s > AWAY_S[1])


def report(
    *,
    heard: Flags | None = None,
    shared_s: Floats = DAY.shared_s,
    plan: Plan = DAY.plan,
    taps: Taps | None = None,
    work_done_s: float | None = None,
) -> PlanFact:
    heard = np.ones(len(DAY.track.time_s), dtype=bool) if heard is None else heard
    track = Track(
        time_s=DAY.track.time_s[heard],
        lon_lat=DAY.track.lon_lat[heard],
        accuracy_m=DAY.track.accuracy_m[heard],
    )
    return plan_versus_fact(
        track,
        plan,
        shared_s=shared_s,
        until_s=DAY.until_s,
        over=True,
        work=Work(done_s=work_done_s),
        taps=taps,
    )


def reasons(found: PlanFact) -> list[str | None]:
    return [stop.unknown_reason for stop in found.stops]


def test_a_pause_and_a_silent_phone_read_alike() -> None:
    paused, silent = report(shared_s=PAUSED), report(heard=HEARD)

    for found in (paused, silent):
        assert (found.stops[5].status, found.stops[5].unknown_reason) == ("unknown", "not_recorded")


def test_there_is_a_reason_where_a_stop_is_unknown_and_nowhere_else() -> None:
    never = np.full(8, np.nan)
    said = Taps(
        arrived_s=never,
        done_s=np.where(np.arange(8) == 5, sum(AWAY_S) / 2.0, np.nan),
        failed_s=never,
    )

    for found in (
        report(),
        report(shared_s=PAUSED),
        report(shared_s=PAUSED, taps=said),
        report(heard=DAY.track.time_s < AWAY_S[0]),
        report(heard=np.zeros(len(DAY.track.time_s), dtype=bool)),
    ):
        assert [stop.status == "unknown" for stop in found.stops] == [
            one in get_args(UnknownReason) for one in reasons(found)
        ]


def test_without_a_position_nothing_was_recorded() -> None:
    found = report(heard=np.zeros(len(DAY.track.time_s), dtype=bool))

    assert reasons(found) == ["not_recorded"] * 8


def test_what_was_planned_before_the_recording_may_have_been_before_it() -> None:
    arrival_s = DAY.plan.planned_arrival_s.copy()
    arrival_s[3] = START_S - 600.0

    found = report(plan=replace(DAY.plan, planned_arrival_s=arrival_s))

    assert reasons(found) == [None] * 3 + ["before_recording"] + [None] * 4


def test_positions_that_end_on_arriving_are_too_few() -> None:
    ended_s = DAY.arrived_s[7] + 1.0

    found = report(shared_s=np.array([[START_S, ended_s]]), work_done_s=ended_s)

    assert reasons(found) == [None] * 7 + ["too_few_positions"]
