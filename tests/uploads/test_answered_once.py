"""Each deposit is answered once: whatever hangs, whatever raises, and at the latest at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from server.deposits import committer as committers
from server.deposits.committer import Committer
from server.deposits.model import Deposit, Receipt, UploadsBusy
from server.kit.tasks import ended
from server.kit.turns import Turns
from tests.conftest import Databases
from tests.deposits import deposit
from tests.uploads.test_committer import drivers
from tests.world import NOW, World

BRINGING_S = 1.5
ANSWERED_S_MAX = 20.0
"""Far longer than anybody waits, even on a busy machine."""


@pytest.fixture
async def hanging() -> AsyncIterator[Committer]:
    """A committer whose database takes the connection and says nothing."""

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(ANSWERED_S_MAX)
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        committer = Committer(
            f"postgresql://jolda:none@127.0.0.1:{port}/main",
            on_stored=lambda _company_id: None,
            or_skip="",
            or_wait="",
        )
        working = asyncio.create_task(committer.work())
        yield committer
        await ended(working)


def anybodys(at: datetime = NOW) -> Deposit:
    return Deposit(
        company_id=uuid4(),
        driver_id=uuid4(),
        epoch=1,
        rev=1,
        credential_epoch=1,
        key_epoch=1,
        only_latest=False,
        stored_at=at,
        rows=(),
    )


async def brought_to(committer: Committer) -> tuple[int, int]:
    """Bring deposits for a while; return how many were taken, and how many are answered after."""
    loop = asyncio.get_running_loop()
    taken, answered = 0, 0

    def told(_answer: Receipt | UploadsBusy) -> None:
        nonlocal answered
        answered += 1

    until = loop.time() + BRINGING_S
    while loop.time() < until:
        for _ in range(20):  # so many that the clock goes on while they are looked through
            with suppress(UploadsBusy):
                committer.submit(anybodys(), told)
                taken += 1
        await asyncio.sleep(0.001)
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * BRINGING_S):
            while answered < taken:  # noqa: ASYNC110 - others answer
                await asyncio.sleep(0.01)
    return taken, answered


async def test_whoever_waits_for_a_database_that_hangs_is_answered(hanging: Committer) -> None:
    taken, answered = await brought_to(hanging)

    assert taken > 1_000
    assert answered == taken


class AskedTwice(Turns[Any, Any]):
    """Asks each item once to take it and once more to leave it, a moment later."""

    def take_those(self, is_over: Callable[[Any], bool]) -> list[Any]:
        over = [item for item in self if is_over(item)]
        left = [item for item in self if not is_over(item)]
        self._lines.clear()
        for item in left:
            self.put(item.deposit.company_id, item)
        return over


async def test_control_asked_twice_some_are_never_answered(
    hanging: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()

    def is_over(_self: Committer, waiting: Any) -> bool:
        # A clock that goes on with each look at it.
        return bool(waiting.until < asyncio.get_running_loop().time() + next(looks) * 1e-6)

    monkeypatch.setattr(hanging, "_queue", AskedTwice())
    monkeypatch.setattr(Committer, "_is_over", is_over)

    taken, answered = await brought_to(hanging)

    assert answered < taken


async def test_an_answer_that_raises_is_nobody_elses_trouble(
    world: World, databases: Databases
) -> None:
    gates_of = await drivers(world, 5)
    told: list[Receipt | UploadsBusy] = []

    def broken(_answer: Receipt | UploadsBusy) -> None:
        raise RuntimeError

    async with committers.running(databases.main, world.pool) as committer:
        for place, gate in enumerate(gates_of):
            committer.submit(deposit(gate), broken if place == 2 else told.append)
        later = await committer.store(deposit(gates_of[2]))
        await committer.drain()

    assert told == [Receipt(allowed=True, new=(True,))] * 4
    assert later == Receipt(allowed=True, new=(True,))
