"""What a tick takes over from the one before: what is the newest still, under the same gate."""

from datetime import timedelta

import pytest
from aiohttp import ClientSession

from server.gate.model import GateItem
from server.live import service
from server.live.model import Fixes
from tests.http import Clock
from tests.live.screens import LAT, act, agree, upload
from tests.world import World


async def glimpsed(world: World, clock: Clock, before: Fixes | None = None) -> Fixes:
    found = await service.glimpse(
        world.pool, world.vault, world.company_id, now=clock.at, before=before
    )
    return found.fixes


async def test_what_is_the_newest_still_is_not_opened_again(
    client: ClientSession, world: World, clock: Clock
) -> None:
    driver_id = world.driver.member_id
    await upload(client, world.driver, clock.at)
    first = await glimpsed(world, clock)

    again = await glimpsed(world, clock, first)

    assert again == first
    assert again[driver_id].position is first[driver_id].position


async def test_something_newer_replaces_what_was_known(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await upload(client, world.driver, clock.at)
    first = await glimpsed(world, clock)
    clock.at += timedelta(milliseconds=1)
    await upload(client, world.driver, clock.at, lat=LAT + 1)

    again = await glimpsed(world, clock, first)

    assert again[world.driver.member_id].position.lat == LAT + 1
    assert again == await glimpsed(world, clock)


@pytest.mark.parametrize(
    "acts",
    [
        ("shift/pause",),
        ("shift/end",),
        ("consents/dispatch_tracking/withdraw",),
        ("consents/location/withdraw",),
    ],
)
async def test_what_was_known_is_forgotten_with_what_it_was_shown_under(
    client: ClientSession, world: World, clock: Clock, acts: tuple[str, ...]
) -> None:
    await upload(client, world.driver, clock.at)
    first = await glimpsed(world, clock)
    assert world.driver.member_id in first
    person = await world.driver_session()
    clock.at += timedelta(seconds=1)
    for one in acts:
        await act(client, person, one)

    assert await glimpsed(world, clock, first) == {}


async def test_a_consent_given_again_does_not_bring_back_what_was_known(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await upload(client, world.driver, clock.at)
    first = await glimpsed(world, clock)
    person = await world.driver_session()
    clock.at += timedelta(seconds=1)
    await act(client, person, "consents/dispatch_tracking/withdraw")
    clock.at += timedelta(seconds=1)
    await agree(client, world, world.driver, GateItem.DISPATCH_TRACKING)

    assert await glimpsed(world, clock, first) == {}


async def test_what_grew_too_old_is_not_shown_however_long_it_is_known(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await upload(client, world.driver, clock.at)
    known = await glimpsed(world, clock)
    for _ in range(4):
        clock.at += timedelta(minutes=5)
        known = await glimpsed(world, clock, known)

    assert known == await glimpsed(world, clock)
