"""The keys of an erased person leave the memory of the process that erases, with the erasure."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from server.vault.service import Vault
from tests.erasure.person import add_person, tables_naming
from tests.erasure.test_saga import ask, run
from tests.vault.memory import held
from tests.world import World

if TYPE_CHECKING:
    import asyncpg


async def held_after_the_erasure(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> set[UUID]:
    """Erase a person whose keys are in use; return those of them that are still in memory."""
    person = await add_person(world)
    rows = await keys_owner.fetch(
        "SELECT key_id FROM data_key WHERE subject_id = $1", person.driver_id
    )
    keys = {row["key_id"] for row in rows}
    assert held(world.vault) >= keys > set()

    await run(world, await ask(world, person))

    return held(world.vault) & keys


async def test_once_a_person_is_erased_none_of_their_keys_is_in_memory(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await held_after_the_erasure(world, keys_owner) == set()


async def test_control_keys_that_are_not_forgotten_outlive_their_person(
    world: World,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Vault, "forget", lambda *_place: None)

    assert len(await held_after_the_erasure(world, keys_owner)) > 1


async def test_no_queued_job_names_a_person(world: World) -> None:
    person = await add_person(world)
    await ask(world, person)

    queued = await world.owner.fetchval("SELECT count(*) FROM jobs.pgqueuer")

    assert queued > 0
    named = await tables_naming(world.owner, person.driver_id)
    assert not any(table.startswith("jobs.") for table in named)
