"""A queue in which many take turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.turns import Turns


def test_one_of_each_is_taken_before_the_next_of_any() -> None:
    turns: Turns[str, int] = Turns()
    for item in range(4):
        turns.put("a", item)
    turns.put("b", 10)
    turns.put("c", 20)
    turns.put("b", 11)

    assert [turns.take() for _ in range(7)] == [0, 10, 20, 1, 11, 2, 3]
    assert not turns
    with pytest.raises(StopIteration):
        turns.take()


def test_who_comes_again_has_its_turn_after_those_who_wait() -> None:
    turns: Turns[str, int] = Turns()
    turns.put("a", 1)
    turns.put("b", 2)
    assert turns.take() == 1
    turns.put("a", 3)

    assert [turns.take(), turns.take()] == [2, 3]


def test_whatever_is_over_is_taken_out_and_the_rest_keeps_its_order() -> None:
    turns: Turns[str, int] = Turns()
    for item in (1, 8, 2, 9):
        turns.put("a", item)
    turns.put("b", 7)

    assert sorted(turns.take_those(lambda item: item > 5)) == [7, 8, 9]
    assert turns.first("b") is None
    assert turns.first("a") == 1
    assert list(turns) == [1, 2]


def test_each_is_asked_once_so_that_nothing_is_lost_to_a_clock_that_goes_on() -> None:
    turns: Turns[str, int] = Turns()
    for item in range(10):
        turns.put("ab"[item % 2], item)
    asked: list[int] = []

    def is_over(item: int) -> bool:
        asked.append(item)
        return item == 0 or asked.count(item) > 1

    assert turns.take_those(is_over) == [0]
    assert sorted(turns) == list(range(1, 10))
    assert sorted(asked) == list(range(10))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=200))
def test_nobody_waits_for_more_than_one_of_each_other(steps: list[tuple[int, bool]]) -> None:
    turns: Turns[int, int] = Turns()
    put = [0] * 5
    taken: list[tuple[int, int]] = []
    for key, takes in steps:
        if takes and turns:
            number = turns.take()
            taken.append((number // 1_000, number % 1_000))
        else:
            turns.put(key, key * 1_000 + put[key])
            put[key] += 1
    while turns:
        number = turns.take()
        taken.append((number // 1_000, number % 1_000))

    for key in range(5):  # nothing is lost, and each key's order is kept
        assert [number for of, number in taken if of == key] == list(range(put[key]))
