"""What was kept long enough goes, whole months with their keys; all else stays."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from server.accounts import service as accounts
from server.accounts.service import BUFFER_MAX_S
from server.fleet_tracks.service import shared
from server.gate import service as gates
from server.kit import db
from server.kit.job_queue import EVERY_DAY
from server.ledger.model import SYSTEM
from server.retention import service
from server.retention.model import Gone, TrackDaysInvalid, first_month_kept
from server.retention.service import due, forget_old_tracks, set_track_days
from server.tracking import service as tracking
from server.tracking.model import Track, TrackPurpose
from server.vault.model import Category
from tests.policies.promises import REMOVED_WITHIN
from tests.retention.rows import (
    AUGUST,
    DAY,
    HOUR,
    KEPT,
    LIMIT,
    SECOND,
    SEPTEMBER,
    keep,
    keys_left,
    left,
    second_driver,
)
from tests.world import NOW, World, add_company, add_driver

MICROSECOND = timedelta(microseconds=1)


async def forget(world: World, now: datetime = NOW, **options: int) -> Gone:
    return await forget_old_tracks(world.pool, world.vault, world.company_id, now, **options)


async def entries(world: World, act: str) -> list[str]:
    rows = await world.owner.fetch("SELECT facts FROM ledger_entry WHERE act = $1", act)
    return [row["facts"] for row in rows]


async def test_rows_that_are_older_than_the_company_keeps_them_go_and_no_others(
    world: World,
) -> None:
    other = await second_driver(world)
    for at in (AUGUST, LIMIT - MICROSECOND, LIMIT, NOW):
        await keep(world, at)
        await keep(world, at, driver=other)

    gone = await forget(world, batch=3)

    assert await left(world) == {LIMIT, NOW}
    assert (gone.track_rows, gone.positions) == (4, 12)
    assert gone.oldest_at == AUGUST - 2 * SECOND
    assert await forget(world) == Gone()


async def test_a_row_goes_once_all_of_it_is_too_old(world: World) -> None:
    await keep(world, LIMIT + SECOND, count=10, step=HOUR)

    await forget(world)
    assert await left(world) == {LIMIT + SECOND}
    await forget(world, NOW + 2 * SECOND)
    assert await left(world) == set()


async def test_a_position_is_gone_two_days_after_its_time_at_the_latest(world: World) -> None:
    """As the notices say: in the worst case its row lasts until the end of its day of UTC."""
    day = LIMIT.replace(hour=0)
    last_at = day + DAY - MICROSECOND
    await keep(world, last_at, count=2, step=last_at - day)
    hour, minute = (int(one) for one in reversed(EVERY_DAY.split()[:2]))
    run = day.replace(hour=hour, minute=minute) + KEPT

    while not (await forget(world, run)).positions:
        run += DAY

    assert DAY < run - (day + KEPT) < REMOVED_WITHIN


async def test_the_key_of_a_month_goes_with_the_months_last_row(world: World) -> None:
    august, september = await keep(world, AUGUST), await keep(world, SEPTEMBER)
    assert await keep(world, LIMIT + DAY) == september
    november = await keep(world, NOW)
    keys = (august, september, november)

    gone = await forget(world)

    # The tenth of September went, the twenty-fourth is kept: the month is not over.
    assert gone.months == 1
    assert await keys_left(world, *keys) == {september, november}
    gone = await forget(world, LIMIT.replace(month=10, day=1) + KEPT + HOUR)
    assert gone.months == 1
    assert await keys_left(world, *keys) == {november}
    assert await left(world) == {NOW}


@pytest.mark.proves("kargo.az:disposal", "qoldau:6-storage-limit")
async def test_a_row_from_an_older_copy_of_the_database_cannot_be_read_any_more(
    world: World,
) -> None:
    await keep(world, AUGUST)
    await keep(world, SEPTEMBER)
    await keep(world, LIMIT + DAY)
    copied = await world.owner.fetch("SELECT * FROM chunk")

    await forget(world)
    await world.owner.execute("DELETE FROM chunk")
    await world.owner.executemany(
        "INSERT INTO chunk SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[],"
        " $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::integer[], $8::uuid[],"
        " $9::bytea[])",
        [[[value] for value in row.values()] for row in copied],
    )

    assert len(await track(world, AUGUST)) == 0
    # The control: of a month that is not over the same copy is read.
    assert len(await track(world, SEPTEMBER)) == 3


async def track(
    world: World, at: datetime, purpose: TrackPurpose = TrackPurpose.SUBJECT_ACCESS
) -> Track:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await tracking.track(
            conn,
            world.vault,
            world.company_id,
            world.driver.member_id,
            at - DAY,
            at + DAY,
            purpose=purpose,
            now=NOW,
        )


MONTHS_END = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "keys"), [(HOUR - MICROSECOND, 1), (HOUR, 0)], ids=["within", "after"]
)
async def test_a_month_is_over_an_hour_after_its_last_moment_in_utc_is_too_old(
    world: World, after: timedelta, keys: int
) -> None:
    almaty = datetime(2026, 9, 1, 1, tzinfo=ZoneInfo("Asia/Almaty"))
    assert almaty < MONTHS_END  # September there, and August in UTC
    key = await keep(world, almaty.astimezone(UTC))
    assert await keep(world, MONTHS_END - MICROSECOND) == key

    await forget(world, MONTHS_END + KEPT + after)

    assert await left(world) == set()
    assert len(await keys_left(world, key)) == keys


@pytest.mark.parametrize(
    ("kept_since", "month"),
    [
        (datetime(2026, 3, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (datetime(2026, 3, 1, 0, 59, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, 0, 30, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)),
        (
            datetime(2026, 3, 1, 4, tzinfo=ZoneInfo("Asia/Almaty")),
            datetime(2026, 2, 1, tzinfo=UTC),
        ),
    ],
)
def test_months_are_those_of_the_keys(kept_since: datetime, month: datetime) -> None:
    assert first_month_kept(kept_since) == month


async def test_another_company_keeps_what_is_its_own(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    driver = await add_driver(world.vault, world.pool, other)
    key = await keep(world, AUGUST, driver=driver, company_id=other)
    await keep(world, AUGUST + SECOND)
    await world.owner.execute("UPDATE company SET track_days = 365 WHERE company_id = $1", other)

    await forget(world)
    assert await left(world) == {AUGUST}
    assert await forget_old_tracks(world.pool, world.vault, other, NOW) == Gone()

    assert await left(world) == {AUGUST}
    assert await keys_left(world, key, company_id=other) == {key}


async def test_a_dry_run_tells_what_a_run_removes_and_changes_nothing(world: World) -> None:
    key = await keep(world, AUGUST)
    await keep(world, NOW)
    await count_refusal(world, AUGUST)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        told = await due(conn, world.vault, world.company_id, NOW)

    assert told == Gone(
        track_rows=1,
        positions=3,
        oldest_at=AUGUST - 2 * SECOND,
        months=1,
        counters=1,
        oldest_day=AUGUST.date(),
    )
    assert await left(world) == {AUGUST, NOW}
    assert await keys_left(world, key) == {key}
    gone = await forget(world)
    assert (gone.track_rows, gone.positions, gone.oldest_at, gone.months, gone.counters) == (
        told.track_rows,
        told.positions,
        told.oldest_at,
        told.months,
        told.counters,
    )


async def count_refusal(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO refusal_count VALUES ($1, $2, $3, 'too_old', 1)",
        world.company_id,
        world.driver.member_id,
        at.date(),
    )


async def test_counters_of_refusals_go_after_the_same_days(world: World) -> None:
    days = [AUGUST, LIMIT - DAY, LIMIT, NOW]
    for at in days:
        await count_refusal(world, at)

    gone = await forget(world, batch=1)

    rows = await world.owner.fetch("SELECT day FROM refusal_count ORDER BY day")
    assert gone.counters == 2
    assert [row["day"] for row in rows] == [LIMIT.date(), NOW.date()]


async def test_the_ledger_says_what_went_and_nothing_where_nothing_did(world: World) -> None:
    await keep(world, AUGUST)
    await keep(world, SEPTEMBER)

    await forget(world, batch=1)
    await forget(world)

    fact = '{"positions":3,"rows":1,"track_days":60}'
    assert await entries(world, "tracks_expired") == [fact, fact]


async def test_a_key_that_was_made_anew_for_a_month_that_is_over_goes_again(world: World) -> None:
    await keep(world, AUGUST)
    await forget(world)
    driver_id = world.driver.member_id
    again = await world.vault.key(world.company_id, driver_id, Category.TRACK, at=AUGUST)

    gone = await forget(world)

    assert gone.months == 1
    assert await keys_left(world, again.key_id) == set()


async def set_days(world: World, days: int) -> int | None:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await set_track_days(conn, world.company_id, days, actor=SYSTEM, now=NOW)


async def test_a_company_keeps_its_tracks_for_as_long_as_it_says(world: World) -> None:
    assert await set_days(world, 40) == 60
    await keep(world, NOW - 40 * DAY)
    await keep(world, NOW - 41 * DAY)

    await forget(world)

    assert await left(world) == {NOW - 40 * DAY}
    assert await entries(world, "track_days_set") == ['{"before":60,"track_days":40}']


@pytest.mark.parametrize("days", [-1, 0, 2, 366, 10**6])
async def test_nothing_is_accepted_that_is_to_be_removed_already(world: World, days: int) -> None:
    assert BUFFER_MAX_S == 3 * 86_400

    with pytest.raises(TrackDaysInvalid):
        await set_days(world, days)

    async with db.tenant(world.pool, world.company_id) as conn:
        assert (await accounts.company(conn, world.company_id)).track_days == 60
    assert await set_days(world, 3) == 60
    with pytest.raises(asyncpg.CheckViolationError):
        await world.owner.execute("UPDATE company SET buffer_max_s = buffer_max_s + 1")


async def test_what_is_too_old_is_not_shown_to_the_company_before_it_is_removed(
    world: World,
) -> None:
    await keep(world, LIMIT + SECOND, count=4)
    await world.owner.execute("UPDATE gate SET location_since = $1, plan_fact_since = $1", AUGUST)
    await world.owner.execute("UPDATE recording_window SET opened_at = $1", AUGUST)

    shown = await track(world, LIMIT, TrackPurpose.PLAN_FACT)

    assert shown.time_ms.size == 2
    assert (await track(world, LIMIT)).time_ms.size == 4  # the driver's own: all that is there
    # The control: a company that keeps more is shown all of it.
    await world.owner.execute("UPDATE company SET track_days = 61")
    assert (await track(world, LIMIT, TrackPurpose.PLAN_FACT)).time_ms.size == 4


async def test_a_run_stops_at_its_bound_and_spares_the_keys_of_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await keep(world, AUGUST)
    await keep(world, AUGUST + DAY)
    monkeypatch.setattr(service, "BATCHES_MAX", 1)

    gone = await forget(world, batch=1)

    assert (gone.track_rows, gone.months) == (1, 0)
    assert await keys_left(world, key) == {key}
    assert (await forget(world, batch=1)).months == 1


async def test_what_is_too_old_is_not_found_among_many_drivers_either(world: World) -> None:
    key = await keep(world, LIMIT + SECOND, count=4)
    await world.owner.execute("UPDATE gate SET location_since = $1, plan_fact_since = $1", AUGUST)
    span = (LIMIT - DAY, LIMIT + DAY)

    async with db.tenant(world.pool, world.company_id) as conn:
        [gate] = await gates.read_all(conn, world.company_id)
        [ours] = await shared(conn, world.company_id, [gate], *span, now=NOW)

    assert ours.since == LIMIT
    assert await keys_left(world, key) == {key}
