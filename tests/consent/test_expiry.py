"""A consent that runs out: what is told before and after, and that it is no withdrawal."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from server.consent import expiry, service, store
from server.consent.acts import Who
from server.consent.model import (
    VALID_FOR,
    ConsentAct,
    ConsentActor,
    ConsentItem,
    ConsentState,
)
from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.kit.wire import rfc3339
from server.ledger.model import SYSTEM
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from tests.consent.acts import (
    LOCATION,
    MINUTE,
    PLAN_FACT,
    act,
    adding,
    decide,
    give,
    shift_ends,
    withdraw,
)
from tests.consent.people import ALL, new_driver
from tests.told import told
from tests.world import CONSENTED, NOW, Driver, World

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
SECOND: Final = timedelta(seconds=1)
OVER: Final = CONSENTED + VALID_FOR
BEFORE: Final = OVER - max(expiry.TOLD_BEFORE)
THREE: Final = "location,dispatch_tracking,plan_fact"


async def tell(world: World, at: datetime) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await expiry.tell_expiring(conn, world.company_id, at)


async def expire(world: World, at: datetime) -> list[Any]:
    return list(await expiry.expire_due(world.pool, world.company_id, at))


async def said(world: World, driver: Driver, kind: NoticeKind) -> list[dict[str, Any]]:
    return [facts for one, facts in await told(world, driver.member_id) if one == kind]


async def record(world: World, driver: Driver, state: str) -> dict[str, Any]:
    text = await world.owner.fetchval(
        "SELECT record FROM consent_record WHERE driver_id = $1 AND state = $2"
        " ORDER BY version DESC LIMIT 1",
        driver.member_id,
        state,
    )
    found: dict[str, Any] = json.loads(text)
    return found


async def test_drivers_are_told_thirty_days_before_and_three_days_before_each_once(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL)

    told_by = {}
    for days in range(-40, 2):
        at = OVER + days * DAY
        for _ in range(2):
            await tell(world, at)
        told_by[days] = len(await said(world, driver, NoticeKind.CONSENT_EXPIRING))

    assert [days for days in told_by if told_by[days] != told_by.get(days - 1, 0)] == [-30, -3]
    assert (
        await said(world, driver, NoticeKind.CONSENT_EXPIRING)
        == [{"items": THREE, "until": rfc3339(OVER)}] * 2
    )


async def test_what_runs_out_on_another_day_is_told_by_itself(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await give(world, driver, ConsentItem.MARKETING, CONSENTED + 2 * DAY)

    await tell(world, BEFORE + 2 * DAY)

    assert await said(world, driver, NoticeKind.CONSENT_EXPIRING) == [
        {"items": THREE, "until": rfc3339(OVER)},
        {"items": "marketing", "until": rfc3339(OVER + 2 * DAY)},
    ]


async def test_what_was_renewed_or_withdrawn_is_not_told_of(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await tell(world, BEFORE)
    await give(world, driver, ConsentItem.LOCATION, BEFORE + MINUTE)
    await withdraw(world, driver, ConsentItem.PLAN_FACT, BEFORE + MINUTE)

    await tell(world, OVER - DAY)

    found = [one["items"] for one in await said(world, driver, NoticeKind.CONSENT_EXPIRING)]
    assert found == [THREE, "dispatch_tracking"]


async def test_ends_on_both_sides_of_the_daily_run_are_told_together_on_their_day(
    world: World,
) -> None:
    driver = await new_driver(world, LOCATION)
    await give(world, driver, PLAN_FACT, CONSENTED + 4 * HOUR)  # the same day, in Almaty

    for days in range(31):
        await tell(world, BEFORE + HOUR + days * DAY)

    both = {"items": "location,plan_fact", "until": rfc3339(OVER)}
    assert await said(world, driver, NoticeKind.CONSENT_EXPIRING) == [both] * 2


async def test_whatever_a_notice_asks_for_can_be_given_when_it_comes(world: World) -> None:
    driver = await new_driver(world, LOCATION)
    await give(world, driver, PLAN_FACT, CONSENTED + 4 * HOUR)  # the same day, in Almaty

    await tell(world, BEFORE)

    (asked,) = await said(world, driver, NoticeKind.CONSENT_EXPIRING)
    assert asked["items"] == "location,plan_fact"
    for item in asked["items"].split(","):
        assert (await give(world, driver, item, BEFORE)).valid_until == BEFORE + VALID_FOR


async def test_a_day_is_not_told_of_before_its_first_end_is_near(world: World) -> None:
    driver = await new_driver(world, LOCATION)

    assert await tell(world, BEFORE - SECOND) == 0
    assert await said(world, driver, NoticeKind.CONSENT_EXPIRING) == []


async def test_who_cannot_give_is_told_once_they_can(world: World) -> None:
    driver = await new_driver(world, *ALL)
    ids = (world.company_id, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.set_account_active(conn, *ids, active=False)
    await tell(world, BEFORE)
    assert await said(world, driver, NoticeKind.CONSENT_EXPIRING) == []

    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.set_account_active(conn, *ids, active=True)
    await tell(world, BEFORE + DAY)

    assert len(await said(world, driver, NoticeKind.CONSENT_EXPIRING)) == 1


async def test_its_end_is_told_once_and_is_no_withdrawal(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await act(world, driver, "start", OVER - MINUTE)

    for at in (OVER, OVER + MINUTE):
        await expire(world, at)

    assert [kind for kind, _ in await told(world, driver.member_id)] == ["consent_ended"]
    assert await said(world, driver, NoticeKind.CONSENT_ENDED) == [{"items": THREE}]
    assert await shift_ends(world, driver) == [(OVER, "consent_ended")]
    event = (await record(world, driver, "expired"))["event"]
    assert (event["event_state"], event["entity_role"]) == ("expired", "system")


@pytest.mark.parametrize("answer", [ConsentAct.GIVE, ConsentAct.DECLINE])
async def test_its_end_is_told_also_where_an_answer_came_before_the_job(
    world: World, answer: ConsentAct
) -> None:
    driver = await new_driver(world, *ALL)
    await act(world, driver, "start", OVER - MINUTE)
    late = OVER + 20 * SECOND

    await decide(world, driver, LOCATION, answer, late)

    assert await told(world, driver.member_id) == [("consent_ended", {"items": "location"})]
    assert await shift_ends(world, driver) == [(late, "consent_ended")]
    await expire(world, OVER + MINUTE)  # of what was answered it is not told again
    assert await said(world, driver, NoticeKind.CONSENT_ENDED) == [
        {"items": "location"},
        {"items": "dispatch_tracking,plan_fact"},
    ]


async def test_the_record_says_that_it_held_until_it_ran_out_however_late_the_job_comes(
    world: World,
) -> None:
    driver = await new_driver(world, PLAN_FACT)

    await expire(world, OVER + 3 * DAY)

    found = await record(world, driver, "expired")
    held = {"from": rfc3339(CONSENTED), "until": rfc3339(OVER)}
    assert found["event"]["validity_duration"] == held == found["law_94_v_article_8_4"]["valid"]
    assert found["event"]["event_time"] == rfc3339(OVER + 3 * DAY)


async def test_a_withdrawal_still_ends_a_shift_as_a_withdrawal(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)

    await withdraw(world, driver, ConsentItem.LOCATION)

    assert await shift_ends(world, driver) == [(NOW, "withdrawal")]


async def test_what_an_edition_suspends_is_asked_for_and_ends_the_shift_by_no_withdrawal(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    ids, edition = (world.company_id, driver.member_id), adding(ConsentItem.LOCATION)

    for _ in range(2):
        async with gate.stopping(world.pool, *ids, now=NOW) as conn:
            await service.supersede(conn, *ids, edition, now=NOW)

    assert await said(world, driver, NoticeKind.CONSENT_REQUESTED) == [
        {"items": "location", "document": "driver_notice", "edition": "2"}
    ]
    assert await shift_ends(world, driver) == [(NOW, "consent_ended")]


async def test_who_is_asked_is_told_once(world: World) -> None:
    driver = await new_driver(world)
    ids = (world.company_id, driver.member_id)

    for _ in range(2):
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.request(conn, *ids, ConsentItem.CUSTOMER_LINK, by=SYSTEM, now=NOW)

    assert await told(world, driver.member_id) == [
        ("consent_requested", {"items": "customer_link"})
    ]


async def test_a_question_does_not_say_that_a_text_was_shown(world: World) -> None:
    driver = await new_driver(world)
    ids = (world.company_id, driver.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        asked = await service.request(conn, *ids, ConsentItem.LOCATION, by=SYSTEM, now=NOW)

    assert asked.state is ConsentState.REQUESTED
    assert asked.notice is None
    said = json.loads(asked.record or "")["pii_processing"]
    assert said["privacy_notice"] == {"document": "driver_notice"}
    assert "language" not in said


@pytest.fixture
async def poisoned(world: World) -> AsyncIterator[Driver]:
    """A driver of whom nothing more can be recorded, whom the job comes to first."""
    two = [await new_driver(world, PLAN_FACT) for _ in range(2)]
    first = min(two, key=lambda one: one.member_id)
    await world.owner.execute(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF NEW.driver_id = '{first.member_id}' THEN RAISE 'poisoned'; END IF;"
        " RETURN NEW; END $$;"
        " CREATE TRIGGER poison BEFORE INSERT ON consent_record"
        " FOR EACH ROW EXECUTE FUNCTION poison()"
    )
    yield first
    await world.owner.execute("DROP FUNCTION poison CASCADE")


async def test_one_whose_end_cannot_be_written_down_does_not_hold_up_the_others(
    world: World, poisoned: Driver, capfd: pytest.CaptureFixture[str]
) -> None:
    due = await world.owner.fetch("SELECT DISTINCT driver_id FROM consent_record")

    ended = await expire(world, OVER)

    assert {row["driver_id"] for row in due} - set(ended) == {poisoned.member_id}
    assert await said(world, poisoned, NoticeKind.CONSENT_ENDED) == []
    printed = "".join(capfd.readouterr())
    assert "consent_end_unfinished" in printed
    assert "poisoned" not in printed


@asynccontextmanager
async def held(world: World, driver: Driver) -> AsyncIterator[None]:
    """Hold a driver's gate, as an act of theirs that takes its time."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.lock(conn, world.company_id, driver.member_id)
        yield


async def ended_while_one_is_held(world: World) -> tuple[int, bool]:
    """Let the job meet a gate that is held; return how many ended, and if another gate is free."""
    first, last = sorted(
        [await new_driver(world, PLAN_FACT) for _ in range(2)], key=lambda one: one.member_id
    )
    count = "SELECT count(DISTINCT driver_id) FROM consent_record WHERE state = 'expired'"
    async with held(world, last):
        waiting = asyncio.create_task(expire(world, OVER))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        ended = await world.owner.fetchval(count + " AND driver_id = $1", first.member_id)
        free = await world.owner.fetch(
            "SELECT FROM gate WHERE driver_id = $1 FOR UPDATE SKIP LOCKED", first.member_id
        )
    assert {first.member_id, last.member_id} <= set(await waiting)
    return ended, len(free) == 1


async def test_the_end_of_many_consents_holds_one_driver_at_a_time(world: World) -> None:
    assert await ended_while_one_is_held(world) == (1, True)


async def test_control_in_one_transaction_it_would_hold_them_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(pool: Pool, company_id: UUID, now: datetime) -> list[UUID]:
        async with db.tenant(pool, company_id) as conn:
            due = sorted({one[0] for one in await store.ending(conn, company_id, None, now)})
            for driver_id in due:
                await expiry.expire(conn, company_id, driver_id, now=now)
        return due

    monkeypatch.setattr(expiry, "expire_due", at_once)

    assert await ended_while_one_is_held(world) == (0, False)


async def head_is_free_while_news_go_out(world: World) -> bool:
    """Tell whether the ledger's head is free while the end of consents waits for a message.

    Whoever hands news over holds the reader's preference, and then wants the head.
    """
    driver = await new_driver(world)
    for item in ConsentItem:
        await give(world, driver, item, CONSENTED)
    ids = (world.company_id, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as sending:
        await sending.execute(
            "SELECT FROM notice_preference WHERE company_id = $1 AND member_id = $2 FOR UPDATE",
            *ids,
        )
        waiting = asyncio.create_task(expire(world, OVER))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        head = "SELECT FROM ledger_head WHERE company_id = $1 FOR UPDATE SKIP LOCKED"
        free = len(await sending.fetch(head, world.company_id)) == 1
    assert driver.member_id in await waiting
    return free


async def test_the_end_of_consents_waits_for_news_before_it_holds_the_ledger(world: World) -> None:
    assert await head_is_free_while_news_go_out(world)


async def test_control_taking_one_after_the_other_it_would_hold_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unordered:
        """The notices without what is locked ahead."""

        queue = staticmethod(notices.queue)

        @staticmethod
        async def stop_marketing(*_ids: object) -> None:
            return None

    monkeypatch.setattr(expiry, "notices", Unordered)

    assert not await head_is_free_while_news_go_out(world)


@pytest.mark.parametrize(
    ("actor", "ended_by"), [("driver", "withdrawal"), ("system", "consent_ended")]
)
async def test_a_shift_says_whether_the_driver_ended_what_it_needed(
    world: World, actor: str, ended_by: str
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    ids, who = (world.company_id, driver.member_id), Who(actor=ConsentActor(actor))

    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await service.invalidate(conn, *ids, who=who, now=NOW)

    assert await shift_ends(world, driver) == [(NOW, ended_by)]
