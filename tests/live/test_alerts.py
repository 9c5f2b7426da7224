"""The topic ``alerts`` of the stream: what is raised, acknowledged and over, and no place."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import pytest
from aiohttp import ClientSession, ClientTimeout

from server.alerts import reading
from server.alerts.model import AlertKind, AlertNews, AlertWord
from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db
from server.live.channel import Channel
from server.live.model import Changes, Topic
from tests.alerts.seen import TICK, judge, planned, withdraw
from tests.conftest import Databases
from tests.http import Clock, bearer
from tests.live.screens import screen, serve_live, upload
from tests.live.test_resuming import NOBODY, STREAM
from tests.world import NOW, World, add_member

ALERTS: Final = "/v1/stream?topics=alerts"
BOTH: Final = "/v1/stream?topics=live,alerts"
SOME_TICKS_S: Final = 0.3


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


def news_of(word: AlertWord) -> AlertNews:
    ids = {one: UUID(int=2) for one in ("alert_id", "route_id", "driver_id")}
    return AlertNews(**ids, kind=AlertKind.LATE, state=word)


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


async def looks(world: World) -> set[tuple[str, str, str]]:
    rows = await world.owner.fetch("SELECT viewer_kind, purpose, screen FROM location_read")
    return {tuple(row) for row in rows}


async def test_who_hears_of_an_alert_is_said_to_look_at_whoever_it_is_about(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await upload(client, world.driver, NOW)
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as shown:
        await asyncio.sleep(SOME_TICKS_S)
        before = await looks(world)
        await judge(world, route.late(20.0))
        await shown.wait_for("alert")

    # Not where the driver is: of that the screen asked nothing.
    assert (before, await looks(world)) == (set(), {("dispatcher", "plan_fact", "alerts")})


@pytest.mark.parametrize("written_down", [True, False])
def test_a_screen_whose_look_is_not_written_down_yet_hears_only_what_is_over(
    *,
    written_down: bool,
) -> None:
    channel = Channel(UUID(int=1), idle_since=0.0)
    told = Changes(events=tuple(map(news_of, AlertWord)), moves=(), after=NOBODY)
    frame = channel.encode(STREAM, told, now=NOW)

    heard = frame.chunk((Topic.ALERTS,), with_looks=written_down).decode()

    assert [word for word in AlertWord if f'"state":"{word.value}"' in heard] == (
        list(AlertWord) if written_down else [AlertWord.CLEARED]
    )
    assert frame.chunk((Topic.LIVE,), with_looks=written_down) == b""


async def test_an_alert_is_not_told_where_the_look_cannot_be_written_down(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as shown:
        await world.owner.execute("REVOKE INSERT ON location_read FROM jolda_app")
        try:
            await judge(world, route.late(20.0))
            await shown.wait_for_end()
        finally:
            await world.owner.execute("GRANT INSERT ON location_read TO jolda_app")

    assert [one.name for one in shown.events] == ["hello"]


async def test_who_comes_back_after_an_alert_is_sent_to_the_list(
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
        for path in (ALERTS, BOTH):
            async with screen(client, dispatcher, path=path, last_event_id=greeting) as back:
                await back.wait_for("resync")
                assert "alert" not in {one.name for one in back.events}
        async with screen(client, dispatcher, path=ALERTS, last_event_id=last) as again:
            await asyncio.sleep(SOME_TICKS_S)
            assert [one.name for one in again.events] == ["hello"]
        async with screen(client, dispatcher, last_event_id=greeting) as usual:
            await asyncio.sleep(SOME_TICKS_S)
            assert {one.name for one in usual.events} <= {"hello", "state"}


async def test_after_a_withdrawal_nobody_who_comes_back_hears_what_was_raised_before(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    async with screen(client, dispatcher, path=ALERTS) as staying:
        greeting = staying.events[0].event_id
        await judge(world, route.late(20.0))
        await staying.wait_for("alert", state="raised")
        await withdraw(world, "plan_fact")
        await staying.wait_for("alert", state="cleared")
        async with screen(client, dispatcher, path=ALERTS, last_event_id=greeting) as back:
            await back.wait_for("resync")
            await asyncio.sleep(SOME_TICKS_S)

    assert [one.name for one in back.events] == ["hello", "resync"]


async def token_of(world: World, *scopes: Scope) -> str:
    async with db.tenant(world.pool, world.company_id) as conn:
        _, token = await credentials.add_api_token(
            conn, world.company_id, name="Display", scopes=scopes, expires_at=None, now=NOW
        )
    return token


@pytest.mark.parametrize(
    ("path", "scopes", "status"),
    [
        (ALERTS, [Scope.LIVE_READ], 403),
        (BOTH, [Scope.LIVE_READ], 403),
        (ALERTS, [Scope.TRACKS_READ], 403),
        ("/v1/stream", [Scope.LIVE_READ], 200),
        (ALERTS, [Scope.LIVE_READ, Scope.TRACKS_READ], 200),
        (BOTH, [Scope.LIVE_READ, Scope.TRACKS_READ], 200),
    ],
)
async def test_an_integration_hears_of_alerts_if_it_may_read_them(
    client: ClientSession, world: World, path: str, scopes: list[Scope], status: int
) -> None:
    token = await token_of(world, *scopes)

    async with client.get(path, headers=bearer(token), timeout=ClientTimeout()) as answer:
        assert answer.status == status


async def test_a_screen_that_may_not_read_alerts_any_more_is_cut_off(
    client: ClientSession, world: World
) -> None:
    token = await token_of(world, Scope.LIVE_READ, Scope.TRACKS_READ)
    async with (
        screen(client, token, path=ALERTS) as alerted,
        screen(client, token) as usual,
    ):
        await world.owner.execute("UPDATE api_token SET scopes = '{live:read}'")
        await alerted.wait_for_end()

        assert not usual.ended


@pytest.mark.parametrize(
    "topics", ["", "requests", "live,requests", "alerts" + ",alerts" * len(Topic)]
)
async def test_what_is_no_topic_is_refused(
    client: ClientSession, dispatcher: str, topics: str
) -> None:
    async with client.get(
        "/v1/stream",
        params={"topics": topics},
        headers=bearer(dispatcher),
        timeout=ClientTimeout(total=10),
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "fields-invalid")
