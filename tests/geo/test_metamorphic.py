"""What must not change a report, and what may change it only so much."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.plan_fact import Parameters, Plan, PlanFact, Taps, Track, plan_versus_fact
from geo.types import Floats, Indices
from tests.geo.days import HOME, Day, make_day

MOMENTS = {"from_s", "to_s", "entered_s", "arrived_s", "departed_s", "exited_s", "tapped_s"}
MOMENTS |= {"p10_s", "p50_s", "p90_s"}
PLACES = {"lon", "lat", "lon_lat"}
STRICT = Parameters(speed_limit_mps=12.0)


def report(day: Day, *, running: bool = False) -> PlanFact:
    done_s = np.where(np.arange(len(day.arrived_s)) == 1, day.departed_s, np.nan)
    shared_s = day.shared_s + np.array([[0.0, np.inf]]) if running else day.shared_s
    return plan_versus_fact(
        day.track,
        day.plan,
        shared_s=shared_s,
        until_s=day.until_s,
        parameters=STRICT,
        taps=Taps(arrived_s=done_s - 60.0, done_s=done_s, failed_s=np.full(len(done_s), np.nan)),
    )


def taken(track: Track, at: Indices) -> Track:
    return Track(
        time_s=track.time_s[at], lon_lat=track.lon_lat[at], accuracy_m=track.accuracy_m[at]
    )


def figures(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Walk through all there is in a report."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from figures(getattr(value, field.name), field.name)
    elif isinstance(value, tuple):
        yield name, len(value)
        for item in value:
            yield from figures(item, name)
    elif isinstance(value, np.ndarray):
        yield name, value.tolist()
    else:
        yield name, value


def shifted(plan: Plan, shift_s: float) -> Plan:
    return dataclasses.replace(
        plan,
        planned_arrival_s=plan.planned_arrival_s + shift_s,
        window_from_s=plan.window_from_s + shift_s,
        window_to_s=plan.window_to_s + shift_s,
    )


def moved(day: Day, shift_s: float) -> Day:
    return dataclasses.replace(
        day,
        plan=shifted(day.plan, shift_s),
        track=dataclasses.replace(day.track, time_s=day.track.time_s + shift_s),
        arrived_s=day.arrived_s + shift_s,
        departed_s=day.departed_s + shift_s,
        shared_s=day.shared_s + shift_s,
        until_s=day.until_s + shift_s,
    )


def eventful(seed: int, *, step_s: float = 5.0, home: Floats = HOME) -> Day:
    """A day with a missed stop, and a plan that leads elsewhere for a while."""
    day = make_day(seed, stops=6, step_s=step_s, missed=(2,), home=home)
    assert day.plan.line is not None
    line = day.plan.line.copy()
    line[12:15, 1] += 0.004
    return dataclasses.replace(day, plan=dataclasses.replace(day.plan, line=line))


@settings(max_examples=8, deadline=None)
@given(
    day_seed=st.integers(0, 3), seed=st.integers(0, 2**32 - 1), step_s=st.sampled_from([5.0, 30.0])
)
def test_shuffled_and_doubled_is_the_same_report(day_seed: int, seed: int, step_s: float) -> None:
    day = eventful(day_seed, step_s=step_s)
    fixes = np.tile(np.arange(len(day.track.time_s)), 2)
    order = np.random.default_rng(seed).permutation(fixes)

    found = report(dataclasses.replace(day, track=taken(day.track, order)))

    assert repr(found) == repr(report(day))
    assert {one.kind for one in found.deviations} >= {"off_corridor"} or step_s > 5.0
    assert found.speeding or step_s > 5.0


@settings(max_examples=6, deadline=None)
@given(shift_s=st.integers(-(10**8), 10**8), running=st.booleans())
def test_time_shifted_is_shifted_only(shift_s: int, running: bool) -> None:  # noqa: FBT001
    day = eventful(1)

    before = list(figures(report(day, running=running)))
    after = list(figures(report(moved(day, float(shift_s)), running=running)))

    assert [name for name, _ in before] == [name for name, _ in after]
    for (name, one), (_, other) in zip(before, after, strict=True):
        if isinstance(one, float) and isinstance(other, float):
            expected = one + shift_s if name in MOMENTS else one
            # Unix seconds in a float are good to a microsecond.
            assert other == pytest.approx(
                expected, abs=2e-3, rel=1e-5 if name not in MOMENTS else 0
            )
        elif name not in PLACES:
            assert one == other


@pytest.mark.parametrize("east_deg", [103.095, 179.99 - 76.9, -76.9])
def test_elsewhere_on_the_same_latitude_is_the_same_report(east_deg: float) -> None:
    here = eventful(2)
    there = eventful(2, home=np.array([76.9 + east_deg, 43.24]))
    if east_deg > 103.0:
        assert there.plan.line is not None
        assert np.ptp(there.plan.line[:, 0]) > 300.0  # over the antimeridian

    before, after = list(figures(report(here))), list(figures(report(there)))

    assert [name for name, _ in before] == [name for name, _ in after]
    for (name, one), (_, other) in zip(before, after, strict=True):
        if isinstance(one, float) and isinstance(other, float):
            if name not in PLACES:
                # Fixes are rounded to 1e-7 degrees, elsewhere otherwise.
                assert math.isclose(one, other, rel_tol=0.02, abs_tol=3.0), name
        elif name not in PLACES:
            assert one == other, name


@pytest.mark.parametrize("step_s", [5.0, 15.0])
@pytest.mark.parametrize("seed", range(4))
def test_every_second_fix_removed_is_the_same_statuses(seed: int, step_s: float) -> None:
    day = make_day(seed, missed=(2, 6), step_s=step_s, outliers=0.0)
    # The first and the last one stay about where they were.
    every_second = np.arange(len(day.track.time_s) - 1, -1, -2)[::-1]
    half = dataclasses.replace(day, track=taken(day.track, every_second))

    whole, halved = report(day), report(half)

    assert [stop.status for stop in halved.stops] == [stop.status for stop in whole.stops]
    assert halved.deviations == whole.deviations == ()
    assert halved.totals.actual_m == pytest.approx(whole.totals.actual_m, rel=0.01)


@pytest.mark.parametrize("step_s", [5.0, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_hour_parked_at_the_end_is_the_same_distance(seed: int, step_s: float) -> None:
    day = make_day(seed, stops=5, step_s=step_s, outliers=0.0)
    hour_s = np.arange(step_s, 3_600.0, step_s)
    rng = np.random.default_rng(seed)
    parked = np.repeat(day.track.lon_lat[-1:], len(hour_s), axis=0)
    longer = Track(
        time_s=np.append(day.track.time_s, day.track.time_s[-1] + hour_s),
        lon_lat=np.concatenate([day.track.lon_lat, parked + 4e-5 * rng.normal(size=parked.shape)]),
        accuracy_m=np.full(len(day.track.time_s) + len(hour_s), 7.5),
    )
    shared_s = day.shared_s + np.array([[0.0, 3_600.0]])

    found = report(
        dataclasses.replace(day, track=longer, shared_s=shared_s, until_s=day.until_s + 3_600.0)
    )

    assert found.totals.actual_m == pytest.approx(report(day).totals.actual_m, abs=20.0)
    assert found.deviations == ()
