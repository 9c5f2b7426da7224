from dataclasses import replace
from itertools import product
from math import log
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.sharing import Costs, _Search, improve
from geo.types import Floats, Indices

MISS, SHARE = 9.0, 3.5


def costs(unary: Floats, service_s: list[float], dwell_s: list[float]) -> Costs:
    return Costs(
        unary=unary,
        service_s=np.array(service_s),
        dwell_s=np.array(dwell_s),
        arrival_s=np.full(len(service_s), np.nan),
        miss=MISS,
        share=SHARE,
        spread=0.5,
        dwell_max=4.0,
    )


def total(served: Indices, what: Costs) -> float:
    """Add up what an assignment costs, by the definition."""
    cost = MISS * float(np.count_nonzero(served < 0))
    for visit, dwell_s in enumerate(what.dwell_s):
        stops = np.flatnonzero(served == visit)
        if not len(stops):
            continue
        cost += float(what.unary[stops, visit].sum()) + SHARE * (len(stops) - 1)
        service_s = float(what.service_s[stops].sum())
        if service_s > 0.0:
            cost += min(0.5 * (log(dwell_s / service_s) / 0.5) ** 2, 4.0)
    return cost


def test_a_visit_as_long_as_both_services_together_is_shared() -> None:
    unary, far = np.array([[1.0], [3.0]]), np.array([[1.0], [5.0]])

    long = improve(np.array([0, -1]), costs(unary, [300.0, 300.0], [600.0]))
    short = improve(np.array([0, -1]), costs(far, [300.0, 300.0], [300.0]))

    assert long.tolist() == [0, 0]
    assert short.tolist() == [0, -1]


def test_stops_planned_hours_apart_share_no_visit() -> None:
    what = costs(np.array([[1.0], [2.0]]), [300.0, 300.0], [600.0])

    together = improve(np.array([0, -1]), replace(what, arrival_s=np.array([0.0, 400.0])))
    apart = improve(np.array([0, -1]), replace(what, arrival_s=np.array([0.0, 7_200.0])))

    assert together.tolist() == [0, 0]
    assert apart.tolist() == [0, -1]


def test_stops_exchange_their_visits() -> None:
    unary = np.array([[4.0, 0.0], [0.0, 4.0]])

    assert improve(np.array([0, 1]), costs(unary, [60.0, 60.0], [60.0, 60.0])).tolist() == [1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_it_is_never_dearer_and_no_single_move_is_cheaper(
    stops: int, visits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    unary = rng.uniform(0.0, 12.0, (stops, visits))
    what = costs(
        unary, rng.uniform(60.0, 600.0, stops).tolist(), rng.uniform(60.0, 900.0, visits).tolist()
    )
    start = np.array(
        [int(visit) if visit >= 0 and unary[stop, visit] < MISS else -1
         for stop, visit in enumerate(rng.integers(-1, visits, stops))]
    )  # fmt: skip

    found = improve(start, what)

    assert total(found, what) <= total(start, what) + 1e-9
    for stop, visit in product(range(stops), range(-1, visits)):
        other = found.copy()
        other[stop] = visit
        if visit < 0 or unary[stop, visit] < MISS:
            assert total(found, what) <= total(other, what) + 1e-9


def test_without_planned_services_only_places_and_times_count() -> None:
    unary = np.array([[1.0], [1.0]])

    found = improve(np.array([0, -1]), costs(unary, [np.nan, 60.0], [60.0]))

    assert found.tolist() == [0, 0]
    assert total(found, costs(unary, [np.nan, 60.0], [60.0])) == pytest.approx(2.0 + SHARE)


def test_a_hundred_orders_for_one_building_share_its_one_visit() -> None:
    what = costs(np.full((100, 1), 1.0), [60.0] * 100, [6_000.0])

    found = improve(np.array([0] + [-1] * 99), what)

    assert found.tolist() == [0] * 100


def test_five_hundred_stops_and_a_hundred_visits_at_one_place_take_seconds() -> None:
    rng = np.random.default_rng(4)
    what = costs(
        rng.uniform(0.0, 8.0, (500, 100)),
        rng.uniform(60.0, 600.0, 500).tolist(),
        rng.uniform(60.0, 3_600.0, 100).tolist(),
    )
    start = np.arange(500) % 100
    began_s = process_time()

    found = improve(start, what)

    assert process_time() - began_s < 10.0  # of one core
    assert total(found, what) < total(start, what)


def test_exchanges_are_counted_and_end() -> None:
    rng = np.random.default_rng(5)
    what = costs(rng.uniform(0.0, 8.0, (200, 60)), [300.0] * 200, [900.0] * 60)
    search = _Search(np.arange(200) % 60, what)
    search.exchanges_left = 50

    search.exchange()

    assert search.exchanges_left == 0
    assert not search.exchange()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_cost_of_a_group_is_kept_while_stops_come_and_go(stops: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    what = replace(
        costs(np.zeros((stops, 2)), [300.0] * stops, [600.0, 900.0]),
        service_s=rng.choice([np.nan, 60.0, 300.0], stops),
        arrival_s=rng.choice([np.nan, 0.0, 1_000.0, 5_000.0], stops),
    )
    search = _Search(np.full(stops, -1), what)
    for stop, visit in zip(
        rng.integers(0, stops, 20).tolist(), rng.integers(-1, 2, 20).tolist(), strict=True
    ):
        search.put(stop, visit)

    for visit, group in enumerate(search.groups):
        fresh = _Search(np.where(np.array(search.served) == visit, visit, -1), what)
        assert group.cost == pytest.approx(fresh.groups[visit].cost)
