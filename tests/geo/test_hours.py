"""Each second of the shared time counts once, as what it was."""

import dataclasses

import numpy as np
import pytest

from geo.plan_fact import PlanFact, Taps, plan_versus_fact
from geo.types import Floats
from geo.values import Plan, Track
from tests.geo.days import START_S, make_plan, plane_at
from tests.geo.rounds import Round, drive_round

PLANE = plane_at()
NEVER = np.full(3, np.nan)
OFFICE = drive_round([(0.0, 0.0, 900.0), (3_000.0, 0.0, 300.0)])
# Two customers of the office, and one on the way.
PLAN = make_plan(
    PLANE.to_lon_lat(np.array([[0.0, 5.0], [0.0, -8.0], [3_000.0, 0.0]])),
    service_s=np.array([450.0, 450.0, 300.0]),
    planned_arrival_s=OFFICE.arrived_s[[0, 0, 1]],
)


def report(
    day: Round, plan: Plan = PLAN, *, said: Taps | None = None, shared_s: Floats | None = None
) -> PlanFact:
    shared_s = np.array([[START_S, day.until_s]]) if shared_s is None else shared_s
    return plan_versus_fact(day.track, plan, shared_s=shared_s, until_s=day.until_s, taps=said)


def tapped(arrived_s: float, done_s: float) -> Taps:
    last = np.arange(3) == 2
    return Taps(
        arrived_s=np.where(last, arrived_s, np.nan),
        done_s=np.where(last, done_s, np.nan),
        failed_s=NEVER,
    )


def dark(day: Round, from_s: float, to_s: float) -> Round:
    heard = (day.track.time_s < from_s) | (day.track.time_s > to_s)
    return dataclasses.replace(
        day,
        track=Track(
            time_s=day.track.time_s[heard],
            lon_lat=day.track.lon_lat[heard],
            accuracy_m=day.track.accuracy_m[heard],
        ),
    )


def test_a_halt_at_two_stops_is_served_once() -> None:
    found = report(OFFICE)

    assert [stop.status for stop in found.stops] == ["visited"] * 3
    assert found.totals.service_s == pytest.approx(1_200.0, abs=30.0)
    assert found.totals.drive_s + found.totals.idle_s == pytest.approx(900.0, abs=30.0)
    assert [round(stop.service_delta_s or np.nan, -2) for stop in found.stops] == [0.0] * 3


def test_what_was_not_planned_for_all_is_compared_with_nothing() -> None:
    found = report(OFFICE, dataclasses.replace(PLAN, service_s=np.array([450.0, np.nan, 300.0])))

    assert [stop.status for stop in found.stops] == ["visited"] * 3
    assert [stop.service_delta_s is None for stop in found.stops] == [True, True, False]


def test_the_wait_ends_when_the_first_of_them_may_be_served() -> None:
    from_s = OFFICE.arrived_s[0] + np.array([200.0, 600.0, np.nan])

    found = report(OFFICE, dataclasses.replace(PLAN, window_from_s=from_s))

    assert [round(stop.wait_s or 0.0, -2) for stop in found.stops] == [200.0, 600.0, 0.0]
    assert found.totals.wait_s == pytest.approx(200.0, abs=15.0)
    assert found.totals.service_s == pytest.approx(1_000.0, abs=30.0)


def test_what_the_driver_says_counts_where_nothing_was_recorded() -> None:
    arrived_s, departed_s = float(OFFICE.arrived_s[1]), float(OFFICE.departed_s[1])
    silent = dark(OFFICE, arrived_s - 60.0, departed_s + 60.0)

    untold, told = report(silent), report(silent, said=tapped(arrived_s, departed_s))
    # Twenty minutes earlier the vehicle was seen at the office.
    early = report(silent, said=tapped(arrived_s - 1_200.0, departed_s))

    assert untold.stops[2].status == "unknown"
    assert told.stops[2].evidence == early.stops[2].evidence == "driver_tap"
    assert told.totals.service_s - untold.totals.service_s == pytest.approx(300.0, abs=1.0)
    assert early.totals.service_s - told.totals.service_s == pytest.approx(60.0, abs=6.0)
    for totals in (told.totals, early.totals):
        assert totals.drive_s == untold.totals.drive_s


def test_what_the_driver_says_of_a_pause_is_no_shared_time() -> None:
    arrived_s, departed_s = float(OFFICE.arrived_s[1]), float(OFFICE.departed_s[1])
    shared_s = np.array([[START_S, arrived_s - 60.0], [departed_s + 60.0, OFFICE.until_s]])

    untold = report(OFFICE, shared_s=shared_s)
    told = report(OFFICE, said=tapped(arrived_s, departed_s), shared_s=shared_s)

    assert told.stops[2].evidence == "driver_tap"
    assert told.totals.service_s == untold.totals.service_s
