"""A fleet needs its keys in the same second: they are read and made together, each its own."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault import making, service, store
from server.vault.model import Category, DataKey, SubjectErased
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.world import NOW, World

FLEET = 30


class Statements:
    """Counts those of a kind, and holds up the first for as long as it is told to."""

    def __init__(self, name: str, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fails: list[Exception] = []
        self._real = getattr(store, name)
        patch.setattr(store, name, self)

    async def __call__(self, *args: Any, **named: Any) -> Any:
        self.count += 1
        self.begun.set()
        await self.go_on.wait()
        if self.fails:
            raise self.fails.pop()
        return await self._real(*args, **named)


@pytest.fixture
async def fleet(world: World) -> list[UUID]:
    subject_ids = [uuid7() for _ in range(FLEET)]
    for subject_id in subject_ids:
        await world.vault.create_subject(world.company_id, subject_id)
    return subject_ids


async def keys_of(
    world: World, vault: Vault, subject_ids: Sequence[UUID], category: Category = Category.TRACK
) -> list[DataKey | BaseException]:
    return await asyncio.gather(
        *(vault.key(world.company_id, one, category, at=NOW) for one in subject_ids),
        return_exceptions=True,
    )


async def test_the_keys_that_a_fleet_lacks_are_made_together(
    world: World,
    fleet: list[UUID],
    keys_pool: Pool,
    kek_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await open_vault(keys_pool, load(kek_file), NOW)
    reads, inserts = (Statements(name, monkeypatch) for name in ("keys_at", "insert_keys"))

    made = await keys_of(world, world.vault, fleet)

    assert [one.subject_id for one in made if isinstance(one, DataKey)] == fleet
    # Looked for, and then made and read: a transaction each.
    assert (reads.count, inserts.count) == (2, 1)
    assert await keys_of(world, world.vault, fleet) == made  # held
    again = await keys_of(world, other, fleet)
    assert [one.key_id for one in again if isinstance(one, DataKey)] == [
        one.key_id for one in made if isinstance(one, DataKey)
    ]
    assert inserts.count == 1


async def test_who_is_erased_gets_no_key_and_keeps_nobody_from_theirs(
    world: World, fleet: list[UUID]
) -> None:
    await world.vault.destroy(world.company_id, fleet[3], NOW)

    made = await keys_of(world, world.vault, [*fleet, uuid7()])

    erased = [place for place, one in enumerate(made) if isinstance(one, SubjectErased)]
    assert erased == [3, FLEET]
    assert sum(isinstance(one, DataKey) for one in made) == FLEET - 1


async def test_processes_that_make_the_same_keys_end_with_the_same(
    world: World, fleet: list[UUID], keys_pool: Pool, kek_file: Path
) -> None:
    other = await open_vault(keys_pool, load(kek_file), NOW)

    mine, theirs = await asyncio.gather(
        keys_of(world, world.vault, fleet), keys_of(world, other, fleet[::-1])
    )

    assert [one.key_id for one in mine if isinstance(one, DataKey)] == [
        one.key_id for one in reversed(theirs) if isinstance(one, DataKey)
    ]
    assert len(mine) == FLEET


async def test_keys_are_made_of_the_time_they_are_for(
    world: World, fleet: list[UUID], keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    month_ago = NOW - timedelta(days=31)
    await asyncio.gather(
        world.vault.key(world.company_id, fleet[0], Category.TRACK, at=NOW),
        world.vault.key(world.company_id, fleet[0], Category.TRACK, at=month_ago),
    )

    rows = await keys_owner.fetch(
        "SELECT created_at FROM data_key WHERE subject_id = $1 ORDER BY 1", fleet[0]
    )

    assert [row["created_at"] for row in rows] == [month_ago, NOW]


@pytest.mark.parametrize(("category", "waits"), [(Category.TRACK, True), (Category.CONTACT, False)])
async def test_acts_of_people_do_not_wait_for_the_keys_of_a_fleet(
    world: World,
    fleet: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    category: Category,
    *,
    waits: bool,
) -> None:
    read = Statements("keys_at", monkeypatch)
    read.go_on.clear()
    uploads = asyncio.create_task(keys_of(world, world.vault, fleet))
    await read.begun.wait()
    read.begun.clear()
    act = asyncio.create_task(keys_of(world, world.vault, fleet[:1], category))
    await asyncio.wait([begun := asyncio.create_task(read.begun.wait())], timeout=0.5)
    begun.cancel()

    has_waited = not read.begun.is_set()
    read.go_on.set()
    await uploads
    assert isinstance((await act)[0], DataKey)
    assert has_waited is waits


async def test_a_connection_that_died_is_no_fault_of_a_fleet(
    world: World, fleet: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("keys_at", "insert_keys"):
        statements = Statements(name, monkeypatch)
        statements.fails = [asyncpg.ConnectionDoesNotExistError("gone")]

    keys = await keys_of(world, world.vault, fleet)

    assert sum(isinstance(one, DataKey) for one in keys) == FLEET


async def test_a_company_key_that_was_changed_is_told_to_all_at_once(
    world: World,
    fleet: list[UUID],
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await keys_owner.execute("UPDATE company_key SET wrapped = substr(wrapped, 1, 5)")
    reads = Statements("keys_at", monkeypatch)

    keys = await keys_of(world, world.vault, fleet)

    assert {type(one) for one in keys} == {KekUnusable}
    # It could have been wrapped anew meanwhile, so it is read again; once for all of them.
    assert reads.count == service.READ_TRIES


async def test_nothing_is_held_of_a_company_that_nobody_asks_of(
    world: World, fleet: list[UUID]
) -> None:
    await keys_of(world, world.vault, fleet)
    await asyncio.gather(
        world.vault.key(uuid7(), fleet[0], Category.TRACK, at=NOW), return_exceptions=True
    )

    assert len(world.vault._reading) == len(world.vault._making) == 0  # noqa: SLF001 - what lies in memory
    assert making.KEYS_READ_MAX >= FLEET
