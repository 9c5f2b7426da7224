"""The topic ``alerts`` of the stream: what is raised, acknowledged and over, and no place."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import ClientSession, ClientTimeout

from server.alerts import reading
from server.kit import db
from tests.alerts.seen import TICK, judge, planned, withdraw
from tests.conftest import Databases
from tests.http import Clock, bearer
from tests.live.screens import Event, screen, serve_live, upload
from tests.world import NOW, World, add_member

ALERTS: Final = "/v1/stream?topics=alerts"
BOTH: Final = "/v1/stream?topics=live,alerts"


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve_live(world, databases.main, clock=clock) as opened:
        yield opened


async def acknowledge(world: World, alert_id: object) -> None:
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    row = await world.owner.fetchval("SELECT alert_id FROM alert")
    assert str(row) == alert_id
    async with db.tenant(world.pool, world.company_id) as conn:
        await reading.acknowledge(conn, world.company_id, row, by_member=member_id, now=NOW)


def members(event: Event) -> tuple[str, str]:
    return event.data["kind"], event.data["state"]


async def test_a_screen_hears_of_an_alert_from_its_rise_to_its_end(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as shown:
        await judge(world, route.late(20.0))
        raised = await shown.wait_for("alert", state="raised")
        await acknowledge(world, raised.data["alert_id"])
        await shown.wait_for("alert", state="acknowledged")
        await judge(world, route.late(1.0), at=NOW + TICK)
        await judge(world, route.late(1.0), at=NOW + 6 * TICK)
        await shown.wait_for("alert", state="cleared")

    assert raised.event_id is not None
    assert raised.data == {
        "alert_id": raised.data["alert_id"],
        "kind": "late",
        "route_id": str(route.head.route_id),
        "driver_id": str(world.driver.member_id),
        "state": "raised",
    }
    told = [one for one in shown.events if one.name != "hello"]
    assert [one.name for one in told] == ["alert"] * 3


async def test_a_withdrawal_is_heard_as_the_end_whether_it_was_judged_or_not(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as shown:
        await judge(world, route.late(20.0))
        await shown.wait_for("alert", state="raised")

        await withdraw(world, "plan_fact")

        await shown.wait_for("alert", state="cleared")


async def test_each_screen_hears_what_it_asked_for(
    client: ClientSession, dispatcher: str, world: World, clock: Clock
) -> None:
    route = await planned(world)
    async with (
        screen(client, dispatcher) as usual,
        screen(client, dispatcher, path=ALERTS) as alerted,
        screen(client, dispatcher, path=BOTH) as both,
    ):
        await judge(world, route.late(20.0))
        await alerted.wait_for("alert")
        await both.wait_for("alert")
        clock.at = NOW + TICK
        await upload(client, world.driver, clock.at)
        for one in (usual, both):
            await one.wait_for("pos")
            await one.wait_for("state")

    assert "alert" not in {one.name for one in usual.events}
    assert {one.name for one in alerted.events} == {"hello", "alert"}


async def test_who_asks_for_alerts_alone_is_not_said_to_look_at_anybody(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await upload(client, world.driver, NOW)
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as shown:
        await judge(world, route.late(20.0))
        await shown.wait_for("alert")

    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0


async def test_who_comes_back_hears_what_was_raised_meanwhile_once(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with (
        screen(client, dispatcher, path=ALERTS) as staying,
        screen(client, dispatcher, path=BOTH) as watching,
    ):
        greeting = staying.events[0].event_id
        await judge(world, route.late(20.0))
        await staying.wait_for("alert")
        last = (await watching.wait_for("alert")).event_id
        async with screen(client, dispatcher, path=ALERTS, last_event_id=greeting) as back:
            await back.wait_for("alert", state="raised")
        async with screen(client, dispatcher, path=ALERTS, last_event_id=last) as again:
            assert [one.name for one in again.events] == ["hello"]
        async with screen(client, dispatcher, last_event_id=greeting) as usual:
            assert {one.name for one in usual.events} <= {"hello", "state"}


@pytest.mark.parametrize("topics", ["", "requests", "live,requests", "alerts,alerts,alerts"])
async def test_what_is_no_topic_is_refused(
    client: ClientSession, dispatcher: str, topics: str
) -> None:
    async with client.get(
        "/v1/stream", params={"topics": topics}, headers=bearer(dispatcher), timeout=ClientTimeout()
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "fields-invalid")
