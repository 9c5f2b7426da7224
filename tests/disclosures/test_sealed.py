"""What an authority ordered to keep secret: until the very day, and then told by itself."""

from datetime import timedelta
from typing import Final

import asyncpg
import pytest
from aiohttp import ClientSession

from server.disclosures import service
from server.disclosures.model import SEAL_DAYS_MAX
from server.kit import db
from server.kit.wire import rfc3339
from tests.disclosures.acts import (
    DAY,
    LAT,
    LON,
    REGISTER,
    VIEWS,
    People,
    acts,
    body_of,
    call,
    drive,
    file_of,
    keep_sessions,
    mine,
    released,
    views,
)
from tests.http import Clock
from tests.told import told
from tests.world import NOW, World

UNTIL: Final = NOW + 10 * DAY


async def tell(world: World, clock: Clock) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.tell_unsealed(conn, world.company_id, clock.at)


async def test_a_sealed_disclosure_shows_by_itself_on_its_day_and_not_before(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await keep_sessions(world)
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people, sealed_until=rfc3339(UNTIL))
    assert (await file_of(client, disclosure_id, people.boss))[0] == 200

    for at in (NOW, NOW + DAY, UNTIL - timedelta(microseconds=1)):
        clock.at = at
        assert await tell(world, clock) == 0
        assert await mine(client, people) == []
        assert await views(client, people) == []
        assert await told(world, people.driver_id) == []
    clock.at = UNTIL
    # Seen from then on, whether the job has run or not; it tells once.
    [found] = await mine(client, people)
    [view] = await views(client, people)
    assert [await tell(world, clock), await tell(world, clock)] == [1, 0]

    assert (found["disclosure_id"], found["sealed_until"]) == (disclosure_id, rfc3339(UNTIL))
    assert (view["purpose"], view["at"]) == ("disclosure", rfc3339(NOW))
    [(kind, facts)] = await told(world, people.driver_id)
    assert kind == "disclosure_made"
    assert facts["sealed_until"] == rfc3339(UNTIL)
    _, shown = await call(client, "GET", f"{REGISTER}/{disclosure_id}", people.boss)
    assert shown["told_at"] == rfc3339(UNTIL)


async def test_what_is_sealed_stands_in_the_ledger_all_the_same(
    world: World, client: ClientSession, people: People
) -> None:
    await released(client, people, sealed_until=rfc3339(UNTIL))

    assert await acts(world) == ["disclosure_recorded", "disclosure_released"]
    facts = await world.owner.fetchval(
        "SELECT facts FROM ledger_entry WHERE act = 'disclosure_released'"
    )
    assert '"sealed":true' in facts


async def test_control_without_what_hides_it_the_driver_would_see_the_read(
    world: World, client: ClientSession, people: People
) -> None:
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people, sealed_until=rfc3339(UNTIL))
    await file_of(client, disclosure_id, people.boss)
    assert await views(client, people) == []

    await world.owner.execute("UPDATE disclosure SET sealed_until = NULL")

    assert len(await views(client, people)) == 1


async def test_other_looks_are_told_of_meanwhile_and_pages_are_as_long_as_ever(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await drive(client, world, (LAT, LON))
    sealed = await released(client, people, sealed_until=rfc3339(UNTIL))
    span = f"from={rfc3339(NOW - DAY)}&to={rfc3339(NOW + DAY)}"
    for minutes in range(0, 30, 10):
        clock.at = NOW + timedelta(minutes=minutes)
        await file_of(client, sealed, people.boss)
        path = f"/v1/drivers/{people.driver_id}/track?{span}"
        assert (await call(client, "GET", path, people.boss))[0] == 200

    _, page = await call(client, "GET", f"{VIEWS}?limit=2", people.driver)
    _, rest = await call(
        client, "GET", f"{VIEWS}?limit=2&cursor={page['next_cursor']}", people.driver
    )

    assert (len(page["items"]), len(rest["items"])) == (2, 1)
    assert {one["purpose"] for one in page["items"] + rest["items"]} == {"plan_fact"}


async def test_an_open_file_of_the_same_minutes_is_told_of(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await drive(client, world, (LAT, LON))
    sealed = await released(client, people, sealed_until=rfc3339(UNTIL))
    shown = await released(client, people)
    await file_of(client, sealed, people.boss)
    assert await views(client, people) == []

    clock.at = NOW + timedelta(minutes=1)
    await file_of(client, shown, people.boss)

    assert len(await views(client, people)) == 1


async def test_nothing_is_sealed_for_longer_than_a_year_and_only_for_an_authority(
    client: ClientSession, people: People
) -> None:
    longest = rfc3339(NOW + SEAL_DAYS_MAX * DAY)
    longer = rfc3339(NOW + SEAL_DAYS_MAX * DAY + timedelta(seconds=1))
    for ground, until, status in (
        ("authority", longest, 201),
        ("authority", longer, 422),
        ("authority", rfc3339(NOW), 422),
        ("defence_of_rights", longest, 422),
    ):
        body = body_of(people, ground, sealed_until=until)
        assert (await call(client, "POST", REGISTER, people.boss, body))[0] == status


async def test_control_no_seal_of_more_than_a_year_fits_the_table(
    world: World, client: ClientSession, people: People
) -> None:
    await released(client, people, sealed_until=rfc3339(UNTIL))

    with pytest.raises(asyncpg.CheckViolationError):
        await world.owner.execute("UPDATE disclosure SET sealed_until = $1", NOW + 366 * DAY)
