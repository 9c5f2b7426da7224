"""A driver deletes a span of their own track: what goes, what stays, and what comes back never."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from server.alerts.model import AlertKind
from server.gate import service as gate
from server.kit import db
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.track_deletion import service, store
from server.track_deletion.model import Span, WindowRow, backups_hold_until, cut
from server.tracking import compaction, compaction_store
from server.tracking.compaction_store import LooseHour
from server.tracking.model import ChunkRow
from tests.reports.days import (
    HOUR,
    driven,
)
from tests.told import last_entry
from tests.track_deletion.conftest import MINUTE, Stage, delete, stored
from tests.uploading import positions
from tests.world import NOW, SHIFT_STARTED, add_driver, add_member

SINCE = NOW - 40 * MINUTE
UNTIL = NOW - 20 * MINUTE
BEGAN = NOW - 60 * MINUTE


async def test_the_span_goes_and_what_was_before_and_after_stays(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    assert await stage.between(SINCE, UNTIL) == 120

    status, answer = await stage.delete(SINCE, UNTIL)

    assert status == 200
    assert (answer["deleted"], answer["retained"]) == (120, [])
    assert answer["done_at"] is not None
    assert await stage.between(SINCE, UNTIL) == 0
    # Half open: the position at its very end is of what comes after.
    assert await stage.between(BEGAN, SINCE) == 120
    assert await stage.between(UNTIL, NOW + MINUTE) == 121
    facts = {"from": rfc3339(SINCE), "to": rfc3339(UNTIL)}
    assert await last_entry(stage.world) == ("track_deleted", "driver", facts)
    assert await stage.deletions() == [answer]


async def test_rows_that_lie_in_the_span_and_rows_that_reach_out_of_it(stage: Stage) -> None:
    for minute in range(60):
        await stage.drive(BEGAN + minute * MINUTE, BEGAN + (minute + 1) * MINUTE - MINUTE / 6)
    await stage.drive(SINCE - 3 * MINUTE, UNTIL + 3 * MINUTE, step_s=7)

    span = (SINCE + MINUTE / 2, UNTIL - MINUTE / 2)
    before = await stage.between(*span)

    _, answer = await stage.delete(*span)

    assert before > 19 * 6
    assert (answer["deleted"], await stage.between(*span)) == (before, 0)
    assert await stage.between(SINCE, SINCE + MINUTE / 2) > 0


async def test_it_takes_a_log_in_of_just_now(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    proven, stage.session = stage.session, await stage.world.driver_session()

    status, problem = await stage.delete(SINCE, UNTIL)

    assert (status, problem["code"]) == (403, "step-up-needed")
    assert await stage.between(SINCE, UNTIL) == 120
    stage.session = proven
    assert (await stage.delete(SINCE, UNTIL))[0] == 200  # the control


async def test_what_copies_still_hold_is_said(stage: Stage) -> None:
    await stage.world.owner.execute("UPDATE company SET track_days = 60")
    await stage.drive(BEGAN, NOW)

    _, answer = await stage.delete(SINCE, UNTIL)

    # The month's key goes 60 days after the month, an hour, a day for the job, one for the keys.
    assert answer["backups_hold_until"] == "2027-02-01T01:00:00Z"


def test_until_when_copies_hold_it_goes_by_the_month_of_the_last_position() -> None:
    month = datetime(2026, 11, 1, tzinfo=UTC)
    before = Span(since=month - HOUR, until=month)
    across = Span(since=month - HOUR, until=month + timedelta(microseconds=1))

    assert backups_hold_until(before, 1) == datetime(2026, 11, 4, 1, tzinfo=UTC)
    assert backups_hold_until(across, 1) == datetime(2026, 12, 4, 1, tzinfo=UTC)
    assert backups_hold_until(across, None) is None


async def test_to_ask_again_changes_nothing(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    _, first = await stage.delete(SINCE, UNTIL)
    entry = await last_entry(stage.world)

    assert (await stage.delete(SINCE, UNTIL))[1] == first
    assert await last_entry(stage.world) == entry
    assert len(await stage.deletions()) == 1


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (SINCE, SINCE),
        (UNTIL, SINCE),
        (SINCE, NOW + timedelta(seconds=1)),
        (NOW - timedelta(days=400), NOW),
    ],
)
async def test_what_is_no_span(stage: Stage, since: datetime, until: datetime) -> None:
    status, problem = await stage.delete(since, until)

    assert (status, problem["code"]) == (422, "deletion-span-invalid")


async def test_what_a_phone_sends_later_of_it_is_refused(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    await stage.delete(SINCE, UNTIL)

    answer = await stage.upload(positions(5, until=UNTIL - MINUTE, step_s=60))
    around = await stage.upload(positions(3, until=UNTIL + MINUTE, step_s=7))

    assert {one["reason"] for one in answer["refused"]} == {"outside_window"}
    assert (answer["accepted"], around["accepted"]) == (0, 3)
    assert await stage.between(SINCE, UNTIL) == 0


async def test_the_shift_goes_on(stage: Stage) -> None:
    status, _ = await stage.delete(SINCE, NOW)
    stage.clock.at = NOW + MINUTE

    answer = await stage.upload(positions(3, until=NOW + MINUTE, step_s=10))

    assert (status, answer["accepted"]) == (200, 3)
    assert (await stage.call("/v1/me/shift"))["state"] == "on"


async def test_the_last_position_of_who_is_only_shown_goes(stage: Stage) -> None:
    world = stage.world
    await world.owner.execute("UPDATE gate SET plan_fact_since = NULL, epoch = epoch + 1")
    await stage.drive(NOW - MINUTE, NOW - MINUTE)
    kept = "SELECT count(*) FROM latest_position"
    assert await world.owner.fetchval(kept) == 1

    _, answer = await stage.delete(NOW - 5 * MINUTE, NOW)

    assert answer["deleted"] == 1
    assert await world.owner.fetchval(kept) == 0


async def test_who_is_blocked_deletes_as_well(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    world = stage.world
    await world.owner.execute("UPDATE gate SET account_active = false")
    await world.owner.execute("UPDATE member SET state = 'blocked' WHERE role = 'driver'")

    status, answer = await stage.delete(SINCE, UNTIL)

    assert (status, answer["deleted"]) == (200, 120)
    assert await stage.between(SINCE, UNTIL) == 0


async def test_nobody_elses_track_is_touched(stage: Stage) -> None:
    world = stage.world
    other = await add_driver(world.vault, world.pool, world.company_id)
    await stage.drive(BEGAN, NOW)
    windows = "SELECT count(*) FROM recording_window WHERE driver_id = $1"
    before = await world.owner.fetchval(windows, other.member_id)

    await delete(world, stage.dsn, Span(since=SINCE, until=UNTIL))

    assert await world.owner.fetchval(windows, other.member_id) == before
    assert await world.owner.fetchval(windows, world.driver.member_id) == 2


async def merging(stage: Stage) -> tuple[list[compaction_store.SealedSource], list[ChunkRow]]:
    """Read an hour and seal it, as the job does that merges; exchange nothing yet."""
    world = stage.world
    hour = UNTIL.replace(minute=0)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        old = await compaction_store.sources(
            conn, world.company_id, world.driver.member_id, since=hour, until=hour + HOUR
        )
    keys = await world.vault.keys(world.company_id, {one.key_id for one in old})
    return old, compaction._merged(old, keys, keys[old[0].key_id])  # noqa: SLF001 - in two parts


async def exchanged(stage: Stage) -> int:
    """Delete while an hour is being merged; return how many positions of the span are there."""
    for minute in range(30):
        await stage.drive(SINCE + minute * MINUTE, SINCE + (minute + 1) * MINUTE)
    old, new = await merging(stage)
    world = stage.world
    await stage.delete(SINCE, UNTIL)
    committer = await db.connect(stage.dsn, role=db.ROLE_COMMITTER)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await gate.read(conn, world.company_id, world.driver.member_id)
    try:
        await compaction._exchange(committer, compaction_store.EXCHANGE, found, old, new)  # noqa: SLF001
    except compaction._Changed:  # noqa: SLF001 - what the job takes as: another time
        pass
    finally:
        await committer.close()
    return await stage.between(SINCE, UNTIL)


async def test_what_is_being_merged_does_not_come_back(stage: Stage) -> None:
    assert await exchanged(stage) == 0


async def test_control_where_the_merge_does_not_look_what_is_still_there_it_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = compaction_store.exchange

    async def blindly(*args: object, **named: object) -> int:
        await exchange(*args, **named)  # type: ignore[arg-type]
        return len(named["old"])  # type: ignore[arg-type]

    monkeypatch.setattr(compaction_store, "exchange", blindly)

    assert await exchanged(stage) > 0


async def test_a_merged_hour_loses_the_span_as_well(stage: Stage) -> None:
    world = stage.world
    for minute in range(50):
        await stage.drive(BEGAN + minute * MINUTE, BEGAN + (minute + 1) * MINUTE - MINUTE / 6)
    hour = LooseHour(driver_id=world.driver.member_id, hour=UNTIL.replace(minute=0))
    committer = await db.connect(stage.dsn, role=db.ROLE_COMMITTER)
    assert await compaction.compact(committer, world.pool, world.vault, world.company_id, hour)
    await committer.close()

    await stage.delete(SINCE, UNTIL)

    assert await stage.between(SINCE, UNTIL) == 0
    assert await stage.between(BEGAN, SINCE) == 120


ROUNDS = 12


async def raced(stage: Stage) -> int:
    """Upload and delete at once, over and over; return how many positions came back."""
    late = 0
    for number in range(ROUNDS):
        until = NOW - number * 8 * MINUTE
        since = until - 4 * MINUTE

        async def send(until: datetime = until) -> None:
            for place in range(6):
                await stage.upload(positions(20, until=until - MINUTE / 60 * (place + 1), step_s=9))

        _, (status, _), _ = await asyncio.gather(send(), stage.delete(since, until), send())
        assert status in {200, 503}
        await service.finish_due(
            stage.dsn, stage.world.pool, stage.world.vault, stage.world.company_id, NOW
        )
        late += await stage.between(since, until)
    return late


async def test_no_upload_in_flight_brings_the_span_back(stage: Stage) -> None:
    assert await raced(stage) == 0


async def test_control_where_the_windows_stay_uploads_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_args: object) -> None:
        """Leave the windows as they are, and whoever believes in them."""

    monkeypatch.setattr(service, "_close_windows", nothing)
    monkeypatch.setattr(store, "count_for_all", nothing)

    assert await raced(stage) > 0


async def test_what_was_broken_off_is_finished_by_the_job(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = stage.world
    await stage.drive(BEGAN, NOW)

    async def crash(*_args: object, **_named: object) -> int:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(compaction, "cut_out", crash)
        status, problem = await stage.delete(SINCE, UNTIL)
    assert (status, problem["code"]) == (503, "deletion-unfinished")
    [waiting] = await stage.deletions()
    assert (waiting["done_at"], waiting["deleted"]) == (None, 0)
    assert await stage.between(SINCE, UNTIL) == 120

    args = (stage.dsn, world.pool, world.vault, world.company_id, NOW)
    assert [await service.finish_due(*args), await service.finish_due(*args)] == [1, 0]
    [done] = await stage.deletions()
    assert (done["done_at"] is not None, done["deleted"]) == (True, 120)
    assert await stage.between(SINCE, UNTIL) == 0


async def test_a_row_that_nobody_can_open_goes_whole(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    await stage.world.owner.execute("UPDATE chunk SET blob = '\\x01'")

    status, answer = await stage.delete(SINCE, UNTIL)

    assert (status, answer["done_at"] is None) == (200, False)
    assert await stage.world.owner.fetchval("SELECT count(*) FROM chunk") == 0


async def test_what_others_were_told_of_how_they_drove_then_is_taken_back(stage: Stage) -> None:
    world = stage.world
    reader = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    for at in (SINCE + MINUTE, NOW - 3 * HOUR):
        told = {
            "alert": AlertKind.LATE.value,
            "driver": str(world.driver.member_id),
            "raised_at": rfc3339(at),
        }
        async with db.tenant(world.pool, world.company_id) as conn:
            await notices.queue(
                conn, world.company_id, reader, NoticeKind.ROUTE_ALERT, told, now=at
            )

    await stage.delete(SINCE, UNTIL)

    left = await world.owner.fetch("SELECT queued_at FROM notice WHERE kind = 'route_alert'")
    assert [row["queued_at"] for row in left] == [NOW - 3 * HOUR]


async def test_what_the_driver_said_of_stops_stays_and_that_is_told(stage: Stage) -> None:
    world = stage.world
    head = await driven(world)
    await world.owner.execute(
        "INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id, route_id, stop_id,"
        " received_at, event_sealed) VALUES ($1, $2, $3, $2, $4, $2, $5, '\\x00')",
        world.company_id,
        uuid7(),
        world.driver.member_id,
        head.route_id,
        SINCE,
    )

    _, answer = await stage.delete(SINCE, UNTIL)

    until = rfc3339(SINCE + timedelta(days=365))
    assert answer["retained"] == [
        {"category": "work", "ground": "order_facts", "rows": 1, "until": until}
    ]


def window(since: datetime, until: datetime, *, closed: bool = True) -> WindowRow:
    return WindowRow(
        window_id=uuid7(), opened_at=since, expires_at=until, closed_at=until if closed else None
    )


@pytest.mark.parametrize(
    ("since", "until", "left"),
    [
        (BEGAN, NOW, [(BEGAN, SINCE), (UNTIL, NOW)]),
        (SINCE, UNTIL, []),
        (SINCE, NOW, [(UNTIL, NOW)]),
        (BEGAN, UNTIL, [(BEGAN, SINCE)]),
    ],
)
def test_what_is_left_of_a_window(
    since: datetime, until: datetime, left: list[tuple[datetime, datetime]]
) -> None:
    parts = cut(window(since, until), Span(since=SINCE, until=UNTIL))

    assert [(one.opened_at, one.end) for one in parts if one is not None] == left


def test_a_window_that_is_open_stays_open_after_the_span() -> None:
    before, after = cut(
        window(SHIFT_STARTED, NOW + HOUR, closed=False), Span(since=SINCE, until=UNTIL)
    )

    assert before is not None
    assert after is not None
    assert (before.closed_at, after.closed_at) == (SINCE, None)


async def test_stored_is_what_is_looked_at(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)

    assert len(await stored(stage.world)) == 361
