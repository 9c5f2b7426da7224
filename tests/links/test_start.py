"""From the start of the drive: before it a link tells the plan, and shows nothing from before."""

from datetime import datetime, timedelta

import pytest
from aiohttp import ClientSession

from server.reads.service import Reads
from tests.http import Clock
from tests.links.arriving import note_due
from tests.links.deliveries import (
    FAR_LAT,
    FAR_LON,
    STOP_LAT,
    STOP_LON,
    delivery,
    made,
    planned,
    shows_nothing,
)
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)


@pytest.mark.proves("relog-service:4.1b")
@pytest.mark.parametrize("ahead", [MINUTE, timedelta(minutes=59), timedelta(hours=20)])
async def test_before_the_route_starts_the_link_only_tells_the_plan(
    client: ClientSession, world: World, ahead: timedelta
) -> None:
    link = await delivery(client, world, start=NOW + ahead)
    await link.drive(FAR_LAT, FAR_LON)

    assert shows_nothing(await link.look(), "planned")
    assert (await link.get("/v1/me/views", link.person))["items"] == []


async def test_control_once_it_has_started_the_same_drive_is_shown(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world, start=NOW)
    await link.drive(FAR_LAT, FAR_LON)

    assert (await link.look())[1]["phase"] == "on_the_way"


async def test_what_was_recorded_before_the_start_stays_hidden_after_it(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world, start=NOW + MINUTE)
    clock.at = NOW + MINUTE - timedelta(milliseconds=1)
    await link.drive(FAR_LAT, FAR_LON, clock.at)
    clock.at = NOW + MINUTE

    before = await link.look()
    await link.drive(FAR_LAT, FAR_LON, clock.at)
    after = await link.look()

    assert shows_nothing(before)
    assert after[1]["phase"] == "on_the_way"


@pytest.mark.parametrize(("start", "ended"), [(NOW + MINUTE, 0), (NOW, 1)])
async def test_whoever_stands_at_the_stop_before_the_start_has_not_arrived(
    client: ClientSession, world: World, looks: Reads, start: datetime, ended: int
) -> None:
    link = await delivery(client, world, start=start)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)

    assert await note_due(world, looks, NOW) == ended
    assert (await link.look())[0] == (410 if ended else 200)


async def test_the_next_route_takes_over_when_it_starts_and_not_before(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    following = await planned(client, link.staff, world.driver, start=NOW + 30 * MINUTE)
    later = await made(client, link.staff, following)
    phases = []
    for at in (NOW, NOW + 30 * MINUTE):
        clock.at = at
        await link.drive(FAR_LAT, FAR_LON, at)
        async with client.get(f"/v1/track/{later['url_token']}") as answer:
            phases.append(((await link.look())[1]["phase"], (await answer.json())["phase"]))

    assert phases == [("on_the_way", "planned"), ("not_shared", "on_the_way")]
