"""Incidents over HTTP: who is affected, who is told, and who may know."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.incidents import telling
from server.incidents.model import list_hash
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.reads.model import Screen
from tests.disclosures.acts import (
    LAT,
    LON,
    People,
    acts,
    body_of,
    call,
    drive,
    file_of,
    released,
)
from tests.http import Clock
from tests.incidents.acts import (
    HOUR,
    INCIDENTS,
    MINUTE,
    WHAT,
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
from tests.told import last_entry, told
from tests.world import NOW, World, add_member, open_session


@pytest.mark.proves("gocargo:accounts-security")
@pytest.mark.parametrize("role", ["driver", "dispatcher", "boss"])
async def test_anybody_reports_an_incident_and_the_main_users_are_told(
    world: World, client: ClientSession, people: People, role: str
) -> None:
    incident_id = await reported(client, getattr(people, role))

    found = await read(client, people, incident_id)
    assert (found["state"], found["what"]) == ("open", WHAT)
    # NOW is a Sunday, 17:00 in Almaty: due on Monday at the same time.
    assert found["authority_due_at"] == rfc3339(NOW + timedelta(days=1))
    assert found["members_due_at"] == rfc3339(NOW + timedelta(days=3))
    queued = await told_of(world, "incident_opened")
    assert queued == ({} if role == "boss" else {people.boss_id: 1})
    act, _, facts = await last_entry(world)
    assert (act, facts["incident_id"]) == ("incident_opened", incident_id)


@pytest.mark.parametrize("role", ["driver", "dispatcher"])
async def test_only_main_users_see_and_answer_for_incidents(
    client: ClientSession, people: People, role: str
) -> None:
    incident_id = await reported(client, people.dispatcher)
    token = getattr(people, role)
    for method, path, body in (
        ("GET", INCIDENTS, None),
        ("GET", f"{INCIDENTS}/{incident_id}", None),
        ("GET", f"{INCIDENTS}/{incident_id}/members", None),
        ("POST", f"{INCIDENTS}/{incident_id}/assessments", scope("company")),
        ("POST", f"{INCIDENTS}/{incident_id}/dismiss", {"outcome": "None"}),
    ):
        assert (await call(client, method, path, token, body))[0] == 403, path


@pytest.mark.proves("qoldau:12")
async def test_a_stolen_session_affects_exactly_those_whom_it_saw(
    world: World, client: ClientSession, people: People
) -> None:
    """What is written down of the dispatcher decides, minute by minute; nobody names anybody."""
    mine, other = of_dispatcher(people), Actor(kind=ActorKind.MAIN_USER, member_id=people.boss_id)
    seen, exported, early, reaching, late, of_boss, acted, given, _ = await drivers(world, 9)
    since = NOW - 2 * HOUR
    await look(world, mine, seen.member_id, at=NOW - HOUR)
    await look(world, mine, exported.member_id, at=NOW - MINUTE, screen=Screen.EXPORT)
    await look(world, mine, early.member_id, at=since - 5 * MINUTE)
    await look(world, mine, reaching.member_id, at=since + 5 * MINUTE - timedelta(microseconds=1))
    await look(world, mine, late.member_id, at=NOW + MINUTE)
    await look(world, other, of_boss.member_id, at=NOW - HOUR)
    await released(client, people, "consent", driver_id=str(given.member_id))
    dispatcher_gives = body_of(people, "consent", driver_id=str(acted.member_id))
    await call(client, "POST", "/v1/disclosures", people.dispatcher, dispatcher_gives)
    incident_id = await reported(client, people.boss)
    body = scope(member_id=str(people.dispatcher_id))

    counted = await assessed(client, people, incident_id, {**body, "dry_run": True})
    assert await members(client, people, incident_id) == set()
    made = await assessed(client, people, incident_id, body)

    # Recorded by the dispatcher, so about whom they acted: also what the main user released.
    expected = {one.member_id for one in (seen, exported, reaching, acted, given)} | {
        people.dispatcher_id
    }
    assert await members(client, people, incident_id) == expected
    assert (counted["found"], counted["added"], counted["round"]) == (len(expected),) * 2 + (None,)
    assert (made["found"], made["added"], made["round"]) == (len(expected), len(expected), 1)


async def test_a_files_maker_and_its_driver_are_found_also_without_a_look(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people)
    await file_of(client, disclosure_id, people.dispatcher)
    await world.owner.execute("DELETE FROM location_read")
    incident_id = await reported(client, people.boss)

    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))

    found = await members(client, people, incident_id)
    assert found == {people.driver_id, people.dispatcher_id}


async def test_an_api_token_affects_whom_it_saw(
    world: World, client: ClientSession, people: People
) -> None:
    [seen, _] = await drivers(world, 2)
    async with db.tenant(world.pool, world.company_id) as conn:
        made, _ = await credentials.add_api_token(
            conn,
            world.company_id,
            name="Planner",
            scopes=[Scope.TRACKS_READ],
            expires_at=None,
            now=NOW,
        )
    token_id = made.api_token_id
    await look(world, Actor(kind=ActorKind.API_TOKEN, reference_id=token_id), seen.member_id)
    incident_id = await reported(client, people.boss)

    await assessed(client, people, incident_id, scope("api_token", api_token_id=str(token_id)))

    assert await members(client, people, incident_id) == {seen.member_id}


async def test_tracks_affect_those_of_whom_positions_are_kept_and_a_company_everybody(
    world: World, client: ClientSession, people: People
) -> None:
    [other] = await drivers(world, 1)
    await drive(client, world, (LAT, LON))
    first, second = [await reported(client, people.boss) for _ in range(2)]

    await assessed(client, people, first, scope("tracks"))
    await assessed(client, people, second, scope("company"))

    everybody = {people.driver_id, people.dispatcher_id, people.boss_id, other.member_id}
    assert await members(client, people, first) == {people.driver_id}
    assert await members(client, people, second) == everybody


async def test_where_names_were_seen_everybody_is_affected_but_not_by_a_drivers_account(
    world: World, client: ClientSession, people: People
) -> None:
    await drivers(world, 1)
    first, second = [await reported(client, people.boss) for _ in range(2)]
    more: dict[str, Any] = {"categories": ["track", "contact"]}

    staff = await assessed(
        client, people, first, scope(member_id=str(people.dispatcher_id), **more)
    )
    driver = await assessed(client, people, second, scope(member_id=str(people.driver_id), **more))

    assert (staff["found"], driver["found"]) == (4, 1)
    assert await members(client, people, second) == {people.driver_id}


@pytest.mark.proves("qoldau:12")
async def test_each_is_told_once_in_their_language_and_another_round_tells_only_who_is_new(
    world: World, client: ClientSession, people: People
) -> None:
    one, two = await drivers(world, 2)
    await look(world, of_dispatcher(people), one.member_id)
    incident_id = await reported(client, people.boss)
    body = scope(member_id=str(people.dispatcher_id))
    await assessed(client, people, incident_id, body)
    assert [await tell(world), await tell(world)] == [2, 0]

    await look(world, of_dispatcher(people), two.member_id, at=NOW - HOUR + 10 * MINUTE)
    again = await assessed(client, people, incident_id, body)
    assert [await tell(world), await tell(world)] == [1, 0]

    assert (again["found"], again["added"], again["round"]) == (3, 1, 2)
    assert await told_of(world, "incident_affected") == dict.fromkeys(
        (one.member_id, two.member_id, people.dispatcher_id), 1
    )
    _, facts = (await told(world, one.member_id))[-1]
    assert facts["categories"] == "track"
    assert facts["advice"] == "tell_police,change_password"
    assert facts["contact"] == "privacy@aral.example"
    session = await open_session(world.pool, world.company_id, one.member_id)
    _, inbox = await call(client, "GET", "/v1/me/notices", session)
    [notice] = [row for row in inbox["items"] if row["kind"] == "incident_affected"]
    assert "where you were" in notice["text"]
    assert "call the police" in notice["text"]
    found = await read(client, people, incident_id)
    assert (found["counts"]["affected"], found["counts"]["told"]) == (3, 3)


async def test_the_list_is_frozen_by_its_hash_in_the_ledger(
    world: World, client: ClientSession, people: People
) -> None:
    [one] = await drivers(world, 1)
    await look(world, of_dispatcher(people), one.member_id)
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))

    _, _, facts = await last_entry(world)
    rows = await world.owner.fetch(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = ANY($1::uuid[])",
        [one.member_id, people.dispatcher_id],
    )
    expected = list_hash(world.company_id, UUID(incident_id), [row["pseudonym"] for row in rows])
    found = await read(client, people, incident_id)
    assert facts["list"] == expected.hex() == found["assessments"][0]["list_sha256"]
    assert (facts["found"], facts["added"]) == (2, 2)
    assert await acts(world, "incident%") == ["incident_opened", "incident_assessed"]


async def test_two_jobs_at_once_tell_nobody_twice(
    world: World, client: ClientSession, people: People
) -> None:
    made = await drivers(world, 12)
    await look(world, of_dispatcher(people), *(one.member_id for one in made))
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))

    counts = await asyncio.gather(*(tell(world) for _ in range(4)))

    assert sum(counts) == 13
    assert set((await told_of(world, "incident_affected")).values()) == {1}


async def test_a_crash_before_the_commit_tells_nobody_and_the_next_run_everybody(
    world: World, client: ClientSession, people: People
) -> None:
    made = await drivers(world, 3)
    await look(world, of_dispatcher(people), *(one.member_id for one in made))
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))

    with pytest.raises(Crash):
        await crash_before_the_commit(world)
    assert await told_of(world, "incident_affected") == {}
    assert (await read(client, people, incident_id))["counts"]["told"] == 0
    assert await tell(world) == 4

    assert set((await told_of(world, "incident_affected")).values()) == {1}


class Crash(Exception):
    pass


async def crash_before_the_commit(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await telling.tell_affected(conn, world.company_id, NOW)
        raise Crash


async def test_control_without_the_mark_the_notices_key_keeps_them_from_doubling(
    world: World, client: ClientSession, people: People
) -> None:
    """Two guards: who is marked is not asked for, and who is told has the notice already."""
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))
    assert await tell(world) == 1

    await world.owner.execute("UPDATE incident_member SET told_at = NULL")
    assert await tell(world) == 1
    assert await told_of(world, "incident_affected") == {people.dispatcher_id: 1}
    # Without either, there are two.
    await world.owner.execute("UPDATE incident_member SET told_at = NULL")
    await world.owner.execute("UPDATE notice SET dedupe = NULL")
    assert await tell(world) == 1
    assert await told_of(world, "incident_affected") == {people.dispatcher_id: 2}


async def test_an_incident_closes_when_the_authority_and_everybody_is_told(
    world: World, client: ClientSession, people: People
) -> None:
    incident_id = await reported(client, people.boss)
    assert (await end(client, people, incident_id))[0] == 409
    await assessed(client, people, incident_id, scope(member_id=str(people.dispatcher_id)))
    assert (await end(client, people, incident_id))[1]["code"] == "incident-unfinished"
    status, found = await notify(client, people, incident_id)
    assert (status, found["reference"]) == (200, "KZ-2026-11873")
    assert (await notify(client, people, incident_id))[1]["code"] == "incident-notified-already"
    assert (await end(client, people, incident_id))[1]["code"] == "incident-unfinished"
    await tell(world)

    status, found = await end(client, people, incident_id)

    assert (status, found["state"], found["outcome"]) == (200, "closed", "Passwords changed.")
    assert (await end(client, people, incident_id))[0] == 409
    assert await acts(world, "incident%") == [
        "incident_opened",
        "incident_assessed",
        "incident_notified",
        "incident_closed",
    ]


async def test_what_was_none_is_dismissed_with_why_and_never_after_somebody_is_listed(
    client: ClientSession, people: People
) -> None:
    none, real = [await reported(client, people.driver) for _ in range(2)]
    await assessed(client, people, real, scope("company"))

    assert (await end(client, people, none, "dismiss"))[1]["state"] == "dismissed"
    assert (await end(client, people, real, "dismiss"))[0] == 409
    _, page = await call(client, "GET", f"{INCIDENTS}?limit=1", people.boss)
    _, rest = await call(
        client, "GET", f"{INCIDENTS}?limit=1&cursor={page['next_cursor']}", people.boss
    )
    assert [one["incident_id"] for one in page["items"] + rest["items"]] == [real, none]


async def test_sources_of_another_company_and_spans_before_what_is_known_are_refused(
    client: ClientSession, people: People, clock: Clock
) -> None:
    incident_id = await reported(client, people.boss)
    path = f"{INCIDENTS}/{incident_id}/assessments"
    for body, code in (
        (scope(member_id=str(uuid4())), "incident-source-invalid"),
        (scope("api_token", api_token_id=str(uuid4())), "incident-source-invalid"),
        (scope("company", member_id=str(people.driver_id)), "incident-source-invalid"),
        (scope("company", to=rfc3339(clock.at + MINUTE)), "incident-span-invalid"),
        (
            scope("company", **{"from": rfc3339(NOW - timedelta(days=366))}),
            "incident-span-invalid",
        ),
    ):
        status, found = await call(client, "POST", path, people.boss, body)
        assert (status, found["code"]) == (422, code)
    assert (await call(client, "GET", f"{INCIDENTS}/{uuid4()}", people.boss))[0] == 404


async def test_no_word_of_an_incident_stands_in_clear(
    world: World, client: ClientSession, people: People
) -> None:
    incident_id = await reported(client, people.boss)
    await notify(client, people, incident_id)

    rows = await world.owner.fetch("SELECT i::text AS row FROM incident i")
    entries = await world.owner.fetch("SELECT facts FROM ledger_entry")
    for text in ("laptop", "KZ-2026"):
        assert all(text not in row["row"] for row in rows)
        assert all(text not in row["facts"] for row in entries)


async def test_members_come_in_pages_with_what_became_of_their_notice(
    world: World, client: ClientSession, people: People
) -> None:
    other = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    incident_id = await reported(client, people.boss)
    await assessed(client, people, incident_id, scope("company"))
    await tell(world)
    path = f"{INCIDENTS}/{incident_id}/members?limit=3"

    _, page = await call(client, "GET", path, people.boss)
    _, rest = await call(client, "GET", f"{path}&cursor={page['next_cursor']}", people.boss)

    rows = page["items"] + rest["items"]
    everybody = {people.driver_id, people.boss_id, people.dispatcher_id, other}
    assert {UUID(row["member_id"]) for row in rows} == everybody
    assert all(row["stands"] == ["in_app:handed_over"] for row in rows)
    assert {row["name"] for row in rows} == {"Aidos Testov", "Boss", "Dana Dispatch"}
    notice = f"/v1/me/notices/{next(r for r in rows if r['name'] == 'Aidos Testov')['notice_id']}"
    assert (await call(client, "POST", f"{notice}/seen", people.driver))[0] == 204
    assert (await read(client, people, incident_id))["counts"]["seen"] == 1
