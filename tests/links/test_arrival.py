"""What a link tells of the arrival: by the plan, by where the driver stands, and by the report."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.wire import rfc3339
from server.links import arrivals, service
from server.reads.service import Reads
from tests.http import Clock
from tests.links.arriving import note_due
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


async def looked(link: Delivery) -> list[tuple[str, str | None, str, str]]:
    """Return who looked, as the driver is told."""
    found = (await link.get("/v1/me/views", link.person))["items"]
    return [
        (one["viewer_role"], one["viewer_name"], one["purpose"], one["screen"]) for one in found
    ]


@pytest.mark.proves("relog-service:4.1b")
async def test_once_the_driver_stands_at_the_stop_the_link_has_ended(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)

    status, seen = await link.look()

    assert (status, seen["code"]) == (410, "link-ended")


async def test_driving_past_the_stop_does_not_end_the_link(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=14.0)

    assert (await link.look())[1]["phase"] == "on_the_way"


async def test_an_arrival_that_nobody_looked_at_ends_the_link_too(
    client: ClientSession, world: World, clock: Clock, looks: Reads
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)

    ended = await note_due(world, looks, clock.at)
    clock.at += timedelta(minutes=1)
    await link.drive(FAR_LAT, FAR_LON, clock.at, speed_mps=14.0)

    assert ended == 1
    assert (await link.look())[0] == 410


async def test_that_a_link_has_ended_by_an_arrival_is_a_look_of_its_customer(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)
    assert await looked(link) == []

    assert (await link.look())[0] == 410
    assert await looked(link) == [("customer", None, "customer_link", "link")]


async def test_what_cannot_be_written_down_ends_no_link(
    client: ClientSession, world: World, looks: Reads
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)
    await world.owner.execute("REVOKE INSERT ON location_read FROM jolda_app")
    try:
        status, _ = await link.look()
        with pytest.raises(Exception, match="location_read"):
            await note_due(world, looks, NOW)
    finally:
        await world.owner.execute("GRANT INSERT ON location_read TO jolda_app")

    assert status == 500
    assert await world.owner.fetchval("SELECT delivered_at FROM customer_link") is None


@pytest.mark.parametrize("speed_mps", [0.0, 14.0])
async def test_the_servers_own_look_at_arrivals_is_written_down_too(
    client: ClientSession, world: World, looks: Reads, speed_mps: float
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=speed_mps)

    assert await note_due(world, looks, NOW) == (speed_mps == 0.0)
    assert await looked(link) == [("system", None, "customer_link", "link")]


@pytest.mark.parametrize("agreed", [True, False])
async def test_nothing_is_looked_at_of_who_does_not_agree_to_links(
    client: ClientSession, world: World, looks: Reads, *, agreed: bool
) -> None:
    link = await delivery(client, world)
    if not agreed:
        await link.withdraw()
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)

    ended = await note_due(world, looks, NOW)
    answer = await link.look()

    assert (ended, len(await looked(link))) == ((1, 1) if agreed else (0, 0))
    assert answer[0] == 410 if agreed else shows_nothing(answer)


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_a_withdrawal_keeps_what_was_read_before_it_from_ending_the_link(
    client: ClientSession, world: World, *, withdrawn: bool
) -> None:
    link = await delivery(client, world)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await service.gather(
            conn, world.vault, world.company_id, [UUID(link.link_id)], now=NOW
        )
    assert found[0].position is not None
    if withdrawn:
        await link.withdraw()

    ended = await arrivals.note(world.pool, world.company_id, found, now=NOW)

    assert ended == (0 if withdrawn else 1)
    if withdrawn:
        assert shows_nothing(await link.look())


@pytest.mark.parametrize("withdrawn", [(), ("plan_fact",), ("dispatch_tracking",)])
async def test_the_company_is_not_told_by_a_link_that_the_driver_has_arrived(
    client: ClientSession, world: World, withdrawn: tuple[str, ...]
) -> None:
    link = await delivery(client, world)
    for item in withdrawn:
        await link.withdraw(item)
    await link.drive(STOP_LAT, STOP_LON, speed_mps=0.0)
    paths = (f"/v1/links/{link.link_id}", f"/v1/links?route_id={link.route_id}")
    before = [await link.get(path) for path in paths]

    assert (await link.look())[0] == 410
    assert await world.owner.fetchval("SELECT delivered_at FROM customer_link") is not None
    assert [await link.get(path) for path in paths] == before
    # What the company itself did, it is told.
    revoked = await link.act(f"/v1/links/{link.link_id}/revoke", link.staff)
    assert (before[0]["state"], revoked["state"]) == ("active", "revoked")
