"""Days that break rules of radius and dwell: what the whole report makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Floats
from geo.values import Track, Work
from tests.geo.days import START_S, make_plan, noise, plane_at
from tests.geo.rounds import Round, drive_round

PLANE = plane_at()
OFFICE = (0.0, 0.0)


def report(
    day: Round,
    stops: list[tuple[float, float]],
    *,
    service_s: list[float] | None = None,
    planned_s: Floats | float = np.nan,
) -> PlanFact:
    plan = make_plan(
        PLANE.to_lon_lat(np.array(stops)),
        service_s=np.nan if service_s is None else np.array(service_s),
        planned_arrival_s=planned_s,
    )
    shared_s = np.array([[START_S, day.until_s]])
    return plan_versus_fact(
        day.track,
        plan,
        shared_s=shared_s,
        until_s=day.until_s + 3_600.0,
        work=Work(done_s=day.until_s),
    )


def statuses(found: PlanFact) -> list[str]:
    return [stop.status for stop in found.stops]


def times(found: PlanFact) -> tuple[Floats, Floats]:
    def known(value: float | None) -> float:
        return np.nan if value is None else value

    return (
        np.array([known(stop.arrived_s) for stop in found.stops]),
        np.array([known(stop.departed_s) for stop in found.stops]),
    )


def test_two_customers_of_one_building_are_served_from_one_halt() -> None:
    day = drive_round([(0.0, 0.0, 300.0), (2_000.0, 0.0, 600.0), (4_000.0, 0.0, 300.0)])

    found = report(
        day,
        [OFFICE, (2_000.0, 5.0), (2_003.0, 0.0), (4_000.0, 0.0)],
        service_s=[300.0, 300.0, 300.0, 300.0],
    )

    assert statuses(found) == ["visited"] * 4
    arrived_s, departed_s = times(found)
    assert arrived_s[1] == arrived_s[2] == pytest.approx(day.arrived_s[1], abs=10.0)
    assert departed_s[1] == departed_s[2] == pytest.approx(day.departed_s[1], abs=10.0)


@pytest.mark.parametrize("waited_s", [3_540.0, 3.0 * 3_600.0])
@pytest.mark.parametrize("seen_from_s", [-600.0, 60.0])
def test_who_waits_at_the_depot_until_the_day_begins_is_there_in_time(
    waited_s: float, seen_from_s: float
) -> None:
    """All of the wait is one halt, whether the arrival was recorded or not."""
    day = drive_round(
        [(0.0, 0.0, waited_s + 900.0), *((x, 0.0, 300.0) for x in (3_000.0, 6_000.0, 9_000.0))]
    )
    heard = day.track.time_s >= day.arrived_s[0] + seen_from_s
    day = replace(
        day,
        track=Track(
            time_s=day.track.time_s[heard],
            lon_lat=day.track.lon_lat[heard],
            accuracy_m=day.track.accuracy_m[heard],
        ),
    )

    found = report(
        day,
        [OFFICE, (3_000.0, 0.0), (6_000.0, 0.0), (9_000.0, 0.0)],
        service_s=[300.0] * 4,
        planned_s=np.append(day.arrived_s[0] + waited_s, day.arrived_s[1:]),
    )

    assert statuses(found) == ["visited"] * 4
    assert found.stops[0].departed_s == pytest.approx(day.departed_s[0], abs=15.0)
    assert found.unplanned == ()


def test_a_stop_beside_one_that_was_served_is_missed() -> None:
    """The halt was as long as one of them takes, and the other is a way off."""
    day = drive_round([(0.0, 0.0, 300.0), (2_000.0, 0.0, 300.0), (4_000.0, 0.0, 300.0)])

    found = report(
        day,
        [OFFICE, (2_000.0, 5.0), (2_055.0, 15.0), (4_000.0, 0.0)],
        service_s=[300.0, 300.0, 600.0, 300.0],
        planned_s=np.append(day.arrived_s[:2], [day.arrived_s[1] + 400.0, day.arrived_s[2]]),
    )

    assert statuses(found) == ["visited", "visited", "missed", "visited"]


@pytest.mark.parametrize("sigma_m", [5.0, 10.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neighbours_served_one_after_the_other_have_their_own_times(
    sigma_m: float, seed: int
) -> None:
    day = drive_round(
        [(0.0, 0.0, 300.0), (2_000.0, 0.0, 240.0), (2_045.0, 0.0, 300.0)],
        sigma_m=sigma_m,
        seed=seed,
    )

    found = report(
        day,
        [OFFICE, (2_000.0, 8.0), (2_045.0, -8.0)],
        service_s=[300.0, 240.0, 300.0],
    )

    arrived_s, departed_s = times(found)
    assert arrived_s == pytest.approx(day.arrived_s, abs=30.0)
    assert departed_s == pytest.approx(day.departed_s, abs=30.0)


@pytest.mark.parametrize("served", [2, 3])
def test_the_same_address_three_times(served: int) -> None:
    halts = [OFFICE, (2_000.0, 0.0), OFFICE, (2_500.0, 0.0), OFFICE][: 2 * served - 1]
    day = drive_round([(x, y, 240.0) for x, y in halts])
    planned_s = np.append(day.arrived_s, day.until_s + 3_600.0 * np.arange(1, 6 - len(halts)))

    found = report(
        day,
        [OFFICE, (2_000.0, 0.0), OFFICE, (2_500.0, 0.0), OFFICE],
        service_s=[240.0] * 5,
        planned_s=planned_s,
    )

    assert statuses(found)[: len(halts)] == ["visited"] * len(halts)
    assert "visited" not in statuses(found)[len(halts) :]
    assert times(found)[0][: len(halts)] == pytest.approx(day.arrived_s, abs=10.0)


@pytest.mark.parametrize("seed", range(4))
def test_two_of_five_stops_in_another_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = np.column_stack([1_000.0 * np.arange(10), np.zeros(10)])
    order = np.arange(10)
    moved = np.sort(rng.choice(10, 4, replace=False))
    order[moved] = np.roll(moved, 1)
    day = drive_round([(*places[stop], 200.0) for stop in order.tolist()])
    planned_s = np.array([START_S + 500.0 * stop for stop in range(10)])

    found = report(
        day,
        [(float(x), float(y)) for x, y in places],
        service_s=[200.0] * 10,
        planned_s=planned_s,
    )

    assert statuses(found) == ["visited"] * 10
    assert [stop.actual_sequence for stop in found.stops] == np.argsort(order).tolist()


def dark(day: Round, from_s: float, to_s: float) -> Round:
    """Return the day without the fixes between two times."""
    kept = (day.track.time_s < from_s) | (day.track.time_s > to_s)
    return replace(
        day,
        track=Track(
            time_s=day.track.time_s[kept],
            lon_lat=day.track.lon_lat[kept],
            accuracy_m=day.track.accuracy_m[kept],
        ),
    )


def test_a_phone_off_at_the_arrival_tells_it_with_its_uncertainty_or_not_at_all() -> None:
    day = drive_round([(0.0, 0.0, 300.0), (2_000.0, 0.0, 2_400.0), (4_000.0, 0.0, 300.0)])
    stops = [OFFICE, (2_000.0, 0.0), (4_000.0, 0.0)]

    short = report(dark(day, day.arrived_s[1] - 60.0, day.arrived_s[1] + 120.0), stops)
    long = report(dark(day, day.arrived_s[1] - 60.0, day.arrived_s[1] + 1_800.0), stops)

    assert statuses(short) == statuses(long) == ["visited"] * 3
    assert short.stops[1].arrived_s is not None
    assert short.stops[1].arrival_uncertainty_s is not None
    off_s = abs(short.stops[1].arrived_s - day.arrived_s[1])
    assert off_s <= short.stops[1].arrival_uncertainty_s <= 300.0
    assert long.stops[1].arrived_s is None
    assert long.stops[1].departed_s == pytest.approx(day.departed_s[1], abs=10.0)


def test_reflections_at_a_halt_do_not_part_it() -> None:
    day = drive_round([(0.0, 0.0, 900.0), (3_000.0, 0.0, 300.0)])
    during = (day.track.time_s > day.arrived_s[0] + 300.0) & (
        day.track.time_s < day.arrived_s[0] + 370.0
    )
    xy = PLANE.to_xy(day.track.lon_lat)
    xy[during] += [60.0, 30.0]
    day = replace(day, track=replace(day.track, lon_lat=PLANE.to_lon_lat(xy)))

    found = report(day, [OFFICE, (3_000.0, 0.0)], service_s=[900.0, 300.0])

    arrived_s, departed_s = times(found)
    assert arrived_s == pytest.approx(day.arrived_s, abs=10.0)
    assert departed_s == pytest.approx(day.departed_s, abs=10.0)
    assert found.unplanned == ()


@pytest.mark.parametrize("step_s", [5.0, 30.0, 60.0])
def test_a_wild_fix_during_a_halt_does_not_part_it(step_s: float) -> None:
    day = drive_round([(0.0, 0.0, 1_800.0), (3_000.0, 0.0, 600.0)], step_s=step_s)
    wild = int(np.searchsorted(day.track.time_s, day.arrived_s[0] + 700.0))
    xy = PLANE.to_xy(day.track.lon_lat)
    xy[wild] += [400.0, 0.0]
    day = replace(day, track=replace(day.track, lon_lat=PLANE.to_lon_lat(xy)))

    found = report(day, [OFFICE, (3_000.0, 0.0)], service_s=[1_800.0, 600.0])

    arrived_s, departed_s = times(found)
    assert arrived_s == pytest.approx(day.arrived_s, abs=max(10.0, 0.5 * step_s))
    assert departed_s == pytest.approx(day.departed_s, abs=max(10.0, 0.5 * step_s))


@pytest.mark.parametrize("step_s", [1.0, 5.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("sigma_m", [5.0, 10.0, 20.0, 30.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_hour_at_one_place_counts_no_more_than_twenty_metres(
    step_s: float, sigma_m: float, seed: int
) -> None:
    time_s = np.arange(0.0, 3_600.0, step_s)
    track = Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(noise(np.random.default_rng(seed), time_s, sigma_m)),
        accuracy_m=np.full(len(time_s), 1.5 * sigma_m),
    )
    plan = make_plan(PLANE.to_lon_lat(np.zeros((1, 2))))
    shared_s = START_S + np.array([[0.0, 3_600.0]])

    found = plan_versus_fact(track, plan, shared_s=shared_s, until_s=START_S + 3_600.0)

    assert found.totals.actual_m + found.totals.gap_m <= 20.0
    assert statuses(found) == ["visited"]
