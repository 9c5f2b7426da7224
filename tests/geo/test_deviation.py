import numpy as np

from geo.deviation import off_corridor
from geo.types import Flags, Floats, Indices


def deviations(
    distance_m: list[float],
    *,
    step_m: float = 50.0,
    step_s: float = 5.0,
    sigma_m: float = 5.0,
    span: Indices | None = None,
) -> tuple[Flags, Indices]:
    n = len(distance_m)
    return off_corridor(
        np.arange(n, dtype=np.float64) * step_s,
        np.column_stack([step_m * np.arange(n), np.zeros(n)]),
        np.zeros(n, dtype=np.intp) if span is None else span,
        np.array(distance_m, dtype=np.float64),
        sigma_m=sigma_m,
    )


def test_between_the_thresholds_the_side_does_not_change() -> None:
    outside, found = deviations([0.0, 45.0, 49.0, 51.0, 45.0, 41.0, 49.0, 40.0, 45.0])

    assert outside.tolist() == [False] * 3 + [True] * 4 + [False] * 2
    assert found.tolist() == [[3, 6]]


def test_one_or_two_fixes_are_noise_three_are_a_deviation() -> None:
    assert len(deviations([0.0, 60.0, 60.0, 0.0])[1]) == 0
    assert deviations([0.0, 60.0, 60.0, 60.0, 0.0])[1].tolist() == [[1, 3]]


def test_two_fixes_are_enough_if_they_last() -> None:
    assert deviations([0.0, 60.0, 60.0, 0.0], step_s=15.0)[1].tolist() == [[1, 2]]


def test_standing_beside_the_road_is_no_deviation() -> None:
    assert len(deviations([0.0, *[60.0] * 20, 0.0], step_m=1.0)[1]) == 0


def test_the_way_to_the_plan_is_no_deviation() -> None:
    assert deviations([900.0, 500.0, 200.0, 10.0, 10.0])[1].tolist() == []


def test_never_coming_near_is_one_deviation() -> None:
    assert deviations([900.0, 500.0, 200.0, 300.0])[1].tolist() == [[0, 3]]


def test_not_coming_back_is_a_deviation() -> None:
    assert deviations([0.0, 0.0, 100.0, 200.0, 300.0])[1].tolist() == [[2, 4]]


def test_noise_widens_the_corridor() -> None:
    distance_m = [0.0, 65.0, 65.0, 65.0, 65.0, 0.0]

    assert len(deviations(distance_m)[1]) == 1
    assert len(deviations(distance_m, sigma_m=20.0)[1]) == 0


def test_an_interruption_divides_a_deviation() -> None:
    span = np.array([0, 0, 0, 0, 1, 1, 1, 1])

    found = deviations([0.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0], span=span)[1]

    assert found.tolist() == [[1, 3], [4, 7]]


def test_no_fixes_no_deviation() -> None:
    outside, found = deviations([])

    assert outside.shape == (0,)
    assert found.shape == (0, 2)
    assert isinstance(found, np.ndarray)


def test_all_within_is_no_deviation() -> None:
    distances: Floats = np.linspace(0.0, 40.0, 30)

    assert len(deviations(distances.tolist())[1]) == 0
