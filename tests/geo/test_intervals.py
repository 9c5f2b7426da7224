import numpy as np

from geo.intervals import merged, shared_by


def test_intervals_that_touch_or_overlap_are_one_and_empty_ones_are_none() -> None:
    found = merged(np.array([[5.0, 7.0], [1.0, 3.0], [3.0, 4.0], [6.0, 9.0], [8.0, 8.0]]))

    assert found.tolist() == [[1.0, 4.0], [5.0, 9.0]]


def test_what_two_unions_share_lies_in_both() -> None:
    one_s = np.array([[0.0, 10.0], [20.0, np.inf]])
    other_s = np.array([[-np.inf, 2.0], [8.0, 22.0], [30.0, 31.0]])

    assert shared_by(one_s, other_s).tolist() == [
        [0.0, 2.0],
        [8.0, 10.0],
        [20.0, 22.0],
        [30.0, 31.0],
    ]
    assert shared_by(one_s, np.zeros((0, 2))).shape == (0, 2)
    assert shared_by(one_s, np.array([[10.0, 20.0]])).shape == (0, 2)
