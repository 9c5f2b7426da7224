"""What a link tells of the arrival: by the plan, and by what the report makes of the track."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit.wire import rfc3339
from tests.links.deliveries import (
    FAR_LAT,
    FAR_LON,
    STOP_LAT,
    STOP_LON,
    Delivery,
    delivery,
    shows_nothing,
)
from tests.world import NOW, World


async def test_when_it_will_come_follows_from_the_plan_and_the_report(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await on_the_way(link, start=NOW - timedelta(minutes=10), minutes=10)

    _, seen = await link.look()

    assert seen["phase"] == "on_the_way"
    assert seen["planned_arrival"] == rfc3339(NOW + timedelta(hours=1))
    eta = datetime.fromisoformat(seen["eta"])
    assert eta.second == 0
    assert NOW <= eta <= NOW + timedelta(hours=2)
    assert (await without_plan_fact(link))["eta"] is None


async def on_the_way(link: Delivery, *, start: datetime, minutes: int) -> None:
    """Drive half of the way to the stop (or all of it in 20 minutes)."""
    for step in range(minutes + 1):
        share = step / 20
        lat = FAR_LAT + share * (STOP_LAT - FAR_LAT)
        lon = FAR_LON + share * (STOP_LON - FAR_LON)
        at = start + timedelta(minutes=step)
        await link.drive(lat, lon, at, speed_mps=6.0, accuracy_m=5.0)


async def without_plan_fact(link: Delivery) -> dict[str, Any]:
    """Take back the consent that the report rests on, and look again."""
    await link.withdraw("plan_fact")
    status, seen = await link.look()
    assert status == 200
    return seen


@pytest.mark.proves("relog-driver-app:3.2-plan-fact")
async def test_what_the_report_calls_visited_has_ended(client: ClientSession, world: World) -> None:
    link = await delivery(client, world)
    start = NOW - timedelta(minutes=40)
    await on_the_way(link, start=start, minutes=20)
    for minute in range(21, 30):
        at = start + timedelta(minutes=minute)
        await link.drive(STOP_LAT, STOP_LON, at, speed_mps=0.0, accuracy_m=5.0)
    for minute in range(30, 40):
        at = start + timedelta(minutes=minute)
        lat = STOP_LAT + (minute - 29) * 0.004
        await link.drive(lat, STOP_LON, at, speed_mps=8.0, accuracy_m=5.0)

    assert (await link.look())[0] == 410


async def test_an_arrival_is_not_told_to_customers_without_their_consent(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world, agreed=False)
    start = NOW - timedelta(minutes=40)
    await on_the_way(link, start=start, minutes=20)
    for minute in range(21, 40):
        at = start + timedelta(minutes=minute)
        await link.drive(STOP_LAT, STOP_LON, at, speed_mps=0.0, accuracy_m=5.0)

    assert shows_nothing(await link.look())
    await link.agree()
    assert (await link.look())[0] == 410
