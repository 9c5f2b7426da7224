"""What several processes count, they count as one; the control is a wire that is cut."""

import asyncio
from uuid import UUID

import pytest

from server.kit.neighbours import Neighbours
from server.links.model import TooManyLooks
from server.links.pace import PER_TOKEN, Pace
from server.log_in.attempts import FREE_ATTEMPTS, Attempts
from server.log_in.model import TooManyAttempts


class Wire:
    """Processes that hear each other, or (as a control) do not."""

    def __init__(self, *, is_cut: bool = False) -> None:
        self._is_cut = is_cut
        self._ends: list[Neighbours] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def end(self) -> Neighbours:
        end = Neighbours()

        def tell(topic: str, words: tuple[str, ...]) -> None:
            for other in self._ends:
                if other is not end and not self._is_cut:
                    task = asyncio.create_task(other.heard(topic, words))
                    self._under_way.add(task)

        end.connect(tell)
        self._ends.append(end)
        return end

    async def arrived(self) -> None:
        await asyncio.gather(*self._under_way)


@pytest.mark.parametrize(("is_cut", "let_through"), [(False, 10), (True, 20)])
async def test_attempts_at_a_login_are_as_many_as_in_one_process(
    *, is_cut: bool, let_through: int
) -> None:
    wire = Wire(is_cut=is_cut)
    processes = [Attempts(neighbours=wire.end(), clock_s=lambda: 1_000.0) for _ in range(2)]
    count = 0
    for number in range(40):
        try:
            await processes[number % 2].take(None, b"login", f"192.0.2.{number}")
        except TooManyAttempts:
            continue
        count += 1
        await wire.arrived()

    assert count == let_through


async def test_who_came_in_is_forgiven_everywhere() -> None:
    wire = Wire()
    processes = [Attempts(neighbours=wire.end(), clock_s=lambda: 1_000.0) for _ in range(2)]
    company_id = UUID(int=1)
    for number in range(FREE_ATTEMPTS):
        await processes[0].take(company_id, b"login", f"192.0.2.{number}")
    await wire.arrived()
    with pytest.raises(TooManyAttempts):
        await processes[1].take(company_id, b"login", "192.0.2.99")

    processes[0].forgive(company_id, b"login")
    await wire.arrived()

    await processes[1].take(company_id, b"login", "192.0.2.99")


@pytest.mark.parametrize(("is_cut", "let_through"), [(False, 30), (True, 60)])
async def test_a_link_is_asked_as_often_as_in_one_process(
    *, is_cut: bool, let_through: int
) -> None:
    wire = Wire(is_cut=is_cut)
    processes = [Pace(neighbours=wire.end()) for _ in range(2)]
    assert PER_TOKEN.amount == 30
    count = 0
    for number in range(80):
        try:
            await processes[number % 2].take(b"digest", f"192.0.2.{number}")
        except TooManyLooks:
            continue
        count += 1
        await wire.arrived()

    assert count == let_through


async def test_what_cannot_be_counted_ends_nothing_and_is_for_nobody_else() -> None:
    heard: list[tuple[str, ...]] = []
    wire = Wire()
    teller, hearer = wire.end(), wire.end()

    async def hear(words: tuple[str, ...]) -> None:
        heard.append(words)
        raise ValueError

    hearer.listen("one", hear)
    teller.listen("one", hear)

    teller.tell("one", "a", "b")
    teller.tell("another", "c")
    await wire.arrived()

    assert heard == [("a", "b")]
