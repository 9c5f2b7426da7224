"""A driver who may be a minor gives nothing of their location alone; with a guardian they may."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from server.gate.model import GateItem
from server.kit import db
from server.kit.wire import rfc3339
from tests.consents import body as given
from tests.guardians.minors import (
    ADULT,
    AGREEMENT,
    MINOR,
    USES,
    agree,
    call,
    gate_is_open,
    give,
    path_of,
    state,
    upload,
)
from tests.http import Clock
from tests.world import NOW, Driver, World


@pytest.mark.proves("relog-driver-manager-apps:1.7")
@pytest.mark.parametrize("item", list(ConsentItem))
async def test_a_minor_alone_gives_nothing_that_needs_their_location(
    client: ClientSession, world: World, young: Driver, item: ConsentItem
) -> None:
    await state(world, young.member_id, MINOR)
    session = await world.driver_session(young)

    status, answer = await give(client, session, item)

    needs = item.value in USES
    assert status == (409 if needs else 201)
    assert answer.get("code") == ("guardian-consent-needed" if needs else None)
    declined = await call(client, "POST", "/v1/me/consents", session, given(item, "declined"))
    assert declined[0] == (201 if needs else 409)


@pytest.mark.proves("relog-driver-manager-apps:1.7")
async def test_tracking_of_a_minor_is_refused_until_a_guardian_and_the_driver_agreed(
    client: ClientSession, world: World, young: Driver, clock: Clock
) -> None:
    staff, session = await world.session("dispatcher"), await world.driver_session(young)
    year = {"birth_year": MINOR}
    await call(client, "PUT", path_of(young.member_id, "birth-year"), staff, year)

    alone = [(await give(client, session, item))[0] for item in USES]
    refused = await upload(client, young)
    status, _ = await call(
        client, "POST", path_of(young.member_id, "guardian-consent"), staff, AGREEMENT
    )
    recorded_only = await gate_is_open(world, young.member_id)
    together = [(await give(client, session, item))[0] for item in USES]
    await call(client, "POST", "/v1/me/shift/start", session)
    clock.at = NOW + timedelta(minutes=1)

    assert alone == [409] * 4
    assert (refused["accepted"], refused["refused"][0]["reason"]) == (0, "no_consent")
    assert (status, recorded_only) == (201, False)
    assert together == [201] * 4
    assert (await upload(client, young, clock.at))["accepted"] == 1


@pytest.mark.parametrize("year", [ADULT, None])
async def test_an_adult_and_whoever_stated_no_year_need_nobody(
    client: ClientSession, world: World, young: Driver, year: int | None
) -> None:
    if year is not None:
        assert await state(world, young.member_id, year) == ()
    session = await world.driver_session(young)

    assert [(await give(client, session, item))[0] for item in USES] == [201] * 4
    _, listed = await call(client, "GET", "/v1/me/consents/records", session)
    assert all("guardian_consent_id" not in one["record"] for one in listed["items"])


async def test_who_comes_of_age_consents_at_once_and_nothing_has_to_be_done(
    client: ClientSession, world: World, young: Driver, clock: Clock
) -> None:
    await state(world, young.member_id, MINOR)
    session = await world.driver_session(young)
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(
            "UPDATE session SET expires_at = $1, used_at = $1", datetime(2027, 2, 1, tzinfo=UTC)
        )

    clock.at = datetime(2026, 12, 31, 18, 59, 59, tzinfo=UTC)  # Almaty is five hours ahead
    before = await give(client, session, "location")
    clock.at += timedelta(seconds=1)
    after = await give(client, session, "location")

    assert (before[0], after[0]) == (409, 201)


@pytest.mark.proves("relog-driver-manager-apps:1.7")
async def test_a_year_that_is_stated_later_stops_what_the_minor_gave_alone(
    client: ClientSession, world: World
) -> None:
    driver = world.driver
    staff, session = await world.session("dispatcher"), await world.driver_session()
    assert (await upload(client, driver))["accepted"] == 1

    status, answer = await call(
        client, "PUT", path_of(driver.member_id, "birth-year"), staff, {"birth_year": MINOR}
    )

    assert (status, answer["invalidated"]) == (200, sorted(item.value for item in GateItem))
    told_now = await upload(client, driver, NOW + timedelta(seconds=1))
    assert (told_now["accepted"], told_now["collect"], told_now["purge"]) == (0, False, True)
    _, found = await call(client, "GET", "/v1/me/consents", session)
    assert found["gate"] == "closed"
    assert {one["state"] for one in found["items"] if one["item"] in tuple(GateItem)} == {
        "invalidated"
    }


async def test_an_adults_year_voids_nothing(client: ClientSession, world: World) -> None:
    staff = await world.session("main_user")
    path = path_of(world.driver.member_id, "birth-year")

    _, answer = await call(client, "PUT", path, staff, {"birth_year": ADULT})

    assert answer == {"stated_at": rfc3339(NOW), "invalidated": []}
    assert await gate_is_open(world, world.driver.member_id)


@pytest.mark.proves("relog-driver-manager-apps:1.7")
async def test_a_revoked_guardian_stops_everything_until_one_agrees_again(
    client: ClientSession, world: World, clock: Clock
) -> None:
    driver = world.driver
    staff, session = await world.session("dispatcher"), await world.driver_session()
    path = path_of(driver.member_id, "guardian-consent")
    await state(world, driver.member_id, MINOR)
    await agree(world, driver.member_id)
    assert {(await give(client, session, item))[0] for item in (*USES, "marketing")} == {201}
    await call(client, "POST", "/v1/me/shift/start", session)
    clock.at = NOW + timedelta(minutes=1)
    assert (await upload(client, driver, clock.at))["accepted"] == 1

    status, answer = await call(client, "DELETE", path, staff)

    assert (status, answer["invalidated"]) == (200, sorted(USES))
    assert (await upload(client, driver, clock.at))["accepted"] == 0
    _, found = await call(client, "GET", "/v1/me/consents", session)
    states = {one["item"]: one["state"] for one in found["items"]}
    assert (found["gate"], states["marketing"]) == ("closed", "given")
    _, shift = await call(client, "GET", "/v1/me/shift", session)
    assert shift["state"] == "off"
    assert (await give(client, session, "location"))[1]["code"] == "guardian-consent-needed"
    again = await call(client, "DELETE", path, staff)
    assert (again[0], again[1]["code"]) == (404, "guardian-consent-not-found")
    assert (await call(client, "POST", path, staff, AGREEMENT))[0] == 201
    assert (await give(client, session, "location"))[0] == 201
