import numpy as np
import pytest

from geo.clean import Cleaned
from geo.drive import Driven, coverage, prepare, silences
from geo.types import Floats
from geo.values import DEFAULT


def driven(time_s: list[float], x: list[float], interval: list[int] | None = None) -> Driven:
    n = len(time_s)
    return prepare(
        Cleaned(
            time_s=np.array(time_s, dtype=np.float64),
            xy=np.column_stack([np.array(x, dtype=np.float64), np.zeros(n)]),
            sigma_m=np.full(n, 5.0),
            interval=np.array(interval or [0] * n, dtype=np.intp),
            fixes=n,
            dropped={},
        ),
        DEFAULT,
    )


ALWAYS: Floats = np.array([[0.0, 1_000.0]])


def test_a_gap_whose_ends_lie_apart_begins_a_new_span_one_at_a_place_does_not() -> None:
    day = driven([0.0, 10.0, 310.0, 320.0, 720.0], [0.0, 100.0, 900.0, 1_000.0, 1_001.0])

    assert day.span.tolist() == [0, 0, 1, 1, 1]
    assert day.gap.tolist() == [False, True, False, True]


def test_time_not_shared_begins_a_new_span_wherever_it_is() -> None:
    day = driven([0.0, 10.0, 20.0, 30.0], [0.0, 0.0, 0.0, 0.0], [0, 0, 1, 1])

    assert day.span.tolist() == [0, 0, 1, 1]
    assert day.shared.tolist() == [True, False, True]


def test_silences_are_counted_at_both_ends_too() -> None:
    day = driven([200.0, 210.0, 500.0, 510.0], [0.0, 0.0, 900.0, 900.0])

    found = silences(day, ALWAYS, 1_000.0, longer_s=120.0)

    order = np.argsort(found.from_s)
    assert found.from_s[order].tolist() == [0.0, 210.0, 510.0]
    assert found.to_s[order].tolist() == [200.0, 500.0, 1_000.0]
    assert found.before[order].tolist() == [-1, 1, 3]
    assert found.after[order].tolist() == [0, 2, -1]
    assert not found.unshared.any()


def test_an_interruption_of_the_sharing_is_a_silence_however_short() -> None:
    day = driven([0.0, 10.0, 20.0, 30.0], [0.0, 0.0, 0.0, 0.0], [0, 0, 1, 1])

    found = silences(day, np.array([[0.0, 12.0], [18.0, 30.0]]), 30.0, longer_s=120.0)

    assert found.unshared.tolist() == [True]


def test_an_interruption_before_the_first_fix_or_after_the_last_is_one_too() -> None:
    day = driven([100.0, 110.0], [0.0, 0.0], [1, 1])
    shared_s = np.array([[0.0, 20.0], [90.0, 120.0], [200.0, np.inf], [900.0, np.inf]])

    found = silences(day, shared_s, 300.0, longer_s=50.0)

    assert found.from_s.tolist() == [0.0, 110.0]
    assert found.to_s.tolist() == [100.0, 300.0]
    assert found.unshared.tolist() == [True, True]


def test_coverage_is_the_share_of_time_with_fixes() -> None:
    day = driven([0.0, 100.0, 200.0, 500.0], [0.0, 0.0, 0.0, 0.0])

    assert coverage(day, ALWAYS, 1_000.0, gap_s=120.0) == pytest.approx(0.2)
    assert coverage(day, ALWAYS, 500.0, gap_s=120.0) == pytest.approx(0.4)
    assert coverage(day, np.zeros((0, 2)), 500.0, gap_s=120.0) is None


def test_nothing_recorded_is_one_silence() -> None:
    day = driven([], [])

    found = silences(day, ALWAYS, 600.0, longer_s=120.0)

    assert (found.from_s.tolist(), found.to_s.tolist()) == ([0.0], [600.0])
    assert coverage(day, ALWAYS, 600.0, gap_s=120.0) == 0.0


def test_between_stays_that_noise_tears_apart_nothing_is_driven() -> None:
    time_s = np.arange(0.0, 600.0, 1.0)

    def steps_that_count(sigma_m: float) -> int:
        cleaned = Cleaned(
            time_s=time_s,
            xy=np.column_stack([np.where(time_s < 300.0, 0.0, 40.0), np.zeros(600)]),
            sigma_m=np.full(600, sigma_m),
            interval=np.zeros(600, dtype=np.intp),
            fixes=600,
            dropped={},
        )
        day = prepare(cleaned, DEFAULT)
        return int(np.count_nonzero(~day.still))

    assert steps_that_count(20.0) == 0
    assert steps_that_count(5.0) > 0
