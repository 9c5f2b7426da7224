"""A screen cannot tell a withdrawal, or a consent that ran out, from a pause.

Not by what it hears, nor by its counter.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.consent import expiry
from server.consent.model import VALID_FOR
from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit import db
from server.shifts import service as shifts
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
from tests.world import NOW, Driver, World

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

RAN_OUT: Final[Mapping[str, tuple[GateItem, ...]]] = {
    "location": (GateItem.LOCATION,),
    "dispatch_tracking": (GateItem.DISPATCH_TRACKING,),
    "everything": tuple(GateItem),
}
ALWAYS: Final = {"scope": "always"}
SHIFT_MAX: Final = timedelta(hours=14)
OVER: Final = NOW + VALID_FOR
"""When what was given at NOW runs out."""
STOPPED: Final = (
    ("gone", (("epoch", 0),)),
    ("state", (("epoch", 1), ("link", "not_shared"), ("route_id", None), ("work", None))),
    ("snapshot", 1, "not_shared"),
)
"""What is told of a stop, whatever it is."""

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


async def with_old_consents(
    client: ClientSession, world: World, clock: Clock, items: tuple[GateItem, ...]
) -> tuple[Driver, str]:
    """Return a driver at work a minute before these consents run out; the others last longer."""
    clock.at = NOW
    driver = await off_duty(world)
    session = await agree(client, world, driver, *items)
    await world.owner.execute("UPDATE session SET expires_at = $1", NOW + 2 * VALID_FOR)
    clock.at = NOW + timedelta(days=1)
    for item in set(GateItem) - set(items):
        await act(client, session, "consents", **consents.body(item))
    clock.at = OVER - timedelta(minutes=2)
    await go_to_work(client, clock, driver, session)
    return driver, session


async def another(client: ClientSession, world: World, clock: Clock) -> Others:
    """Return a driver at work whose consents last longer."""
    driver = await off_duty(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        ids = (conn, world.company_id, driver.member_id)
        await consents.give(*ids, *GateItem, now=NOW + timedelta(days=1))
    session = await world.driver_session(driver)
    await world.owner.execute("UPDATE session SET expires_at = $1", NOW + 2 * VALID_FOR)
    await act(client, session, "shift/start")
    return Others(client, driver, clock)


async def written_down(world: World, driver: Driver, clock: Clock) -> None:
    """Let the job come half a minute late."""
    clock.at += timedelta(seconds=30)
    due = await expiry.expire_due(world.pool, world.company_id, clock.at)
    assert driver.member_id in due


@pytest.mark.parametrize("what", RAN_OUT)
async def test_what_runs_out_looks_like_a_pause_also_when_it_is_written_down_later(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, what: str
) -> None:
    driver, _ = await with_old_consents(client, world, clock, RAN_OUT[what])
    others = await another(client, world, clock)
    async with screen(client, dispatcher) as shown:
        clock.at = OVER - timedelta(seconds=1)
        await upload(client, driver, clock.at, lat=LAT + 1)
        await shown.wait_for("pos", driver_id=str(driver.member_id), lat=LAT + 1)
        after, since = len(shown.events), shown.of(driver, "pos")[-1]["epoch"]
        before = await sharing(world, driver)
        clock.at = OVER
        await others.heard_on(shown)
        row = (await snapshot(client, dispatcher))[str(driver.member_id)]
        at_once = ("snapshot", row["epoch"] - since, row["link"])
        assert await sharing(world, driver) == before  # nobody has written it down yet

        await written_down(world, driver, clock)
        await others.heard_on(shown)

        row = (await snapshot(client, dispatcher))[str(driver.member_id)]
        later = ("snapshot", row["epoch"] - since, row["link"])
        form = heard(shown, driver, after=after, since=since)
    assert (*form, at_once) == STOPPED
    assert later == at_once
    # Control: by the gate's own counters the job could be told.
    assert await sharing(world, driver) > before


@pytest.mark.parametrize("comes_first", ["job", "driver"])
@pytest.mark.parametrize("what", RAN_OUT)
async def test_what_ran_out_and_is_given_again_looks_like_the_end_of_a_pause(
    client: ClientSession,
    world: World,
    dispatcher: str,
    clock: Clock,
    *,
    what: str,
    comes_first: str,
) -> None:
    driver, session = await with_old_consents(client, world, clock, RAN_OUT[what])
    since = await epoch_of(client, dispatcher, driver.member_id)
    others = await another(client, world, clock)
    clock.at = OVER
    if comes_first == "job":
        await written_down(world, driver, clock)
    async with screen(client, dispatcher) as shown:
        await others.heard_on(shown)
        after = len(shown.events)
        for item in RAN_OUT[what]:
            await act(client, session, "consents", **consents.body(item))
        clock.at += CLOCK_AHEAD_MAX
        shift = await act_of_shift(client, session)
        if shift is not None:
            await act(client, session, shift)
        await upload(client, driver, clock.at, lat=LAT + 1)
        await shown.wait_for("pos", driver_id=str(driver.member_id), lat=LAT + 1)
        told_of = heard(shown, driver, after=after, since=since)

    assert {(name, dict(row)["epoch"]) for name, row in told_of} == {("state", 2), ("pos", 2)}


async def window_of(world: World, driver: Driver) -> list[tuple[Any, ...]]:
    rows = await world.owner.fetch(
        "SELECT window_id, expires_at FROM recording_window WHERE driver_id = $1", driver.member_id
    )
    return [tuple(row) for row in rows]


async def test_a_renewal_is_not_heard_though_the_window_lasts_longer(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver, session = await with_old_consents(client, world, clock, tuple(GateItem))
    others = await another(client, world, clock)
    async with screen(client, dispatcher) as shown:
        await upload(client, driver, clock.at)
        since = await epoch_of(client, dispatcher, driver.member_id)
        (before,) = await window_of(world, driver)
        for item in GateItem:
            await act(client, session, "consents", **consents.body(item))
        await others.heard_on(shown)
        clock.at = OVER + timedelta(seconds=1)
        await others.heard_on(shown)

        assert await epoch_of(client, dispatcher, driver.member_id) == since
        assert shown.of(driver, "gone") == []
    (renewed,) = await window_of(world, driver)
    assert renewed[0] == before[0]
    assert renewed[1] > before[1] == OVER


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


async def test_a_shift_that_runs_its_full_length_counts_once(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver, session = await at_work(client, world, clock)
    since = await epoch_of(client, dispatcher, driver.member_id)
    await world.owner.execute("UPDATE session SET expires_at = $1", NOW + VALID_FOR)

    clock.at += SHIFT_MAX
    at_once = await epoch_of(client, dispatcher, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        assert driver.member_id in await shifts.end_forgotten(conn, world.company_id, clock.at)
    later = await epoch_of(client, dispatcher, driver.member_id)
    await act(client, session, "shift/start")

    assert (at_once, later) == (since + 1, since + 1)
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 2
