"""Who is let in before anything of theirs is read."""

from collections.abc import Hashable

import pytest

from server.kit.admission import UNIT_BYTES, Admission, Room
from server.kit.rates import Rates


class TooOftenError(Exception):
    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__()


class FullError(Exception):
    pass


def taken(room: Room, group: str, *, size_bytes: int = 0, most: int = 10_000) -> int:
    """Return how many places the group gets before it is refused."""
    for count in range(most):
        if not room.take(group, size_bytes):
            return count
    return most


def test_one_alone_gets_half_and_whoever_comes_new_finds_room() -> None:
    room = Room(count_max=1_200, bytes_max=0)

    assert [taken(room, group) for group in "abcd"] == [600, 300, 150, 75]


def test_of_those_who_ask_alternately_each_gets_the_same() -> None:
    room = Room(count_max=1_200, bytes_max=0)
    counts = dict.fromkeys("abc", 0)
    for _ in range(1_000):
        for group in counts:
            counts[group] += room.take(group, 0)

    assert set(counts.values()) == {300}


def test_bytes_are_shared_in_the_same_way() -> None:
    room = Room(count_max=1_000, bytes_max=1_000)

    assert [taken(room, group, size_bytes=10) for group in "ab"] == [50, 25]
    assert not room.take("c", 251)
    assert room.take("c", 250)


def test_room_is_given_back_and_nobody_is_remembered() -> None:
    room = Room(count_max=10, bytes_max=100)
    for _ in range(1_000):
        for number in range(3):
            assert room.take(number, 20)
            assert room.take_more(number, 5)
        for number in range(3):
            room.give_back(number, 25)

    assert len(room) == 0
    assert taken(room, "a", size_bytes=1) == 5


def admission(*, burst: float = 100, bytes_max: int = 1_000_000) -> Admission:
    rates: Rates[Hashable] = Rates(per_s=1, burst=burst)
    return Admission(
        rates,
        Room(count_max=4, bytes_max=bytes_max),
        too_often=TooOftenError,
        full=FullError,
        clock_s=lambda: 0.0,
    )


def test_a_place_is_given_back_however_the_work_ends() -> None:
    one = admission()
    for _ in range(10):
        with one.enter("device", "company", 10):
            pass
        with pytest.raises(KeyError), one.enter("device", "company", 10):
            raise KeyError
        place = one.enter("device", "company", 10)
        place.leave()
        place.leave()

    assert len(one.room) == 0


def test_one_group_full_leaves_room_for_the_next() -> None:
    one = admission()
    places = [one.enter("device", "flooding", 0) for _ in range(2)]
    with pytest.raises(FullError):
        one.enter("device", "flooding", 0)

    with one.enter("device", "other", 0):
        pass
    for place in places:
        place.leave()


def test_whoever_comes_too_often_is_told_for_how_long() -> None:
    one = admission(burst=2)
    for _ in range(2):
        one.enter("device", "company", 0).leave()

    with pytest.raises(TooOftenError) as refused:
        one.enter("device", "company", 0)
    assert refused.value.wait_s == pytest.approx(1)
    one.enter("another", "company", 0).leave()


def test_what_is_large_takes_more_of_the_allowance() -> None:
    one = admission(burst=10)
    with one.enter("device", "company", 0) as place:
        place.holds(9 * UNIT_BYTES)

    with pytest.raises(TooOftenError):
        one.enter("device", "company", 0)


def test_what_unfolds_to_more_than_there_is_room_for_is_dropped() -> None:
    one = admission(bytes_max=1_000)
    with pytest.raises(FullError), one.enter("device", "company", 10) as place:
        place.holds(5_000)

    assert len(one.room) == 0
    one.enter("device", "company", 500).leave()
