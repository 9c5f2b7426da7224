"""The last look before the keys go: what the server wrote is found wherever it stands."""

import json
from typing import Any
from uuid import UUID

import pytest

from server.erasure import search, search_store
from server.erasure.model import NotErased, Request, State
from server.erasure.search_store import sought_of
from server.kit import db
from server.kit.ids import uuid7
from server.vault.model import Category
from tests.erasure.person import Person, add_person
from tests.erasure.test_saga import Crash, ask, read, run
from tests.world import NOW, World


async def add_vehicle(world: World, name: str) -> None:
    await world.owner.execute(
        "INSERT INTO vehicle (company_id, vehicle_id, name, plate, created_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        world.company_id,
        uuid7(),
        name,
        uuid7().hex[-8:],
        NOW,
    )


async def add_notice(world: World, facts: dict[str, str], dedupe: str | None = None) -> None:
    await world.owner.execute(
        "INSERT INTO notice (company_id, notice_id, member_id, kind, dedupe, facts, queued_at)"
        " SELECT company_id, $1, member_id, 'controller_change_announced', $2, $3, $4"
        " FROM member WHERE role = 'main_user' LIMIT 1",
        uuid7(),
        dedupe,
        json.dumps(facts),
        NOW,
    )


async def an_id_in_a_document(world: World, person: Person) -> None:
    await add_notice(world, {"driver_id": str(person.driver_id)})


async def an_id_without_dashes(world: World, person: Person) -> None:
    await add_notice(world, {}, f"of {person.driver_id.hex.upper()}")


async def an_id_among_others(world: World, person: Person) -> None:
    await world.owner.execute(
        "UPDATE location_read_set SET drivers = drivers || $1::uuid", person.driver_id
    )


async def something_sealed_for_them_in_anothers_row(world: World, person: Person) -> None:
    await world.owner.execute(
        "UPDATE member SET phone_sealed = $1 WHERE role = 'main_user'", person.sealed[1].sealed
    )


async def a_name_that_nobody_sealed(world: World, person: Person) -> None:
    await world.owner.execute(
        "UPDATE member SET phone_sealed = $1 WHERE role = 'main_user'", person.canaries[0].encode()
    )


LEFT = (
    an_id_in_a_document,
    an_id_without_dashes,
    an_id_among_others,
    something_sealed_for_them_in_anothers_row,
    a_name_that_nobody_sealed,
)


CODES = {
    "api_token.scopes",
    "company_closing.asked_by_role",
    "company.storage_country",
    "company.time_zone",
    "controller_change.bin",
    "policy_applied.document",
    "policy_controller.bin",
    *(f"policy_edition.{name}" for name in ("document", "change_class", "adds_purpose")),
    "policy_edition.authoritative_language",
    *(f"policy_text.{name}" for name in ("document", "language", "sha256")),
}
"""What the server chooses, or too short for an id."""
POSITIONS = ("chunk", "latest_position")
"""Counted by their driver when the erasure is verified."""


async def mend(world: World) -> None:
    await world.owner.execute(
        "DELETE FROM notice WHERE dedupe LIKE 'of %' OR facts ->> 'driver_id' IS NOT NULL"
    )
    await world.owner.execute("UPDATE member SET phone_sealed = NULL WHERE role = 'main_user'")
    await world.owner.execute("DELETE FROM location_read; DELETE FROM location_read_set")


@pytest.mark.proves("kargo.az:protection")
@pytest.mark.parametrize("leave", LEFT, ids=[one.__name__ for one in LEFT])
async def test_nothing_is_called_erased_and_no_key_destroyed_while_it_is_found(
    world: World, leave: Any
) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    await leave(world, person)

    with pytest.raises(NotErased):
        await run(world, request)

    assert (await read(world, request))[0] is State.ERASING
    assert await world.vault.key_ids(world.company_id, person.driver_id) != []
    await mend(world)
    await run(world, request)
    assert (await read(world, request))[0] is State.ERASED


@pytest.mark.parametrize("leave", LEFT, ids=[one.__name__ for one in LEFT])
async def test_control_ids_in_columns_of_their_own_are_not_all_there_is(
    world: World, leave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the search the rest would call this erased."""

    async def blind(*_args: object, **_named: object) -> int:
        return 0

    async def every_key(_conn: object, company_id: UUID, _request_id: UUID) -> list[UUID]:
        return await world.vault.key_ids(company_id, person.driver_id)

    monkeypatch.setattr(search, "look", blind)
    monkeypatch.setattr(search, "look_again", blind)
    monkeypatch.setattr(search, "keys_noted", every_key)
    person = await add_person(world)
    request = await ask(world, person)
    await leave(world, person)

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED


async def protocol(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        await world.owner.fetchval("SELECT protocol FROM erasure_search")
    )
    return found


@pytest.mark.parametrize(
    "name",
    ["Aizhan Kanarova-1's truck", "AIZHANKANAROVA1", "ask 8 (701) 555-01-21", "+77015550121"],
)
async def test_what_people_typed_is_told_and_left_to_them(world: World, name: str) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    await add_vehicle(world, name)
    await add_vehicle(world, "Aizhan's truck")

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    assert (await protocol(world))["alike"] == {"vehicle": 1}


@pytest.mark.parametrize("spelled", ["{}", "Truck of {}", "TRUCK{0.hex}"])
async def test_an_id_that_somebody_typed_is_told_and_holds_up_nothing(
    world: World, spelled: str
) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    name = spelled.format(person.driver_id)
    await add_vehicle(world, name)
    await world.owner.execute("UPDATE company SET name = $1", name)
    await add_notice(world, {"name": name, "contact": name})

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    found = await protocol(world)
    assert found["alike"] == {"company": 1, "notice": 1, "vehicle": 1}
    assert found["again"]["alike"] == found["alike"]


async def test_texts_that_the_company_keeps_are_those_that_people_typed_or_are_codes(
    world: World,
) -> None:
    rows = await world.owner.fetch(
        "SELECT c.relname || '.' || a.attname AS name FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE c.relkind IN ('r', 'p') AND t.typname IN ('text', 'json', 'jsonb', '_text')"
        " AND col_description(c.oid, a.attnum) ~ 'form=clear retention=company'"
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        searched = {f"{t.name}.{c}" for t in await search_store.tables(conn) for c in t.columns}

    kept = {row["name"] for row in rows} & searched

    assert searched >= search_store.TYPED
    assert kept - search_store.TYPED == CODES


async def crash_after_the_search(world: World, person: Person) -> Request:
    request = await ask(world, person)
    with pytest.raises(Crash):
        await run(world, request, crash_at="search.done")
    return request


async def test_what_was_written_after_the_search_is_found_before_it_is_called_erased(
    world: World,
) -> None:
    person = await add_person(world)
    request = await crash_after_the_search(world, person)
    await an_id_in_a_document(world, person)

    with pytest.raises(NotErased):
        await run(world, request)

    assert (await read(world, request))[0] is State.ERASING
    await mend(world)
    await run(world, request)
    assert (await read(world, request))[0] is State.ERASED


async def test_what_was_typed_after_the_search_is_told(world: World) -> None:
    person = await add_person(world)
    request = await crash_after_the_search(world, person)
    await add_vehicle(world, f"of {person.driver_id}")

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    found = await protocol(world)
    assert (found["alike"], found["again"]["alike"]) == ({}, {"vehicle": 1})


async def test_what_is_looked_for_is_sealed_for_the_person_and_goes_with_the_keys(
    world: World,
) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    with pytest.raises(Crash):
        await run(world, request, crash_at="destroy_keys.begun")
    sealed = await world.owner.fetchval("SELECT sought_sealed FROM erasure_search")
    keys = await world.vault.key_ids(world.company_id, person.driver_id)
    assert UUID(bytes=sealed[1:17]) in keys
    assert not any(one.encode() in sealed for one in person.canaries)

    await run(world, request)

    row = await world.owner.fetchrow("SELECT * FROM erasure_search")
    assert row is not None
    assert row["sought_sealed"] is None
    assert sorted(row["key_ids"]) == sorted(keys)
    assert row["ledger_entries"] == await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE subject_id = $1", person.pseudonym
    )


async def test_a_key_that_was_made_after_the_search_is_noted_before_it_goes(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    with pytest.raises(Crash):
        await run(world, request, crash_at="destroy_keys.begun")
    late = await world.vault.key(world.company_id, person.driver_id, Category.PLAN, at=NOW)

    with pytest.raises(NotErased):
        await run(world, request)
    assert late.key_id in await world.vault.key_ids(world.company_id, person.driver_id)
    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    assert late.key_id in await world.owner.fetchval("SELECT key_ids FROM erasure_search")


async def test_whose_name_cannot_be_read_any_more_is_looked_for_by_ids(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    await world.vault.destroy(world.company_id, person.driver_id, NOW)

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    assert (await protocol(world))["for_texts"] == 0


async def test_every_text_and_every_byte_of_a_company_is_looked_at_or_named_by_its_key(
    world: World,
) -> None:
    rows = await world.owner.fetch(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        " AND c.udt_name IN ('text', 'varchar', 'json', 'jsonb', '_text', 'bytea', 'uuid', '_uuid')"
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await search_store.tables(conn)

    searched = {(table.name, column) for table in found for column in table.columns}
    left = {tuple(row) for row in rows} - searched

    assert {one for one in left if one[0] not in {"erasure_request", "erasure_search"}} == {
        ("alembic_version", "version_num"),
        *((table, "blob") for table in POSITIONS),
        *((table, column) for table in POSITIONS for column in ("company_id", "driver_id")),
        *((table, column) for table in POSITIONS for column in ("key_id", "upload_id")),
    } - {("latest_position", "upload_id")}


def test_what_is_looked_for_reads_no_pattern_into_a_name() -> None:
    driver_id = uuid7()
    sought = sought_of(driver_id, [], ["100%_sure", "Al", "+77015550121", None])

    assert sought.texts == ("100%_sure", "7015550121")
    assert sought.alike == [f"%{driver_id.hex}%", r"%100\%\_sure%", "%7015550121%"]
