"""A screen cannot tell a consent that ran out from a pause, nor what the driver does meanwhile."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import pytest
from aiohttp import ClientSession

from server.consent import expiry
from server.consent.model import VALID_FOR
from server.gate.model import CLOCK_AHEAD_MAX, GateItem
from server.kit import db
from server.shifts import service as shifts
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
from tests.live.screens import LAT, act, agree, go_to_work, off_duty, screen, snapshot, upload
from tests.world import NOW, Driver, World

DISPATCH: Final = GateItem.DISPATCH_TRACKING
RAN_OUT: Final[Mapping[str, tuple[GateItem, ...]]] = {
    "location": (GateItem.LOCATION,),
    "dispatch_tracking": (GateItem.DISPATCH_TRACKING,),
    "everything": tuple(GateItem),
}
SHIFT_MAX: Final = timedelta(hours=14)
OVER: Final = NOW + VALID_FOR
"""When what was given at NOW runs out."""


async def with_old_consents(
    client: ClientSession, world: World, clock: Clock, items: tuple[GateItem, ...]
) -> tuple[Driver, str]:
    """Return a driver at work two minutes before these consents run out; the others last longer."""
    clock.at = NOW
    driver = await off_duty(world)
    session = await agree(client, world, driver, *items)
    await world.owner.execute(
        "UPDATE session SET expires_at = $1, used_at = $1", NOW + 2 * VALID_FOR
    )
    clock.at = NOW + timedelta(days=1)
    for item in set(GateItem) - set(items):
        await act(client, session, "consents", **consents.body(item))
    clock.at = OVER - timedelta(minutes=3)
    await go_to_work(client, clock, driver, session)
    return driver, session


async def another(client: ClientSession, world: World, clock: Clock) -> Others:
    """Return a driver at work whose consents last longer."""
    driver = await off_duty(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        ids = (conn, world.company_id, driver.member_id)
        await consents.give(*ids, *GateItem, now=NOW + timedelta(days=1))
    session = await world.driver_session(driver)
    await world.owner.execute(
        "UPDATE session SET expires_at = $1, used_at = $1", NOW + 2 * VALID_FOR
    )
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


async def test_a_shift_that_runs_its_full_length_counts_once(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver, session = await at_work(client, world, clock)
    since = await epoch_of(client, dispatcher, driver.member_id)
    await world.owner.execute("UPDATE session SET expires_at = $1, used_at = $1", NOW + VALID_FOR)

    clock.at += SHIFT_MAX
    at_once = await epoch_of(client, dispatcher, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        assert driver.member_id in await shifts.end_forgotten(conn, world.company_id, clock.at)
    later = await epoch_of(client, dispatcher, driver.member_id)
    await act(client, session, "shift/start")

    assert (at_once, later) == (since + 1, since + 1)
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 2


@pytest.mark.parametrize("acts", ["pause resume", "end start"])
async def test_beginning_without_the_consent_that_ran_out_counts_nothing(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, acts: str
) -> None:
    ending, beginning = acts.split()
    driver, session = await with_old_consents(client, world, clock, (DISPATCH,))
    await act(client, session, f"shift/{ending}")
    since = await epoch_of(client, dispatcher, driver.member_id)

    clock.at = OVER + timedelta(seconds=1)
    await act(client, session, f"shift/{beginning}")
    assert await epoch_of(client, dispatcher, driver.member_id) == since

    # Control: the consent is what was missing.
    await act(client, session, "consents", **consents.body(DISPATCH))
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 1


async def test_other_terms_without_the_consent_that_ran_out_count_nothing(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    driver, session = await with_old_consents(client, world, clock, (DISPATCH,))
    clock.at = OVER + timedelta(seconds=1)
    since = await epoch_of(client, dispatcher, driver.member_id)

    await act(client, session, "consents", **consents.body(GateItem.LOCATION, **ALWAYS))
    assert await epoch_of(client, dispatcher, driver.member_id) == since

    await act(client, session, "consents", **consents.body(DISPATCH))
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 1


@pytest.mark.parametrize("first", GateItem)
async def test_in_whatever_order_all_is_given_again_only_the_shift_counts(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, first: GateItem
) -> None:
    driver, session = await with_old_consents(client, world, clock, tuple(GateItem))
    clock.at = OVER + timedelta(seconds=1)
    since = await epoch_of(client, dispatcher, driver.member_id)

    counts = []
    for item in (first, *(item for item in GateItem if item is not first)):
        await act(client, session, "consents", **consents.body(item))
        counts.append(await epoch_of(client, dispatcher, driver.member_id))
    await act(client, session, "shift/start")

    assert counts == [since] * len(GateItem)
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 1


@pytest.mark.parametrize("item", [GateItem.LOCATION, DISPATCH])
async def test_a_renewal_that_waited_past_the_end_does_not_count_back(
    client: ClientSession, world: World, dispatcher: str, clock: Clock, item: GateItem
) -> None:
    driver, session = await with_old_consents(client, world, clock, (item,))
    since = await epoch_of(client, dispatcher, driver.member_id)

    clock.at = OVER
    ended = await epoch_of(client, dispatcher, driver.member_id)
    clock.at = OVER - timedelta(seconds=1)  # read by the renewal before it got the gate
    await act(client, session, "consents", **consents.body(item))
    clock.at = OVER + timedelta(seconds=1)

    assert ended == since + 1
    assert await epoch_of(client, dispatcher, driver.member_id) == since + 2
