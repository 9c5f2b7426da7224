import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geo.plane import Plane, metres_per_degree, refuse_unusable, segment_lengths_m
from geo.types import Floats

WGS84 = Geod(ellps="WGS84")
# 1e-7 degrees is the resolution of the wire.
LATITUDES = st.integers(-700_000_000, 700_000_000)
LONGITUDES = st.integers(-1_800_000_000, 1_800_000_000)


@settings(deadline=None)
@given(
    lon=LONGITUDES,
    lat=LATITUDES,
    bearing=st.integers(0, 359),
    reach_m=st.sampled_from([1, 100, 10_000, 100_000]),
)
def test_segment_lengths_agree_with_the_geodesic(
    lon: int, lat: int, bearing: int, reach_m: int
) -> None:
    start = np.array([lon, lat]) * 1e-7
    end_lon, end_lat, _ = WGS84.fwd(start[0], start[1], bearing, reach_m)
    if abs(end_lat) > 70.0:
        return

    measured = segment_lengths_m(np.array([start, [end_lon, end_lat]]))[0]

    assert measured == pytest.approx(reach_m, rel=1e-5 if reach_m <= 10_000 else 1e-3)


@settings(deadline=None)
@given(
    lat=st.integers(-70, 70),
    east=st.integers(-10_000, 10_000),
    north=st.integers(-10_000, 10_000),
)
def test_plane_is_exact_to_the_stated_share_within_ten_kilometres(
    lat: int, east: int, north: int
) -> None:
    plane = Plane.around(np.array([[76.9, float(lat)]]))
    lon_lat = plane.to_lon_lat(np.array([[float(east), float(north)]]))

    _, _, true_m = WGS84.inv(76.9, lat, *lon_lat[0])

    bound = 1e-4 + np.tan(np.radians(abs(lat))) * abs(north) / 6.3e6
    assert np.hypot(east, north) == pytest.approx(true_m, rel=float(bound), abs=1e-6)


@pytest.mark.parametrize(("north_m", "east_share"), [(10_000.0, 0.002), (60_000.0, 0.01)])
def test_far_from_its_centre_the_plane_is_as_far_off_as_it_says(
    north_m: float, east_share: float
) -> None:
    plane = Plane.around(np.array([[76.9, 45.0]]))
    for up_m in (north_m, -north_m):
        here, up, east = plane.to_lon_lat(np.array([[0.0, 0.0], [0.0, up_m], [1_000.0, up_m]]))

        true_north_m = WGS84.inv(*here, *up)[2]
        true_east_m = WGS84.inv(*up, *east)[2]

        assert true_north_m == pytest.approx(north_m, rel=5e-4)
        assert true_east_m == pytest.approx(1_000.0, rel=east_share)


@given(lon=LONGITUDES, lat=LATITUDES)
def test_there_and_back_is_the_same_place(lon: int, lat: int) -> None:
    plane = Plane.around(np.array([[10.0, 50.0]]))
    lon_lat = np.array([[lon, lat]]) * 1e-7

    back = plane.to_lon_lat(plane.to_xy(lon_lat))

    apart_deg = np.abs(back - lon_lat)
    assert min(apart_deg[0, 0], 360.0 - apart_deg[0, 0]) < 1e-9
    assert apart_deg[0, 1] < 1e-9


def test_a_fix_across_the_antimeridian_is_near() -> None:
    plane = Plane.around(np.array([[179.999, 0.0]]))

    xy = plane.to_xy(np.array([[-179.999, 0.0]]))

    assert xy[0, 0] == pytest.approx(0.002 * metres_per_degree(np.array(0.0))[0])


def test_a_plane_over_the_antimeridian_has_its_middle_there() -> None:
    places = np.array([[179.9, 10.0], [-179.8, 10.2]])

    refuse_unusable(places, "plan")
    plane = Plane.around(places)

    assert plane.longitude_deg == pytest.approx(-179.95)
    assert plane.to_xy(places).sum(axis=0) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert plane.to_lon_lat(plane.to_xy(places)) == pytest.approx(places)


def test_no_points_have_no_lengths() -> None:
    assert segment_lengths_m(np.zeros((0, 2))).shape == (0,)
    assert segment_lengths_m(np.zeros((1, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.zeros(2), "shape"),
        (np.zeros((1, 3)), "shape"),
        (np.array([[np.nan, 0.0]]), "finite"),
        (np.array([[181.0, 0.0]]), "within"),
        (np.array([[0.0, -91.0]]), "within"),
        (np.array([[-90.0, 0.0], [0.0, 0.0], [90.0, 0.0]]), "half of the Earth"),
    ],
)
def test_unusable_coordinates_are_refused(bad: Floats, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        refuse_unusable(bad, "plan")
