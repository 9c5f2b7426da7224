"""The topic ``tracks`` of the stream: whose driven lines are to leave the screens."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from aiohttp import ClientSession

from server.gate.model import GateItem
from server.kit.ids import uuid7
from server.live.channel import Channel
from server.live.model import Changes, Crew, Event, Gone, Topic, Undriven, changes, picture_of
from tests import consents
from tests.http import Clock
from tests.live.screens import act, agree, go_to_work, off_duty, screen
from tests.live.test_model import DRIVER, GATE, OFF, ON_SHIFT, sight
from tests.live.test_resuming import NOBODY, STREAM
from tests.world import CONSENTED, NOW, World

TRACKS: Final = "/v1/stream?topics=live,tracks"
SOME_TICKS_S: Final = 0.3
COMPARED: Final = replace(GATE, plan_fact_since=CONSENTED)


@pytest.mark.parametrize("item", ["location", "plan_fact"])
async def test_a_withdrawal_after_the_shift_takes_the_driven_lines_off_open_screens(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, item: str
) -> None:
    driver = await off_duty(world)
    token = await agree(client, world, driver, *GateItem)
    await go_to_work(client, clock, driver, token)
    await act(client, token, "shift/end")
    async with (
        screen(client, dispatcher) as usual,
        screen(client, dispatcher, path=TRACKS) as shown,
    ):
        await act(client, token, f"consents/{item}/withdraw")
        told = await shown.wait_for("undriven", driver_id=str(driver.member_id))
        await asyncio.sleep(SOME_TICKS_S)

    assert told.event_id is not None
    assert told.data == {"driver_id": str(driver.member_id)}
    assert "undriven" not in {one.name for one in usual.events}
    # Their link was ``off_shift`` before, and stays so: nothing else would have told.
    assert not shown.of(driver, "gone")


async def test_a_shift_that_pauses_and_ends_leaves_the_driven_lines(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await off_duty(world)
    token = await agree(client, world, driver, *GateItem)
    await go_to_work(client, clock, driver, token)
    async with screen(client, dispatcher, path=TRACKS) as shown:
        await act(client, token, "shift/pause")
        await act(client, token, "shift/end")
        await shown.wait_for("state", driver_id=str(driver.member_id), link="off_shift")

    assert "undriven" not in {one.name for one in shown.events}


async def test_who_comes_back_hears_what_to_forget(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await off_duty(world)
    token = await agree(client, world, driver, *GateItem)
    async with screen(client, dispatcher, path=TRACKS) as staying:
        greeting = staying.events[0].event_id
        await act(client, token, "consents/plan_fact/withdraw")
        await staying.wait_for("undriven")
        clock.at += timedelta(seconds=1)
        await act(client, token, "consents", **consents.body("plan_fact"))
        async with screen(client, dispatcher, path=TRACKS, last_event_id=greeting) as back:
            await back.wait_for("undriven", driver_id=str(driver.member_id))


@pytest.mark.parametrize("crew", [ON_SHIFT, OFF])
def test_lines_go_when_their_consent_ends_or_begins_anew(crew: Crew) -> None:
    now = {DRIVER: crew}
    before = picture_of({DRIVER: sight(COMPARED, crew)}, now)

    def told(plan_fact_since: datetime | None) -> list[Event]:
        gate = replace(COMPARED, plan_fact_since=plan_fact_since)
        found = changes(before, {DRIVER: sight(gate, crew)}, now)
        return [event for event in found.events if isinstance(event, Undriven)]

    assert told(None) == [Undriven(driver_id=DRIVER)]
    assert told(CONSENTED + timedelta(seconds=1)) == [Undriven(driver_id=DRIVER)]
    assert told(CONSENTED) == []


def test_a_screen_of_several_topics_gets_a_frame_in_the_order_of_its_numbers() -> None:
    channel = Channel(uuid7(), idle_since=0.0)
    events = (Gone(driver_id=DRIVER, epoch=1), Undriven(driver_id=DRIVER), sight())
    told = Changes(events=events, moves=(), after=NOBODY)

    chunk = channel.encode(STREAM, told, now=NOW).chunk((Topic.LIVE, Topic.TRACKS), with_looks=True)

    ids = [line for line in chunk.decode().splitlines() if line.startswith("id: ")]
    assert [one.rpartition("-")[2] for one in ids] == ["1", "2", "3"]
