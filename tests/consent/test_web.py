import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.consent.web import ENDPOINTS
from server.gate import service as gate
from server.gate.model import GateItem
from tests.consent.people import ALL, new_driver
from tests.http import Clock, bearer, serve
from tests.world import NOW, SHIFT_STARTED, World, add_company, add_driver

DRIVERS_OWN = [
    ("GET", "/v1/me/consents", None),
    ("POST", "/v1/me/consents", {"item": "location", "answer": "given"}),
    ("POST", "/v1/me/consents/location/withdraw", None),
    ("GET", "/v1/me/shift", None),
    ("POST", "/v1/me/shift/start", None),
    ("POST", "/v1/me/shift/pause", None),
    ("POST", "/v1/me/shift/resume", None),
    ("POST", "/v1/me/shift/end", None),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, clock=clock) as client:
        yield client


async def call(
    client: ClientSession, token: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    answer = await client.request(method, path, headers=bearer(token), json=body)
    return answer.status, await answer.json()


async def test_a_driver_gives_sees_and_withdraws_each_consent(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world))
    not_asked = {"state": "not_asked", "given_at": None, "changed_at": None}
    items = [{"item": item.value, **not_asked} for item in GateItem]
    assert await call(client, token, "GET", "/v1/me/consents") == (
        200,
        {"items": items, "epoch": 1, "gate": "closed"},
    )

    for item in ("location", "plan_fact"):
        assert await call(
            client, token, "POST", "/v1/me/consents", {"item": item, "answer": "given"}
        ) == (
            201,
            {
                "item": item,
                "state": "given",
                "given_at": "2026-11-22T12:00:00Z",
                "changed_at": "2026-11-22T12:00:00Z",
            },
        )
    status, declined = await call(
        client,
        token,
        "POST",
        "/v1/me/consents",
        {"item": "dispatch_tracking", "answer": "declined"},
    )
    assert (status, declined["state"], declined["given_at"]) == (201, "declined", None)
    _, found = await call(client, token, "GET", "/v1/me/consents")
    assert (found["gate"], found["epoch"]) == ("open", 4)

    clock.at += timedelta(minutes=1)
    withdrawn = {
        "item": "location",
        "state": "withdrawn",
        "effective_at": "2026-11-22T12:01:00Z",
        "epoch": 5,
    }
    for _ in range(2):  # a lost answer is asked for again, and must not look failed
        answer = await call(client, token, "POST", "/v1/me/consents/location/withdraw")
        assert answer == (200, withdrawn)
        clock.at += timedelta(minutes=1)
    _, found = await call(client, token, "GET", "/v1/me/consents")
    assert [one["state"] for one in found["items"]] == ["withdrawn", "declined", "given"]
    assert (found["gate"], found["epoch"]) == ("closed", 5)


async def test_a_withdrawal_is_answered_only_when_no_frame_can_leave_any_more(
    world: World, client: ClientSession
) -> None:
    token = await world.driver_session(await new_driver(world, *ALL))
    async with gate.frames(world.pool, world.company_id):
        asked = asyncio.create_task(
            call(client, token, "POST", "/v1/me/consents/location/withdraw")
        )
        await asyncio.sleep(0.2)
        assert not asked.done()

    assert (await asked)[0] == 200


async def test_a_shift_goes_on_pauses_resumes_and_ends(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world, *ALL))
    off = {"state": "off", "started_at": None, "ends_by": None}
    running = {"started_at": "2026-11-22T12:00:00Z", "ends_by": "2026-11-23T02:00:00Z"}
    assert await call(client, token, "GET", "/v1/me/shift") == (200, off)

    for act, state in (("start", "on"), ("pause", "paused"), ("pause", "paused"), ("resume", "on")):
        answer = await call(client, token, "POST", f"/v1/me/shift/{act}")
        assert answer == (200, {"state": state, **running})
        clock.at += timedelta(minutes=1)
        assert await call(client, token, "GET", "/v1/me/shift") == answer
    for _ in range(2):
        assert await call(client, token, "POST", "/v1/me/shift/end") == (200, off)

    status, problem = await call(client, token, "POST", "/v1/me/shift/resume")
    assert (status, problem["code"]) == (409, "shift-act-refused")


async def test_a_shift_that_ran_its_full_length_reads_as_off(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world, *ALL, on_shift=True))

    clock.at = SHIFT_STARTED + timedelta(hours=14)

    assert (await call(client, token, "GET", "/v1/me/shift"))[1]["state"] == "off"


async def test_a_shift_without_consent_is_refused_in_plain_words(
    world: World, client: ClientSession
) -> None:
    token = await world.driver_session(await new_driver(world, GateItem.LOCATION))

    status, problem = await call(client, token, "POST", "/v1/me/shift/start")

    assert (status, problem["code"]) == (409, "consent-needed")
    assert "dispatch_tracking" in problem["detail"]


@pytest.mark.parametrize("who", ["dispatcher", "main_user", "device", "nobody"])
@pytest.mark.parametrize(("method", "path", "body"), DRIVERS_OWN)
async def test_only_the_driver_in_person_decides(
    world: World, client: ClientSession, who: str, method: str, path: str, body: object
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    match who:
        case "device":
            caller = driver.device_token
        case "nobody":
            caller = "js_nonsense"
        case _:
            caller = await world.session(who)

    status, _ = await call(client, caller, method, path, body)

    assert status == (401 if who == "nobody" else 403)


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_the_staff_may_end_a_shift_and_nothing_more(
    world: World, client: ClientSession, role: str
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    staff = await world.session(role)

    for _ in range(2):
        status, shift = await call(
            client, staff, "POST", f"/v1/drivers/{driver.member_id}/shift/end"
        )
        assert (status, shift["state"]) == (200, "off")

    row = await world.owner.fetchrow(
        "SELECT ended_at, ended_by FROM shift WHERE driver_id = $1", driver.member_id
    )
    assert tuple(row or ()) == (NOW, role)
    for act in ("start", "pause", "resume"):
        answer = await client.post(
            f"/v1/drivers/{driver.member_id}/shift/{act}", headers=bearer(staff)
        )
        assert answer.status == 404


async def test_a_driver_does_not_end_anybody_elses_shift(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    other = await world.driver_session(await new_driver(world, *ALL))

    answer = await call(client, other, "POST", f"/v1/drivers/{driver.member_id}/shift/end")

    assert answer[0] == 403


async def test_drivers_of_another_company_do_not_exist(world: World, client: ClientSession) -> None:
    other = await add_company(world.vault, world.owner)
    stranger = await add_driver(world.vault, world.pool, other)
    staff = await world.session("dispatcher")

    for method, path in (
        ("POST", f"/v1/drivers/{stranger.member_id}/shift/end"),
        ("GET", f"/v1/drivers/{stranger.member_id}"),
        ("GET", "/v1/drivers/01a20418-0000-7000-8000-000000000000"),
    ):
        status, _ = await call(client, staff, method, path)
        assert status == 404
    _, page = await call(client, staff, "GET", "/v1/drivers")
    assert str(stranger.member_id) not in {one["driver_id"] for one in page["items"]}


async def test_the_staff_see_each_driver_with_consents_and_shift(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(
        world, GateItem.LOCATION, GateItem.PLAN_FACT, on_shift=True, name="Saule Probkina"
    )
    staff = await world.session("dispatcher")

    status, view = await call(client, staff, "GET", f"/v1/drivers/{driver.member_id}")

    assert status == 200
    assert view | {"phone_masked": ""} == {
        "driver_id": str(driver.member_id),
        "name": "Saule Probkina",
        "phone_masked": "",
        "state": "active",
        "locale": "en",
        "consents": {
            "location": "given",
            "dispatch_tracking": "not_asked",
            "plan_fact": "given",
        },
        "shift": "on",
        "created_at": "2026-11-22T09:00:00Z",
    }
    status, page = await call(client, staff, "GET", "/v1/drivers?state=active")
    assert status == 200
    assert view in page["items"]


async def test_the_list_of_drivers_has_pages(world: World, client: ClientSession) -> None:
    made = {world.driver.member_id} | {(await new_driver(world)).member_id for _ in range(4)}
    staff = await world.session("dispatcher")
    seen: list[str] = []
    path: str | None = "/v1/drivers?limit=2"
    while path is not None:
        _, page = await call(client, staff, "GET", path)
        seen += [one["driver_id"] for one in page["items"]]
        following = page["next_cursor"]
        path = following and f"/v1/drivers?limit=2&cursor={following}"

    assert len(seen) == 5
    assert set(seen) == {str(one) for one in made}
    status, problem = await call(client, staff, "GET", "/v1/drivers?cursor=guessed")
    assert (status, problem["code"]) == (422, "cursor-invalid")
    _, page = await call(client, staff, "GET", "/v1/drivers?state=grace")
    assert page["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"item": "location"},
        {"item": "location", "answer": "withdrawn"},
        {"item": "marketing", "answer": "given"},
        {"item": "location", "answer": "given", "all": True},
        {},
    ],
)
async def test_an_answer_is_to_one_known_question(
    world: World, client: ClientSession, body: object
) -> None:
    token = await world.driver_session(await new_driver(world))

    status, _ = await call(client, token, "POST", "/v1/me/consents", body)

    assert status == 422


async def test_an_unknown_item_cannot_be_withdrawn(world: World, client: ClientSession) -> None:
    token = await world.driver_session(await new_driver(world))

    status, _ = await call(client, token, "POST", "/v1/me/consents/marketing/withdraw")
    assert status == 404

    status, problem = await call(client, token, "POST", "/v1/me/consents/location/withdraw")
    assert (status, problem["code"]) == (409, "consent-action-refused")
