"""What the ledger keeps of an erased driver, and that it tells nobody who it was."""

import json
from uuid import UUID

import pytest

from server.audit.command import counterparts
from server.consent.model import ConsentItem
from server.erasure.model import NotErased, Step
from server.kit import db
from server.kit.db import Pool
from server.ledger import service as ledger
from server.ledger.model import Act, Entry
from server.ledger.verify import verify
from server.vault.model import SubjectErased
from tests.conftest import Databases
from tests.erasure.life import count_refusal
from tests.erasure.person import Person, add_person, sql_dump, tables_naming
from tests.erasure.test_saga import Crash, ask, read, run
from tests.ledger.details import open_details
from tests.world import NOW, World


async def entries_about(world: World, person: Person) -> list[Entry]:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await ledger.entries_about(conn, world.company_id, person.driver_id, limit=1000)


async def acts(world: World, pseudonym: UUID) -> list[tuple[str, dict[str, object]]]:
    rows = await world.owner.fetch(
        "SELECT act, facts FROM ledger_entry WHERE subject_id = $1 ORDER BY index", pseudonym
    )
    return [(row["act"], json.loads(row["facts"])) for row in rows]


async def test_the_last_entry_about_a_driver_says_that_they_were_erased(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)

    await run(world, request)

    act, facts = (await acts(world, person.pseudonym))[-1]
    _, done = await read(world, request)
    steps = list(Step)
    before = steps[: steps.index(Step.ERASE_LEDGER)]
    assert (act, facts) == (Act.MEMBER_ERASED, {"rows": {one.value: done[one] for one in before}})


@pytest.mark.parametrize("moment", ["begun", "worked", "done"])
async def test_it_says_so_once_also_after_a_crash_and_a_second_run(
    world: World, moment: str
) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    with pytest.raises(Crash):
        await run(world, request, crash_at=f"{Step.ERASE_LEDGER}.{moment}")
    await count_refusal(world, person.driver_id)

    with pytest.raises(NotErased):
        await run(world, request)
    await run(world, request)

    written = [act for act, _ in await acts(world, person.pseudonym)]
    assert written.count(Act.MEMBER_ERASED) == 1
    assert (
        await world.owner.fetchval("SELECT count(*) FROM ledger_entry WHERE act = 'member_erased'")
        == 1
    )


async def test_the_entries_stay_and_the_chain_holds(world: World) -> None:
    person = await add_person(world)
    before = await acts(world, person.pseudonym)

    await run(world, await ask(world, person))

    assert len(before) > 10
    assert (await acts(world, person.pseudonym))[: len(before)] == before
    keys = world.vault.public_keys()
    async with db.tenant(world.pool, world.company_id) as conn:
        parts = counterparts(NOW)
        found = await verify(conn, world.company_id, public_keys=keys, counterparts=parts)
    assert found.sound


@pytest.mark.proves("qoldau:14-removal")
async def test_nothing_tells_any_more_whose_pseudonym_it_was(
    world: World, databases: Databases
) -> None:
    person = await add_person(world)
    assert "public.ledger_subject" in await tables_naming(world.owner, person.pseudonym)

    await run(world, await ask(world, person))

    assert await tables_naming(world.owner, person.pseudonym) == {
        "public.incident_member",
        "public.ledger_entry",
        "public.location_read",
        "public.location_read_set",
    }
    lines = (await sql_dump(databases.main)).splitlines()
    both = (str(person.pseudonym), str(person.driver_id))
    assert not any(all(one in line for one in both) for line in lines)
    assert str(person.pseudonym) not in await sql_dump(databases.keys)


async def test_no_detail_about_an_erased_driver_opens_any_more(
    world: World, keys_pool: Pool
) -> None:
    person = await add_person(world)
    entries = await entries_about(world, person)
    ids = (world.vault, world.company_id, person.driver_id, entries)
    # The control: while the driver is there, each sealed detail opens.
    details = await open_details(*ids)
    assert [one is not None for one in details] == [
        one.detail_sealed is not None for one in entries
    ]
    assert sum(one is not None for one in details) > len(ConsentItem)

    await run(world, await ask(world, person))

    with pytest.raises(SubjectErased):
        await open_details(*ids)
    async with db.tenant(keys_pool, world.company_id) as conn:
        left = await conn.fetchval(
            "SELECT count(*) FROM data_key WHERE subject_id = $1", person.driver_id
        )
    assert left == 0
    assert await entries_about(world, person) == []


async def test_what_is_left_of_the_consents_is_a_commitment_without_its_nonce(
    world: World,
) -> None:
    person = await add_person(world)
    records = await world.owner.fetchval(
        "SELECT count(*) FROM consent_record WHERE driver_id = $1", person.driver_id
    )

    request = await ask(world, person)
    withdrawn = await world.owner.fetchval(
        "SELECT count(*) FROM consent_record WHERE driver_id = $1", person.driver_id
    )
    await run(world, request)

    kept = await world.owner.fetch("SELECT commitment FROM consent_commitment")
    assert len(kept) >= withdrawn > records
    said = {facts.get("commitment") for _, facts in await acts(world, person.pseudonym)}
    assert sum(row["commitment"].hex() in said for row in kept) == withdrawn
