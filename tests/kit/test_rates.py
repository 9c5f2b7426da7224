"""How often somebody may come."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.kit.rates import Rates

PER_S, BURST = 10.0, 5


def rates(keys_max: int = 100) -> Rates[str]:
    return Rates(per_s=PER_S, burst=BURST, keys_max=keys_max)


def test_a_burst_passes_at_once_and_the_next_is_told_when() -> None:
    one = rates()

    assert [one.wait_s("a", 100.0) for _ in range(BURST)] == [0.0] * BURST
    wait_s = one.wait_s("a", 100.0)
    assert abs(wait_s - 1 / PER_S) < 1e-9
    assert one.wait_s("a", 100.0 + wait_s / 2) > 0
    assert one.wait_s("a", 100.0 + wait_s + 1e-6) == 0


def test_one_key_takes_nothing_from_another() -> None:
    one = rates()
    for _ in range(50):
        one.wait_s("a", 0.0)

    assert one.wait_s("b", 0.0) == 0


def test_who_is_refused_does_not_wait_longer_for_having_asked() -> None:
    one = rates()
    waits = [one.wait_s("a", 0.0) for _ in range(50)]

    assert len(set(waits[BURST:])) == 1


def test_what_turned_out_to_be_more_is_paid_for_later() -> None:
    one = rates()
    one.wait_s("a", 0.0)
    one.charge("a", BURST, 0.0)

    assert abs(one.wait_s("a", 0.0) - 2 / PER_S) < 1e-9


def test_nobody_owes_more_than_a_burst() -> None:
    one = rates()
    one.charge("a", 1_000_000, 0.0)

    assert one.wait_s("a", 0.0) <= (BURST + 1) / PER_S + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_no_more_than_the_burst_and_the_rate_pass_in_any_time(gaps: list[float]) -> None:
    one, at_s, passed = rates(), 0.0, []
    for gap in gaps:
        at_s += gap
        if one.wait_s("a", at_s) == 0:
            passed.append(at_s)

    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            spent_s = passed[last] - began
            assert last - first + 1 <= BURST + spent_s * PER_S + 1e-6


def test_however_many_keys_come_only_so_many_are_held() -> None:
    one: Rates[UUID] = Rates(per_s=PER_S, burst=BURST, keys_max=1_000)
    most = 0
    for number in range(100_000):
        one.wait_s(UUID(int=number), 0.0)
        if number % 997 == 0:
            most = max(most, len(one))

    assert 500 <= most <= 1_000


def test_those_who_came_longest_ago_are_forgotten_first() -> None:
    one = rates(keys_max=4)
    for _ in range(BURST):
        one.wait_s("a", 0.0)
        one.wait_s("b", 0.0)
    one.wait_s("c", 0.0)
    one.wait_s("d", 0.0)
    assert one.wait_s("a", 0.0) > 0  # asked again, refused, and remembered all the same

    one.wait_s("e", 0.0)
    assert one.wait_s("b", 0.0) == 0
