"""What waits in a backup, and was decided after it, is not done because that was forgotten."""

from datetime import datetime, timedelta
from uuid import UUID

from server.credentials.model import Role
from server.disclosures import service as disclosures
from server.disclosures.model import (
    Act,
    Category,
    Claim,
    Evidence,
    Ground,
    NewDisclosure,
)
from server.disclosures.model import State as DisclosureState
from server.erasure import saga
from server.erasure import service as erasure
from server.erasure.model import Reason
from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import Actor, ActorKind
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import MAIN_USER
from tests.world import NOW, World, add_member

DAY = timedelta(days=1)


async def recorded(world: World) -> UUID:
    """Record what a dispatcher wants to give out."""
    by = await add_member(world.vault, world.pool, world.company_id, role=Role.DISPATCHER)
    new = NewDisclosure(
        driver_id=world.driver.member_id,
        ground=Ground.DEFENCE_OF_RIGHTS,
        categories=(Category.IDENTITY,),
        span=None,
        sealed_until=None,
        evidence=Evidence(
            recipient="A court", country="KZ", claim=Claim.LEGITIMATE_CLAIM, case_id="A-17"
        ),
        given="The name",
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        shown = await disclosures.record(
            conn,
            world.vault,
            world.company_id,
            new,
            by=Actor(kind=ActorKind.DISPATCHER, member_id=by),
            by_member=by,
            now=NOW,
        )
    return shown.disclosure.disclosure_id


async def decided(world: World, pool: Pool, disclosure_id: UUID, act: Act) -> DisclosureState:
    by = await add_member(world.vault, world.pool, world.company_id, role=Role.MAIN_USER)
    async with db.tenant(pool, world.company_id) as conn:
        shown = await disclosures.decide(
            conn,
            world.vault,
            world.company_id,
            disclosure_id,
            act,
            by=Actor(kind=ActorKind.MAIN_USER, member_id=by),
            by_member=by,
            now=NOW,
        )
    return shown.disclosure.state


async def state_of(restored: Restored, disclosure_id: UUID) -> str:
    found = await restored.owner.fetchval(
        "SELECT state FROM disclosure WHERE disclosure_id = $1", disclosure_id
    )
    return str(found)


async def test_a_disclosure_that_was_refused_cannot_be_released(backups: Backups) -> None:
    world = backups.world
    disclosure_id = await recorded(world)
    folder = await backups.take()
    await decided(world, world.pool, disclosure_id, Act.REFUSE)
    await backups.journal()

    async with backups.restored(folder) as restored:
        # The refusal never happened there.
        assert await state_of(restored, disclosure_id) == "recorded"
        await restored.reconcile()
        await restored.refuse_behind()

        assert await state_of(restored, disclosure_id) == "cancelled"
        assert any("1 disclosure that waited for release cancelled" in one for one in restored.said)
        assert (await restored.verdict()).startswith("sound")
        # Once more: nothing waits any more, and nothing is said of it.
        restored.said.clear()
        await restored.reconcile(every=True)
        assert not any("disclosure" in one for one in restored.said)


async def test_what_was_released_before_the_backup_stays(backups: Backups) -> None:
    world = backups.world
    disclosure_id = await recorded(world)
    await decided(world, world.pool, disclosure_id, Act.RELEASE)
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        await restored.reconcile(every=True)

        assert await state_of(restored, disclosure_id) == "released"


async def in_grace(backups: Backups) -> UUID:
    """Ask for an erasure with a grace of a day."""
    world = backups.world
    driver = world.company_id, world.driver.member_id
    await world.owner.execute("UPDATE company SET erasure_grace_s = 86400")
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        asked = await erasure.ask(conn, *driver, by=MAIN_USER, reason=Reason.OTHER, now=NOW)
    return asked.request_id


async def due(restored: Restored, now: datetime) -> list[UUID]:
    async with db.tenant(restored.pool, restored.world.company_id, readonly=True) as conn:
        return await saga.due(conn, restored.world.company_id, now)


async def test_who_called_off_an_erasure_has_the_whole_grace_to_do_so_again(
    backups: Backups,
) -> None:
    world = backups.world
    request_id = await in_grace(backups)
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await erasure.cancel(conn, world.company_id, request_id, by=MAIN_USER, now=NOW)
    await backups.journal()
    later = NOW + 2 * DAY

    async with backups.restored(folder) as restored:
        # Without more they would be erased as soon as anything is served.
        assert await due(restored, later) == [request_id]
        await restored.reconcile(now=later)
        await restored.refuse_behind()

        assert await due(restored, later) == []
        assert await due(restored, later + DAY - timedelta(seconds=1)) == []
        assert await due(restored, later + DAY) == [request_id]
        told = "SELECT count(*) FROM notice WHERE kind = 'erasure_requested' AND dedupe IS NOT NULL"
        assert await restored.owner.fetchval(told) == 1
        async with db.tenant(restored.pool, world.company_id) as conn:
            await erasure.cancel(conn, world.company_id, request_id, by=MAIN_USER, now=later)
        assert await due(restored, later + DAY) == []


async def test_a_request_that_waits_has_the_whole_time_for_an_answer(backups: Backups) -> None:
    world = backups.world
    driver = world.company_id, world.driver.member_id
    own = Actor(kind=ActorKind.DRIVER, member_id=world.driver.member_id)
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await erasure.ask(conn, *driver, by=own, reason=None, now=NOW)
    folder = await backups.take()
    later = NOW + 30 * DAY

    async with backups.restored(folder) as restored:
        answer_by = "SELECT answer_by FROM erasure_request"
        # Silence would have approved it.
        assert await restored.owner.fetchval(answer_by) < later
        await restored.reconcile(every=True, now=later)

        async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
            whole = await erasure.answer_time(conn, world.company_id, later)
        assert await restored.owner.fetchval(answer_by) == whole


async def test_what_is_reconciled_twice_is_told_once(backups: Backups) -> None:
    await in_grace(backups)
    folder = await backups.take()
    crashed = False

    def crash(place: str) -> None:
        nonlocal crashed
        if place == "indexed" and not crashed:
            crashed = True
            raise RuntimeError

    async with backups.restored(folder) as restored:
        for minutes in (0, 1):
            now = NOW + 2 * DAY + timedelta(minutes=minutes)
            try:
                await restored.reconcile(every=True, failpoint=crash, now=now)
            except RuntimeError:
                continue

        told = "SELECT count(*) FROM notice WHERE kind = 'erasure_requested'"
        assert crashed
        # One of when it was asked for, one of the grace that began anew.
        assert await restored.owner.fetchval(told) == 2
