import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from aiohttp import ClientSession, web

from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit.db import Connection, Pool
from server.live import web as live_web
from server.live.web import HUB
from tests import consents
from tests.conftest import Databases
from tests.http import Clock
from tests.live.screens import (
    LAT,
    act,
    agree,
    go_to_work,
    off_duty,
    screen,
    serve_live,
    snapshot,
    told,
    upload,
)
from tests.waiting import LEASE_WITHOUT_END_MS, THE_BARRIER, until_somebody_waits_for
from tests.world import NOW, World

POSITION = {"lat", "lon", "fix_at", "speed_mps", "heading_deg", "accuracy_m"}


@pytest.mark.parametrize("item", ["location", "dispatch_tracking"])
async def test_after_a_withdrawal_comes_gone_and_never_a_position(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, item: str
) -> None:
    driver = await world.driver_session()
    async with screen(client, dispatcher) as shown:
        await upload(client, world.driver, clock.at)
        await told(shown, world.driver)

        await act(client, driver, f"consents/{item}/withdraw")
        answered = len(shown.events)
        gone = await shown.wait_for("gone", driver_id=str(world.driver.member_id))
        clock.at += timedelta(seconds=5)
        await upload(client, world.driver, clock.at)
        await asyncio.sleep(0.3)

        assert not [event for event in shown.events[answered:] if event.name == "pos"]
        positions = shown.of(world.driver, "pos")
        assert all(row["epoch"] <= gone.data["epoch"] for row in positions)
        assert (
            not POSITION & (await snapshot(client, dispatcher))[str(world.driver.member_id)].keys()
        )


async def test_who_agrees_again_is_shown_under_a_later_epoch(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await world.driver_session()
    async with screen(client, dispatcher) as shown:
        await upload(client, world.driver, clock.at)
        await told(shown, world.driver)
        await act(client, driver, "consents/dispatch_tracking/withdraw")
        gone = await shown.wait_for("gone")
        clock.at += timedelta(seconds=5)
        await act(client, driver, "consents", **consents.body("dispatch_tracking"))
        before = len(shown.events)
        await asyncio.sleep(0.2)
        hidden = [event for event in shown.events[before:] if event.name == "pos"]
        clock.at += CLOCK_AHEAD_MAX
        await upload(client, world.driver, clock.at, lat=LAT + 1)
        again = await shown.wait_for("pos", lat=LAT + 1)

    assert hidden == []
    assert again.data["drivers"][0]["epoch"] > gone.data["epoch"]


async def test_pause_refusal_and_withdrawal_look_the_same(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    drivers = {
        name: await off_duty(world)
        for name in ("paused", "refused", "withdrawn", "location withdrawn", "all withdrawn")
    }
    sessions = {}
    for name, one in drivers.items():
        items = set(GateItem) - ({GateItem.DISPATCH_TRACKING} if name == "refused" else set())
        sessions[name] = await agree(client, world, one, *items)
        await go_to_work(client, clock, one, sessions[name])
    async with screen(client, dispatcher) as shown:
        await act(
            client,
            sessions["refused"],
            "consents",
            **consents.body("dispatch_tracking", "declined"),
        )
        await act(client, sessions["paused"], "shift/pause")
        await act(client, sessions["withdrawn"], "consents/dispatch_tracking/withdraw")
        await act(client, sessions["location withdrawn"], "consents/location/withdraw")
        for item in GateItem:
            await act(client, sessions["all withdrawn"], f"consents/{item}/withdraw")
        for name, one in drivers.items():
            if name != "refused":
                await shown.wait_for("gone", driver_id=str(one.member_id))
                await shown.wait_for("state", driver_id=str(one.member_id))
        await asyncio.sleep(0.3)  # whatever else would come

        rows = await snapshot(client, dispatcher)
        alike = [
            {
                key: value
                for key, value in rows[str(one.member_id)].items()
                if key not in ("driver_id", "epoch")
            }
            for one in drivers.values()
        ]
        assert alike == [
            {
                "name": "Aidos Testov",
                "vehicle": None,
                "link": "not_shared",
                "work": None,
                "route_id": None,
            }
        ] * len(drivers)
        for name, one in drivers.items():
            assert [row.keys() for row in shown.of(one, "gone")] == (
                [] if name == "refused" else [{"driver_id", "epoch"}]
            )
            # A refusal of what was never given changes nothing that a screen could know.
            assert {row["link"] for row in shown.of(one, "state")} == (
                set() if name == "refused" else {"not_shared"}
            )


async def test_a_pause_ends_with_a_position_the_screen_takes(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    one = await off_duty(world)
    session = await agree(client, world, one)
    await go_to_work(client, clock, one, session)
    async with screen(client, dispatcher) as shown:
        await act(client, session, "shift/pause")
        gone = await shown.wait_for("gone", driver_id=str(one.member_id))
        clock.at += timedelta(minutes=1)
        await act(client, session, "shift/resume")
        clock.at += timedelta(seconds=5)
        await upload(client, one, clock.at, lat=LAT + 2)
        again = await shown.wait_for("pos", lat=LAT + 2)

    assert again.data["drivers"][0]["epoch"] > gone.data["epoch"]


@pytest.mark.proves("relog-manager-app:3.2-dispatcher-view")
async def test_the_end_of_a_shift_is_off_shift(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    one = await off_duty(world)
    session = await agree(client, world, one)
    await go_to_work(client, clock, one, session)
    async with screen(client, dispatcher) as shown:
        await act(client, session, "shift/end")
        await shown.wait_for("gone", driver_id=str(one.member_id))
        await shown.wait_for("state", driver_id=str(one.member_id), link="off_shift")


async def test_the_link_ages_by_the_servers_clock(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    await upload(client, world.driver, clock.at, speed_mps=0.0)
    async with screen(client, dispatcher) as shown:
        for after, link in ((61, "stale"), (601, "lost"), (901, "not_shared")):
            clock.at = NOW + timedelta(seconds=after)
            await shown.wait_for("state", link=link)
            row = (await snapshot(client, dispatcher))[str(world.driver.member_id)]
            assert (row["link"], row["work"], "lat" in row) == (link, None, link != "not_shared")
        # It only grew old: the next one comes under the same epoch, so nothing is gone.
        await upload(client, world.driver, clock.at, lat=LAT + 3)
        await shown.wait_for("pos", lat=LAT + 3, link="live")

    assert shown.of(world.driver, "gone") == []


async def test_a_withdrawal_waits_for_a_snapshot_that_is_being_sent(
    world: World,
    databases: Databases,
    clock: Clock,
    dispatcher: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "FRAME_LEASE_MS", LEASE_WITHOUT_END_MS)
    monkeypatch.setattr(live_web, "SEND_S_MAX", LEASE_WITHOUT_END_MS / 1000)
    inside, go_on = asyncio.Event(), asyncio.Event()
    apps: list[web.Application] = []

    @asynccontextmanager
    async def held_up(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
        async with gate.frames(pool, company_id) as conn:
            inside.set()
            await go_on.wait()
            yield conn

    async with serve_live(world, databases.main, clock=clock, started=apps.append) as client:
        driver = await world.driver_session()
        await upload(client, world.driver, clock.at)
        apps[0][HUB].barrier = held_up
        reading = asyncio.create_task(snapshot(client, dispatcher))
        await inside.wait()
        path = "consents/dispatch_tracking/withdraw"
        withdrawing = asyncio.create_task(act(client, driver, path))
        await until_somebody_waits_for(world.owner, THE_BARRIER)
        # It is committed, and not answered.
        assert await world.owner.fetchval("SELECT dispatch_since IS NULL FROM gate")
        assert not withdrawing.done()
        go_on.set()
        row = (await reading)[str(world.driver.member_id)]
        await withdrawing

    # The gates were read after that.
    assert not POSITION & row.keys()


async def test_an_erased_driver_leaves_the_screen_by_state(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    async with screen(client, dispatcher) as shown:
        await upload(client, world.driver, clock.at)
        await told(shown, world.driver)
        after = 0
        for state in ("grace", "active", "grace", "erasing"):
            await world.owner.execute(
                "UPDATE member SET state = $2 WHERE member_id = $1", world.driver.member_id, state
            )
            told_as = "cancelled" if state == "active" else state
            await shown.wait_for("erasure", after=after, state=told_as)
            after = len(shown.events)
        await world.owner.execute("DELETE FROM device")
        await world.owner.execute("DELETE FROM gate")
        await world.owner.execute(
            "DELETE FROM ledger_subject WHERE member_id = $1", world.driver.member_id
        )
        await world.owner.execute("DELETE FROM member WHERE member_id = $1", world.driver.member_id)
        await shown.wait_for("erasure", state="erased")

    states = [row["state"] for row in shown.of(world.driver, "erasure")]
    assert states == ["grace", "cancelled", "grace", "erasing", "erased"]
    assert len(shown.of(world.driver, "gone")) == 1
