"""What may be stated of a driver's age, by whom, and what the driver's dispute of it does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from tests.accounts.people import accept, new_driver
from tests.attestations.test_attestations import ATTESTED
from tests.guardians.minors import (
    ADULT,
    AGREEMENT,
    MINOR,
    call,
    gate_is_open,
    give,
    path_of,
    state,
)
from tests.world import NOW, Driver, World, add_company, add_driver, open_session


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        ({"told_at": rfc3339(NOW + timedelta(seconds=1))}, "guardian-consent-in-future", None),
        ({"relation": "friend"}, "fields-invalid", "/relation"),
        ({"how": "somehow"}, "fields-invalid", "/how"),
        ({"guardian_name": ""}, "fields-invalid", "/guardian_name"),
        ({"guardian_name": "A\u202eB"}, "fields-invalid", "/guardian_name"),
        ({"document_reference": "x" * 121}, "fields-invalid", "/document_reference"),
        ({"birth_date": "2008-05-01"}, "fields-invalid", "/birth_date"),
    ],
)
async def test_what_no_guardian_can_have_said_is_refused_by_its_place(
    client: ClientSession,
    world: World,
    young: Driver,
    change: dict[str, Any],
    code: str,
    place: str | None,
) -> None:
    await state(world, young.member_id, MINOR)
    staff = await world.session("dispatcher")
    path = path_of(young.member_id, "guardian-consent")

    status, problem = await call(client, "POST", path, staff, AGREEMENT | change)

    assert (status, problem["code"]) == (422, code)
    assert [one["path"] for one in problem.get("fields", [])] == ([] if place is None else [place])
    assert await world.owner.fetchval("SELECT count(*) FROM guardian_consent") == 0


@pytest.mark.proves("qoldau:5.1-categories")
@pytest.mark.parametrize(
    "body",
    [
        {"birth_year": "2001-05-17"},
        {"birth_year": 20010517},
        {"birth_year": 1899},
        {"birth_year": 2027},
        {"birth_year": 2001.5},
        {"birth_year": 2001, "birth_month": 5},
        {"birth_date": "2001-05-17"},
        {},
    ],
)
async def test_a_birth_year_is_a_year_and_never_a_date(
    client: ClientSession, world: World, body: dict[str, Any]
) -> None:
    staff = await world.session("dispatcher")

    status, _ = await call(
        client, "PUT", path_of(world.driver.member_id, "birth-year"), staff, body
    )
    registered, _ = await call(
        client, "POST", "/v1/drivers", staff, new_driver(attestation=ATTESTED | body)
    )

    assert status == 422
    assert registered == (201 if body == {} else 422)
    assert await world.owner.fetchval("SELECT count(*) FROM birth_year") == 0


async def test_the_driver_disputes_the_year_and_it_lifts_nothing(
    client: ClientSession, world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    staff, session = await world.session("dispatcher"), await world.driver_session(young)
    path = "/v1/me/attestation/dispute?of=birth_year"

    first = await call(client, "POST", path, session)
    again = await call(client, "POST", path, session)
    _, disputed = await call(client, "GET", "/v1/me/age", session)
    refused = await give(client, session, "location")
    year = {"birth_year": ADULT}
    await call(client, "PUT", path_of(young.member_id, "birth-year"), staff, year)
    _, restated = await call(client, "GET", "/v1/me/age", session)

    assert first == again == (200, {"disputed_at": rfc3339(NOW), "invalidated": [], "set_apart": 0})
    assert disputed["birth_year"]["disputed_at"] == rfc3339(NOW)
    assert refused[0] == 409
    assert (restated["birth_year"]["year"], restated["birth_year"]["disputed_at"]) == (ADULT, None)
    told_of = await world.owner.fetch(
        "SELECT m.role FROM notice n JOIN member m USING (company_id, member_id)"
        " WHERE n.kind = 'birth_year_disputed'"
    )
    assert {row["role"] for row in told_of} == {"main_user"}
    assert (await give(client, session, "location"))[0] == 201


async def test_disputing_the_year_leaves_an_adults_consents_alone(
    client: ClientSession, world: World
) -> None:
    await state(world, world.driver.member_id, ADULT)
    session = await world.driver_session()

    status, _ = await call(client, "POST", "/v1/me/attestation/dispute?of=birth_year", session)

    assert status == 200
    assert await gate_is_open(world, world.driver.member_id)


async def test_disputing_everything_disputes_the_year_as_well(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    body = new_driver(attestation=ATTESTED | {"birth_year": ADULT})
    _, added = await call(client, "POST", "/v1/drivers", staff, body)
    await accept(client, added["invitation"]["code"])
    driver_id = UUID(added["driver"]["driver_id"])
    session = await open_session(world.pool, world.company_id, driver_id)

    status, _ = await call(client, "POST", "/v1/me/attestation/dispute", session)
    _, age = await call(client, "GET", "/v1/me/age", session)

    assert (status, age["birth_year"]["disputed_at"]) == (200, rfc3339(NOW))


async def test_where_no_year_was_stated_there_is_none_to_see_or_to_dispute(
    client: ClientSession, world: World, young: Driver
) -> None:
    session = await world.driver_session(young)

    _, age = await call(client, "GET", "/v1/me/age", session)
    disputed = await call(client, "POST", "/v1/me/attestation/dispute?of=birth_year", session)

    assert (age["birth_year"], age["may_be_minor"], age["guardian_needed"]) == (None, False, False)
    assert (disputed[0], disputed[1]["code"]) == (404, "birth-year-not-found")


CALLS = (
    ("GET", "age", None),
    ("PUT", "birth-year", {"birth_year": MINOR}),
    ("POST", "guardian-consent", AGREEMENT),
    ("DELETE", "guardian-consent", None),
)


@pytest.mark.parametrize(("method", "what", "body"), CALLS)
async def test_another_companys_driver_is_as_one_who_is_not_there(
    client: ClientSession, world: World, method: str, what: str, body: Any
) -> None:
    other = await add_company(world.vault, world.owner)
    foreign = await add_driver(world.vault, world.pool, other)
    staff = await world.session("main_user")

    answers = [
        await call(client, method, path_of(one, what), staff, body)
        for one in (foreign.member_id, uuid7())
    ]

    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert await world.owner.fetchval("SELECT count(*) FROM birth_year") == 0


@pytest.mark.parametrize(("method", "what", "body"), CALLS)
async def test_only_staff_say_something_of_a_drivers_age(
    client: ClientSession, world: World, method: str, what: str, body: Any
) -> None:
    path = path_of(world.driver.member_id, what)

    for token in (await world.driver_session(), world.driver.device_token):
        assert (await call(client, method, path, token, body))[0] == 403
