"""A backup of before is restored: what is held since, and who is not to be erased any more.

Each has its control: the same, not reconciled, is taken by the clock.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from server.erasure import saga
from server.erasure import service as erasure
from server.erasure_decisions import clock
from server.gate import service as gate
from server.holds import service as holds
from server.holds.model import Ground, HeldCategory, Reason
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.retention import service as retention
from tests.backups.conftest import Backups, Restored, backups
from tests.backups.test_links_and_times import revoke_something
from tests.backups.test_reconcile import Crash
from tests.erasure.calls import set_grace
from tests.erasure.person import Person, add_person
from tests.erasure.test_saga import ask
from tests.holds.test_erasing import BOSS, UNTIL, hold
from tests.world import NOW, World

__all__ = ["backups"]

DAY = timedelta(days=1)
AGED = NOW + timedelta(days=20)
"""When the tracks are old enough to go, and the hold is still in force."""
LAST_TOLD = (
    "SELECT kind, facts FROM notice WHERE member_id = $1 AND kind LIKE 'hold%'"
    " ORDER BY notice_id DESC LIMIT 1"
)


async def keep_tracks(world: World) -> None:
    await world.owner.execute("UPDATE company SET track_days = 1, buffer_max_s = 3600")


async def would_go(restored: Restored) -> int:
    """Return how many positions are too old, and held by nobody."""
    world = restored.world
    async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
        return (await retention.due(conn, world.vault, world.company_id, AGED)).positions


async def in_force(restored: Restored, person: Person, at: datetime = AGED) -> list[datetime]:
    company_id = restored.world.company_id
    async with db.tenant(restored.pool, company_id, readonly=True) as conn:
        found = await holds.in_force(conn, company_id, person.driver_id, at)
    return [one.until for one in found if one.until is not None]


async def release(world: World, hold_id: UUID) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await holds.release(conn, world.company_id, hold_id, by=BOSS, now=NOW)


async def test_what_was_held_after_the_backup_is_held_again(backups: Backups) -> None:
    world = backups.world
    await keep_tracks(world)
    person = await add_person(world)
    folder = await backups.take()
    await hold(world, person, HeldCategory.TRACK)
    await backups.journal()

    async with backups.restored(folder) as restored:
        assert await would_go(restored) > 0  # the control
        await restored.reconcile()

        assert await would_go(restored) == 0
        assert await in_force(restored, person) == [UNTIL]
        assert any("1 hold placed again" in one for one in restored.said)
        told = await restored.owner.fetchrow(LAST_TOLD, person.driver_id)
        assert told is not None
        kind, facts = told
        assert (kind, json.loads(facts)["state"]) == ("hold_changed", "placed")
        assert (await restored.verdict()).startswith("sound")


async def test_one_that_was_released_since_is_not_and_a_longer_one_is_longer(
    backups: Backups,
) -> None:
    world = backups.world
    person = await add_person(world)
    (known,) = await hold(world, person, HeldCategory.TRACK)
    folder = await backups.take()
    (released,) = await hold(world, person, HeldCategory.REPORT)
    await release(world, released)
    async with db.tenant(world.pool, world.company_id) as conn:
        reason = Reason(ground=Ground.LEGAL_OBLIGATION, until=UNTIL + 9 * DAY)
        await holds.place(
            conn, world.company_id, known, reason, evidence_sealed=None, by=BOSS, now=NOW
        )
    await backups.journal()

    async with backups.restored(folder) as restored:
        assert await in_force(restored, person) == [UNTIL]  # the control
        await restored.reconcile()

        assert await in_force(restored, person) == [UNTIL + 9 * DAY]


async def test_one_of_the_backup_that_was_released_since_stays_until_somebody_looks(
    backups: Backups,
) -> None:
    world = backups.world
    person = await add_person(world)
    (known,) = await hold(world, person, HeldCategory.TRACK)
    folder = await backups.take()
    await release(world, known)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        assert await in_force(restored, person) == [UNTIL]


async def test_broken_off_after_that_it_is_placed_once(backups: Backups) -> None:
    world = backups.world
    person = await add_person(world)
    folder = await backups.take()
    await hold(world, person, HeldCategory.TRACK)
    await backups.journal()

    def crash(here: str) -> None:
        if here == "held":
            raise Crash

    async with backups.restored(folder) as restored:
        with pytest.raises(Crash):
            await restored.reconcile(failpoint=crash)
        await restored.reconcile()

        assert await in_force(restored, person) == [UNTIL]
        entries = (
            "SELECT count(*) FROM ledger_entry"
            " WHERE act = 'hold_changed' AND actor_kind = 'operator'"
        )
        assert await restored.owner.fetchval(entries) == 1


async def test_who_was_erased_meanwhile_is_held_by_nothing(backups: Backups) -> None:
    world = backups.world
    person = await add_person(world)
    folder = await backups.take()
    (held,) = await hold(world, person, HeldCategory.TRACK)
    await release(world, held)
    request = await ask(world, person)
    await saga.run(world.pool, world.vault, world.company_id, request.request_id, NOW + DAY)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        gone = "SELECT count(*) FROM member WHERE member_id = $1"
        assert await restored.owner.fetchval(gone, person.driver_id) == 0


async def backed_up(backups: Backups, *, in_grace: bool) -> tuple[Path, UUID]:
    """Back up while a request waits or is in its grace, then call it off; return both."""
    world = backups.world
    await set_grace(world, 7 * 86_400)
    driver_id = world.driver.member_id
    by = Actor(
        kind=ActorKind.MAIN_USER if in_grace else ActorKind.DRIVER,
        member_id=uuid7() if in_grace else driver_id,
    )
    async with gate.stopping(world.pool, world.company_id, driver_id, now=NOW) as conn:
        asked = await erasure.ask(conn, world.company_id, driver_id, by=by, reason=None, now=NOW)
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await erasure.cancel(conn, world.company_id, asked.request_id, by=by, now=NOW)
    return folder, asked.request_id


async def state(restored: Restored, request_id: UUID) -> str:
    found: str = await restored.owner.fetchval(
        "SELECT state FROM erasure_request WHERE request_id = $1", request_id
    )
    return found


async def test_a_request_that_was_answered_since_waits_its_whole_time_again(
    backups: Backups,
) -> None:
    world, much_later = backups.world, NOW + 14 * DAY
    folder, request_id = await backed_up(backups, in_grace=False)
    await revoke_something(world)
    await backups.journal()

    async with backups.restored_often(folder) as again:
        async with again() as restored:  # the control
            assert await clock.run_due(restored.pool, world.company_id, much_later) == 1
            assert await state(restored, request_id) == "grace"
        async with again() as restored:
            await restored.reconcile(now=much_later)
            assert any("1 request for erasure" in one for one in restored.said)
            assert await clock.run_due(restored.pool, world.company_id, much_later) == 0
            assert await state(restored, request_id) == "open"
            later = much_later + 7 * DAY
            assert await clock.run_due(restored.pool, world.company_id, later) == 1


async def test_one_that_was_called_off_in_its_grace_is_not_erased_at_once(
    backups: Backups,
) -> None:
    world, much_later = backups.world, NOW + 14 * DAY
    folder, request_id = await backed_up(backups, in_grace=True)
    await revoke_something(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        key = (world.company_id,)

        async def due(at: datetime) -> list[UUID]:
            async with db.tenant(restored.pool, *key, readonly=True) as conn:
                return await saga.due(conn, *key, at)

        assert await due(much_later) == [request_id]  # the control
        await restored.reconcile(now=much_later)

        assert await due(much_later) == []
        assert await due(much_later + 7 * DAY) == [request_id]
