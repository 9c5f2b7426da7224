"""What dispatchers were told of a driver in notices goes with the consent that it rested on."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.credentials.model import Role
from server.kit import db
from server.notices import service as notices
from server.notices import store
from server.taking_back import service as taking_back
from tests import consents
from tests.alerts.seen import judge, planned
from tests.http import bearer
from tests.told import told
from tests.world import NOW, World, add_member, open_session

JOBS: Final = "SELECT payload FROM jobs.pgqueuer WHERE entrypoint = 'take_back_notices' ORDER BY id"
HELD: Final = "SELECT FROM notice FOR KEY SHARE"
SECOND: Final = timedelta(seconds=1)
FLOOD: Final = (
    "INSERT INTO notice (company_id, notice_id, member_id, kind, dedupe, facts, queued_at)"
    " SELECT company_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, member_id,"
    "        kind, 'older ' || n, facts, queued_at - interval '1 hour' FROM notice,"
    "        generate_series(1, $1::int) n"
)
THEM: Final = (
    "INSERT INTO notice_person SELECT company_id, notice_id, $1 FROM notice"
    " WHERE dedupe LIKE 'older %'"
)


async def titles(client: ClientSession, token: str) -> list[str]:
    async with client.get("/v1/me/notices", headers=bearer(token)) as answer:
        return [one["kind"] for one in (await answer.json())["items"]]


async def tell_older(world: World, count: int) -> None:
    """Tell what was told already as often again, an hour before."""
    await world.owner.execute(FLOOD, count)
    await world.owner.execute(THEM, world.driver.member_id)


async def jobs_waiting(world: World) -> list[dict[str, str]]:
    return [json.loads(row["payload"]) for row in await world.owner.fetch(JOBS)]


async def withdraw(world: World, item: str = "plan_fact", *, at: datetime = NOW + SECOND) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute("SET LOCAL lock_timeout = '2s'")
        await consents.withdraw(conn, world.company_id, world.driver.member_id, item, now=at)


async def take_back(world: World, at: datetime) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await taking_back.take_back(conn, world.company_id, world.driver.member_id, now=at)


def payload(world: World, before: datetime) -> dict[str, str]:
    return {
        "company_id": str(world.company_id),
        "member_id": str(world.driver.member_id),
        "before": before.isoformat(),
    }


class Counted:
    """Notes how many notices each statement deletes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self._real = store.delete_notices
        patch.setattr(store, "delete_notices", self)

    async def __call__(self, *args: Any) -> int:
        self.sizes.append(len(args[-1]))
        return await self._real(*args)


@pytest.fixture
async def reader(world: World) -> UUID:
    """Return a dispatcher who was told that the driver is late."""
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    await judge(world, (await planned(world)).late(20.0))
    return dispatcher


@pytest.mark.parametrize("item", ["location", "plan_fact"])
async def test_a_withdrawal_takes_alerts_out_of_inboxes_and_out_of_the_outbox(
    client: ClientSession, world: World, reader: UUID, item: str
) -> None:
    token = await open_session(world.pool, world.company_id, reader)
    assert await titles(client, token) == ["route_alert"]

    await withdraw(world, item)

    assert await titles(client, token) == []
    assert await told(world, reader) == []
    assert await jobs_waiting(world) == []


async def test_a_withdrawal_of_what_alerts_do_not_rest_on_leaves_them(
    client: ClientSession, world: World, reader: UUID
) -> None:
    token = await open_session(world.pool, world.company_id, reader)

    await withdraw(world, "dispatch_tracking")

    assert await titles(client, token) == ["route_alert"]


async def test_what_a_fast_clock_told_of_goes_with_a_withdrawal_that_a_slow_one_dates(
    world: World, reader: UUID
) -> None:
    await withdraw(world, at=NOW - SECOND)

    assert await told(world, reader) == []


async def test_one_that_is_on_its_way_out_holds_nobody_up_and_goes_as_soon_as_it_is_out(
    world: World, reader: UUID
) -> None:
    async with world.owner.transaction():  # as the sender does while it hands over
        await world.owner.execute(HELD)
        await withdraw(world)
    assert len(await told(world, reader)) == 1

    (job,) = await jobs_waiting(world)
    await taking_back.take_back_sent(world.pool, job)

    assert await told(world, reader) == []


@pytest.mark.parametrize("behind", [-1, 1], ids=["in time", "dated by a slow clock"])
async def test_the_job_takes_what_was_told_before_to_the_microsecond_and_nothing_else(
    world: World, reader: UUID, behind: int
) -> None:
    queued_at = NOW + timedelta(microseconds=1_234)
    await world.owner.execute("UPDATE notice SET queued_at = $1", queued_at)
    async with world.owner.transaction():
        await world.owner.execute(HELD)
        await take_back(world, queued_at - behind * SECOND)
    (job,) = await jobs_waiting(world)
    assert datetime.fromisoformat(job["before"]) == max(queued_at, queued_at - behind * SECOND)
    later = datetime.fromisoformat(job["before"]) + timedelta(microseconds=1)
    await judge(world, (await planned(world)).late(20.0, later), at=later)

    await taking_back.take_back_sent(world.pool, job)

    kept = await world.owner.fetch("SELECT queued_at FROM notice WHERE member_id = $1", reader)
    assert [row["queued_at"] for row in kept] == [later]


async def test_a_second_withdrawal_has_a_job_of_its_own_while_the_first_one_waits(
    world: World, reader: UUID
) -> None:
    async with world.owner.transaction():
        await world.owner.execute(HELD)
        await take_back(world, NOW + SECOND)
        later = NOW + 50 * SECOND
        await world.owner.execute("UPDATE notice SET queued_at = $1", later)  # told anew
        await take_back(world, NOW + 100 * SECOND)

    for job in await jobs_waiting(world):
        await taking_back.take_back_sent(world.pool, job)

    assert await told(world, reader) == []


async def test_a_withdrawal_takes_as_many_as_it_may_the_newest_first_and_its_job_the_rest(
    world: World, reader: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_back, "TAKEN_BACK_MAX", 10)
    batches = Counted(monkeypatch)
    await tell_older(world, 34)

    await withdraw(world)

    left = await world.owner.fetch("SELECT dedupe FROM notice WHERE member_id = $1", reader)
    assert {row["dedupe"] for row in left} == {f"older {n}" for n in range(1, 26)}
    (job,) = await jobs_waiting(world)
    await taking_back.take_back_sent(world.pool, job)
    assert await told(world, reader) == []
    assert batches.sizes == [10, 10, 10, 5]


async def test_what_somebody_is_at_for_too_long_is_left_to_the_next_try(
    world: World, reader: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_back, "ON_THEIR_WAY_S_MAX", 0.1)
    async with world.owner.transaction():
        await world.owner.execute(HELD)
        with pytest.raises(TimeoutError):
            await taking_back.take_back_sent(world.pool, payload(world, NOW + SECOND))
    assert len(await told(world, reader)) == 1

    await taking_back.take_back_sent(world.pool, payload(world, NOW + SECOND))

    assert await told(world, reader) == []


async def test_who_sees_a_notice_and_the_job_that_takes_it_back_do_not_wait_for_each_other(
    world: World, reader: UUID
) -> None:
    notice_id = await world.owner.fetchval("SELECT notice_id FROM notice")
    async with db.tenant(world.pool, world.company_id) as conn:
        await store.hold_notice(conn, world.company_id, reader, notice_id)  # mark_seen begins
        job = asyncio.create_task(
            taking_back.take_back_sent(world.pool, payload(world, NOW + SECOND))
        )
        await asyncio.wait([job], timeout=0.3)
        await notices.mark_seen(
            conn, world.company_id, reader, notice_id, by=Role.DISPATCHER, now=NOW
        )
    await job

    assert await told(world, reader) == []


async def test_what_is_told_under_a_later_consent_is_not_taken_back_with_it(
    world: World, reader: UUID
) -> None:
    await taking_back.take_back_sent(world.pool, payload(world, NOW - SECOND))

    assert len(await told(world, reader)) == 1
