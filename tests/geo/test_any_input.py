"""Whatever is planned and recorded, there is a report, and its figures agree with each other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.plan_fact import Parameters, Plan, Taps, Track, plan_versus_fact
from geo.types import Floats

START_S = 1_790_000_000
LENGTH_S = 7_200
# 1e-7 degrees is the resolution of the wire; 200,000 of them are about 2 km.
HOMES = st.sampled_from([(76.9, 43.24), (180.0, -17.0), (25.0, 70.0), (0.0, 0.0)])
OFFSETS = st.tuples(st.integers(-200_000, 200_000), st.integers(-200_000, 200_000))
MOMENTS = st.integers(START_S, START_S + LENGTH_S)
FIXES = st.lists(st.tuples(MOMENTS, OFFSETS, st.integers(-1, 300)), max_size=60)


def places(home: tuple[float, float], offsets: list[tuple[int, int]]) -> Floats:
    lon_lat = np.array(home) + 1e-7 * np.array(offsets, dtype=np.float64).reshape(-1, 2)
    lon_lat[:, 0] = (lon_lat[:, 0] + 180.0) % 360.0 - 180.0
    return np.asarray(np.round(lon_lat, 7))


@st.composite
def plans(draw: st.DrawFn, home: tuple[float, float]) -> Plan:
    stops = draw(st.lists(OFFSETS, min_size=1, max_size=5))
    line = draw(st.none() | st.lists(OFFSETS, min_size=2, max_size=12))

    def moments() -> Floats:
        drawn = [draw(st.none() | MOMENTS) for _ in stops]
        return np.array([np.nan if moment is None else float(moment) for moment in drawn])

    return Plan(
        lon_lat=places(home, stops),
        radius_m=np.array([float(draw(st.integers(20, 300))) for _ in stops]),
        service_s=np.array([float(draw(st.integers(0, 900))) for _ in stops]),
        planned_arrival_s=moments(),
        window_from_s=moments(),
        window_to_s=moments(),
        line=None if line is None else places(home, line),
    )


def track_of(home: tuple[float, float], fixes: list[tuple[int, tuple[int, int], int]]) -> Track:
    return Track(
        time_s=np.array([float(moment) for moment, _, _ in fixes]),
        lon_lat=places(home, [offset for _, offset, _ in fixes]),
        accuracy_m=np.array(
            [float(claimed) if claimed >= 0 else np.nan for _, _, claimed in fixes]
        ),
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data(), home=HOMES, fixes=FIXES, running=st.booleans())
def test_there_is_always_a_report_whose_figures_agree(
    data: st.DataObject,
    home: tuple[float, float],
    fixes: list[tuple[int, tuple[int, int], int]],
    running: bool,  # noqa: FBT001
) -> None:
    plan = data.draw(plans(home))
    stops = len(plan.lon_lat)
    said = np.array([float(data.draw(st.none() | MOMENTS) or np.nan) for _ in range(3 * stops)])
    end_s = np.inf if running else float(START_S + LENGTH_S)
    begin_s, middle_s = float(START_S), float(data.draw(MOMENTS))

    found = plan_versus_fact(
        track_of(home, fixes),
        plan,
        shared_s=np.array([[begin_s, middle_s], [middle_s + 300.0, end_s]]),
        until_s=float(START_S + LENGTH_S),
        parameters=Parameters(speed_limit_mps=15.0),
        taps=Taps(
            arrived_s=said[:stops], done_s=said[stops : 2 * stops], failed_s=said[2 * stops :]
        ),
    )

    quality, totals = found.quality, found.totals
    assert quality.used + sum(quality.dropped.values()) == quality.fixes
    assert quality.coverage is None or 0.0 <= quality.coverage <= 1.0
    assert 0.0 <= totals.matched_m <= totals.actual_m + 1e-6
    assert min(totals.gap_m, totals.drive_s, totals.idle_s, totals.service_s, totals.wait_s) >= 0.0
    for rate in (totals.on_time_rate, totals.completion, totals.order_score, totals.compliance):
        assert rate is None or 0.0 <= rate <= 1.0
    spent_s = totals.drive_s + totals.service_s + totals.wait_s + totals.idle_s
    shared_s = (middle_s - begin_s) + max(begin_s + LENGTH_S - middle_s - 300.0, 0.0)
    assert spent_s <= shared_s + 1e-3
    visited = [stop for stop in found.stops if stop.status == "visited"]
    sequence = [stop.actual_sequence for stop in visited]
    assert sorted(rank for rank in sequence if rank is not None) == list(range(len(visited)))
    for stop in visited:
        if stop.arrived_s is not None and stop.departed_s is not None:
            assert stop.arrived_s <= stop.departed_s
        assert (stop.evidence == "driver_tap") == (stop.distance_m is None)
    for deviation in found.deviations:
        assert deviation.from_s <= deviation.to_s
        assert deviation.length_m >= 0.0
        assert np.isfinite(deviation.lon_lat).all()
        assert deviation.lon_lat.shape[0] >= 2
    for fast in found.speeding:
        assert fast.from_s < fast.to_s
        assert fast.max_mps > fast.limit_mps
    progress = found.progress
    assert progress.along_m is None or -1e-6 <= progress.along_m <= progress.length_m + 1e-6
    assert progress.eta == () or running
