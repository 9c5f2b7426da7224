import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.roads.polyline import decoded
from tests.roads.router_server import encoded

MICRO = st.tuples(st.integers(-180_000_000, 180_000_000), st.integers(-90_000_000, 90_000_000))


def test_the_example_of_the_format_is_read() -> None:
    # Google's own example, which counts in 1e-5 degrees.
    line = decoded("_p~iF~ps|U_ulLnnqC_mqNvxq`@") * 10

    assert np.allclose(line, [(-120.2, 38.5), (-120.95, 40.7), (-126.453, 43.252)], atol=1e-9)


@given(st.lists(MICRO, min_size=1, max_size=40))
def test_what_is_written_is_read(points: list[tuple[int, int]]) -> None:
    line = [(lon / 1e6, lat / 1e6) for lon, lat in points]

    assert np.abs(decoded(encoded(line)) - line).max() < 0.5e-6


@given(st.text(max_size=30) | st.text(st.characters(min_codepoint=60, max_codepoint=127)))
def test_any_text_is_a_line_on_the_earth_or_refused(text: str) -> None:
    try:
        line = decoded(text)
    except ValueError:
        return

    assert line.shape[1] == 2
    assert (np.abs(line) <= [180.0, 90.0]).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_p~iF",
        "_p~iF~ps|",
        "_p~i F~ps|U",
        "дом",
        "~~~~~~~~~~~~A?",
        encoded([(0.0, 89.0), (0.0, 90.0)]) + encoded([(0.0, 1.0)]),
    ],
)
def test_what_is_no_polyline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(text)


def test_a_line_of_more_points_than_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="that many points"):
        decoded("??" * 11, points_max=10)
