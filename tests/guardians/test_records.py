"""What is recorded of a driver's age and guardian: who sees it, and what erases it."""

import json
from uuid import UUID

from aiohttp import ClientSession

from server.guardians import service
from server.kit import db
from server.kit.wire import rfc3339
from tests.accounts.people import accept, new_driver
from tests.attestations.test_attestations import ATTESTED
from tests.guardians.minors import (
    ADULT,
    AGREEMENT,
    DOCUMENT,
    GUARDIAN_NAME,
    MINOR,
    agree,
    call,
    give,
    path_of,
    state,
)
from tests.told import told
from tests.world import NOW, Driver, World, open_session


async def test_a_year_stated_with_the_registration_counts_from_the_beginning(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    body = new_driver(attestation=ATTESTED | {"birth_year": MINOR})
    status, added = await call(client, "POST", "/v1/drivers", staff, body)
    assert (await accept(client, added["invitation"]["code"])).status == 200
    driver_id = UUID(added["driver"]["driver_id"])
    session = await open_session(world.pool, world.company_id, driver_id)

    refused = await give(client, session, "location")
    _, age = await call(client, "GET", "/v1/me/age", session)

    assert (status, refused[0], refused[1]["code"]) == (201, 409, "guardian-consent-needed")
    assert age == {
        "birth_year": {
            "year": MINOR,
            "unverified": True,
            "source": "staff",
            "stated_by": "Dana Dispatch",
            "stated_at": rfc3339(NOW),
            "disputed_at": None,
        },
        "may_be_minor": True,
        "guardian_consent": None,
        "guardian_needed": True,
    }
    assert "birth_year_stated" in [kind for kind, _ in await told(world, driver_id)]


async def test_the_driver_and_the_staff_see_the_same_record_of_the_guardian(
    client: ClientSession, world: World, young: Driver
) -> None:
    staff, session = await world.session("dispatcher"), await world.driver_session(young)
    await state(world, young.member_id, MINOR)
    path = path_of(young.member_id, "guardian-consent")

    _, recorded = await call(client, "POST", path, staff, AGREEMENT)
    _, to_staff = await call(client, "GET", path_of(young.member_id, "age"), staff)
    _, to_driver = await call(client, "GET", "/v1/me/age", session)

    assert recorded == to_staff == to_driver
    assert to_driver["guardian_needed"] is False
    seen = to_driver["guardian_consent"]
    assert {name: seen[name] for name in AGREEMENT} == AGREEMENT
    assert (seen["recorded_by"], seen["recorded_at"]) == ("Dana Dispatch", rfc3339(NOW))


async def test_the_consent_record_and_its_receipt_name_the_guardians_record_by_id_alone(
    client: ClientSession, world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    guardian_id = await agree(world, young.member_id)
    session = await world.driver_session(young)
    await give(client, session, "location")
    await give(client, session, "marketing")
    await call(client, "POST", "/v1/me/consents/location/withdraw", session)

    _, listed = await call(client, "GET", "/v1/me/consents/records", session)
    names = {
        (one["item"], one["state"]): one["record"].get("guardian_consent_id")
        for one in listed["items"]
    }
    record_id = listed["items"][0]["record_id"]
    _, receipt = await call(client, "GET", f"/v1/me/consents/records/{record_id}/receipt", session)

    assert names == {
        ("location", "given"): str(guardian_id),
        ("marketing", "given"): None,
        ("location", "withdrawn"): str(guardian_id),
    }
    written = json.dumps([listed, receipt], ensure_ascii=False)
    assert str(guardian_id) in json.dumps(receipt)
    assert GUARDIAN_NAME not in written
    assert DOCUMENT not in written


async def test_each_act_is_in_the_ledger_and_the_driver_is_told(
    client: ClientSession, world: World, young: Driver
) -> None:
    staff = await world.session("dispatcher")
    path = path_of(young.member_id, "guardian-consent")
    year = {"birth_year": MINOR}
    await call(client, "PUT", path_of(young.member_id, "birth-year"), staff, year)
    await call(client, "POST", path, staff, AGREEMENT)
    await call(client, "DELETE", path, staff)

    rows = await world.owner.fetch(
        "SELECT act, actor_kind, facts, detail_sealed FROM ledger_entry"
        " WHERE act LIKE 'birth_year%' OR act LIKE 'guardian%' ORDER BY index"
    )

    assert [(row["act"], row["actor_kind"]) for row in rows] == [
        ("birth_year_stated", "dispatcher"),
        ("guardian_consent_recorded", "dispatcher"),
        ("guardian_consent_revoked", "dispatcher"),
    ]
    # Who signed for whom, and the year, are not in what outlives the person.
    facts = "".join(row["facts"] for row in rows)
    assert not any(word in facts for word in (GUARDIAN_NAME, "2008", "parent", DOCUMENT))
    kinds = [kind for kind, _ in await told(world, young.member_id)]
    assert kinds == ["birth_year_stated", "guardian_consent_recorded", "guardian_consent_revoked"]


async def test_of_an_adult_nothing_of_a_guardian_is_kept(
    client: ClientSession, world: World, young: Driver
) -> None:
    staff = await world.session("dispatcher")
    path = path_of(young.member_id, "guardian-consent")
    unstated = await call(client, "POST", path, staff, AGREEMENT)
    await state(world, young.member_id, ADULT)
    adult = await call(client, "POST", path, staff, AGREEMENT)

    assert {unstated[0], adult[0]} == {409}
    assert unstated[1]["code"] == adult[1]["code"] == "guardian-consent-unneeded"
    assert await world.owner.fetchval("SELECT count(*) FROM guardian_consent") == 0


async def test_one_guardian_at_a_time(client: ClientSession, world: World, young: Driver) -> None:
    staff = await world.session("dispatcher")
    await state(world, young.member_id, MINOR)
    path = path_of(young.member_id, "guardian-consent")
    first = await call(client, "POST", path, staff, AGREEMENT)

    second = await call(client, "POST", path, staff, AGREEMENT)

    assert (first[0], second[0]) == (201, 409)
    assert second[1]["code"] == "guardian-consent-already-recorded"


async def test_what_is_known_of_age_and_guardian_is_sealed_under_the_drivers_key(
    world: World, young: Driver
) -> None:
    await state(world, young.member_id, MINOR)
    await agree(world, young.member_id)
    rows = [
        str(dict(row))
        for table in ("birth_year", "guardian_consent")
        for row in await world.owner.fetch(f"SELECT * FROM {table}")  # noqa: S608 - two names
    ]
    assert len(rows) == 2
    for word in (str(MINOR), GUARDIAN_NAME, DOCUMENT):
        assert not any(word in row or word.encode().hex() in row for row in rows)
    key = (world.company_id, young.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        before = await service.age(conn, world.vault, *key)
        await world.vault.destroy(*key, NOW)
        after = await service.age(conn, world.vault, *key)

    assert (before.birth_year, after.birth_year) == (MINOR, None)
    assert after.may_be_minor(NOW, "UTC")


async def test_erasing_the_driver_erases_the_year_and_every_guardian(
    client: ClientSession, world: World, young: Driver
) -> None:
    staff = await world.session("dispatcher")
    await state(world, young.member_id, MINOR)
    await agree(world, young.member_id)
    await call(client, "DELETE", path_of(young.member_id, "guardian-consent"), staff)
    await agree(world, young.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        erased = await service.erase(conn, world.company_id, young.member_id)
        again = await service.erase(conn, world.company_id, young.member_id)

    assert (erased, again) == (3, 0)
