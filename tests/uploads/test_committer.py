"""Group commit: each upload by its own merits, whatever its neighbours do."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from server.deposits import committer as committers
from server.deposits.committer import Committer
from server.deposits.hints import HINT_CHANNEL
from server.deposits.model import Receipt, UploadsBusy
from server.gate import service as gates
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from tests.conftest import Databases
from tests.deposits import deposit, row
from tests.world import NOW, World, add_driver

STORED, DUPLICATE = Receipt(allowed=True, new=(True,)), Receipt(allowed=True, new=(False,))
STALE = Receipt(allowed=False, new=(False,))


@pytest.fixture
async def committer(world: World, databases: Databases) -> AsyncIterator[Committer]:
    async with committers.running(databases.main, world.pool) as running:
        yield running


async def gate_of(world: World, driver_id: Any = None) -> Gate:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gates.read(conn, world.company_id, driver_id or world.driver.member_id)


async def drivers(world: World, count: int) -> list[Gate]:
    made = [await add_driver(world.vault, world.pool, world.company_id) for _ in range(count)]
    return [await gate_of(world, one.member_id) for one in made]


async def rows(world: World) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM chunk")
    return count


async def test_what_queues_while_the_connections_are_busy_goes_in_one_commit(
    world: World, committer: Committer
) -> None:
    gates_of = await drivers(world, 20)

    found = await asyncio.gather(
        *(committer.store(deposit(gate)) for gate in gates_of for _ in range(10))
    )

    commits = await world.owner.fetchval("SELECT count(DISTINCT xmin::text) FROM chunk")
    assert found == [STORED] * 200
    assert await rows(world) == 200
    assert commits <= 20


async def test_the_same_upload_again_is_there_already(world: World, committer: Committer) -> None:
    one = deposit(await gate_of(world))

    assert [await committer.store(one), await committer.store(one)] == [STORED, DUPLICATE]


async def test_one_of_two_rows_may_be_new(world: World, committer: Committer) -> None:
    gate, first = await gate_of(world), row()
    await committer.store(deposit(gate, first))

    found = await committer.store(deposit(gate, first, row()))

    assert found == Receipt(allowed=True, new=(False, True))


@pytest.mark.parametrize("counter", ["epoch", "rev", "credential_epoch", "key_epoch"])
async def test_each_stale_counter_stores_nothing(
    world: World, committer: Committer, counter: str
) -> None:
    gate = await gate_of(world)

    found = await committer.store(deposit(gate, **{counter: getattr(gate, counter) + 1}))

    assert found == STALE
    assert await rows(world) == 0


@pytest.mark.proves("kargo.az:collection-consent", "qoldau:8-consent")
@pytest.mark.parametrize(
    "change",
    [
        "account_active = false",
        "location_since = NULL",
        "dispatch_since = NULL, plan_fact_since = NULL",
    ],
)
async def test_a_closed_gate_stores_nothing_even_if_no_counter_moved(
    world: World, committer: Committer, change: str
) -> None:
    gate = await gate_of(world)
    await world.owner.execute(f"UPDATE gate SET {change}")  # noqa: S608 - of this list

    assert await committer.store(deposit(gate)) == STALE
    assert await rows(world) == 0


async def test_a_gate_that_is_closing_stores_nothing(world: World, committer: Committer) -> None:
    gate = await gate_of(world)
    await world.owner.execute(
        "INSERT INTO gate_closing VALUES ($1, $2, $3, $4)",
        gate.company_id,
        gate.driver_id,
        uuid7(),
        NOW,
    )

    assert await committer.store(deposit(gate)) == STALE
    assert await rows(world) == 0


async def test_one_batch_may_hold_several_companies(world: World, committer: Committer) -> None:
    other = await World.make(vault=world.vault, pool=world.pool, owner=world.owner)
    mine, theirs = await gate_of(world), await gate_of(other)

    found = await asyncio.gather(
        *(committer.store(deposit(gate)) for gate in (mine, theirs, mine, theirs))
    )

    assert found == [STORED] * 4


@asynccontextmanager
async def locked_by_another(world: World, gate: Gate) -> AsyncGenerator[None]:
    """Hold the driver's gate, as a change of consent does."""
    async with db.tenant(world.pool, gate.company_id) as conn:
        await gates.lock(conn, gate.company_id, gate.driver_id)
        yield


async def test_a_locked_gate_stalls_nobody_else(world: World, committer: Committer) -> None:
    locked, *others = await drivers(world, 10)

    async with locked_by_another(world, locked):
        stuck = [asyncio.create_task(committer.store(deposit(locked))) for _ in range(3)]
        await asyncio.sleep(0.05)
        started = time.monotonic()
        found = await asyncio.gather(*(committer.store(deposit(gate)) for gate in others))
        took_s = time.monotonic() - started

    assert found == [STORED] * 9
    assert took_s < 0.2
    assert await asyncio.gather(*stuck) == [STORED] * 3


async def test_a_gate_that_stays_locked_is_given_up(world: World, committer: Committer) -> None:
    gate = await gate_of(world)

    async with locked_by_another(world, gate):
        started = time.monotonic()
        with pytest.raises(UploadsBusy):
            await committer.store(deposit(gate))
        took_s = time.monotonic() - started

    assert 0.8 < took_s < 2
    assert await committer.store(deposit(gate)) == STORED


async def test_one_bad_upload_fails_alone(world: World, committer: Committer) -> None:
    first, *others = await drivers(world, 12)
    empty_row = row(size=0)  # refused by the table: no check of ours lets one through

    found = await asyncio.gather(
        committer.store(deposit(first, empty_row)),
        *(committer.store(deposit(gate)) for gate in others),
        return_exceptions=True,
    )

    assert isinstance(found[0], UploadsBusy)
    assert found[1:] == [STORED] * 11
    assert await rows(world) == 11


async def test_a_value_that_cannot_even_be_sent_fails_alone(
    world: World, committer: Committer
) -> None:
    first, *others = await drivers(world, 5)

    found = await asyncio.gather(
        committer.store(deposit(first, row(size=2**40))),
        *(committer.store(deposit(gate)) for gate in others),
        return_exceptions=True,
    )

    assert isinstance(found[0], UploadsBusy)
    assert found[1:] == [STORED] * 4


async def test_of_two_latest_positions_at_once_the_newer_is_kept(
    world: World, committer: Committer
) -> None:
    gate = await gate_of(world)
    newer, older = row(at=NOW), row(at=NOW - timedelta(seconds=9))

    found = await asyncio.gather(
        committer.store(deposit(gate, older, only_latest=True)),
        committer.store(deposit(gate, newer, only_latest=True)),
    )

    kept = await world.owner.fetch("SELECT recorded_at FROM latest_position")
    assert [one["recorded_at"] for one in kept] == [NOW]
    assert found[1] == STORED


async def end_sessions(world: World) -> int:
    ended = await world.owner.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'jolda_committer'"
        "   AND datname = current_database()"
    )
    return len(ended)


async def test_after_its_connections_were_ended_it_goes_on(
    world: World, committer: Committer
) -> None:
    gate = await gate_of(world)
    await committer.store(deposit(gate))
    assert await end_sessions(world) >= 1

    found = await asyncio.gather(*(committer.store(deposit(gate)) for _ in range(5)))

    assert found == [STORED] * 5
    assert await rows(world) == 6


async def test_under_broken_connections_every_acknowledged_upload_is_there_once(
    world: World, committer: Committer
) -> None:
    gates_of = await drivers(world, 8)
    acknowledged = []

    async def phone(gate: Gate) -> None:
        for _ in range(25):
            one = deposit(gate)
            for _ in range(50):
                try:
                    receipt = await committer.store(one)
                except UploadsBusy:
                    continue
                assert receipt.allowed
                acknowledged.append(one.rows[0].upload_id)
                break

    async def trouble() -> None:
        for _ in range(20):
            await asyncio.sleep(0.01)
            await end_sessions(world)

    await asyncio.gather(trouble(), *(phone(gate) for gate in gates_of))

    there = {found["upload_id"] for found in await world.owner.fetch("SELECT * FROM chunk")}
    assert there == set(acknowledged)
    assert len(acknowledged) == 200


async def test_while_the_server_is_away_uploads_are_told_so_at_once(
    world: World, committer: Committer, databases: Databases
) -> None:
    gate = await gate_of(world)
    await committer.store(deposit(gate))
    name = urlsplit(databases.main).path.removeprefix("/")
    admin = await asyncpg.connect(databases.admin)
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        await end_sessions(world)
        started = time.monotonic()
        found = await asyncio.gather(
            *(committer.store(deposit(gate)) for _ in range(10)), return_exceptions=True
        )
        took_s = time.monotonic() - started
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()

    assert [type(one) for one in found] == [UploadsBusy] * 10
    assert took_s < 1
    assert await rows(world) == 1
    assert await committer.store(deposit(gate)) == STORED


async def test_the_queue_is_bounded(
    world: World, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committers, "QUEUE_MAX", 5)
    gate = await gate_of(world)

    found = await asyncio.gather(
        *(committer.store(deposit(gate)) for _ in range(9)), return_exceptions=True
    )

    assert [type(one) for one in found] == [Receipt] * 5 + [UploadsBusy] * 4


async def test_stopping_answers_whatever_was_taken(world: World, databases: Databases) -> None:
    gate = await gate_of(world)
    async with committers.running(databases.main, world.pool) as running:
        waiting = [asyncio.create_task(running.store(deposit(gate))) for _ in range(20)]
        await asyncio.sleep(0)

    found = await asyncio.gather(*waiting)

    assert found == [STORED] * 20
    with pytest.raises(UploadsBusy):
        await running.store(deposit(gate))


async def test_a_hint_names_the_company_and_nothing_else(
    world: World, committer: Committer, databases: Databases
) -> None:
    heard: list[str] = []
    gate = await gate_of(world)
    listener = await asyncpg.connect(databases.main)
    await listener.add_listener(HINT_CHANNEL, lambda *told: heard.append(told[-1]))

    await asyncio.gather(*(committer.store(deposit(gate)) for _ in range(10)))
    async with asyncio.timeout(10):
        while not heard:  # noqa: ASYNC110 - the listener's callback tells nobody else
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.4)  # one more would come now
    await listener.close()

    assert heard == [str(world.company_id)]


async def test_the_committers_role_can_read_no_blob_and_change_no_gate(
    world: World, committer: Committer, committer_pool: Pool
) -> None:
    await committer.store(deposit(await gate_of(world)))

    for forbidden in (
        "SELECT blob FROM chunk",
        "UPDATE gate SET location_since = now()",
        "UPDATE gate SET lock_only = true",
        "UPDATE chunk SET count = 2",
        "SELECT * FROM member",
    ):
        async with committer_pool.acquire() as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(forbidden)


async def test_the_committers_role_deletes_only_of_the_company_it_named(
    world: World, committer: Committer, committer_pool: Pool
) -> None:
    await committer.store(deposit(await gate_of(world)))

    async with committer_pool.acquire() as conn:
        assert await conn.execute("DELETE FROM chunk") == "DELETE 0"
    async with db.tenant(committer_pool, uuid7()) as conn:
        assert await conn.execute("DELETE FROM chunk") == "DELETE 0"
    async with db.tenant(committer_pool, world.company_id) as conn:
        assert await conn.execute("DELETE FROM chunk") == "DELETE 1"


async def test_the_applications_role_stores_no_position(world: World) -> None:
    async with world.pool.acquire() as conn:
        for table in ("chunk", "latest_position"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(f"INSERT INTO {table} DEFAULT VALUES")
