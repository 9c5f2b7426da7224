"""``jolda retention``, ``jolda company keep``, and the daily job."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from server import databases as databases_of
from server import running, settings
from server.accounts.model import CompanyMissing
from server.background import jobs_of
from server.databases import Opened
from server.kit.db import Pool
from server.kit.jobs import Jobs
from server.kit.web import utc_now
from server.retention.command import run_now, tell_due
from server.retention.model import (
    CLOCKS_APART_MAX,
    ClocksApart,
    TrackDaysInvalid,
    TrackDaysPromised,
)
from server.retention.service import forget_old_tracks
from tests.alerts.seen import planned
from tests.conftest import Databases
from tests.http import Clock
from tests.retention.rows import AUGUST, DAY, KEPT, SECOND, keep, keys_left, left
from tests.retention.test_service import count_refusal
from tests.world import NOW, World, add_company

MINUTE: Final = timedelta(minutes=1)


async def report_stop_and_alert(world: World, at: datetime) -> None:
    """Let the driver have said something of a stop, and something been raised about the route."""
    route = await planned(world)
    ids = (world.company_id, world.driver.member_id, route.head.route_id, at)
    await world.owner.execute(
        "INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id, route_id,"
        " stop_id, received_at, event_sealed) VALUES ($1, gen_random_uuid(), $2,"
        " gen_random_uuid(), $3, gen_random_uuid(), $4, '')",
        *ids,
    )
    await world.owner.execute(
        "INSERT INTO alert (company_id, alert_id, driver_id, route_id, raised_at, kind,"
        " occurrence, particulars_sealed) VALUES ($1, gen_random_uuid(), $2, $3, $4, 'late',"
        " 1, '')",
        *ids,
    )


async def test_a_dry_run_and_a_run_say_what_goes_of_each_company(
    world: World, databases: Databases
) -> None:
    other = await add_company(world.vault, world.owner)
    await keep(world, AUGUST)
    await count_refusal(world, AUGUST)
    await report_stop_and_alert(world, NOW - 366 * DAY)
    companies = [world.company_id, other]
    said: list[str] = []

    await tell_due(world.pool, world.vault, companies, say=said.append, now=NOW)

    id_ = world.company_id
    assert said == [
        f"{id_}: positions: 3 (since 2026-08-10) would go.",
        f"{id_}: rows of positions: 1 (since 2026-08-10) would go.",
        f"{id_}: keys of drivers' months: 1 would go.",
        f"{id_}: counters of refusals: 1 (since 2026-08-10) would go.",
        f"{id_}: alerts: 1 (since 2025-11-21) would go.",
        f"{id_}: words of drivers about stops: 1 (since 2025-11-21) would go.",
        f"{other}: nothing is old enough to go.",
        "Nothing was changed. To remove what would go, run: jolda retention",
    ]
    assert await left(world) == {AUGUST}

    said.clear()
    await run_now(
        databases.main, world.pool, world.vault, [world.company_id], say=said.append, now=NOW
    )

    assert said == [
        f"{id_}: positions: 3 (since 2026-08-10) went.",
        f"{id_}: rows of positions: 1 (since 2026-08-10) went.",
        f"{id_}: keys of drivers' months: 1 went.",
        f"{id_}: counters of refusals: 1 went.",
        f"{id_}: alerts: 1 went.",
        f"{id_}: words of drivers about stops: 1 went.",
    ]
    assert await left(world) == set()
    assert await world.owner.fetchval("SELECT count(*) FROM alert") == 0
    assert await world.owner.fetchval("SELECT count(*) FROM stop_event") == 0


async def test_the_daily_job_removes_what_every_company_kept_long_enough(
    world: World, databases: Databases, keys_pool: Pool
) -> None:
    now = utc_now()  # what it goes by as well is PostgreSQL's own clock
    await keep(world, now - KEPT - DAY)
    await keep(world, now)
    opened = Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=world.pool,
        keys_pool=keys_pool,
        vault=world.vault,
    )

    def jobs_at(at: datetime) -> Jobs:
        return jobs_of(opened, settings.read({}), Clock(at))

    for apart in (-365 * DAY, 365 * DAY, CLOCKS_APART_MAX + SECOND):
        await jobs_at(now + apart).every_day["forget_old_tracks"]()
        assert await left(world) == {now - KEPT - DAY, now}

    await jobs_at(now + CLOCKS_APART_MAX - MINUTE).every_day["forget_old_tracks"]()

    assert await left(world) == {now}


async def test_nothing_is_removed_by_a_clock_that_is_wrong(
    world: World, databases: Databases, kek_file: Path
) -> None:
    now = utc_now()
    key = await keep(world, now)
    found = settings.read({"JOLDA_KEK_FILE": str(kek_file)})
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)

    with pytest.raises(ClocksApart, match="nothing was removed"):
        await running.forget_old(
            found,
            dsns,
            company_id=None,
            dry_run=False,
            say=lambda _: None,
            clock=lambda: now + 365 * DAY,
        )

    assert await left(world) == {now}
    assert await keys_left(world, key) == {key}
    # The control: by that time, were it true, all of it would be too old.
    later = now + 365 * DAY
    gone = await forget_old_tracks(world.pool, world.vault, world.company_id, later)
    assert (gone.track_rows, gone.months) == (1, 1)


async def test_an_operator_looks_first_and_says_for_how_long(
    world: World, databases: Databases, kek_file: Path
) -> None:
    at = utc_now() - 100 * DAY
    await keep(world, at)
    found = settings.read({"JOLDA_KEK_FILE": str(kek_file)})
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    positions = f"positions: 3 (since {at - 2 * SECOND:%Y-%m-%d})"
    said: list[str] = []

    async def forget(company_id: UUID | None, *, dry_run: bool) -> str:
        said.clear()
        await running.forget_old(
            found, dsns, company_id=company_id, dry_run=dry_run, say=said.append
        )
        return said[0].removeprefix(f"{world.company_id}: ")

    async def keep_for(days: int) -> int | None:
        return await running.keep_tracks(found, dsns, company_id=world.company_id, days=days)

    assert await forget(None, dry_run=True) == f"{positions} would go."
    with pytest.raises(TrackDaysInvalid):
        await keep_for(2)
    with pytest.raises(TrackDaysPromised):
        await keep_for(365)
    await world.owner.execute("UPDATE company SET track_days = 365")
    assert await forget(None, dry_run=False) == "nothing is old enough to go."
    assert await left(world) == {at}
    assert await keep_for(30) == 365
    assert await forget(world.company_id, dry_run=False) == f"{positions} went."
    assert await left(world) == set()
    with pytest.raises(CompanyMissing):
        await forget(world.driver.member_id, dry_run=True)
