"""Deleting a span of a track that is held: it is hidden, kept, and goes when the hold ends."""

from datetime import datetime, timedelta

import pytest

from server.holds import service as holds
from server.holds.model import Ground, HeldCategory, Hold, Reason
from server.holds.service import NewHold
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.track_deletion import service
from server.track_deletion.model import JOB_AND_EXCHANGE
from server.tracking import service as tracking
from server.tracking.model import TrackPurpose
from tests.reports.days import driven
from tests.track_deletion.conftest import MINUTE, Stage
from tests.world import NOW

SINCE = NOW - 40 * MINUTE
UNTIL = NOW - 20 * MINUTE
BEGAN = NOW - 60 * MINUTE
HELD_UNTIL = NOW + timedelta(days=100)
BOSS = Actor(kind=ActorKind.MAIN_USER)


async def hold(
    stage: Stage, *categories: HeldCategory, until: datetime = HELD_UNTIL, now: datetime = NOW
) -> list[Hold]:
    world, placed = stage.world, []
    for category in categories:
        new = NewHold(category=category, reason=Reason(ground=Ground.LEGAL_CLAIM, until=until))
        async with db.tenant(world.pool, world.company_id) as conn:
            placed.append(
                await holds.ask(
                    conn, world.company_id, world.driver.member_id, new, by=BOSS, now=now
                )
            )
    return placed


async def run_job(stage: Stage, now: datetime) -> int:
    world = stage.world
    return await service.finish_due(stage.dsn, world.pool, world.vault, world.company_id, now)


async def seen(stage: Stage, purpose: TrackPurpose) -> int:
    """Return how many positions of the span somebody sees."""
    world = stage.world
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await tracking.gather(
            conn,
            world.vault,
            world.company_id,
            world.driver.member_id,
            SINCE,
            UNTIL,
            purpose=purpose,
            now=NOW,
        )
    return len(tracking.opened(found))


async def test_nobody_deletes_to_dodge_a_hold(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    assert await seen(stage, TrackPurpose.PLAN_FACT) == 120
    await hold(stage, HeldCategory.TRACK)

    status, answer = await stage.delete(SINCE, UNTIL)

    assert (status, answer["deleted"], answer["done_at"]) == (200, 0, None)
    [kept] = answer["retained"]
    assert (kept["category"], kept["ground"]) == ("track", "legal_claim")
    assert kept["until"] == rfc3339(HELD_UNTIL)
    assert await stage.between(SINCE, UNTIL) == 120
    # The company's screens show none of it; who may ask past them by law, and the driver, do.
    assert await seen(stage, TrackPurpose.PLAN_FACT) == 0
    assert await seen(stage, TrackPurpose.SUBJECT_ACCESS) == 120
    assert await run_job(stage, NOW + MINUTE) == 0
    assert await stage.deletions() == [answer]
    assert (await stage.delete(SINCE, UNTIL))[1] == answer


async def test_it_goes_when_the_hold_ends(stage: Stage) -> None:
    for minute in range(60):  # rows within the span, and rows that reach out of it
        await stage.drive(BEGAN + minute * MINUTE, BEGAN + (minute + 1) * MINUTE - MINUTE / 6)
    await stage.drive(SINCE - 3 * MINUTE, UNTIL + 3 * MINUTE, step_s=7)
    await hold(stage, HeldCategory.TRACK)
    before = await stage.between(SINCE, UNTIL)
    await stage.delete(SINCE, UNTIL)

    assert await run_job(stage, HELD_UNTIL - MINUTE) == 0
    assert await stage.between(SINCE, UNTIL) == before
    assert await run_job(stage, HELD_UNTIL) == 1

    assert await stage.between(SINCE, UNTIL) == 0
    stage.clock.at = NOW + MINUTE
    [done] = await stage.deletions()
    assert (done["deleted"], done["retained"]) == (before, [])
    assert done["done_at"] == rfc3339(HELD_UNTIL)
    assert await run_job(stage, HELD_UNTIL + MINUTE) == 0


async def test_what_phones_send_of_it_is_refused_while_it_is_held(stage: Stage) -> None:
    await hold(stage, HeldCategory.TRACK)
    await stage.delete(SINCE, UNTIL)

    await stage.drive(SINCE, UNTIL - MINUTE)

    assert await stage.between(SINCE, UNTIL) == 0


async def test_a_hold_of_something_else_keeps_no_track(stage: Stage) -> None:
    """The control."""
    await stage.drive(BEGAN, NOW)
    await hold(stage, HeldCategory.CONTACT, HeldCategory.WORK)

    _, answer = await stage.delete(SINCE, UNTIL)

    assert (answer["deleted"], answer["retained"]) == (120, [])
    assert await stage.between(SINCE, UNTIL) == 0


async def test_a_hold_that_is_over_or_comes_after_keeps_nothing(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    await hold(stage, HeldCategory.TRACK, until=NOW, now=NOW - timedelta(days=1))

    _, answer = await stage.delete(SINCE, UNTIL)
    await hold(stage, HeldCategory.TRACK)

    assert (answer["deleted"], answer["retained"]) == (120, [])
    assert (await stage.deletions())[0]["retained"] == []


async def test_of_several_holds_the_longest_is_named_and_each_keeps_it(stage: Stage) -> None:
    await stage.drive(BEGAN, NOW)
    sooner = HELD_UNTIL - timedelta(days=50)
    await hold(stage, HeldCategory.TRACK)
    await hold(stage, HeldCategory.TRACK, until=sooner)

    _, answer = await stage.delete(SINCE, UNTIL)

    assert [one["until"] for one in answer["retained"]] == [rfc3339(HELD_UNTIL)]
    assert await run_job(stage, sooner) == 0


async def test_copies_hold_it_as_long_as_the_hold_keeps_its_key(stage: Stage) -> None:
    await stage.world.owner.execute("UPDATE company SET track_days = 60")
    await stage.drive(BEGAN, NOW)
    await hold(stage, HeldCategory.TRACK)

    _, answer = await stage.delete(SINCE, UNTIL)

    # Without a hold it is 2027-02-01.
    assert answer["backups_hold_until"] == rfc3339(HELD_UNTIL + JOB_AND_EXCHANGE)


@pytest.mark.parametrize("held", [True, False])
async def test_reports_and_alerts_that_are_held_stay_and_go_with_the_hold(
    stage: Stage, *, held: bool
) -> None:
    world = stage.world
    head = await driven(world)
    await world.owner.execute(
        "INSERT INTO plan_fact_report (company_id, route_id, driver_id, tried_at, failed,"
        " tried_version) VALUES ($1, $2, $3, $4, true, 1)",
        world.company_id,
        head.route_id,
        world.driver.member_id,
        NOW,
    )
    there = "SELECT count(*) FROM plan_fact_report"
    if held:
        await hold(stage, HeldCategory.REPORT)

    _, answer = await stage.delete(head.starts_at, head.starts_at + MINUTE)

    assert await world.owner.fetchval(there) == int(held)
    assert [one["category"] for one in answer["retained"]] == ["report"] * held
    assert await run_job(stage, HELD_UNTIL) == int(held)
    assert await world.owner.fetchval(there) == 0
