"""Who looks is written down before they see anything."""

import asyncio

import pytest
from aiohttp import ClientSession

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db
from server.reads import service as reads
from server.reads.model import BUCKET, ReadPurpose, Screen, View
from tests.http import Clock, bearer
from tests.live.screens import LAT, act, off_duty, screen, snapshot, told, upload
from tests.world import NOW, World

FROM = NOW.replace(year=2026, month=1)


async def looks_at(world: World) -> list[View]:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await reads.views_of(
            conn, world.company_id, world.driver.member_id, since=FROM, limit=100
        )


def told_of(views: list[View]) -> set[tuple[str, str, str]]:
    return {(one.viewer_kind, one.purpose, one.screen) for one in views}


@pytest.mark.proves("relog-manager-app:3.2-dispatcher-view")
async def test_whoever_reads_the_snapshot_is_written_down(
    client: ClientSession, world: World, dispatcher: str
) -> None:
    await upload(client, world.driver, NOW)
    assert await looks_at(world) == []

    await snapshot(client, dispatcher)
    await snapshot(client, dispatcher)

    (look,) = await looks_at(world)
    assert (look.viewer_kind, look.purpose, look.screen) == (
        "dispatcher",
        ReadPurpose.DISPATCH_TRACKING,
        Screen.LIVE_MAP,
    )
    assert look.viewer_member_id is not None


async def test_an_integration_is_written_down_under_its_token(
    client: ClientSession, world: World
) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        token, text = await credentials.add_api_token(
            conn,
            world.company_id,
            name="Planner",
            scopes=[Scope.LIVE_READ],
            expires_at=None,
            now=NOW,
        )
    await upload(client, world.driver, NOW)

    await snapshot(client, text)

    (look,) = await looks_at(world)
    assert (look.viewer_kind, look.viewer_id) == ("api_token", token.api_token_id)


@pytest.mark.proves("relog-manager-app:3.2-dispatcher-view")
async def test_a_screen_is_written_down_before_its_first_position(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    main_user = await world.session("main_user")
    async with screen(client, dispatcher) as one, screen(client, main_user) as other:
        assert await looks_at(world) == []
        await upload(client, world.driver, clock.at)
        await told(one, world.driver)
        await told(other, world.driver)

        assert told_of(await looks_at(world)) == {
            ("dispatcher", "dispatch_tracking", "live_map"),
            ("main_user", "dispatch_tracking", "live_map"),
        }


async def test_nobody_is_said_to_have_seen_who_shared_nothing(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    await upload(client, world.driver, clock.at)
    await act(client, await world.driver_session(), "consents/dispatch_tracking/withdraw")
    await off_duty(world)
    async with screen(client, dispatcher):
        await snapshot(client, dispatcher)
        await asyncio.sleep(0.2)

    assert await looks_at(world) == []


async def test_what_cannot_be_written_down_is_not_shown(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    async with screen(client, dispatcher) as shown:
        await world.owner.execute("REVOKE INSERT ON location_read FROM jolda_app")
        try:
            await upload(client, world.driver, clock.at, lat=LAT)
            async with client.get("/v1/live", headers=bearer(dispatcher)) as answer:
                said = await answer.text()
            await shown.wait_for_end()
        finally:
            await world.owner.execute("GRANT INSERT ON location_read TO jolda_app")

    assert answer.status == 500
    assert str(LAT) not in said
    assert shown.of(world.driver, "pos") == []


async def test_who_watches_on_is_written_down_again_each_five_minutes(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    async with screen(client, dispatcher) as shown:
        for place in range(3):
            await upload(client, world.driver, clock.at, lat=LAT + place)
            await shown.wait_for("pos", lat=LAT + place)
            clock.at += BUCKET

    assert len(await looks_at(world)) == 3
