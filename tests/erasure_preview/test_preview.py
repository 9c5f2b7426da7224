"""What is told before is what the erasing job then does, table by table."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from server.erasure_preview import store
from server.erasure_preview.model import DELINKED
from server.erasure_preview.web import ENDPOINTS
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.wire import rfc3339
from tests.consent.people import ALL, new_driver
from tests.erasure.calls import call
from tests.erasure.person import Person, add_person
from tests.erasure.test_saga import ask, run
from tests.holds.test_erasing import UNTIL, hold
from tests.http import serve
from tests.world import NOW, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


async def preview(world: World, client: ClientSession, person: Person) -> Any:
    path = f"/v1/erasure/preview?driver_id={person.driver_id}"
    status, found = await call(client, await world.session("dispatcher"), "GET", path)
    assert status == 200, found
    return found


async def rows(world: World, person: Person) -> dict[str, int]:
    async with db.tenant(world.pool, world.company_id) as conn:
        key = (world.company_id, person.driver_id, NOW)
        return {
            table.table: (await store.count(conn, table, *key)).rows
            for table in await store.tables(conn)
        }


def total(found: Any, *actions: str) -> int:
    return sum(
        one["rows"]
        for one in found["categories"]
        if one["action"] in actions and one["code"] != "ledger_entries"
    )


@pytest.mark.proves("relog-service:3.5c")
async def test_what_is_told_is_what_is_erased(world: World, client: ClientSession) -> None:
    person = await add_person(world)
    before = await rows(world, person)
    assert all(before.values())
    kept = "SELECT count(*) FROM route WHERE driver_id = $1"
    routes = await world.owner.fetchval(kept, person.driver_id)

    found = await preview(world, client, person)
    await run(world, await ask(world, person))

    assert set((await rows(world, person)).values()) == {0}
    assert total(found, "erase", "delink") == sum(before.values())
    assert total(found, "retain") == 0
    # What goes on without the driver is still there, under nobody.
    delinked = total(found, "delink")
    assert delinked == sum(before[table] for table in DELINKED)
    assert (
        await world.owner.fetchval("SELECT count(*) FROM route WHERE driver_id IS NULL") == routes
    )
    assert (
        await world.owner.fetchval("SELECT count(*) FROM customer_link WHERE driver_id IS NULL")
        == (before["customer_link"])
    )
    codes = {one["code"] for one in found["categories"]}
    assert {"identity", "account", "consent", "work", "track", "live", "report"} <= codes
    assert found["functions_lost"][0] == "log_in"


@pytest.mark.proves("relog-service:3.5c")
async def test_what_is_held_is_told_as_kept_and_stays(world: World, client: ClientSession) -> None:
    person = await add_person(world)
    await hold(world, person, HeldCategory.TRACK)
    before = await rows(world, person)

    found = await preview(world, client, person)
    await run(world, await ask(world, person))

    after = await rows(world, person)
    # What the driver wished of marketing goes with the asking, held or not.
    asking = {"notice_preference"}
    went = {one for one, count in after.items() if count == 0} - asking
    gone = sum(before[table] for table in went)
    assert total(found, "erase", "delink") == gone
    (track,) = [one for one in found["categories"] if one["code"] == "track"]
    assert (track["action"], track["ground"], track["until"]) == (
        "retain",
        "legal_claim",
        rfc3339(UNTIL),
    )
    assert after["chunk"] == before["chunk"]
    assert found["backup_gone_by"] == rfc3339(UNTIL + timedelta(hours=25))


@pytest.mark.parametrize(("sealed_days", "told"), [(None, True), (9, False)])
async def test_of_what_an_authority_sealed_the_preview_says_nothing(
    world: World, client: ClientSession, *, sealed_days: int | None, told: bool
) -> None:
    person = await add_person(world)
    await world.owner.execute("DELETE FROM incident_member")
    await world.owner.execute(
        "UPDATE disclosure SET ground = 'authority', recorded_by = NULL, sealed_until = $1",
        None if sealed_days is None else NOW + timedelta(days=sealed_days),
    )

    found = await preview(world, client, person)

    assert ("disclosure" in {one["code"] for one in found["categories"]}) == told


async def test_from_when_until_when(world: World, client: ClientSession) -> None:
    person = await add_person(world)

    found = await preview(world, client, person)

    (track,) = [one for one in found["categories"] if one["code"] == "track"]
    assert track["to"] == rfc3339(NOW)
    assert found["clock"] == {"answer_by": "2026-11-25T19:00:00Z", "grace_days": 0.0}
    for one in found["categories"]:
        assert one.get("to") is None or one["to"] <= rfc3339(NOW)


async def test_a_driver_asks_of_themself_alone(world: World, client: ClientSession) -> None:
    driver, other = await new_driver(world, *ALL), await new_driver(world, *ALL)
    session = await world.driver_session(driver)
    path = "/v1/erasure/preview?driver_id="

    own = await call(client, session, "GET", f"{path}{driver.member_id}")
    others = await call(client, session, "GET", f"{path}{other.member_id}")
    nobody = await call(client, session, "GET", f"{path}{uuid4()}")

    assert own[0] == 200
    assert others == nobody
    assert others[0] == 404
