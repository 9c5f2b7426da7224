"""What the registers keep of somebody who was erased."""

from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession

from server.disclosures import service as disclosures
from server.incidents import service as incidents
from server.incidents.model import list_hash
from server.kit import db
from tests.disclosures.acts import LAT, LON, REGISTER, People, call, drive, file_of, released
from tests.incidents.acts import (
    assessed,
    drivers,
    end,
    look,
    members,
    notify,
    of_dispatcher,
    read,
    reported,
    scope,
    tell,
    told_of,
)
from tests.world import World


async def erase(world: World, member_id: UUID) -> None:
    """Do the steps of the erasing job for both registers."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await incidents.erase(conn, world.company_id, member_id)
        await disclosures.erase(conn, world.company_id, member_id)


async def naming(world: World, member_id: UUID) -> set[str]:
    """Return which tables of the registers name a member."""
    found = set()
    for table in (
        "disclosure",
        "disclosure_file",
        "incident",
        "incident_assessment",
        "incident_member",
    ):
        rows = await world.owner.fetch(f"SELECT t::text AS row FROM {table} t")  # noqa: S608 - names above
        if any(str(member_id) in row["row"] for row in rows):
            found.add(table)
    return found


async def test_a_disclosure_stays_as_evidence_and_is_nobodys(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people)
    await file_of(client, disclosure_id, people.boss)
    _, before = await call(client, "GET", f"{REGISTER}/{disclosure_id}", people.boss)
    assert await naming(world, people.driver_id) == {"disclosure"}

    await erase(world, people.driver_id)

    assert await naming(world, people.driver_id) == set()
    _, after = await call(client, "GET", f"{REGISTER}/{disclosure_id}", people.boss)
    assert after == {**before, "driver_id": None, "driver_name": None, "given": None}
    assert after["evidence"]["document_number"] == "17-4/2026"
    assert len(after["files"]) == 1


async def test_whoever_acted_for_the_company_is_forgotten_and_their_acts_stay(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people)
    await file_of(client, disclosure_id, people.dispatcher)
    incident_id = await reported(client, people.dispatcher)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))
    assert await naming(world, people.dispatcher_id) == {
        "disclosure",
        "disclosure_file",
        "incident",
        "incident_assessment",
        "incident_member",
    }

    await erase(world, people.dispatcher_id)

    assert await naming(world, people.dispatcher_id) == set()
    _, found = await call(client, "GET", f"{REGISTER}/{disclosure_id}", people.boss)
    assert (found["recorded_by"], found["decided_by"]) == (None, "Boss")
    assert (await read(client, people, incident_id))["reported_by"] is None


async def test_who_was_erased_is_not_named_and_not_told_and_holds_nothing_up(
    world: World, client: ClientSession, people: People
) -> None:
    stays, leaves = await drivers(world, 2)
    await look(world, of_dispatcher(people), stays.member_id, leaves.member_id)
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))
    hashed = (await read(client, people, incident_id))["assessments"][0]["list_sha256"]

    await erase(world, leaves.member_id)

    assert await tell(world) == 2
    assert leaves.member_id not in await told_of(world, "incident_affected")
    assert await members(client, people, incident_id) == {stays.member_id, people.dispatcher_id}
    counts = (await read(client, people, incident_id))["counts"]
    assert (counts["affected"], counts["erased"], counts["told"]) == (3, 1, 2)
    # The list can still be compared with what the ledger says of it.
    rows = await world.owner.fetch("SELECT pseudonym FROM incident_member")
    again = list_hash(world.company_id, UUID(incident_id), [row["pseudonym"] for row in rows])
    assert again.hex() == hashed
    await notify(client, people, incident_id)
    assert (await end(client, people, incident_id))[0] == 200


async def test_who_was_erased_before_is_counted_and_nobody_else(
    world: World, client: ClientSession, people: People
) -> None:
    stays, leaves = await drivers(world, 2)
    await look(world, of_dispatcher(people), stays.member_id, leaves.member_id)
    await world.owner.execute("DELETE FROM ledger_subject WHERE member_id = $1", leaves.member_id)
    incident_id = await reported(client, people.boss)

    found = await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))

    assert (found["found"], found["erased"]) == (2, 1)


async def test_a_list_cannot_be_made_shorter_or_another_by_the_application(
    world: World, client: ClientSession, people: People
) -> None:
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope("company"))
    for statement in (
        "UPDATE incident_member SET pseudonym = gen_random_uuid()",
        "UPDATE incident_assessment SET list_hash = sha256('other')",
        "UPDATE incident SET noticed_at = now()",
        "UPDATE disclosure SET evidence_sealed = 'other'",
        "UPDATE disclosure SET sealed_until = now()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.tenant(world.pool, world.company_id) as conn:
                await conn.execute(statement)
