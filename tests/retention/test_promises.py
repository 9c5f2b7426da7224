"""For how long a company may keep tracks, by what its drivers agreed to."""

import asyncio
from uuid import UUID

import pytest

from server.gate import service as gates
from server.kit import db
from server.kit.db import Connection
from server.ledger.model import SYSTEM
from server.retention import store
from server.retention.model import Gone, TrackDaysPromised
from server.retention.service import due, forget_old_tracks, set_track_days
from tests import consents
from tests.retention.rows import AUGUST, DAY, KEPT, SECOND, keep, left
from tests.retention.test_service import entries, forget, set_days
from tests.world import NOW, Driver, World, add_company, add_driver


async def test_nothing_is_kept_longer_than_the_records_of_those_who_agreed_say(
    world: World,
) -> None:
    for days in (61, 365):
        with pytest.raises(TrackDaysPromised):
            await set_days(world, days)
    assert await set_days(world, 40) == 60

    # As long as all of them say, it may be again.
    assert await set_days(world, 60) == 40
    await set_days(world, 40)
    await add_driver(world.vault, world.pool, world.company_id)
    with pytest.raises(TrackDaysPromised):
        await set_days(world, 60)


async def test_once_nobody_agrees_a_longer_time_waits_until_what_is_kept_has_gone(
    world: World,
) -> None:
    ids = world.company_id, world.driver.member_id
    await keep(world, NOW)
    async with gates.stopping(world.pool, *ids, now=NOW) as conn:
        await consents.withdraw(conn, *ids, "plan_fact", "location", now=NOW)

    with pytest.raises(TrackDaysPromised):
        await set_days(world, 61)
    await forget(world, NOW + KEPT + SECOND)

    assert await set_days(world, 61) == 60


async def somebody_undecided(world: World) -> tuple[UUID, Driver]:
    company_id = await add_company(world.vault, world.owner)
    return company_id, await add_driver(
        world.vault, world.pool, company_id, consents=(), on_shift=False
    )


@pytest.mark.parametrize("item", ["location", "plan_fact", "customer_link"])
async def test_only_consents_to_tracks_say_how_long_they_are_kept(world: World, item: str) -> None:
    company_id, driver = await somebody_undecided(world)
    async with db.tenant(world.pool, company_id) as conn:
        await consents.give(conn, company_id, driver.member_id, item, now=NOW)
    async with db.tenant(world.pool, company_id) as conn:
        longer = set_track_days(conn, company_id, 365, actor=SYSTEM, now=NOW)
        if item == "customer_link":
            assert await longer == 60
        else:
            with pytest.raises(TrackDaysPromised):
                await longer


@pytest.mark.parametrize("is_guarded", [True, False])
async def test_a_consent_that_is_just_being_written_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    company_id, driver = await somebody_undecided(world)
    if not is_guarded:
        # The control: the longer time is set, though the record then says the shorter one.
        monkeypatch.setattr(store, "lock_company", no_lock)

    async def set_longer() -> int | None:
        async with db.tenant(world.pool, company_id) as conn:
            return await set_track_days(conn, company_id, 365, actor=SYSTEM, now=NOW)

    async with db.tenant(world.pool, company_id) as conn:
        await consents.give(conn, company_id, driver.member_id, "location", now=NOW)
        setting = asyncio.create_task(set_longer())
        await asyncio.sleep(0.5)
        assert not setting.done()

    if is_guarded:
        with pytest.raises(TrackDaysPromised):
            await setting
    else:
        assert await setting == 60


async def no_lock(_conn: Connection, _company_id: UUID) -> None:
    pass


async def test_a_company_that_is_older_than_the_setting_keeps_its_tracks(world: World) -> None:
    company_id, driver = await somebody_undecided(world)
    await world.owner.execute("UPDATE company SET track_days = NULL")
    await keep(world, AUGUST, driver=driver, company_id=company_id)
    async with db.tenant(world.pool, company_id) as conn:
        await consents.give(conn, company_id, driver.member_id, "location", "plan_fact", now=NOW)

    later = NOW + 365 * DAY
    assert await forget_old_tracks(world.pool, world.vault, company_id, later) == Gone()
    async with db.tenant(world.pool, company_id, readonly=True) as conn:
        assert await due(conn, world.vault, company_id, later) == Gone()
    assert await left(world) == {AUGUST}
    records = await world.owner.fetch(
        "SELECT record FROM consent_record WHERE company_id = $1", company_id
    )
    assert len(records) == 2
    assert all('"retention_period":"until the account is erased"' in row[0] for row in records)

    # From when its operator says for how long, it is like any other.
    async with db.tenant(world.pool, company_id) as conn:
        assert await set_track_days(conn, company_id, 60, actor=SYSTEM, now=NOW) is None
    assert await entries(world, "track_days_set") == ['{"before":null,"track_days":60}']
    gone = await forget_old_tracks(world.pool, world.vault, company_id, NOW)
    assert gone.positions == 3
