"""Many who ask at the same time share a question, and nobody's fault is another's."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from server.kit.together import Together
from tests.world import NOW

GROUP = "letters"
WAIT_S_MAX = 5.0


class Asked:
    """Answers letters by their capitals, knows no vowel, and waits until it may answer.

    It chokes on ``x``, waits in vain for ``w``, will not tell of ``y``, and is down as often as it
    is told to be.
    """

    vain: Exception = TimeoutError()

    def __init__(self, *, downs: int = 0, hangs: bool = False) -> None:
        self.hangs = hangs
        self.questions: list[tuple[str, ...]] = []
        self.times: list[Mapping[str, datetime]] = []
        self.may_answer = asyncio.Event()
        self.downs = downs

    async def __call__(
        self, group: str, letters: Mapping[str, datetime]
    ) -> dict[str, str | Exception]:
        self.questions.append(tuple(letters))
        self.times.append(letters)
        if group == GROUP:
            await self.may_answer.wait()
        if self.downs:
            self.downs -= 1
            raise ConnectionError("down")
        if "w" in letters or self.hangs:
            await asyncio.sleep(0)
            raise self.vain
        if "x" in letters:
            raise KeyError("x")
        told: dict[str, str | Exception] = {
            letter: letter.upper() for letter in letters if letter not in "aeiou"
        }
        if "y" in told:
            told["y"] = PermissionError("y")
        return told


class InTime(Together[str, str, str]):
    """Fails by name where it would wait for ever."""

    async def get(self, group: str, key: str, at: datetime) -> str | None:
        async with in_time():
            return await super().get(group, key, at)

    async def end(self) -> None:
        async with in_time():
            await super().end()


@asynccontextmanager
async def in_time() -> AsyncGenerator[None]:
    limit = asyncio.timeout(WAIT_S_MAX)
    try:
        async with limit:
            yield
    except TimeoutError:
        assert not limit.expired(), "it waits for ever"
        raise


async def answers(together: InTime, letters: str) -> Sequence[object]:
    asking = [together.get(GROUP, letter, NOW) for letter in letters]
    return await asyncio.gather(*asking, return_exceptions=True)


def kinds(told: Sequence[object]) -> list[object]:
    return [type(one) if isinstance(one, Exception) else one for one in told]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_come_while_it_is_asked_share_the_next_question() -> None:
    asked = Asked()
    together = InTime(asked, most=10)
    first = asyncio.ensure_future(together.get(GROUP, "b", NOW))
    await settle()
    others = asyncio.ensure_future(answers(together, "cdaab"))
    await settle()
    asked.may_answer.set()

    assert [await first, *await others] == ["B", "C", "D", None, None, "B"]
    assert asked.questions == [("b",), ("c", "d", "a", "b")]


async def test_it_is_asked_with_the_newest_time_of_those_who_wait() -> None:
    asked = Asked()
    asked.may_answer.set()
    together = InTime(asked, most=10)
    later = NOW + timedelta(seconds=2)

    await asyncio.gather(
        *(together.get(GROUP, "b", at) for at in (NOW, later, NOW)), together.get(GROUP, "c", NOW)
    )

    assert asked.times == [{"b": later, "c": NOW}]


async def test_no_question_is_longer_than_it_may_be() -> None:
    asked = Asked()
    asked.may_answer.set()
    together = InTime(asked, most=2)

    assert await answers(together, "bcdfg") == ["B", "C", "D", "F", "G"]
    assert [len(question) for question in asked.questions] == [2, 2, 1]


async def test_a_group_does_not_wait_for_another() -> None:
    together = InTime(Asked(), most=10)
    waiting = asyncio.ensure_future(together.get(GROUP, "b", NOW))
    await settle()

    assert await together.get("others", "b", NOW) == "B"
    assert not waiting.done()
    await together.end()


async def test_one_that_it_chokes_on_is_refused_alone() -> None:
    asked = Asked()
    asked.may_answer.set()
    together = InTime(asked, most=10)

    told = await answers(together, "bcdxfgha")

    assert kinds(told) == ["B", "C", "D", KeyError, "F", "G", "H", None]
    assert len(asked.questions) == 1 + 2 * 3


async def test_what_is_told_of_one_is_raised_to_who_asked_for_it() -> None:
    asked = Asked()
    asked.may_answer.set()
    together = InTime(asked, most=10)

    assert kinds(await answers(together, "byyc")) == ["B", PermissionError, PermissionError, "C"]
    assert len(asked.questions) == 1


async def test_a_connection_that_died_is_nobodys_fault() -> None:
    asked = Asked(downs=1)
    asked.may_answer.set()
    together = InTime(asked, most=10)

    assert await answers(together, "bc") == ["B", "C"]
    assert asked.questions == [("b", "c")] * 2


async def test_an_outage_is_told_to_everybody_and_the_next_one_is_asked_anew() -> None:
    asked = Asked(downs=2)
    asked.may_answer.set()
    together = InTime(asked, most=10)

    assert kinds(await answers(together, "bc")) == [ConnectionError] * 2
    assert await answers(together, "bc") == ["B", "C"]
    assert asked.questions == [("b", "c")] * 3


@pytest.mark.parametrize(
    "vain",
    [
        TimeoutError(),
        asyncpg.LockNotAvailableError("lock"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.QueryCanceledError("cancelled"),
    ],
    ids=lambda vain: type(vain).__name__,
)
@pytest.mark.parametrize(("letters", "answered"), [("bwcdfgha", "fgha"), ("bcdfghwa", "bcdf")])
async def test_a_wait_in_vain_for_one_is_told_to_half_of_them_at_most(
    vain: Exception, letters: str, answered: str
) -> None:
    asked = Asked()
    asked.vain = vain
    asked.may_answer.set()
    together = InTime(asked, most=10)

    told = dict(zip(letters, kinds(await answers(together, letters)), strict=True))

    assert {letter for letter, one in told.items() if one is not type(vain)} == set(answered)
    assert len(asked.questions) == 3


async def test_what_hangs_is_waited_for_twice_however_many_ask() -> None:
    asked = Asked(hangs=True)
    asked.may_answer.set()
    together = InTime(asked, most=100)

    told = await answers(together, "bcdfghjklmnpqrst" * 2)

    assert kinds(told) == [TimeoutError] * 32
    # All of them, and then both halves at the same time.
    assert [len(question) for question in asked.questions] == [16, 8, 8]


async def test_after_two_waits_in_vain_nobody_is_waited_for_by_another_half() -> None:
    asked = Asked()
    asked.may_answer.set()

    async def choke_then_hang(group: str, letters: Mapping[str, datetime]) -> dict[str, Any]:
        asked.hangs = len(letters) < 16
        asked.vain = TimeoutError() if asked.hangs else KeyError()
        return await asked(group, letters)

    together = InTime(choke_then_hang, most=100)
    told = await answers(together, "bcdfghjklmnpqrsx")

    assert kinds(told) == [TimeoutError] * 16
    assert [len(question) for question in asked.questions] == [16, 8, 4, 4]


async def test_one_who_goes_away_leaves_the_others_their_answer() -> None:
    asked = Asked()
    together = InTime(asked, most=10)
    gone, stays = (asyncio.ensure_future(together.get(GROUP, "b", NOW)) for _ in range(2))
    await settle()

    gone.cancel()
    asked.may_answer.set()

    assert await stays == "B"
    assert gone.cancelled()


@pytest.mark.parametrize("letter", ["b", "a", "x"])
async def test_nothing_is_held_of_a_group_that_nobody_waits_for(letter: str) -> None:
    asked = Asked()
    together = InTime(asked, most=10)
    waiting = asyncio.ensure_future(together.get(GROUP, letter, NOW))
    await settle()
    assert len(together) == 1

    waiting.cancel()
    asked.may_answer.set()
    await settle()

    assert len(together) == 0
    assert together._waiting == {}  # noqa: SLF001 - what lies in memory


async def test_who_asks_once_the_last_was_answered_waits_in_no_line_that_is_gone() -> None:
    asked = Asked()
    asked.may_answer.set()
    together = InTime(asked, most=10)

    async def one_after_another(letters: str) -> list[str | None]:
        return [await together.get(GROUP, letter, NOW) for letter in letters]

    told = await asyncio.gather(*(one_after_another("bcdfg") for _ in range(3)))

    assert told == [["B", "C", "D", "F", "G"]] * 3
    assert len(together) == 0


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
async def test_when_it_ends_nobody_waits_on(*, begun: bool) -> None:
    together = InTime(Asked(), most=1)
    waiting = [asyncio.ensure_future(together.get(GROUP, letter, NOW)) for letter in "bc"]
    for _ in range(1 + begun):
        await asyncio.sleep(0)

    await together.end()

    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [asyncio.CancelledError] * 2
    assert len(together) == 0
