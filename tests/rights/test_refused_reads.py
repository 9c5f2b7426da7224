"""Whoever asks for what a driver does not share sees nothing, and stands in the ledger."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit.wire import rfc3339
from tests.conftest import Databases
from tests.http import Clock
from tests.links.deliveries import FAR_LAT, FAR_LON, Delivery, delivery, serve_links
from tests.told import is_about, last_entry
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve_links(world, databases, clock=clock) as opened:
        yield opened


def path_of(link: Delivery, screen: str) -> str:
    if screen == "route_report":
        return f"/v1/routes/{link.route_id}/plan-fact"
    since, until = rfc3339(NOW - timedelta(hours=1)), rfc3339(NOW + timedelta(hours=2))
    more = "&format=gpx" if screen == "export" else ""
    return f"/v1/drivers/{link.driver.member_id}/track?from={since}&to={until}{more}"


async def refused(world: World) -> list[dict[str, Any]]:
    rows = await world.owner.fetch(
        "SELECT facts FROM ledger_entry WHERE act = 'read_refused' ORDER BY index"
    )
    return [json.loads(row["facts"]) for row in rows]


@pytest.mark.proves("relog-service:3.2")
@pytest.mark.parametrize("screen", ["track", "route_report"])
async def test_a_read_without_the_consent_shows_nothing_and_is_written_down(
    client: ClientSession, world: World, screen: str
) -> None:
    link = await delivery(client, world)
    await link.drive(FAR_LAT, FAR_LON, NOW - MINUTE)
    # The control: with the consent there is something, and nothing was refused.
    shown = await link.get(path_of(link, screen))
    assert (shown["availability"], await refused(world)) == ("full", [])

    await link.withdraw("plan_fact")
    hidden = await link.get(path_of(link, screen))

    assert hidden["availability"] == "not_shared"
    assert "43.238" not in json.dumps(hidden)
    facts = {"purpose": "plan_fact", "screen": screen}
    assert await last_entry(world) == ("read_refused", "dispatcher", facts)
    assert await is_about(world, link.driver.member_id)


async def test_asking_again_is_written_down_once_in_five_minutes(
    client: ClientSession, world: World, clock: Clock
) -> None:
    link = await delivery(client, world)
    await link.withdraw("plan_fact")
    counts = []
    for minutes in (0, 1, 4, 5, 9, 10):
        clock.at = NOW + minutes * MINUTE
        await link.get(path_of(link, "track"))
        counts.append(len(await refused(world)))

    assert counts == [1, 1, 1, 2, 2, 3]


async def test_without_positions_or_for_oneself_nothing_was_refused(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    assert (await link.get(path_of(link, "track")))["availability"] == "no_positions"
    await link.withdraw("plan_fact")

    await link.get(path_of(link, "track"), link.person)

    assert await refused(world) == []


async def test_a_refusal_that_cannot_be_written_down_is_no_answer(
    client: ClientSession, world: World
) -> None:
    link = await delivery(client, world)
    await link.withdraw("plan_fact")
    await world.owner.execute("REVOKE INSERT ON ledger_entry FROM jolda_app")
    try:
        async with client.get(
            path_of(link, "track"), headers={"Authorization": f"Bearer {link.staff}"}
        ) as answer:
            assert answer.status == 500
    finally:
        await world.owner.execute("GRANT INSERT ON ledger_entry TO jolda_app")

    assert (await link.get(path_of(link, "track")))["count"] == 0
    assert len(await refused(world)) == 1
