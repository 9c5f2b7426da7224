"""What is done every minute without a caller, over every company."""

from datetime import timedelta

import asyncpg
import pytest

from server.accounts import service as accounts
from server.app import jobs_of
from server.databases import Opened
from server.kit import db
from server.kit.db import ROLE_JOBS, Pool
from server.kit.jobs import Tick
from server.vault.model import Category
from tests.conftest import Databases
from tests.http import Clock
from tests.world import NOW, World, add_company, add_driver

DAY = timedelta(days=1)


@pytest.fixture
def opened(databases: Databases, world: World, keys_pool: Pool) -> Opened:
    return Opened(dsn=databases.main, pool=world.pool, keys_pool=keys_pool, vault=world.vault)


def tick_of(opened: Opened, name: str) -> Tick:
    return jobs_of(opened, Clock()).every_minute[name]


async def test_a_company_whose_work_fails_does_not_hold_up_the_others(
    world: World, opened: Opened, databases: Databases, capfd: pytest.CaptureFixture[str]
) -> None:
    other = await add_company(world.vault, world.owner)
    drivers = {
        world.company_id: world.driver,
        other: await add_driver(world.vault, world.pool, other),
    }
    for company_id, driver in drivers.items():
        await world.owner.execute(
            "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id,"
            " blob) VALUES ($1, $2, $3, $3, $4, 'sealed')",
            company_id,
            driver.member_id,
            NOW - timedelta(minutes=16),
            driver.device_id,
        )
    conn = await db.connect(databases.main, role=ROLE_JOBS)
    first = (await accounts.every_company(conn))[0]
    await conn.close()
    await world.owner.execute(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF OLD.company_id = '{first}' THEN RAISE 'poisoned'; END IF;"
        " RETURN OLD; END $$;"
        " CREATE TRIGGER poison BEFORE DELETE ON latest_position"
        " FOR EACH ROW EXECUTE FUNCTION poison()"
    )
    try:
        await tick_of(opened, "sweep_latest_positions")()
    finally:
        await world.owner.execute("DROP FUNCTION poison CASCADE")

    left = await world.owner.fetch("SELECT company_id FROM latest_position")
    assert [row["company_id"] for row in left] == [first]
    printed = "".join(capfd.readouterr())
    assert "job_failed" in printed
    assert str(first) in printed
    assert "poisoned" not in printed


async def test_keys_of_live_positions_are_destroyed_after_a_day(
    world: World, opened: Opened, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    vault, driver_id = world.vault, world.driver.member_id
    keys = [
        await vault.key(world.company_id, driver_id, Category.LIVE, at=NOW - days * DAY)
        for days in (0, 1, 2, 40)
    ]
    track = await vault.key(world.company_id, driver_id, Category.TRACK, at=NOW - 40 * DAY)

    await tick_of(opened, "destroy_live_keys")()

    left = await keys_owner.fetch("SELECT period FROM data_key WHERE category = 'live'")
    assert {row["period"] for row in left} == {"2026-11-22", "2026-11-21"}
    wanted = {*(key.key_id for key in keys), track.key_id}
    kept = {keys[0].key_id, keys[1].key_id, track.key_id}
    held = {key.key_id for _, key in (*vault._by_id.values(), *vault._by_period.values())}  # noqa: SLF001 - what lies in memory
    assert held & wanted == kept
    assert set(await vault.keys(world.company_id, wanted)) == kept
