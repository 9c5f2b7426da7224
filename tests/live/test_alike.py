"""A screen cannot tell a withdrawal from a pause: not by what it hears, nor by its counter."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit import db
from tests import consents
from tests.http import Clock
from tests.live.screens import (
    LAT,
    Screen,
    act,
    agree,
    go_to_work,
    off_duty,
    screen,
    snapshot,
    told,
    upload,
)
from tests.world import Driver, World

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

Form: TypeAlias = list[tuple[Any, ...]]


def heard(shown: Screen, driver: Driver, *, after: int, since: int) -> Form:
    """Return what the screen was told of the driver from the ``after``-th event on.

    The counter counts from ``since``.
    """
    form: Form = []
    for event in shown.events[after:]:
        for row in event.data.get("drivers", [event.data]):
            if row.get("driver_id") == str(driver.member_id):
                known = {name: value for name, value in row.items() if name != "driver_id"}
                known["epoch"] -= since
                form.append((event.name, tuple(sorted(known.items()))))
    return form


async def sharing(world: World, driver: Driver) -> int:
    """Return what the gate's own counters come to."""
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await gate.read(conn, world.company_id, driver.member_id)
    return found.epoch + found.rev


class Others:
    """Another driver, who moves: what the screen hears of them comes after all that was before."""

    def __init__(self, client: ClientSession, driver: Driver, clock: Clock) -> None:
        self._client = client
        self._driver = driver
        self._clock = clock
        self._moves = 0

    async def heard_on(self, shown: Screen) -> None:
        """Return when the screen was told all that happened until now."""
        self._moves += 1
        lat = LAT - self._moves / 1000
        self._clock.at += timedelta(milliseconds=1)
        await upload(self._client, self._driver, self._clock.at, lat=lat)
        await shown.wait_for("pos", driver_id=str(self._driver.member_id), lat=lat)


async def at_work(client: ClientSession, world: World, clock: Clock) -> tuple[Driver, str]:
    driver = await off_duty(world)
    session = await agree(client, world, driver)
    await go_to_work(client, clock, driver, session)
    return driver, session


async def epoch_of(client: ClientSession, dispatcher: str, driver_id: UUID) -> int:
    epoch: int = (await snapshot(client, dispatcher))[str(driver_id)]["epoch"]
    return epoch


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

    state = {"link": "not_shared", "work": None, "route_id": None, "epoch": 1}
    assert forms["pause"] == [
        ("gone", (("epoch", 0),)),
        ("state", tuple(sorted(state.items()))),
        ("snapshot", 1, "not_shared"),
    ]
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


async def act_of_shift(client: ClientSession, session: str) -> str | None:
    """Return what brings the driver back to work; None for who still is."""
    headers = {"Authorization": f"Bearer {session}"}
    async with client.get("/v1/me/shift", headers=headers) as answer:
        state = (await answer.json())["state"]
    return {"paused": "shift/resume", "off": "shift/start"}.get(state)


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
