import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db, tokens
from server.kit.wire import rfc3339
from server.links import service
from tests.http import Clock, bearer
from tests.links.deliveries import (
    FAR_LAT,
    FAR_LON,
    NEAR_LAT,
    NEAR_LON,
    Delivery,
    delivery,
    made,
    planned,
    shows_nothing,
)
from tests.world import NOW, World


@pytest.mark.proves("relog-service:4.1b", "qoldau:7")
async def test_a_link_shows_where_the_delivery_is_and_nothing_of_the_driver(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON, speed_mps=12.0)

    status, seen = await link.look()

    assert status == 200
    assert seen.keys() == {
        "phase",
        "position",
        "eta",
        "planned_arrival",
        "window_start",
        "window_end",
        "server_now",
    }
    assert seen["phase"] == "on_the_way"
    assert seen["position"].keys() == {"lat", "lon", "grid_m", "fix_at"}
    assert seen["position"]["grid_m"] == 100
    assert (seen["position"]["lat"], seen["position"]["lon"]) != (FAR_LAT, FAR_LON)
    assert seen["position"]["lat"] == pytest.approx(FAR_LAT, abs=0.0005)


async def test_within_two_kilometres_it_shows_more_exactly(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(NEAR_LAT, NEAR_LON, speed_mps=12.0)

    _, seen = await link.look()

    assert seen["position"]["grid_m"] == 10
    assert seen["position"]["lat"] == pytest.approx(NEAR_LAT, abs=0.00005)


@pytest.mark.proves("relog-driver-app:3.2-show-goods")
async def test_without_the_consent_nothing_is_shown(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world, agreed=False)
    await link.drive(FAR_LAT, FAR_LON)

    assert shows_nothing(await link.look())
    clock.at += timedelta(minutes=1)
    await link.agree()
    # What was recorded before the consent is not covered by it.
    assert shows_nothing(await link.look())
    await link.drive(FAR_LAT, FAR_LON, clock.at)
    assert (await link.look())[1]["phase"] == "on_the_way"


@pytest.mark.proves("relog-driver-app:3.2-show-goods")
@pytest.mark.parametrize("item", ["location", "customer_link"])
async def test_a_withdrawal_a_pause_and_lost_signal_are_answered_alike(
    client: ClientSession, world: World, clock: Clock, item: str
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    await link.act("/v1/me/shift/pause")
    paused = await link.look()
    await link.act("/v1/me/shift/resume")
    assert (await link.look())[1]["phase"] == "on_the_way"
    clock.at += timedelta(minutes=16)
    lost = await link.look()
    await link.drive(FAR_LAT, FAR_LON, clock.at)
    assert (await link.look())[1]["phase"] == "on_the_way"
    await link.withdraw(item)
    withdrawn = await link.look()

    assert shows_nothing(paused)
    for _, answer in (paused, lost, withdrawn):
        answer.pop("server_now")
    assert paused == lost == withdrawn


async def test_whoever_agrees_again_does_not_bring_old_links_back(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    await link.withdraw()
    clock.at += timedelta(minutes=1)
    await link.agree()
    clock.at += timedelta(minutes=1)
    await link.drive(FAR_LAT, FAR_LON, clock.at)
    again = await made(
        client,
        link.staff,
        {"route_id": link.route_id, "stops": [{"stop_id": link.stop_id}]},
    )

    old = await link.look()
    async with client.get(f"/v1/track/{again['url_token']}") as answer:
        new = await answer.json()

    assert shows_nothing(old)
    assert new["phase"] == "on_the_way"
    # The company cannot tell the withdrawal from anything else either.
    assert (await link.get(f"/v1/links/{link.link_id}"))["state"] == "active"


@pytest.mark.proves("relog-driver-app:3.2-show-goods")
async def test_dispatch_tracking_alone_is_no_consent_to_customers_and_is_not_needed(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.withdraw("dispatch_tracking")
    await link.drive(FAR_LAT, FAR_LON)

    assert (await link.look())[1]["phase"] == "on_the_way"


async def test_off_shift_nothing_is_shown(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    await link.act("/v1/me/shift/end")

    assert shows_nothing(await link.look())


@pytest.mark.parametrize("end", ["revoked", "expired", "erased"])
async def test_an_ended_link_is_gone_whatever_ended_it(
    client: ClientSession, world: World, clock: Clock, end: str
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    match end:
        case "revoked":
            told = await link.act(f"/v1/links/{link.link_id}/revoke", link.staff)
            assert told["state"] == "revoked"
            assert await link.act(f"/v1/links/{link.link_id}/revoke", link.staff) == told
        case "expired":
            clock.at += timedelta(hours=9)
        case _:
            async with db.tenant(world.pool, world.company_id) as conn:
                assert await service.erase(conn, world.company_id, link.driver.member_id) == 1

    status, seen = await link.look()

    assert (status, seen["code"]) == (410, "link-ended")
    state = "expired" if end == "expired" else "revoked"
    assert (await link.get(f"/v1/links/{link.link_id}"))["state"] == state


async def test_what_is_no_token_of_a_link_is_404(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    unknown, _ = tokens.mint(service.TOKEN_KIND, world.company_id)
    elsewhere, _ = tokens.mint(service.TOKEN_KIND, uuid4())
    for token in (
        "x",
        unknown,
        elsewhere,
        link.staff,
        link.url_token.replace("jl_", "js_", 1),
        link.url_token[:-1],
    ):
        async with client.get(f"/v1/track/{token}") as answer:
            told = await answer.json()

        assert (answer.status, told["code"]) == (404, "link-not-found")


async def test_the_token_is_neither_stored_nor_listed(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    rows = await world.owner.fetch("SELECT l::text AS told FROM customer_link l")
    listed = await link.get(f"/v1/links?route_id={link.route_id}")

    assert link.url_token not in str(rows) + str(listed)
    assert [one["link_id"] for one in listed["items"]] == [link.link_id]


async def test_links_are_listed_in_pages(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    route = {"route_id": link.route_id, "stops": [{"stop_id": link.stop_id}]}
    ids = [link.link_id, *[(await made(client, link.staff, route))["link_id"] for _ in range(2)]]

    first = await link.get("/v1/links?limit=2")
    second = await link.get(f"/v1/links?limit=2&cursor={first['next_cursor']}")

    assert [one["link_id"] for one in first["items"] + second["items"]] == ids
    assert second["next_cursor"] is None


@pytest.mark.parametrize(("hours", "status"), [(-1, 422), (0, 422), (3, 201), (25, 201), (26, 422)])
async def test_a_link_ends_when_it_was_asked_to_within_limits(
    client: ClientSession, world: World, hours: int, status: int
) -> None:
    staff = await world.session("dispatcher")
    route = await planned(client, staff, world.driver)
    path = f"/v1/routes/{route['route_id']}/stops/{route['stops'][0]['stop_id']}/links"
    body = {"expires_at": rfc3339(NOW + timedelta(hours=hours))}

    async with client.post(path, json=body, headers=bearer(staff)) as answer:
        told = await answer.json()

    assert answer.status == status
    assert told["code"] == "link-expiry-invalid" if status == 422 else told["state"] == "active"


async def test_a_stop_or_route_that_is_not_there_or_not_driven_gets_no_link(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    route = await planned(client, staff, world.driver)
    nobodys = await planned(client, staff, None)
    cancelled = await planned(client, staff, world.driver)
    async with client.post(
        f"/v1/routes/{cancelled['route_id']}/cancel", headers=bearer(staff)
    ) as answer:
        assert answer.status == 200
    stop_id = route["stops"][0]["stop_id"]
    said = []
    for route_id, wanted in (
        (str(uuid4()), stop_id),
        (route["route_id"], str(uuid4())),
        (nobodys["route_id"], nobodys["stops"][0]["stop_id"]),
        (cancelled["route_id"], cancelled["stops"][0]["stop_id"]),
    ):
        path = f"/v1/routes/{route_id}/stops/{wanted}/links"
        async with client.post(path, json={}, headers=bearer(staff)) as answer:
            said.append((await answer.json())["code"])

    assert said == ["route-not-found", "stop-not-found", "route-unassigned", "route-cancelled"]


async def test_an_integration_needs_its_own_scope(client: ClientSession, world: World) -> None:
    staff = await world.session("dispatcher")
    route = await planned(client, staff, world.driver)
    statuses = {}
    for scope in (Scope.ROUTES_WRITE, Scope.LIVE_READ, Scope.LINKS_WRITE):
        async with db.tenant(world.pool, world.company_id) as conn:
            _, text = await credentials.add_api_token(
                conn, world.company_id, name="Shop", scopes=[scope], expires_at=None, now=NOW
            )
        path = f"/v1/routes/{route['route_id']}/stops/{route['stops'][0]['stop_id']}/links"
        async with client.post(path, json={}, headers=bearer(text)) as answer:
            statuses[scope] = answer.status

    assert statuses == {Scope.ROUTES_WRITE: 403, Scope.LIVE_READ: 403, Scope.LINKS_WRITE: 201}


async def test_asking_too_often_is_429(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(link.look()) for _ in range(31)]
    answers = [one.result() for one in asked]

    refused = [answer for status, answer in answers if status == 429]
    assert len(refused) == 1
    assert refused[0]["code"] == "too-many-looks"
    assert 1 <= refused[0]["retry_after_s"] <= 60


async def test_no_answer_of_a_link_lets_a_browser_pass_its_address_on(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    unknown, _ = tokens.mint(service.TOKEN_KIND, world.company_id)
    found = {}

    async def look(token: str) -> None:
        async with client.get(f"/v1/track/{token}") as answer:
            found[answer.status] = answer.headers.get("Referrer-Policy")

    await look(link.url_token)
    await link.act(f"/v1/links/{link.link_id}/revoke", link.staff)
    for token in (unknown, "x" * 1000, *[link.url_token] * 30):
        await look(token)

    assert found == dict.fromkeys((200, 404, 410, 429), "no-referrer")


async def test_making_and_revoking_stand_in_the_ledger(client: ClientSession, world: World) -> None:
    link: Delivery = await delivery(client, world)
    for _ in range(2):
        await link.act(f"/v1/links/{link.link_id}/revoke", link.staff)

    acts = await world.owner.fetch(
        "SELECT act, actor_kind FROM ledger_entry WHERE act LIKE 'link%' ORDER BY index"
    )

    assert [tuple(row) for row in acts] == [
        ("link_created", "dispatcher"),
        ("link_revoked", "dispatcher"),
    ]
