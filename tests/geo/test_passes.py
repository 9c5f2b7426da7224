import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.passes import Passes, find_passes
from geo.types import Floats, Indices


def passes_of(
    rows: list[tuple[float, float, float]],
    *,
    stops: Floats | None = None,
    span: Indices | None = None,
    radius_m: float = 30.0,
) -> Passes:
    """Return the passes of a track of (time, x, y); the default stop is at the origin."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    stops = np.zeros((1, 2)) if stops is None else stops
    return find_passes(
        table[:, 0],
        table[:, 1:],
        np.zeros(len(table), dtype=np.intp) if span is None else span,
        stops_xy=stops,
        radius_m=np.full(len(stops), radius_m),
    )


def test_a_pass_between_two_fixes_is_found_and_timed() -> None:
    found = passes_of([(0.0, -100.0, 0.0), (20.0, 100.0, 0.0)])

    assert found.entered_s == pytest.approx([7.0])
    assert found.exited_s == pytest.approx([13.0])
    assert found.travel_m == pytest.approx([60.0])
    assert found.nearest_m == pytest.approx([0.0], abs=1e-9)
    assert not found.begins_inside[0]
    assert not found.ends_inside[0]


@given(aside_m=st.integers(0, 60))
def test_the_chord_is_exact(aside_m: int) -> None:
    found = passes_of([(0.0, -100.0, float(aside_m)), (20.0, 100.0, float(aside_m))])

    if aside_m >= 30:
        assert len(found.stop) == 0
    else:
        chord_m = 2.0 * np.sqrt(30.0**2 - aside_m**2)
        assert found.exited_s - found.entered_s == pytest.approx([chord_m / 10.0])
        assert found.nearest_m == pytest.approx([float(aside_m)], abs=1e-6)


def test_noise_at_the_rim_is_one_pass_but_coming_back_later_is_two() -> None:
    rim = passes_of(
        [
            (0.0, -99.0, 0.0),
            (10.0, -25.0, 0.0),
            (20.0, -45.0, 0.0),
            (30.0, 0.0, 0.0),
            (40.0, 99.0, 0.0),
        ]
    )
    twice = passes_of(
        [
            (0.0, -99.0, 0.0),
            (10.0, 0.0, 0.0),
            (20.0, 99.0, 0.0),
            (200.0, 99.0, 0.0),
            (210.0, 0.0, 0.0),
            (220.0, -99.0, 0.0),
        ]
    )

    assert len(rim.stop) == 1
    assert len(twice.stop) == 2


def test_a_track_that_begins_or_ends_inside_says_so() -> None:
    leaving = passes_of([(0.0, 0.0, 0.0), (10.0, 5.0, 0.0), (20.0, 99.0, 0.0)])
    coming = passes_of([(0.0, 99.0, 0.0), (10.0, 5.0, 0.0), (20.0, 0.0, 0.0)])

    assert (leaving.begins_inside[0], leaving.ends_inside[0]) == (True, False)
    assert (coming.begins_inside[0], coming.ends_inside[0]) == (False, True)
    assert leaving.entered_s[0] == 0.0
    assert coming.exited_s[0] == 20.0


def test_the_way_across_an_interruption_passes_nothing() -> None:
    rows = [(0.0, -100.0, 0.0), (5.0, -90.0, 0.0), (20.0, 90.0, 0.0), (25.0, 100.0, 0.0)]

    assert len(passes_of(rows).stop) == 1
    assert len(passes_of(rows, span=np.array([0, 0, 1, 1])).stop) == 0


def test_every_stop_has_its_own_passes() -> None:
    stops = np.array([[50.0, 0.0], [-50.0, 0.0], [0.0, 500.0], [50.0, 0.0]])

    found = passes_of([(0.0, -100.0, 0.0), (20.0, 100.0, 0.0)], stops=stops)

    assert found.stop.tolist() == [0, 1, 3]
    assert found.entered_s == pytest.approx([12.0, 2.0, 12.0])


@pytest.mark.parametrize("n", [0, 1])
def test_tiny_tracks_pass_nothing(n: int) -> None:
    assert len(passes_of([(0.0, 0.0, 0.0)] * n).stop) == 0
