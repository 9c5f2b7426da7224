"""Whoever shares a batch or a queue with trouble: neither failed nor held up by it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import pytest

from server.deposits import committer as committers
from server.deposits import store, waiting
from server.deposits.committer import CONNECTIONS, Committer
from server.deposits.model import (
    RETRY_S_MAX,
    RETRY_S_MIN,
    RETRY_SPREAD_S,
    Deposit,
    Receipt,
    UploadsBusy,
)
from server.deposits.waiting import WAIT_S_MAX
from server.gate import service as gates
from server.gate.model import Gate
from server.kit import db
from server.kit.turns import Turns
from tests.conftest import Databases
from tests.deposits import deposit, row
from tests.world import World, add_company, add_driver

STORED: Final = Receipt(allowed=True, new=(True,))
NEIGHBOURS: Final = 11
NEIGHBOURS_S_MAX: Final = 0.2
HELD_S: Final = 0.6
BATCH: Final = 8
"""Small, so that a queue is many batches long."""
FLOODING: Final = 12
"""Drivers of the company that floods, each with as many uploads under way as one may have."""
STEADY: Final = 10
REFUSED: Final = 20_000
"""So many that the fullest second differs from the others by what is built, not by chance."""
OVERTAKING_MAX: Final = 1
"""The flood's turn may be next when another's upload comes; the one after is the other's."""


async def drivers(world: World, company_id: UUID, count: int) -> list[Gate]:
    made = [await add_driver(world.vault, world.pool, company_id) for _ in range(count)]
    async with db.tenant(world.pool, company_id) as conn:
        return [await gates.read(conn, company_id, one.member_id) for one in made]


@asynccontextmanager
async def locked(world: World, *driver_gates: Gate) -> AsyncGenerator[None]:
    """Hold the gates of one company's drivers, as changes of their consents do."""
    async with db.tenant(world.pool, driver_gates[0].company_id) as conn:
        for gate in driver_gates:
            await gates.lock(conn, gate.company_id, gate.driver_id)
        yield


async def batch_of(committer: Committer, deposits: Iterable[Deposit]) -> list[Any]:
    """Store them in one batch: all are queued before the committer has its turn."""
    return await asyncio.gather(*(committer.store(one) for one in deposits), return_exceptions=True)


async def test_the_neighbours_of_a_poisoned_upload_are_stored(
    world: World, databases: Databases
) -> None:
    poisoned, *others = await drivers(world, world.company_id, 1 + NEIGHBOURS)

    async with committers.running(databases.main, world.pool) as committer:
        found = await batch_of(committer, [deposit(poisoned, row(size=0)), *map(deposit, others)])

    assert isinstance(found[0], UploadsBusy)
    assert found[1:] == [STORED] * NEIGHBOURS
    assert await world.owner.fetchval("SELECT count(*) FROM chunk") == NEIGHBOURS


async def test_control_a_batch_that_is_not_halved_fails_as_a_whole(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_halved(self: Committer, lane: Any, batch: Any) -> Any:
        stored = await self._store(lane, batch)
        for one in batch:
            self._answer(one, stored)
        return []

    monkeypatch.setattr(Committer, "_commit", never_halved)
    poisoned, *others = await drivers(world, world.company_id, 1 + NEIGHBOURS)

    async with committers.running(databases.main, world.pool) as committer:
        found = await batch_of(committer, [deposit(poisoned, row(size=0)), *map(deposit, others)])

    assert [type(one) for one in found] == [UploadsBusy] * (1 + NEIGHBOURS)


async def neighbours_of_a_locked_gate(
    world: World, databases: Databases, or_skip: str
) -> tuple[list[Any], float]:
    """Return their receipts, and how long they took while the gate was held for HELD_S."""
    held, *others = await drivers(world, world.company_id, 1 + NEIGHBOURS)
    async with committers.running(databases.main, world.pool, or_skip=or_skip) as committer:
        await committer.store(deposit(others[0]))  # the connection is open
        async with locked(world, held):
            began = time.monotonic()
            # Queued in one turn of the loop, before the committer's: they are one batch.
            stuck = asyncio.create_task(committer.store(deposit(held)))
            beside = asyncio.gather(*(committer.store(deposit(gate)) for gate in others))
            await asyncio.wait([beside], timeout=HELD_S)
            was_held = not beside.done()
            took_s = time.monotonic() - began
        found = await beside
        assert await stuck == STORED
    return found, HELD_S if was_held else took_s


async def test_the_neighbours_of_a_locked_gate_are_answered_while_it_is_held(
    world: World, databases: Databases
) -> None:
    found, took_s = await neighbours_of_a_locked_gate(world, databases, store.STORE_OR_SKIP)

    assert found == [STORED] * NEIGHBOURS
    assert took_s < NEIGHBOURS_S_MAX


async def test_control_a_batch_that_waits_for_a_locked_gate_stalls_them(
    world: World, databases: Databases
) -> None:
    found, took_s = await neighbours_of_a_locked_gate(world, databases, store.STORE_OR_WAIT)

    assert found == [STORED] * NEIGHBOURS
    assert took_s >= HELD_S


class OneLine(Turns[UUID, Any]):
    """A queue in which whoever came first is served first, whosever it is."""

    def put(self, key: UUID, item: Any) -> None:  # noqa: ARG002 - what is taken away
        super().put(UUID(int=0), item)


async def overtaken(
    world: World,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    turns: type[Turns[UUID, Any]],
) -> list[int]:
    """Let one company flood and another upload steadily.

    Return how many of the first were taken from the queue while each upload of the other stood in
    it. Answers are not counted: in which order two connections give theirs is the machine's affair.
    """
    served: list[UUID] = []

    class Watched(turns):  # type: ignore[misc, valid-type] # with the guard, or without it
        def take(self) -> Any:
            item = super().take()
            served.append(item.deposit.company_id)
            return item

    monkeypatch.setattr(committers, "Turns", Watched)
    monkeypatch.setattr(committers, "BATCH_MAX", BATCH)
    monkeypatch.setattr(waiting, "WAIT_S_MAX", 60.0)  # who waits is counted, not given up
    flooding = await drivers(world, world.company_id, FLOODING)
    other = await add_company(world.vault, world.owner)
    [steady] = await drivers(world, other, 1)
    over = False
    counts = []

    async with committers.running(databases.main, world.pool) as committer:

        async def flood(gate: Gate) -> None:
            while not over:
                await committer.store(deposit(gate))

        async with asyncio.TaskGroup() as group:
            for gate in flooding:
                for _ in range(committers.OF_DRIVER_MAX):
                    group.create_task(flood(gate))
            while len(served) < FLOODING:  # noqa: ASYNC110 - the flood has begun
                await asyncio.sleep(0)
            for _ in range(STEADY):
                before = len(served)
                await committer.store(deposit(steady))
                counts.append(served[before:].index(other))
            over = True
    return counts


@pytest.mark.proves("gocargo:use-of-the-site-load")
async def test_a_company_that_floods_makes_no_other_wait(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(await overtaken(world, databases, monkeypatch, Turns)) <= OVERTAKING_MAX


async def test_control_without_turns_the_others_wait_behind_the_flood(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert min(await overtaken(world, databases, monkeypatch, OneLine)) > OVERTAKING_MAX


async def test_a_driver_has_only_so_many_uploads_under_way(
    world: World, databases: Databases
) -> None:
    greedy, other = await drivers(world, world.company_id, 2)
    limit = committers.OF_DRIVER_MAX

    async with committers.running(databases.main, world.pool) as committer:
        found = await batch_of(
            committer, [*(deposit(greedy) for _ in range(limit + 3)), deposit(other)]
        )
        again = await committer.store(deposit(greedy))

    assert [type(one) for one in found] == [Receipt] * limit + [UploadsBusy] * 3 + [Receipt]
    assert again == STORED


async def test_what_waits_behind_a_database_that_hangs_is_given_up_in_time(
    world: World, databases: Databases
) -> None:
    *hanging, waiting = await drivers(world, world.company_id, CONNECTIONS + 1)
    other = await add_company(world.vault, world.owner)

    # The statement that waits, where the one that skips belongs: so a lane can be made to hang.
    async with committers.running(
        databases.main, world.pool, or_skip=store.STORE_OR_WAIT
    ) as committer:
        async with locked(world, *hanging):
            stuck = []
            for gate in hanging:
                stuck.append(asyncio.create_task(committer.store(deposit(gate))))
                await asyncio.sleep(0.1)
            began = time.monotonic()
            behind = asyncio.create_task(committer.store(deposit(waiting)))
            await asyncio.sleep(WAIT_S_MAX * 0.7)
            assert committer.is_behind(world.company_id)
            assert not committer.is_behind(other)
            with pytest.raises(UploadsBusy):
                await behind
            took_s = time.monotonic() - began
        assert await asyncio.gather(*stuck) == [STORED] * CONNECTIONS
        assert not committer.is_behind(world.company_id)

    assert WAIT_S_MAX * 0.9 < took_s < WAIT_S_MAX + 1
    assert await world.owner.fetchval("SELECT count(*) FROM chunk") == CONNECTIONS


@pytest.mark.parametrize(
    ("failing_s", "most_s"), [(0, RETRY_SPREAD_S), (12, 12), (3600, RETRY_S_MAX)]
)
def test_those_who_are_refused_at_once_do_not_come_again_at_once(
    failing_s: float, most_s: float
) -> None:
    waits = sorted(UploadsBusy(failing_s=failing_s).retry_after_s or 0 for _ in range(REFUSED))

    assert RETRY_S_MIN <= waits[0] < waits[-1] <= most_s
    fullest = max(sum(at <= one < at + 1 for one in waits) for at in range(int(most_s) + 1))
    assert fullest < REFUSED * 1.5 / (most_s - RETRY_S_MIN)
