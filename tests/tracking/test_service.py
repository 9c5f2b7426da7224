"""Reading: who sees what, and what is gone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from server.gate import service as gates
from server.gate.model import Gate, GateItem, GateMissing
from server.kit import db
from server.tracking import service
from server.tracking.model import (
    Availability,
    LatestPosition,
    Track,
    TrackPurpose,
    TrackTooLong,
    end_of_month,
)
from server.uploads import service as uploads
from tests.uploading import Api, positions
from tests.world import NOW, SHIFT_STARTED, Driver, add_company, add_driver

DAY = timedelta(days=1)


async def track(
    api: Api,
    purpose: TrackPurpose = TrackPurpose.PLAN_FACT,
    *,
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
    driver: Driver | None = None,
) -> Track:
    async with db.tenant(api.world.pool, api.world.company_id, readonly=True) as conn:
        return await service.track(
            conn,
            api.world.vault,
            api.world.company_id,
            (driver or api.world.driver).member_id,
            since,
            until,
            purpose=purpose,
            now=NOW,
        )


async def test_the_span_is_half_open_and_cuts_chunks(api: Api) -> None:
    await api.upload(positions(60))

    part = await track(api, since=NOW - timedelta(seconds=100), until=NOW)

    assert len(part) == 10
    assert part.time_s[0] == (NOW - timedelta(seconds=100)).timestamp()


@pytest.mark.parametrize(
    ("until", "before"),
    [
        (datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime.fromisoformat("2026-12-01T04:00+05:00"), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_chunk_ends_in_the_month_it_begins_in(until: datetime, before: datetime) -> None:
    assert end_of_month(until) == before


async def test_a_span_ends_inside_a_chunk_that_goes_on_for_long(api: Api) -> None:
    await api.upload(positions(2, step_s=7000))

    assert len(await track(api, until=NOW - timedelta(seconds=6999))) == 1


async def test_a_track_of_too_many_positions_is_not_held_in_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.upload(positions(10))
    await api.upload(positions(10, until=NOW - timedelta(minutes=5)))
    monkeypatch.setattr(service, "TRACK_POSITIONS_MAX", 20)
    assert len(await track(api)) == 20

    monkeypatch.setattr(service, "TRACK_POSITIONS_MAX", 19)

    with pytest.raises(TrackTooLong):
        await track(api)
    assert len(await track(api, since=NOW - timedelta(minutes=3))) == 10


async def test_unknown_values_stay_unknown(api: Api) -> None:
    await api.upload(positions(2, speed_mps=0, accuracy_m=None))

    found = await track(api)

    assert found.values[3].tolist() == [0, 0]
    assert str(found.accuracy_m.tolist()) == "[nan, nan]"


async def test_two_devices_at_the_same_time_are_two_positions(api: Api) -> None:
    world = api.world
    await api.upload(positions(2))
    await world.owner.execute("UPDATE device SET number = 7")
    async with db.tenant(world.pool, world.company_id) as conn:
        await gates.bump_credentials(conn, world.company_id, world.driver.member_id)
    await api.upload(positions(2))

    found = await track(api)

    assert found.device.tolist() == [0, 7, 0, 7]


@pytest.mark.proves("relog-manager-app:3.2-plan-fact-report")
async def test_what_was_shared_before_the_present_consent_stays_hidden_from_staff(
    api: Api,
) -> None:
    await api.upload(positions(10))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.set_consent(conn, *driver, GateItem.PLAN_FACT, NOW - timedelta(seconds=25))

    staff = await track(api)
    own = await track(api, TrackPurpose.SUBJECT_ACCESS)

    assert (len(staff), len(own)) == (3, 10)


@pytest.mark.proves("relog-manager-app:3.2-dispatcher-view")
async def test_staff_see_nothing_outside_windows_even_if_it_were_stored(api: Api) -> None:
    await api.upload(positions(10))
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await conn.execute(
            "UPDATE recording_window SET closed_at = $1", NOW - timedelta(seconds=45)
        )

    assert len(await track(api)) == 5
    assert len(await track(api, TrackPurpose.SUBJECT_ACCESS)) == 10


@pytest.mark.proves("relog-driver-manager-apps:7.3", "gocargo:terms-acceptance")
@pytest.mark.parametrize("item", list(GateItem))
async def test_each_purpose_needs_location_and_itself(api: Api, item: GateItem) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_consent(conn, *driver, item, None)

    shared = {
        purpose: (await track(api, purpose)).availability is Availability.FULL
        for purpose in TrackPurpose
    }

    assert shared == {
        TrackPurpose.PLAN_FACT: item is GateItem.DISPATCH_TRACKING,
        TrackPurpose.DISPATCH_TRACKING: item is GateItem.PLAN_FACT,
        TrackPurpose.SUBJECT_ACCESS: True,
    }


async def test_a_destroyed_key_leaves_an_empty_track(api: Api) -> None:
    await api.upload(positions(3))
    await api.world.vault.destroy(api.world.company_id, api.world.driver.member_id, NOW)

    assert (await track(api)).availability is Availability.NO_POSITIONS


async def test_a_chunk_that_was_changed_is_left_out(api: Api) -> None:
    await api.upload(positions(3))
    await api.upload(positions(2, until=NOW - timedelta(minutes=5)))
    await api.world.owner.execute(
        "UPDATE chunk SET blob = set_byte(blob, 20, 255 - get_byte(blob, 20)) WHERE count = 3"
    )

    assert len(await track(api)) == 2


async def test_another_companys_driver_is_not_there(api: Api) -> None:
    other = await add_company(api.world.vault, api.world.owner)
    driver = await add_driver(api.world.vault, api.world.pool, other)

    with pytest.raises(GateMissing):
        await track(api, driver=driver)


async def test_erasing_deletes_every_row_of_the_driver_and_no_other(api: Api) -> None:
    world = api.world
    other = await add_driver(world.vault, world.pool, world.company_id)
    await api.upload(positions(3) + positions(1, until=SHIFT_STARTED - DAY))
    await api.upload(positions(3), driver=other)
    async with db.tenant(world.pool, world.company_id) as conn:
        chunks = await service.erase(conn, world.company_id, world.driver.member_id)
        counters = await uploads.erase(conn, world.company_id, world.driver.member_id)

    assert (chunks, counters) == (1, 1)
    assert len(await track(api, TrackPurpose.SUBJECT_ACCESS)) == 0
    assert len(await track(api, driver=other)) == 3


async def latest(api: Api, *drivers: Driver, at: datetime = NOW) -> dict[UUID, LatestPosition]:
    world = api.world
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        watched: Sequence[Gate] = [
            await gates.read(conn, world.company_id, driver.member_id)
            for driver in (drivers or (world.driver,))
        ]
        found = await service.latest_positions(conn, world.vault, world.company_id, watched, now=at)
    return dict(found)


async def test_the_latest_position_is_the_newest_by_its_own_time(api: Api) -> None:
    await api.upload(positions(20, speed_mps=12.5, accuracy_m=None))
    await api.upload(positions(5, until=NOW - timedelta(minutes=3)))

    found = await latest(api)

    assert list(found) == [api.world.driver.member_id]
    one = found[api.world.driver.member_id]
    assert (one.recorded_at, one.lat, one.lon) == (NOW, 51.1019, 71.3981)
    assert (one.speed_mps, one.accuracy_m) == (12.5, None)


async def test_a_position_of_dispatch_alone_is_found_too(api: Api) -> None:
    world = api.world
    driver = await add_driver(
        world.vault,
        world.pool,
        world.company_id,
        consents=(GateItem.LOCATION, GateItem.DISPATCH_TRACKING),
    )
    await api.upload(positions(3), driver=driver)
    await api.upload(positions(1, until=NOW - timedelta(seconds=30)))

    found = await latest(api, driver, world.driver)

    assert {key: one.recorded_at for key, one in found.items()} == {
        driver.member_id: NOW,
        world.driver.member_id: NOW - timedelta(seconds=30),
    }


async def test_after_fifteen_minutes_nobody_is_anywhere(api: Api) -> None:
    await api.upload(positions(1))

    assert len(await latest(api, at=NOW + timedelta(minutes=15))) == 1
    assert await latest(api, at=NOW + timedelta(minutes=15, seconds=1)) == {}


async def test_without_consent_to_dispatch_tracking_there_is_no_latest_position(
    api: Api,
) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_consent(conn, *driver, GateItem.DISPATCH_TRACKING, None)

    assert await latest(api) == {}


async def test_a_new_consent_never_shows_what_was_before_it(api: Api) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.set_consent(
            conn, *driver, GateItem.DISPATCH_TRACKING, NOW + timedelta(seconds=1)
        )

    assert await latest(api, at=NOW + timedelta(seconds=2)) == {}


async def test_latest_positions_are_swept_fifteen_minutes_after_the_fix(api: Api) -> None:
    world = api.world
    driver = await add_driver(
        world.vault,
        world.pool,
        world.company_id,
        consents=(GateItem.LOCATION, GateItem.DISPATCH_TRACKING),
    )
    await api.upload(positions(1), driver=driver)

    async def swept(after: timedelta) -> int:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await service.sweep_latest(conn, world.company_id, NOW + after)

    assert await swept(timedelta(minutes=15)) == 0
    assert await swept(timedelta(minutes=15, seconds=1)) == 1
    assert await latest(api, driver) == {}


async def test_a_window_is_shared_from_the_consent_on(api: Api) -> None:
    given = NOW - timedelta(hours=1)
    driver = (api.world.company_id, api.world.driver.member_id)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.set_consent(conn, *driver, GateItem.PLAN_FACT, given)

    staff = await track(api)
    own = await track(api, TrackPurpose.SUBJECT_ACCESS)

    assert [window.opened_at for window in staff.windows] == [given]
    assert [window.opened_at for window in own.windows] == [SHIFT_STARTED]
