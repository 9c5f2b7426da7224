"""The register over HTTP: recorded by one, released by another, and seen by the driver."""

import hashlib
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from server.disclosures import service
from server.disclosures.model import FILE_DAYS, Ground
from server.kit import db
from server.kit.wire import rfc3339
from tests.disclosures.acts import (
    DAY,
    LAT,
    LON,
    MINE,
    REGISTER,
    People,
    act,
    acts,
    body_of,
    call,
    drive,
    file_of,
    keep_sessions,
    mine,
    recorded,
    released,
    views,
)
from tests.http import Clock
from tests.told import is_about, last_entry, told
from tests.world import NOW, World, add_driver, add_member, open_session

TRACK = b"43.2381234"


@pytest.mark.proves("cargotechservice:4.1")
@pytest.mark.parametrize("ground", list(Ground))
async def test_each_ground_is_recorded_with_its_evidence_and_not_without(
    client: ClientSession, people: People, ground: Ground
) -> None:
    whole = body_of(people, ground)
    for name in set(whole["evidence"]) - {"recipient"}:
        lacking = {one: said for one, said in whole["evidence"].items() if one != name}
        status, told_ = await call(
            client, "POST", REGISTER, people.boss, {**whole, "evidence": lacking}
        )
        assert (status, told_["code"]) == (422, "disclosure-evidence-missing"), name
        assert name in told_["detail"]

    status, found = await call(client, "POST", REGISTER, people.boss, whole)

    assert status == 201
    assert (found["state"], found["ground"]) == ("recorded", ground.value)
    assert {name: found["evidence"][name] for name in whole["evidence"]} == whole["evidence"]
    assert (found["recorded_by"], found["driver_name"]) == ("Boss", "Aidos Testov")
    assert found["second_person"] is (ground in ("authority", "defence_of_rights"))


@pytest.mark.proves("relog-service:4.1c", "gocargo:disclosure-authorities", "qoldau:8-authorities")
async def test_an_authority_is_given_something_only_by_a_second_person(
    client: ClientSession, world: World, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await recorded(client, people)

    alone = await act(client, disclosure_id, "release", people.dispatcher)
    before = await file_of(client, disclosure_id, people.boss)
    status, found = await act(client, disclosure_id, "release", people.boss)
    given, body = await file_of(client, disclosure_id, people.dispatcher)

    assert (alone[0], alone[1]["code"]) == (403, "disclosure-second-person")
    assert before[0] == 409
    assert TRACK not in before[1]
    assert (status, found["state"], found["decided_by"]) == (200, "released", "Boss")
    assert given == 200
    assert TRACK in body
    assert await acts(world) == [
        "disclosure_recorded",
        "disclosure_released",
        "disclosure_file_made",
    ]


async def test_control_without_the_guard_of_the_code_the_table_refuses_the_same_person(
    world: World, client: ClientSession, people: People
) -> None:
    disclosure_id = await recorded(client, people)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.owner.execute(
            "UPDATE disclosure SET state = 'released', decided_at = $2, decided_by = recorded_by"
            " WHERE disclosure_id = $1",
            disclosure_id,
            NOW,
        )


async def test_a_company_with_one_of_the_staff_cannot_release_alone_and_is_told_so(
    world: World, client: ClientSession, people: People
) -> None:
    await world.owner.execute(
        "UPDATE member SET state = 'blocked' WHERE member_id = $1", people.boss_id
    )
    disclosure_id = await recorded(client, people)

    status, found = await act(client, disclosure_id, "release", people.dispatcher)

    assert (status, found["code"]) == (403, "disclosure-nobody-else")
    assert "Add another main user" in found["detail"]


@pytest.mark.proves("relog-service:4.1d", "gocargo:violation-of-terms")
@pytest.mark.parametrize("claim", ["terms_violation", "investigation"])
async def test_what_a_breach_of_the_terms_gives_away_is_narrow_and_approved_by_a_main_user(
    world: World, client: ClientSession, people: People, claim: str
) -> None:
    other = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    second = await open_session(world.pool, world.company_id, other)
    evidence = {"claim": claim, "case_id": "A-17"}
    body = body_of(people, "defence_of_rights", evidence=evidence)
    del body["categories"]
    _, found = await call(client, "POST", REGISTER, people.dispatcher, body)
    disclosure_id = found["disclosure_id"]

    assert found["categories"] == ["identity"]
    refused = await act(client, disclosure_id, "release", second)
    assert (refused[0], refused[1]["code"]) == (403, "disclosure-main-user-releases")
    assert (await act(client, disclosure_id, "release", people.boss))[0] == 200
    assert (await file_of(client, disclosure_id, people.boss))[0] == 409


@pytest.mark.proves("relog-service:4.1a")
async def test_no_file_leaves_without_an_entry_that_was_released(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    """The register is the only endpoint that makes a file for somebody outside."""
    await drive(client, world, (LAT, LON))
    waiting = await recorded(client, people)
    refused = await recorded(client, people)
    cancelled = await recorded(client, people)
    await act(client, refused, "refuse", people.boss)
    await act(client, cancelled, "cancel", people.dispatcher)
    words = await released(client, people, categories=["identity"])
    over = await released(client, people)
    fine = await released(client, people)

    assert (await file_of(client, str(uuid4()), people.boss))[0] == 404
    for disclosure_id in (waiting, refused, cancelled, words):
        status, body = await file_of(client, disclosure_id, people.boss)
        assert (status, TRACK in body) == (409, False)
    assert (await file_of(client, fine, people.boss))[0] == 200
    await keep_sessions(world)
    clock.at = NOW + FILE_DAYS * DAY
    assert (await file_of(client, over, people.boss))[0] == 409
    assert len(await acts(world, "disclosure_file_made")) == 1


async def test_the_file_is_what_its_hash_says_and_its_read_stands_in_the_register(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON), (LAT + 0.001, LON))
    disclosure_id = await released(client, people)
    assert await views(client, people) == []

    body = b""
    for form in ("geojson", "gpx", "csv"):
        status, body = await file_of(client, disclosure_id, people.boss, form)
        assert status == 200
        assert TRACK in body

    [found] = await mine(client, people)
    assert [one["format"] for one in found["files"]] == ["geojson", "gpx", "csv"]
    last = found["files"][-1]
    assert (last["positions"], last["size_bytes"]) == (2, len(body))
    assert last["sha256"] == hashlib.sha256(body).hexdigest()
    act_, kind, facts = await last_entry(world)
    assert (act_, kind, facts["sha256"]) == ("disclosure_file_made", "main_user", last["sha256"])
    assert await is_about(world, people.driver_id)
    [view] = await views(client, people)
    assert (view["purpose"], view["screen"]) == ("disclosure", "export")
    assert (view["viewer_role"], view["viewer_name"]) == ("main_user", "Boss")


async def test_the_driver_is_told_and_sees_to_whom_what_and_why(
    world: World, client: ClientSession, people: People
) -> None:
    assert await mine(client, people) == []
    disclosure_id = await recorded(client, people)
    assert await mine(client, people) == []

    await act(client, disclosure_id, "release", people.boss)

    [found] = await mine(client, people)
    assert found["disclosure_id"] == disclosure_id
    assert found["evidence"]["recipient"] == "Police Department of Almaty"
    assert found["evidence"]["legal_article"] == "Criminal Procedure Code, art. 65"
    assert found["given"] == "The name, and the track of the day."
    assert (found["recorded_by"], found["decided_by"]) == ("Dana Dispatch", "Boss")
    [(kind, facts)] = await told(world, people.driver_id)
    assert (kind, facts) == (
        "disclosure_made",
        {"ground": "authority", "released_at": rfc3339(NOW)},
    )
    [(kind, facts)] = await told(world, people.boss_id)
    assert (kind, facts["by"]) == ("disclosure_waiting", str(people.dispatcher_id))


async def test_whoever_gives_what_the_driver_agreed_to_needs_nobody_else(
    client: ClientSession, people: People
) -> None:
    disclosure_id = await recorded(client, people, "consent")

    assert (await act(client, disclosure_id, "release", people.dispatcher))[0] == 200


@pytest.mark.parametrize("what", ["release", "refuse", "cancel"])
@pytest.mark.parametrize("first", ["release", "refuse", "cancel"])
async def test_what_was_decided_is_not_decided_again(
    client: ClientSession, people: People, first: str, what: str
) -> None:
    disclosure_id = await recorded(client, people, "consent")
    assert (await act(client, disclosure_id, first, people.dispatcher))[0] == 200

    status, found = await act(client, disclosure_id, what, people.dispatcher)

    assert (status, found["code"]) == (409, "disclosure-act-refused")


async def test_only_whoever_recorded_it_cancels_it(client: ClientSession, people: People) -> None:
    disclosure_id = await recorded(client, people)

    status, found = await act(client, disclosure_id, "cancel", people.boss)

    assert (status, found["code"]) == (403, "disclosure-not-yours")


async def test_after_a_withdrawal_only_an_authority_is_given_the_track(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    by_law = await released(client, people)
    by_contract = await released(client, people, "functionality")
    assert (await file_of(client, by_contract, people.boss))[0] == 200
    status, _ = await call(client, "POST", "/v1/me/consents/plan_fact/withdraw", people.driver)
    assert status == 200

    denied, body = await file_of(client, by_contract, people.boss)
    given, track = await file_of(client, by_law, people.boss)

    assert (denied, TRACK in body) == (409, False)
    assert (given, TRACK in track) == (200, True)


async def test_another_company_and_another_driver_find_nothing(
    world: World, client: ClientSession, people: People
) -> None:
    await released(client, people)
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other")
    session = await open_session(world.pool, world.company_id, other.member_id)

    status, found = await call(client, "GET", MINE, session)

    assert (status, found["items"]) == (200, [])
    status, found = await call(
        client, "POST", REGISTER, people.boss, {**body_of(people), "driver_id": str(uuid4())}
    )
    assert status == 404


async def test_the_register_is_listed_by_driver_and_state_in_pages(
    client: ClientSession, people: People
) -> None:
    ids = [await recorded(client, people, "consent") for _ in range(3)]
    await act(client, ids[0], "refuse", people.boss)

    _, page = await call(client, "GET", f"{REGISTER}?limit=2", people.boss)
    _, rest = await call(
        client, "GET", f"{REGISTER}?limit=2&cursor={page['next_cursor']}", people.boss
    )
    _, waiting = await call(
        client, "GET", f"{REGISTER}?state=recorded&driver_id={people.driver_id}", people.boss
    )
    _, one = await call(client, "GET", f"{REGISTER}/{ids[0]}", people.dispatcher)

    assert [one["disclosure_id"] for one in page["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
    assert [one["disclosure_id"] for one in waiting["items"]] == [ids[2], ids[1]]
    assert one["state"] == "refused"


async def test_a_span_is_of_at_most_a_month_where_a_track_is_given(
    client: ClientSession, people: People
) -> None:
    long = {"from": rfc3339(NOW - 40 * DAY), "to": rfc3339(NOW)}
    status, found = await call(client, "POST", REGISTER, people.boss, body_of(people, span=long))
    assert (status, found["code"]) == (422, "track-span-invalid")
    body = body_of(people, span=long, categories=["report"])
    assert (await call(client, "POST", REGISTER, people.boss, body))[0] == 201


async def test_in_the_database_no_word_of_it_stands_in_clear(
    world: World, client: ClientSession, people: People
) -> None:
    await released(client, people)

    rows = await world.owner.fetch("SELECT d::text AS row FROM disclosure d")
    entries = await world.owner.fetch("SELECT facts FROM ledger_entry")

    for text in ("Police", "17-4/2026", "art. 65", "track of the day", "Aidos"):
        assert all(text not in row["row"] for row in rows), text
        assert all(text not in row["facts"] for row in entries), text


async def test_who_is_being_erased_is_given_to_nobody(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people)
    async with db.tenant(world.pool, world.company_id) as conn:
        assert await service.erase(conn, world.company_id, people.driver_id) == 1

    status, found = await file_of(client, disclosure_id, people.boss)

    assert status == 409
    assert TRACK not in found
    assert (await call(client, "GET", f"{REGISTER}/{disclosure_id}", people.boss))[0] == 200
