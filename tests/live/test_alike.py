"""A screen cannot tell a withdrawal from a pause, by what it hears or by its counter."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import pytest
from aiohttp import ClientSession

from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from tests import consents
from tests.http import Clock
from tests.live.alike import (
    ALWAYS,
    STOPPED,
    Others,
    act_of_shift,
    at_work,
    epoch_of,
    heard,
    sharing,
    window_of,
)
from tests.live.screens import LAT, act, agree, off_duty, screen, snapshot, told, upload
from tests.world import World

STOPS: Final[Mapping[str, tuple[str, ...]]] = {
    "pause": ("shift/pause",),
    "location": ("consents/location/withdraw",),
    "dispatch_tracking": ("consents/dispatch_tracking/withdraw",),
    "both purposes": (
        "consents/plan_fact/withdraw",
        "consents/dispatch_tracking/withdraw",
    ),
    "everything": tuple(f"consents/{item}/withdraw" for item in GateItem),
}
WITHDRAWN: Final[Mapping[str, tuple[str, ...]]] = {
    "pause": (),
    "location": ("location",),
    "dispatch_tracking": ("dispatch_tracking",),
    "both purposes": ("plan_fact", "dispatch_tracking"),
    "everything": tuple(GateItem),
}


async def test_whatever_stops_the_sharing_the_screen_hears_the_same(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    others = Others(client, world.driver, clock)
    forms, moved = {}, {}
    for name, paths in STOPS.items():
        driver, session = await at_work(client, world, clock)
        async with screen(client, dispatcher) as shown:
            clock.at += timedelta(seconds=1)
            await upload(client, driver, clock.at)
            await told(shown, driver)
            await others.heard_on(shown)
            after, since = len(shown.events), shown.of(driver, "pos")[-1]["epoch"]
            before = await sharing(world, driver)
            for path in paths:
                await act(client, session, path)
                await others.heard_on(shown)
            moved[name] = await sharing(world, driver) - before
            forms[name] = heard(shown, driver, after=after, since=since)
            row = (await snapshot(client, dispatcher))[str(driver.member_id)]
            forms[name].append(("snapshot", row["epoch"] - since, row["link"]))

    assert forms["pause"] == list(STOPPED)
    assert forms == dict.fromkeys(forms, forms["pause"])
    # Control: by the gate's own counters it could be told.
    assert moved["pause"] != moved["location"] != moved["everything"]


async def test_whatever_brought_the_driver_back_the_screen_hears_the_same(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    others = Others(client, world.driver, clock)
    forms = {}
    for name, paths in STOPS.items():
        driver, session = await at_work(client, world, clock)
        since = await epoch_of(client, dispatcher, driver.member_id)
        for path in paths:
            await act(client, session, path)
        async with screen(client, dispatcher) as shown:
            await others.heard_on(shown)  # what happened while no screen was open is told first
            after = len(shown.events)
            for item in WITHDRAWN[name]:
                await act(client, session, "consents", **consents.body(item))
            clock.at += CLOCK_AHEAD_MAX
            shift = await act_of_shift(client, session)
            if shift is not None:
                await act(client, session, shift)
            await upload(client, driver, clock.at, lat=LAT + 1)
            await shown.wait_for("pos", driver_id=str(driver.member_id), lat=LAT + 1)
            forms[name] = {
                (one, dict(row)["epoch"])
                for one, row in heard(shown, driver, after=after, since=since)
            }

    assert forms["pause"] == {("state", 2), ("pos", 2)}
    assert all(form == forms["pause"] for form in forms.values())


@pytest.mark.parametrize("item", ["customer_link", "marketing", "notifications", "plan_fact"])
async def test_what_screens_have_nothing_to_do_with_they_do_not_hear_of(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, item: str
) -> None:
    driver, session = await at_work(client, world, clock)
    if item != "plan_fact":
        await act(client, session, "consents", **consents.body(item))
    async with screen(client, dispatcher) as shown:
        await upload(client, driver, clock.at)
        since = await epoch_of(client, dispatcher, driver.member_id)
        await act(client, session, f"consents/{item}/withdraw")
        await Others(client, world.driver, clock).heard_on(shown)

        assert await epoch_of(client, dispatcher, driver.member_id) == since
        assert shown.of(driver, "gone") == []


async def test_giving_another_purpose_is_not_heard_though_the_window_lasts_longer(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver = await off_duty(world)
    session = await agree(client, world, driver, GateItem.DISPATCH_TRACKING)
    clock.at += timedelta(hours=1)
    body = consents.body(GateItem.LOCATION, **ALWAYS)
    await act(client, session, "consents", **body)
    (before,) = await window_of(world, driver)
    others = Others(client, world.driver, clock)
    async with screen(client, dispatcher) as shown:
        await upload(client, driver, clock.at)
        await told(shown, driver)
        since = await epoch_of(client, dispatcher, driver.member_id)
        counted = await sharing(world, driver)
        await act(client, session, "consents", **consents.body(GateItem.PLAN_FACT))
        await others.heard_on(shown)

        assert await epoch_of(client, dispatcher, driver.member_id) == since
        assert shown.of(driver, "gone") == []
    (given,) = await window_of(world, driver)
    assert given == (before[0], before[1] + timedelta(hours=1))
    # Control: processes that let positions in do hear of it, consent and window.
    assert await sharing(world, driver) == counted + 2


async def test_given_on_other_terms_it_counts_as_a_pause_and_its_end(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver, session = await at_work(client, world, clock)
    since = await epoch_of(client, dispatcher, driver.member_id)

    await act(client, session, "consents", **consents.body(GateItem.LOCATION, **ALWAYS))

    assert await epoch_of(client, dispatcher, driver.member_id) == since + 2
