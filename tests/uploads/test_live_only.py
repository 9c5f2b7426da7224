"""Without consent to plan versus fact: one position, for a quarter of an hour, and no track."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.tracking import codec, service
from server.tracking.model import Availability, LatestPosition, Track, TrackPurpose
from server.vault.model import Category
from tests import consents
from tests.uploading import Api, positions
from tests.world import NOW, Driver, add_driver

LIVE_ONLY = (GateItem.LOCATION, GateItem.DISPATCH_TRACKING)
KEPT = timedelta(minutes=15)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def driver(api: Api) -> Driver:
    world = api.world
    return await add_driver(world.vault, world.pool, world.company_id, consents=LIVE_ONLY)


async def rows(api: Api) -> list[Any]:
    return list(await api.world.owner.fetch("SELECT * FROM latest_position"))


async def latest(api: Api, driver: Driver, *, at: datetime) -> LatestPosition | None:
    world = api.world
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        gate = await gates.read(conn, world.company_id, driver.member_id)
        found = await service.latest_positions(conn, world.vault, world.company_id, [gate], now=at)
    return found.get(driver.member_id)


async def track(api: Api, driver: Driver, purpose: TrackPurpose) -> Track:
    world = api.world
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await service.track(
            conn,
            world.vault,
            world.company_id,
            driver.member_id,
            NOW - timedelta(days=1),
            NOW + timedelta(days=1),
            purpose=purpose,
            now=NOW,
        )


async def sweep(api: Api, at: datetime) -> int:
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        return await service.sweep_latest(conn, api.world.company_id, at)


@pytest.mark.proves("relog-driver-app:3.2-plan-fact")
async def test_no_track_is_kept_of_any_upload(api: Api, driver: Driver) -> None:
    for ago in (0, 60, 30):
        await api.upload(positions(20, until=NOW - timedelta(seconds=ago)), driver=driver)

    assert await api.rows() == 0
    assert len(await rows(api)) == 1
    assert len(await track(api, driver, TrackPurpose.SUBJECT_ACCESS)) == 0


async def test_it_is_sealed_under_a_key_of_the_day_that_a_job_destroys(
    api: Api, driver: Driver
) -> None:
    await api.upload(positions(1), driver=driver)
    world = api.world

    [row] = await rows(api)
    key = await world.vault.key(world.company_id, driver.member_id, Category.LIVE, at=NOW)
    assert row["key_id"] == key.key_id
    packed = codec.unseal(key, row["blob"], row_id=driver.member_id, schema=codec.LATEST_SCHEMA)
    assert len(codec.unpack(packed).positions) == 1

    await world.vault.destroy_live(world.company_id, NOW + timedelta(days=2))
    assert row["key_id"] not in await world.vault.keys(world.company_id, [row["key_id"]])


async def test_a_newer_position_replaces_it_in_place(api: Api, driver: Driver) -> None:
    await api.upload(positions(1), driver=driver)
    [before] = await rows(api)
    newer = await api.upload(positions(1, until=NOW + SECOND, speed_mps=3), driver=driver)
    [after] = await rows(api)

    assert newer["accepted"] == 1
    assert (before["recorded_at"], after["recorded_at"]) == (NOW, NOW + SECOND)
    assert before["blob"] != after["blob"]


async def test_what_is_older_than_the_newest_is_told_to_be_not_kept(
    api: Api, driver: Driver
) -> None:
    first = await api.upload(positions(3), driver=driver)
    older = await api.upload(positions(2, until=NOW - SECOND), driver=driver)

    assert [one["reason"] for one in first["refused"]] == ["not_kept", "not_kept"]
    assert [one["reason"] for one in older["refused"]] == ["not_kept", "not_kept"]
    assert (first["accepted"], older["accepted"]) == (1, 0)


@pytest.mark.proves("relog-driver-app:3.2-plan-fact")
async def test_it_is_gone_fifteen_minutes_after_the_fix_however_late_it_came(
    api: Api, driver: Driver
) -> None:
    await api.upload(positions(1, until=NOW - KEPT + SECOND), driver=driver)

    assert await latest(api, driver, at=NOW + SECOND) is not None
    assert await latest(api, driver, at=NOW + 2 * SECOND) is None
    assert await sweep(api, NOW + SECOND) == 0
    assert await sweep(api, NOW + 2 * SECOND) == 1
    assert await rows(api) == []


async def test_a_fix_of_fifteen_minutes_ago_is_never_stored(api: Api, driver: Driver) -> None:
    answer = await api.upload(positions(2, until=NOW - KEPT - SECOND), driver=driver)

    assert [one["reason"] for one in answer["refused"]] == ["not_kept", "not_kept"]
    assert await rows(api) == []


async def test_a_later_consent_to_plan_versus_fact_never_covers_it(
    api: Api, driver: Driver
) -> None:
    sent = positions(3)
    await api.upload(sent, driver=driver)
    world, later = api.world, NOW + timedelta(minutes=1)
    async with gates.stopping(world.pool, world.company_id, driver.member_id, now=later) as conn:
        await consents.give(conn, world.company_id, driver.member_id, GateItem.PLAN_FACT, now=later)
    api.clock.at = later + SECOND

    again = await api.upload(sent, driver=driver)
    found = await track(api, driver, TrackPurpose.PLAN_FACT)

    assert {one["reason"] for one in again["refused"]} == {"before_consent"}
    assert (found.availability, len(found)) == (Availability.NO_POSITIONS, 0)
    assert await api.rows() == 0


async def test_a_new_consent_to_dispatch_does_not_bring_it_back(api: Api, driver: Driver) -> None:
    await api.upload(positions(1), driver=driver)
    world, key = api.world, (api.world.company_id, driver.member_id)
    async with gates.stopping(world.pool, *key, now=NOW + SECOND) as conn:
        await consents.withdraw(conn, *key, GateItem.DISPATCH_TRACKING, now=NOW + SECOND)
    async with gates.stopping(world.pool, *key, now=NOW + 2 * SECOND) as conn:
        await consents.give(conn, *key, GateItem.DISPATCH_TRACKING, now=NOW + 2 * SECOND)

    assert await latest(api, driver, at=NOW + 3 * SECOND) is None
