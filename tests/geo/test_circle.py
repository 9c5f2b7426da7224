"""Passing through a circle, against haversines and bisections in plain Python."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geo.circle import Circle, Links, distances_m, passes
from tests.geo.circles import Fix, away_from, haversine_m, is_sharp, joined, stays

LINKS = Links(apart_s_max=120.0, speed_mps_max=70.0)
CENTRES = st.tuples(
    # Also within reach of a pole and of the antimeridian.
    st.sampled_from([0, 43_238_000, 70_000_000, -70_000_000, 89_990_000, -90_000_000])
    | st.integers(-90_000_000, 90_000_000),
    st.sampled_from([0, 180_000_000, -180_000_000, 179_999_990])
    | st.integers(-180_000_000, 180_000_000),
)
STEPS = st.tuples(
    st.integers(1, 150),  # seconds since the one before
    st.integers(-9_000, 9_000),  # metres east and north of the centre
    st.integers(-9_000, 9_000),
    st.integers(0, 9).map(lambda number: int(number == 9)),  # another part begins
)


def around(circle: Circle, steps: list[tuple[int, int, int, int]]) -> list[Fix]:
    """Return positions of one device, rounded as the wire does."""
    fixes, time_s, part = [], 0, 0
    for after_s, east_m, north_m, next_part in steps:
        time_s += after_s
        part += next_part
        lat, lon = away_from(circle.lat_deg, circle.lon_deg, east_m, north_m)
        fixes.append(Fix(time_s=time_s, lat=round(lat, 7), lon=round(lon, 7), part=part))
    return fixes


def passed(circle: Circle, fixes: list[Fix]) -> list[tuple[float, float, float, int]]:
    found = passes(
        circle,
        np.array([(fix.lon, fix.lat) for fix in fixes]).reshape(-1, 2),
        np.array([fix.time_s for fix in fixes], np.float64),
        np.array([fix.part for fix in fixes], np.intp),
        LINKS,
    )
    return [(one.entered_s, one.left_s, one.closest_m, one.positions) for one in found]


@given(centre=CENTRES, radius_m=st.integers(10, 5_000), steps=st.lists(STEPS, max_size=12))
def test_who_passes_and_when_is_what_plain_python_finds(
    centre: tuple[int, int], radius_m: int, steps: list[tuple[int, int, int, int]]
) -> None:
    circle = Circle(lat_deg=centre[0] / 1e6, lon_deg=centre[1] / 1e6, radius_m=radius_m)
    fixes = around(circle, steps)
    assume(is_sharp(circle, fixes, LINKS))

    found = passed(circle, fixes)

    expected = [stay for _, stay in joined(stays(circle, fixes, LINKS), apart_s_max=0.0)]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=5e-3)


@given(centre=CENTRES, east_m=st.integers(-9_000, 9_000), north_m=st.integers(-9_000, 9_000))
def test_distances_are_those_of_the_haversine_formula(
    centre: tuple[int, int], east_m: int, north_m: int
) -> None:
    circle = Circle(lat_deg=centre[0] / 1e6, lon_deg=centre[1] / 1e6, radius_m=1.0)
    lat, lon = away_from(circle.lat_deg, circle.lon_deg, east_m, north_m)

    found = distances_m(circle, np.array([[lon, lat]]))[0]

    expected = haversine_m(circle.lat_deg, circle.lon_deg, lat, lon)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-4)


def line(*places: tuple[float, float, float]) -> list[Fix]:
    """Return positions: seconds, metres east and north of the centre."""
    found = []
    for time_s, east_m, north_m in places:
        lat, lon = away_from(70.0, 179.999, east_m, north_m)
        found.append(Fix(time_s=time_s, lat=lat, lon=lon))
    return found


CIRCLE = Circle(lat_deg=70.0, lon_deg=179.999, radius_m=100.0)


def test_who_drives_through_between_two_positions_was_there() -> None:
    (found,) = passed(CIRCLE, line((0, -1_000, 60), (100, 1_000, 60)))

    # 80 m to each side of the middle, at 20 m/s.
    assert found == pytest.approx((46.0, 54.0, 60.0, 0), abs=0.01)


def test_a_gap_a_jump_and_another_window_are_no_drive() -> None:
    assert passed(CIRCLE, line((0, -1_000, 60), (121, 1_000, 60))) == []
    assert passed(CIRCLE, line((0, -1_000, 60), (28, 1_000, 60))) == []  # 71 m/s
    apart = line((0, -1_000, 60), (100, 1_000, 60))
    assert passed(CIRCLE, [apart[0], replace(apart[1], part=1)]) == []
    assert passed(CIRCLE, line((0, -1_000, 60), (50, 5_000, 9_000), (100, 1_000, 60))) == []


def test_who_stands_in_the_circle_is_there_all_the_time() -> None:
    (found,) = passed(CIRCLE, line(*((second, 30, 40) for second in range(0, 600, 60))))

    assert found == pytest.approx((0.0, 540.0, 50.0, 10), abs=1e-3)


def test_nobody_is_an_answer() -> None:
    assert passed(CIRCLE, []) == []
    assert passed(CIRCLE, line((0, 50_000, 0))) == []
