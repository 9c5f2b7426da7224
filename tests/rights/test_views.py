import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db
from server.kit.wire import rfc3339
from server.rights.model import place_after
from tests.conftest import Databases
from tests.http import Clock, bearer
from tests.links.deliveries import FAR_LAT, FAR_LON, Delivery, delivery, serve_links
from tests.told import last_entry, told
from tests.world import NOW, World, add_driver, add_member, open_session

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve_links(world, databases, clock=clock) as opened:
        yield opened


def track_of(link: Delivery) -> str:
    since, until = rfc3339(NOW - timedelta(hours=1)), rfc3339(NOW + timedelta(hours=2))
    return f"/v1/drivers/{link.driver.member_id}/track?from={since}&to={until}"


async def views(link: Delivery, query: str = "", who: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await link.get(f"/v1/me/views{query}", who or link.person))[
        "items"
    ]
    return found


@pytest.mark.proves("relog-manager-app:3.2-dispatcher-view")
async def test_the_driver_sees_who_looked_what_for_where_and_when(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON, NOW - MINUTE, speed_mps=9.0)
    await link.drive(FAR_LAT, FAR_LON, NOW, speed_mps=9.0)  # since the consent to links
    named = await add_member(
        world.vault, world.pool, world.company_id, role="main_user", name="Madina Main"
    )
    main_user = await open_session(world.pool, world.company_id, named)
    async with db.tenant(world.pool, world.company_id) as conn:
        _, planner = await credentials.add_api_token(
            conn,
            world.company_id,
            name="Planner",
            scopes=[Scope.TRACKS_READ],
            expires_at=None,
            now=NOW,
        )
    assert await views(link) == []

    await link.get(track_of(link))
    await link.get(f"/v1/routes/{link.route_id}/plan-fact", main_user)
    await link.get(track_of(link), planner)
    await link.look()

    five = {"at": rfc3339(NOW), "until": rfc3339(NOW + 5 * MINUTE)}
    assert sorted(await views(link), key=lambda one: one["viewer_role"]) == [
        {
            **five,
            "viewer_role": "api_token",
            "viewer_name": "Planner",
            "purpose": "plan_fact",
            "screen": "track",
        },
        {
            **five,
            "viewer_role": "customer",
            "viewer_name": None,
            "purpose": "customer_link",
            "screen": "link",
        },
        {
            **five,
            "viewer_role": "dispatcher",
            "viewer_name": "Dana Dispatch",
            "purpose": "plan_fact",
            "screen": "track",
        },
        {
            **five,
            "viewer_role": "main_user",
            "viewer_name": "Madina Main",
            "purpose": "plan_fact",
            "screen": "route_report",
        },
    ]


async def test_all_looks_of_five_minutes_are_one_line(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    for minutes in (0, 1, 4, 5, 12):
        clock.at = NOW + minutes * MINUTE
        await link.get(track_of(link))

    assert [one["at"] for one in await views(link)] == [
        rfc3339(NOW + minutes * MINUTE) for minutes in (10, 5, 0)
    ]


async def test_the_list_comes_in_pages_and_begins_where_it_is_asked_to(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    for minutes in (0, 5, 10):
        clock.at = NOW + minutes * MINUTE
        await link.get(track_of(link))
        await link.look()
    whole = await views(link)

    pages = [await link.get("/v1/me/views?limit=2", link.person)]
    while pages[-1]["next_cursor"] is not None:
        path = f"/v1/me/views?limit=2&cursor={pages[-1]['next_cursor']}"
        pages.append(await link.get(path, link.person))

    assert [len(page["items"]) for page in pages] == [2, 2, 2]
    assert [one for page in pages for one in page["items"]] == whole
    assert await views(link, f"?from={rfc3339(NOW + 5 * MINUTE)}") == whole[:4]


def forged(**changes: object) -> str:
    """Return a cursor of the form that is given out."""
    place = {
        "bucket_at": "2026-11-22T12:00:00+00:00",
        "viewer_kind": "dispatcher",
        "viewer_id": str(UUID(int=0)),
        "purpose": "plan_fact",
        "screen": "track",
    }
    text = json.dumps(list((place | changes).values()))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_the_form_of_a_forged_cursor_is_right() -> None:
    assert place_after(forged()) is not None


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "AAAA",
        "W10",
        "WzEsMiwzLDQsNV0",
        "%D0%B0",
        forged(bucket_at="0001-01-01T00:00:00+14:00"),
        forged(bucket_at="9999-12-31T23:59:59-14:00"),
        forged(viewer_kind="a\u0000b"),
        forged(viewer_kind="\ud800"),
        forged(viewer_kind=5),
        forged(purpose={"a": 1}),
        forged(screen="nowhere"),
    ],
)
async def test_a_cursor_that_was_not_given_out_is_refused(
    client: ClientSession, world: World, cursor: str
) -> None:
    person = bearer(await world.driver_session())

    async with client.get(f"/v1/me/views?cursor={cursor}", headers=person) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "cursor-invalid")


@pytest.mark.proves("gocargo:use-of-the-site-other-users")
async def test_nobody_sees_who_looked_at_another(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    await link.get(track_of(link))
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")

    assert await views(link, who=await world.driver_session(other)) == []
    async with client.get("/v1/me/views", headers=bearer(link.staff)) as answer:
        assert answer.status == 403


async def test_an_answer_without_a_position_is_no_look(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    await link.withdraw("plan_fact")
    await link.withdraw()

    assert (await link.get(track_of(link)))["count"] == 0
    await link.get(f"/v1/routes/{link.route_id}/plan-fact")
    await link.look()
    # The person's own look is not one either.
    await link.get(track_of(link), link.person)

    assert await views(link) == []


@pytest.mark.parametrize(
    ("file_format", "screen"),
    [("json", "track"), ("geojson", "export"), ("gpx", "export"), ("csv", "export")],
)
async def test_a_track_that_was_taken_as_a_file_says_so(
    client: ClientSession, world: World, file_format: str, screen: str
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)

    async with client.get(
        f"{track_of(link)}&format={file_format}", headers=bearer(link.staff)
    ) as answer:
        assert answer.status == 200

    assert [one["screen"] for one in await views(link)] == [screen]


async def test_a_look_of_more_than_a_year_ago_is_not_told_even_if_it_is_still_there(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON)
    await link.get(track_of(link))
    # The person logs in anew: a session does not last a year.
    await world.owner.execute(
        "UPDATE session SET expires_at = expires_at + interval '2 years', used_at = $1",
        NOW + timedelta(days=366),
    )
    since = f"?from={rfc3339(NOW - timedelta(days=1))}"
    lines = []
    for days in (0, 364, 366):
        clock.at = NOW + timedelta(days=days)
        lines.append(len(await views(link, since)))

    assert lines == [1, 1, 0]
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 1


@pytest.mark.proves("relog-driver-manager-apps:1.8-6.1")
async def test_a_dispatcher_who_goes_through_the_drivers_is_reported_to_the_main_user(
    client: ClientSession, world: World
) -> None:
    main_user = await add_member(world.vault, world.pool, world.company_id, role="main_user")
    await world.owner.execute("UPDATE company SET bulk_read_drivers_max = 1")
    first = await delivery(client, world)
    await first.drive(FAR_LAT, FAR_LON)
    await first.get(track_of(first))
    assert await told(world, main_user) == []

    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    second = await delivery(client, world, driver=other)
    await second.drive(FAR_LAT, FAR_LON)
    await second.get(track_of(second), first.staff)

    ((kind, values),) = await told(world, main_user)
    assert (kind, values["by_role"], values["count"]) == ("bulk_read", "dispatcher", "2")
    assert await last_entry(world) == (
        "bulk_read_alert",
        "dispatcher",
        {"drivers": 2, "purpose": "plan_fact", "screen": "track"},
    )
