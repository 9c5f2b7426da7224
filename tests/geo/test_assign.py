import dataclasses
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.assign import Offered, Wanted, assign, cheapest_columns, in_order
from geo.types import Flags, Floats


def wanted(xy: list[tuple[float, float]], arrival_s: list[float] | None = None) -> Wanted:
    n = len(xy)
    return Wanted(
        xy=np.array(xy),
        radius_m=np.full(n, 40.0),
        service_s=np.full(n, 120.0),
        arrival_s=np.full(n, np.nan) if arrival_s is None else np.array(arrival_s),
    )


def offered(
    xy: list[tuple[float, float]], from_s: list[float], allowed: Flags | None = None, stops: int = 0
) -> Offered:
    return Offered(
        xy=np.array(xy, dtype=np.float64).reshape(-1, 2),
        from_s=np.array(from_s),
        dwell_s=np.full(len(xy), 120.0),
        allowed=np.ones((stops or len(xy), len(xy)), dtype=bool) if allowed is None else allowed,
    )


FAR = [(0.0, 0.0), (1_000.0, 0.0), (2_000.0, 0.0)]


def test_each_stop_gets_the_visit_beside_it() -> None:
    served, distance_m = assign(wanted(FAR), offered(FAR, [0.0, 500.0, 900.0]), sigma_m=5.0)

    assert served.tolist() == [0, 1, 2]
    assert distance_m == pytest.approx([0.0, 0.0, 0.0])


def test_out_of_order_is_found() -> None:
    served, _ = assign(
        wanted(FAR), offered([FAR[2], FAR[0], FAR[1]], [0.0, 500.0, 900.0]), sigma_m=5.0
    )

    assert served.tolist() == [1, 2, 0]


def test_a_stop_without_a_visit_near_is_nobodys() -> None:
    served, distance_m = assign(
        wanted(FAR), offered([FAR[0], FAR[2]], [0.0, 500.0], stops=3), sigma_m=5.0
    )

    assert served.tolist() == [0, -1, 1]
    assert np.isnan(distance_m[1])


def test_two_customers_share_one_parking_place() -> None:
    served, _ = assign(
        wanted([(0.0, 0.0), (30.0, 0.0)]), offered([(15.0, 0.0)], [0.0], stops=2), sigma_m=5.0
    )

    assert served.tolist() == [0, 0]


def test_stops_at_one_place_take_the_visits_in_the_order_of_time() -> None:
    depot, customer = (0.0, 0.0), (5_000.0, 0.0)

    served, _ = assign(
        wanted([depot, customer, depot]),
        offered([depot, customer, depot], [0.0, 3_600.0, 7_200.0]),
        sigma_m=5.0,
    )

    assert served.tolist() == [0, 1, 2]


def test_the_plan_decides_which_of_two_visits_at_a_place_was_meant() -> None:
    served, _ = assign(
        wanted([(0.0, 0.0)], arrival_s=[20_000.0]),
        offered([(0.0, 0.0), (0.0, 0.0)], [0.0, 19_000.0], stops=1),
        sigma_m=5.0,
    )

    assert served.tolist() in ([0], [1])
    on_time, _ = assign(
        wanted([(3_000.0, 0.0), (0.0, 0.0)], arrival_s=[10_000.0, 20_000.0]),
        offered([(0.0, 0.0), (3_000.0, 0.0), (0.0, 0.0)], [0.0, 10_100.0, 20_100.0], stops=2),
        sigma_m=5.0,
    )
    assert on_time.tolist() == [1, 2]


def test_at_one_place_time_decides_even_against_the_dwell() -> None:
    here = [(0.0, 0.0), (0.0, 0.0)]
    stops = dataclasses.replace(wanted(here), service_s=np.array([3_600.0, 30.0]))
    visits = dataclasses.replace(offered(here, [0.0, 5_000.0]), dwell_s=np.array([60.0, 3_600.0]))

    served, _ = assign(stops, visits, sigma_m=5.0)

    assert served.tolist() == [0, 1]


def test_out_of_order_the_visit_nearest_to_the_planned_time_is_taken() -> None:
    first, second, early = (0.0, 0.0), (3_000.0, 0.0), (6_000.0, 0.0)

    served, _ = assign(
        wanted([first, second, early], arrival_s=[10_000.0, 20_000.0, 9_000.0]),
        offered([early, early, first, second], [100.0, 9_000.0, 10_000.0, 20_000.0], stops=3),
        sigma_m=5.0,
    )

    assert served.tolist() == [2, 3, 1]


def test_a_visit_that_is_no_evidence_serves_nobody() -> None:
    served, _ = assign(
        wanted(FAR[:1]),
        offered(FAR[:1], [0.0], allowed=np.zeros((1, 1), dtype=bool)),
        sigma_m=5.0,
    )

    assert served.tolist() == [-1]


def test_without_visits_nobody_is_served() -> None:
    served, _ = assign(wanted(FAR), offered([], [], stops=3), sigma_m=5.0)

    assert served.tolist() == [-1, -1, -1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_cheapest_of_all(rows: int, spare: int, seed: int) -> None:
    costs: Floats = np.random.default_rng(seed).integers(0, 20, (rows, rows + spare)).astype(float)

    columns = cheapest_columns(costs)

    assert len(set(columns.tolist())) == rows
    cheapest = min(
        sum(costs[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(rows + spare), rows)
    )
    assert costs[np.arange(rows), columns].sum() == pytest.approx(cheapest)


@given(st.lists(st.integers(0, 9), max_size=8))
def test_in_order_is_increasing_and_none_is_longer(sequence: list[int]) -> None:
    flags = in_order(np.array(sequence, dtype=np.float64))

    chosen = np.array(sequence)[flags]
    assert (np.diff(chosen) > 0).all()
    longest = max(
        (
            size
            for size in range(len(sequence) + 1)
            for part in combinations(sequence, size)
            if all(a < b for a, b in pairwise(part))
        ),
        default=0,
    )
    assert flags.sum() == longest
