"""Who gave dispatch_tracking but not plan_fact is seen where they are, and leaves no track."""

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.wire import rfc3339
from server.tracking import service as tracking
from tests import consents
from tests.conftest import Databases
from tests.http import Clock, bearer
from tests.links.deliveries import FAR_LAT, FAR_LON, delivery, serve_links
from tests.live.screens import LAT, act, snapshot, upload
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)


async def rows(world: World) -> tuple[int, int]:
    """Return how many chunks and latest positions are stored."""
    return (
        await world.owner.fetchval("SELECT count(*) FROM chunk"),
        await world.owner.fetchval("SELECT count(*) FROM latest_position"),
    )


def shown(rows: dict[str, dict[str, Any]], world: World) -> float | None:
    lat: float | None = rows[str(world.driver.member_id)].get("lat")
    return lat


@pytest.mark.proves("relog-driver-app:3.2-plan-fact")
async def test_only_the_newest_position_is_kept_shown_and_gone_after_15_minutes(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    await act(client, await world.driver_session(), "consents/plan_fact/withdraw")
    for minute in range(3):
        clock.at = NOW + minute * MINUTE
        await upload(client, world.driver, clock.at, lat=LAT + minute / 100)
        assert shown(await snapshot(client, dispatcher), world) == LAT + minute / 100
        assert await rows(world) == (0, 1)

    span = f"from={rfc3339(NOW - timedelta(hours=1))}&to={rfc3339(NOW + timedelta(hours=1))}"
    path = f"/v1/drivers/{world.driver.member_id}/track?{span}"
    async with client.get(path, headers=bearer(dispatcher)) as answer:
        track = await answer.json()
    assert (track["availability"], track["count"]) == ("not_shared", 0)

    clock.at = NOW + 18 * MINUTE
    assert shown(await snapshot(client, dispatcher), world) is None
    async with db.tenant(world.pool, world.company_id) as conn:
        await tracking.sweep_latest(conn, world.company_id, clock.at)
    assert await rows(world) == (0, 0)


async def test_a_later_consent_to_plan_fact_covers_nothing_of_before(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await world.driver_session()
    await act(client, driver, "consents/plan_fact/withdraw")
    await upload(client, world.driver, clock.at)
    clock.at += MINUTE
    await act(client, driver, "consents", **consents.body("plan_fact"))
    await upload(client, world.driver, clock.at, lat=LAT + 1)

    span = f"from={rfc3339(NOW - timedelta(hours=1))}&to={rfc3339(NOW + timedelta(hours=1))}"
    path = f"/v1/drivers/{world.driver.member_id}/track?{span}"
    async with client.get(path, headers=bearer(dispatcher)) as answer:
        track = await answer.json()

    assert track["columns"]["lat"] == [LAT + 1]


async def test_a_customer_is_shown_the_newest_position_too(
    world: World, databases: Databases, clock: Clock
) -> None:
    async with serve_links(world, databases, clock=clock) as client:
        link = await delivery(client, world)
        await link.withdraw("plan_fact")
        await link.drive(FAR_LAT, FAR_LON)

        status, seen = await link.look()

    assert (status, seen["phase"], seen["eta"]) == (200, "on_the_way", None)
    assert await rows(world) == (0, 1)
