import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from server.gate import service as gate
from server.gate.model import GateItem
from tests.consent.acts import call
from tests.consent.people import ALL, new_driver
from tests.consents import NOTICE_BODY, body
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import Clock, serve
from tests.waiting import LEASE_WITHOUT_END_MS, THE_BARRIER, until_somebody_waits_for
from tests.world import World, add_company, add_driver

NOTHING = "01a20418-0000-7000-8000-000000000000"
DRIVERS_OWN = [
    ("GET", "/v1/me/consents", None),
    ("POST", "/v1/me/consents", body("location")),
    ("POST", "/v1/me/consents/location/withdraw", None),
    ("GET", "/v1/me/consents/records", None),
    ("GET", f"/v1/me/consents/records/{NOTHING}/receipt", None),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, clock=clock) as client:
        yield client


async def test_a_driver_gives_sees_and_withdraws_each_consent(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world))
    nothing = dict.fromkeys(
        ("given_at", "changed_at", "valid_until", "scope", "sources", "background")
    )
    items = [{"item": item.value, "state": "not_asked", **nothing} for item in ConsentItem]
    assert await call(client, token, "GET", "/v1/me/consents") == (
        200,
        {"items": items, "epoch": 1, "gate": "closed"},
    )

    status, given = await call(client, token, "POST", "/v1/me/consents", body("location"))
    assert (status, given) == (
        201,
        {
            "item": "location",
            "state": "given",
            "given_at": "2026-11-22T12:00:00Z",
            "changed_at": "2026-11-22T12:00:00Z",
            "valid_until": "2027-11-22T12:00:00Z",
            "scope": "on_shift",
            "sources": ["beacon", "cell", "fused", "gps", "wifi"],
            "background": True,
        },
    )
    await call(client, token, "POST", "/v1/me/consents", body("plan_fact"))
    refusal = body("dispatch_tracking", "declined")
    status, declined = await call(client, token, "POST", "/v1/me/consents", refusal)
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
    assert [one["state"] for one in found["items"]] == [
        *("withdrawn", "declined", "given"),
        *("not_asked", "not_asked", "not_asked"),
    ]
    assert (found["gate"], found["epoch"]) == ("closed", 5)


async def test_a_withdrawal_is_answered_only_when_no_frame_can_leave_any_more(
    world: World, client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRAME_LEASE_MS", LEASE_WITHOUT_END_MS)
    token = await world.driver_session(await new_driver(world, *ALL))
    async with gate.frames(world.pool, world.company_id):
        asked = asyncio.create_task(
            call(client, token, "POST", "/v1/me/consents/location/withdraw")
        )
        await until_somebody_waits_for(world.owner, THE_BARRIER)
        assert not asked.done()

    assert (await asked)[0] == 200


@pytest.mark.parametrize("who", ["dispatcher", "main_user", "device", "nobody"])
@pytest.mark.parametrize(("method", "path", "sent"), DRIVERS_OWN)
async def test_only_the_driver_in_person_decides(
    world: World, client: ClientSession, who: str, method: str, path: str, sent: object
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    match who:
        case "device":
            caller = driver.device_token
        case "nobody":
            caller = "js_nonsense"
        case _:
            caller = await world.session(who)

    status, _ = await call(client, caller, method, path, sent)

    assert status == (401 if who == "nobody" else 403)


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
            "customer_link": "not_asked",
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


@pytest.mark.proves("kargo.az:use", "qoldau:5.1-purposes")
@pytest.mark.parametrize(
    "change",
    [
        {"answer": None},
        {"notice": None},
        {"answer": "withdrawn"},
        {"item": "camera"},
        {"all": True},
        {"notice": {**NOTICE_BODY, "document": "privacy_notice"}},
        {"notice": {**NOTICE_BODY, "sha256": "0" * 63}},
        {"scope": "sometimes"},
        {"sources": []},
        {"sources": ["gps", "guess"]},
        {"epoch": -1},
        {"item": "marketing", "scope": "always"},
        {"item": "plan_fact", "background": False},
        {"answer": "declined", "sources": ["gps"]},
    ],
    ids=str,
)
async def test_an_answer_is_to_one_known_question(
    world: World, client: ClientSession, change: dict[str, object]
) -> None:
    token = await world.driver_session(await new_driver(world))
    sent = {k: v for k, v in (body("location") | change).items() if v is not None}

    status, _ = await call(client, token, "POST", "/v1/me/consents", sent)

    assert status == 422


@pytest.mark.parametrize(
    "notice",
    [{"edition": 2}, {"sha256": "0" * 64}, {"language": "ru"}],
    ids=str,
)
async def test_an_answer_to_another_text_than_the_one_in_force_is_refused(
    world: World, client: ClientSession, notice: dict[str, object]
) -> None:
    token = await world.driver_session(await new_driver(world))
    sent = body("location") | {"notice": NOTICE_BODY | notice}

    status, problem = await call(client, token, "POST", "/v1/me/consents", sent)

    assert (status, problem["code"]) == (409, "notice-outdated")
    _, found = await call(client, token, "GET", "/v1/me/consents")
    assert found["items"][0]["state"] == "not_asked"


async def test_an_answer_to_another_epoch_than_the_one_shown_is_refused(
    world: World, client: ClientSession
) -> None:
    token = await world.driver_session(await new_driver(world))
    _, shown = await call(client, token, "GET", "/v1/me/consents")
    await call(client, token, "POST", "/v1/me/consents", body("plan_fact"))

    stale = body("location", epoch=shown["epoch"])
    status, problem = await call(client, token, "POST", "/v1/me/consents", stale)
    assert (status, problem["code"]) == (409, "consent-changed-meanwhile")

    fresh = body("location", epoch=shown["epoch"] + 1)
    assert (await call(client, token, "POST", "/v1/me/consents", fresh))[0] == 201


@pytest.mark.proves("qoldau:11")
async def test_a_company_that_has_not_said_who_it_is_gets_no_consent(
    world: World, client: ClientSession
) -> None:
    token = await world.driver_session(await new_driver(world))
    await world.owner.execute("UPDATE policy_controller SET bin = NULL")

    status, problem = await call(client, token, "POST", "/v1/me/consents", body("location"))

    assert (status, problem["code"]) == (422, "consent-record-incomplete")
    assert "/law_94_v_article_8_4/operator/bin" in problem["detail"]


async def test_an_unknown_item_cannot_be_withdrawn(world: World, client: ClientSession) -> None:
    token = await world.driver_session(await new_driver(world))

    status, _ = await call(client, token, "POST", "/v1/me/consents/camera/withdraw")
    assert status == 404

    status, problem = await call(client, token, "POST", "/v1/me/consents/location/withdraw")
    assert (status, problem["code"]) == (409, "consent-action-refused")


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_the_staff_ask_once_and_never_again_after_a_no(
    world: World, client: ClientSession, role: str
) -> None:
    driver = await new_driver(world)
    staff, person = await world.session(role), await world.driver_session(driver)
    path = f"/v1/drivers/{driver.member_id}/consents/customer_link/request"

    for _ in range(2):
        assert await call(client, staff, "POST", path) == (
            200,
            {"item": "customer_link", "state": "requested"},
        )
    _, page = await call(client, person, "GET", "/v1/me/consents/records")
    assert [(one["state"], one["actor"]) for one in page["items"]] == [("requested", role)]

    await call(client, person, "POST", "/v1/me/consents", body("customer_link", "declined"))
    status, problem = await call(client, staff, "POST", path)
    assert (status, problem["code"]) == (409, "consent-action-refused")
    assert (await call(client, person, "POST", path))[0] == 403


async def test_the_records_have_pages_and_are_the_driver_s_own(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL)
    token = await world.driver_session(driver)
    seen: list[str] = []
    path: str | None = "/v1/me/consents/records?limit=2"
    while path is not None:
        _, page = await call(client, token, "GET", path)
        seen += [one["item"] for one in page["items"]]
        following = page["next_cursor"]
        path = following and f"/v1/me/consents/records?limit=2&cursor={following}"
    assert seen == [item.value for item in ALL]

    _, page = await call(client, token, "GET", "/v1/me/consents/records")
    path = f"/v1/me/consents/records/{page['items'][0]['record_id']}/receipt"
    stranger = await world.driver_session(await new_driver(world))
    status, problem = await call(client, stranger, "GET", path)
    assert (status, problem["code"]) == (404, "consent-record-not-found")
