"""Who holds what: a main user places, others ask; and what is told and written down."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from server.holds import service
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.wire import rfc3339
from tests.consent.people import ALL, new_driver
from tests.erasure.calls import call, caller_of
from tests.told import last_entry, told
from tests.world import NOW, Driver, World, add_member

UNTIL = NOW + timedelta(days=30)
EVIDENCE = "Case 17 of the city court"


@pytest.fixture
async def driver(world: World) -> Driver:
    return await new_driver(world, *ALL, on_shift=True)


def wanted(driver: Driver, **more: object) -> dict[str, object]:
    return {"driver_id": str(driver.member_id), "category": "track", **more}


def placed(driver: Driver, **more: object) -> dict[str, object]:
    reason = {"ground": "legal_claim", "until": rfc3339(UNTIL), "evidence_ref": EVIDENCE}
    return wanted(driver, **(reason | more))


async def hold(client: ClientSession, token: str, body: object) -> Any:
    status, found = await call(client, token, "POST", "/v1/holds", body)
    assert status == 201, found
    return found


async def listed(client: ClientSession, token: str, driver: Driver) -> list[Any]:
    path = f"/v1/holds?driver_id={driver.member_id}"
    status, found = await call(client, token, "GET", path)
    assert status == 200, found
    items: list[Any] = found["items"]
    return items


@pytest.mark.parametrize(("role", "state"), [("driver", "wished"), ("dispatcher", "proposed")])
async def test_who_may_only_ask_names_no_ground_and_holds_nothing(
    world: World, client: ClientSession, driver: Driver, role: str, state: str
) -> None:
    token = await caller_of(world, driver, role)
    boss_id = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    assert (await call(client, token, "POST", "/v1/holds", placed(driver)))[0] == 422

    found = await hold(client, token, wanted(driver))

    assert (found["state"], found["in_force"], found["asked_by_role"]) == (state, False, role)
    assert (await told(world, boss_id))[-1][0] == "hold_changed"
    facts = {"hold_id": found["hold_id"], "category": "track", "state": state}
    assert await last_entry(world) == ("hold_changed", role, facts)


@pytest.mark.proves("relog-service:6.3")
async def test_a_main_user_places_a_hold_and_the_driver_is_told(
    world: World, client: ClientSession, driver: Driver
) -> None:
    boss, session = await world.session("main_user"), await world.driver_session(driver)

    found = await hold(client, boss, placed(driver))

    assert (found["state"], found["in_force"], found["until"]) == ("placed", True, rfc3339(UNTIL))
    kind, said = (await told(world, driver.member_id))[-1]
    assert (kind, said["category"], said["ground"]) == ("hold_changed", "track", "legal_claim")
    assert [one["evidence_ref"] for one in await listed(client, session, driver)] == [EVIDENCE]
    # What shows the ground is a text about the driver: it lies sealed.
    rows = await world.owner.fetch("SELECT h::text AS row FROM hold h")
    assert not any(EVIDENCE in one["row"] or EVIDENCE.encode().hex() in one["row"] for one in rows)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ground": None},
        {"until": None},
        {"ground": None, "until": None},
        {"until": rfc3339(NOW)},
        {"until": rfc3339(NOW + timedelta(days=5 * 365, seconds=1))},
        {"ground": "identity_not_proven", "until": rfc3339(NOW + timedelta(days=31))},
        {"category": "everything"},
        {"ground": "because"},
    ],
)
async def test_a_hold_needs_a_ground_and_a_date(
    world: World, client: ClientSession, driver: Driver, wrong: dict[str, object]
) -> None:
    body = placed(driver, **wrong)

    status, _ = await call(client, await world.session("main_user"), "POST", "/v1/holds", body)

    assert status == 422
    assert await world.owner.fetchval("SELECT count(*) FROM hold") == 0


async def test_a_wish_is_placed_prolonged_and_released(
    world: World, client: ClientSession, driver: Driver
) -> None:
    boss, dispatcher = await world.session("main_user"), await world.session("dispatcher")
    wish = await hold(client, await world.driver_session(driver), wanted(driver))
    path = f"/v1/holds/{wish['hold_id']}"
    reason = {"ground": "legal_claim", "until": rfc3339(UNTIL)}
    later = {**reason, "until": rfc3339(UNTIL + timedelta(days=1)), "evidence_ref": EVIDENCE}
    for act, body in (("place", reason), ("release", None)):
        assert (await call(client, dispatcher, "POST", f"{path}/{act}", body))[0] == 403

    states = []
    for act, body in (("place", reason), ("place", later), ("release", None)):
        status, found = await call(client, boss, "POST", f"{path}/{act}", body)
        assert status == 200, found
        states.append((found["state"], found["until"], found["in_force"]))

    assert states == [
        ("placed", reason["until"], True),
        ("placed", later["until"], True),
        ("ended", later["until"], False),
    ]
    status, problem = await call(client, boss, "POST", f"{path}/place", reason)
    assert (status, problem["code"]) == (409, "hold-act-refused")
    assert (await listed(client, boss, driver))[0]["ended_by_role"] == "main_user"


async def test_a_driver_sees_and_asks_for_their_own_alone(
    world: World, client: ClientSession, driver: Driver
) -> None:
    other = await new_driver(world, *ALL)
    session, boss = await world.driver_session(other), await world.session("main_user")
    await hold(client, boss, placed(driver))

    mine = await call(client, session, "GET", f"/v1/holds?driver_id={driver.member_id}")
    nobody = await call(client, session, "GET", f"/v1/holds?driver_id={uuid4()}")
    asked = await call(client, session, "POST", "/v1/holds", wanted(driver))

    assert mine == nobody
    assert (mine[0], asked[0]) == (404, 404)


async def test_a_driver_has_no_end_of_holds(
    world: World, client: ClientSession, driver: Driver
) -> None:
    await world.owner.execute(
        "INSERT INTO hold (company_id, driver_id, hold_id, category, state, asked_by_role,"
        " asked_at) SELECT $1, $2, gen_random_uuid(), 'track', 'wished', 'driver', $3"
        " FROM generate_series(1, 50)",
        world.company_id,
        driver.member_id,
        NOW,
    )

    session = await world.driver_session(driver)
    status, problem = await call(client, session, "POST", "/v1/holds", wanted(driver))

    assert (status, problem["code"]) == (409, "holds-too-many")


async def test_a_hold_ends_at_its_date_and_nobody_is_surprised(
    world: World, client: ClientSession, driver: Driver
) -> None:
    boss_id = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    boss = await world.session("main_user")
    await hold(client, boss, placed(driver))
    week, moment = timedelta(days=7), timedelta(seconds=1)

    async def heard() -> list[str]:
        kinds = [kind for kind, _ in await told(world, boss_id)]
        return [one for one in kinds if one == "hold_ending"]

    walked = []
    for at in (UNTIL - week - moment, UNTIL - week, UNTIL - moment, UNTIL, UNTIL + moment):
        ended = await service.run_due(world.pool, world.company_id, at)
        walked.append((ended, len(await heard())))

    assert walked == [(0, 0), (0, 1), (0, 1), (1, 1), (0, 1)]
    act, actor, facts = await last_entry(world)
    assert (act, actor, facts["state"]) == ("hold_changed", "system", "ended")
    kinds = [kind for kind, _ in await told(world, driver.member_id)]
    assert kinds[-2:] == ["hold_ending", "hold_changed"]
    assert (await listed(client, boss, driver))[0].get("ended_by_role") is None


async def test_from_its_date_on_it_keeps_nothing_though_no_job_came(
    world: World, client: ClientSession, driver: Driver
) -> None:
    await hold(client, await world.session("main_user"), placed(driver))
    key: tuple[UUID, UUID] = (world.company_id, driver.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        before = await service.in_force(conn, *key, UNTIL - timedelta(seconds=1))
        at_it = await service.in_force(conn, *key, UNTIL)
        held = await service.drivers_held(conn, key[0], [HeldCategory.TRACK], NOW)
        others = await service.drivers_held(conn, key[0], [HeldCategory.REPORT], NOW)

    assert (len(before), at_it) == (1, [])
    assert (held, others) == ([driver.member_id], [])
