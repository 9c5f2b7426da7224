"""What a map leaves out makes no difference on it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import thinning
from geo.thinning import MERCATOR_LATITUDE_MAX_DEG, TILE_PX, TOLERANCE_PX, ZOOM_MAX, kept_on_map
from geo.types import Flags, Floats, Indices

# Coordinates at wire resolution, 1e-7 degrees, walked in steps that phones send and worse ones.
STEPS = st.lists(
    st.tuples(st.integers(-2_000_000, 2_000_000), st.integers(-2_000_000, 2_000_000)),
    min_size=1,
    max_size=60,
)
BEGAN = st.sampled_from([(71.4, 51.1), (25.0, 70.0), (179.99, 70.0), (-179.99, -70.0), (0.0, 84.9)])


def walked(began: tuple[float, float], steps: list[tuple[int, int]]) -> Floats:
    lon_lat = np.array(began) + np.cumsum(steps, axis=0) / 1e7
    lon_lat[:, 0] = (lon_lat[:, 0] + 180) % 360 - 180
    lon_lat[:, 1] = np.clip(lon_lat[:, 1], -90, 90)
    return np.round(lon_lat, 7)


def on_map(lon_lat: Floats, zoom: int) -> Floats:
    """Return pixels by the textbook's formula, the line unrolled step by step."""
    latitude = np.radians(np.clip(lon_lat[:, 1], -MERCATOR_LATITUDE_MAX_DEG, 85.05112877980659))
    longitude = np.unwrap(lon_lat[:, 0], period=360)
    x = (longitude + 180) / 360
    y = (1 - np.log(np.tan(latitude) + 1 / np.cos(latitude)) / np.pi) / 2
    return TILE_PX * 2.0**zoom * np.column_stack([x, y])


def worst_px(lon_lat: Floats, starts: Indices, kept: Flags, zoom: int) -> float:
    """Return how far the farthest position lies from the line drawn around it."""
    worst = 0.0
    for start, end in zip(starts, [*starts[1:], len(lon_lat)], strict=True):
        xy = on_map(lon_lat[start:end], zoom)
        places = np.flatnonzero(kept[start:end])
        assert places[0] == 0
        assert places[-1] == end - start - 1
        for first, last in pairwise(places):
            a, b, between = xy[first], xy[last], xy[first + 1 : last]
            along, length_2 = b - a, float(np.sum((b - a) ** 2))
            share = (between - a) @ along / length_2 if length_2 else np.zeros(len(between))
            nearest = a + np.clip(share, 0, 1)[:, None] * along
            worst = max([worst, *np.hypot(*(between - nearest).T).tolist()])
    return worst


@given(began=BEGAN, steps=STEPS, zoom=st.integers(0, ZOOM_MAX), cut=st.integers(1, 59))
def test_what_is_left_out_lies_within_half_a_pixel_of_the_line(
    began: tuple[float, float], steps: list[tuple[int, int]], zoom: int, cut: int
) -> None:
    lon_lat = walked(began, steps)
    starts = np.array([0, cut] if cut < len(lon_lat) else [0])

    kept = kept_on_map(lon_lat, starts, zoom)

    # The world is 2**31 px wide at zoom 22: a double knows a place there to 1e-6 px.
    assert worst_px(lon_lat, starts, kept, zoom) <= TOLERANCE_PX + 1e-5


def test_control_with_a_wider_tolerance_the_bound_does_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = np.random.default_rng(7)
    lon_lat = walked((71.4, 51.1), dice.integers(-20_000, 20_000, (500, 2)).tolist())
    starts = np.array([0])
    assert worst_px(lon_lat, starts, kept_on_map(lon_lat, starts, 12), 12) <= TOLERANCE_PX + 1e-5

    monkeypatch.setattr(thinning, "TOLERANCE_PX", 0.7)

    assert worst_px(lon_lat, starts, kept_on_map(lon_lat, starts, 12), 12) > TOLERANCE_PX


@pytest.mark.parametrize("latitude", [0.0, 51.0, 70.0, -70.0])
def test_half_a_pixel_is_as_many_metres_as_stated(latitude: float) -> None:
    metres = 39_136 * np.cos(np.radians(latitude)) / 2**12
    aside_deg = metres / 111_320  # to the north, where Mercator stretches as much
    lon_lat = np.array([[10.0, latitude], [10.01, latitude + aside_deg], [10.02, latitude]])

    for share, count in ((0.97, 2), (1.03, 3)):
        beside = lon_lat.copy()
        beside[1, 1] = latitude + share * aside_deg
        assert kept_on_map(beside, np.array([0]), 12).sum() == count


def test_over_the_antimeridian_it_is_thinned_as_anywhere() -> None:
    dice = np.random.default_rng(3)
    steps = dice.integers(-100_000, 120_000, (400, 2)).tolist()
    here, there = walked((10.0, 70.0), steps), walked((179.99, 70.0), steps)

    kept = kept_on_map(there, np.array([0]), 11)

    assert np.ptp(there[:, 0]) > 350
    assert kept.tolist() == kept_on_map(here, np.array([0]), 11).tolist()
    assert 2 < kept.sum() < 400


def test_equal_points_stay_told_apart() -> None:
    lon_lat = np.array([[71.4, 51.1]] * 5 + [[71.5, 51.2]] + [[71.4, 51.1]] * 5)

    kept = kept_on_map(lon_lat, np.array([0]), 12)

    assert np.flatnonzero(kept).tolist() == [0, 5, 10]


def test_a_stretch_longer_than_a_run_is_whole() -> None:
    count = 2 * thinning.RUN_MAX + 100
    lon_lat = np.column_stack([np.linspace(71, 72, count), np.full(count, 51.0)])
    starts = np.array([0, 50, 51])

    kept = kept_on_map(lon_lat, starts, 10)

    run = thinning.RUN_MAX
    assert np.flatnonzero(kept).tolist() == [0, 49, 50, 51, 51 + run, 51 + 2 * run, count - 1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_positions_are_all_kept(count: int) -> None:
    starts = np.array([0][:count], dtype=np.intp)

    assert kept_on_map(np.zeros((count, 2)), starts, 0).all()


@pytest.mark.parametrize(
    ("lon_lat", "zoom"),
    [
        (np.zeros((3, 3)), 1),
        (np.zeros(3), 1),
        (np.full((2, 2), np.nan), 1),
        (np.zeros((2, 2)), -1),
        (np.zeros((2, 2)), 23),
    ],
)
def test_what_cannot_be_thinned_is_refused(lon_lat: Floats, zoom: int) -> None:
    with pytest.raises(ValueError, match=r"lon_lat|zoom"):
        kept_on_map(lon_lat, np.array([0]), zoom)
