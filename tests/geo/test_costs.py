"""What the largest plans and tracks cost: seconds of a processor and bytes, with room to spare."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

import numpy as np
import pytest

from geo import live
from geo.assign import Wanted
from geo.candidates import SLOW_MAX
from geo.clean import Cleaned, clean
from geo.drive import prepare
from geo.plan_fact import plan_versus_fact
from geo.types import Floats
from geo.values import DEFAULT, Plan, Track
from geo.visits import choose, offer
from tests.geo.days import START_S, make_plan, plane_at

PLANE = plane_at()
STOPS = 500
FIXES = 100_000


@dataclass
class Spent:
    cpu_s: float = 0.0
    most_bytes: int = 0


@contextmanager
def spending() -> Iterator[Spent]:
    spent = Spent()
    began_s = process_time()
    yield spent
    spent.cpu_s = process_time() - began_s


@contextmanager
def allocating() -> Iterator[Spent]:
    """Measure the memory; that makes everything slower."""
    spent = Spent()
    tracemalloc.start()
    try:
        yield spent
        spent.most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def track(time_s: Floats, xy: Floats) -> Track:
    return Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(xy),
        accuracy_m=np.full(len(time_s), 7.5),
    )


def coming_and_going(fixes: int, *, step_s: float) -> Track:
    """Stand at the origin for three minutes, drive off and come back for two, and so on."""
    time_s = step_s * np.arange(float(fixes))
    phase_s = time_s % 300.0
    away_m = 10.0 * np.maximum(np.minimum(phase_s - 180.0, 300.0 - phase_s), 0.0)
    xy = np.column_stack([away_m, np.zeros(fixes)])
    return track(time_s, xy + np.random.default_rng(1).normal(0.0, 4.0, xy.shape))


def one_place(spread_m: float, until_s: float) -> Plan:
    """Plan five hundred stops within so many metres, one after the other."""
    xy = np.random.default_rng(2).uniform(-spread_m, spread_m, (STOPS, 2))
    planned_s = np.linspace(START_S, until_s, STOPS)
    return make_plan(PLANE.to_lon_lat(xy), planned_arrival_s=planned_s)


@pytest.mark.parametrize("spread_m", [0.0, 60.0])
def test_five_hundred_stops_at_one_place_and_a_day_of_coming_and_going_take_seconds(
    spread_m: float,
) -> None:
    day = coming_and_going(FIXES, step_s=1.0)
    end_s = float(day.time_s[-1])

    with spending() as spent:
        found = plan_versus_fact(
            day, one_place(spread_m, end_s), shared_s=np.array([[START_S, end_s]]), until_s=end_s
        )

    assert spent.cpu_s < (10.0 if spread_m == 0.0 else 40.0)
    assert sum(stop.status == "visited" for stop in found.stops) > STOPS // 2


@pytest.mark.parametrize("spread_m", [0.0, 60.0])
def test_a_refresh_with_five_hundred_stops_at_one_place_takes_no_second(spread_m: float) -> None:
    day = coming_and_going(180, step_s=5.0)
    state = live.begin(one_place(spread_m, float(day.time_s[-1])))
    refreshes = 0

    with spending() as spent:
        for fixes in np.array_split(np.arange(len(day.time_s)), 30):
            now_s = float(day.time_s[fixes[-1]])
            new = Track(
                time_s=day.time_s[fixes],
                lon_lat=day.lon_lat[fixes],
                accuracy_m=day.accuracy_m[fixes],
            )
            state = live.advance(state, new, shared_s=np.array([[START_S, np.inf]]), until_s=now_s)
            refreshes += 1

    assert (state.stops.order >= 0).any()
    assert spent.cpu_s / refreshes < 0.5


def crawling() -> tuple[Cleaned, Wanted]:
    """Crawl round and round, fifty times through five hundred large circles."""
    time_s = np.arange(0.0, 200_000.0, 10.0)
    angle = 2.0 * np.pi * time_s / 4_000.0
    day = track(time_s, 1_000.0 * np.column_stack([np.cos(angle), np.sin(angle)]))
    rng = np.random.default_rng(3)
    wanted = Wanted(
        xy=rng.uniform(800.0, 1_200.0, (STOPS, 2)),
        radius_m=rng.uniform(600.0, 1_000.0, STOPS),
        service_s=np.full(STOPS, 120.0),
        arrival_s=np.full(STOPS, np.nan),
    )
    until_s = float(day.time_s[-1])
    shared_s = np.array([[START_S, until_s]])
    return clean(day, PLANE, shared_s=shared_s, until_s=until_s), wanted


def test_crawling_among_large_circles_all_day_takes_bounded_memory() -> None:
    cleaned, wanted = crawling()
    driven = prepare(cleaned, DEFAULT)

    with allocating() as spent, spending() as took:
        visits, passes = offer(driven, wanted, DEFAULT)
        choose(visits, passes, wanted, sigma_m=driven.sigma_m, parameters=DEFAULT)

    slow = visits.own_stop[visits.own_stop >= 0]
    assert len(passes.stop) > 10 * SLOW_MAX
    assert 0 < len(slow) <= SLOW_MAX
    assert np.bincount(slow, minlength=STOPS).max() <= SLOW_MAX // STOPS
    assert spent.most_bytes < 350e6
    assert took.cpu_s < 120.0


def test_fifty_thousand_vertices_in_one_yard_and_a_day_of_rounds_take_seconds() -> None:
    """As a sweeper or a plough is planned: no place of the line can be told from the next."""
    time_s = np.arange(8_000.0)
    angle = time_s / 10.0
    day = track(time_s, 50.0 * np.column_stack([np.cos(angle), np.sin(angle)]))
    yard = np.random.default_rng(4).uniform(-70.0, 70.0, (50_000, 2))
    plan = make_plan(PLANE.to_lon_lat(np.zeros((1, 2))), line=PLANE.to_lon_lat(yard))
    end_s = float(day.time_s[-1])

    with allocating() as spent, spending() as took:
        found = plan_versus_fact(day, plan, shared_s=np.array([[START_S, end_s]]), until_s=end_s)

    assert "off_corridor" not in {deviation.kind for deviation in found.deviations}
    assert spent.most_bytes < 500e6
    assert took.cpu_s < 60.0
