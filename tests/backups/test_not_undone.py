"""What was taken away after a backup is not given back by restoring it.

Each rule has its control: the same, without the journal or the tombstone that keeps it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from server.backups.model import Behind
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.credentials import service as credentials
from server.credentials.model import Scope
from server.erasure import saga
from server.erasure import service as erasure
from server.erasure.model import Reason
from server.gate import service as gate
from server.gate.model import Purpose
from server.kit import db, tokens
from server.kit.db import Connection
from server.ledger.model import Actor, ActorKind
from server.links import service as links
from server.standing.model import BlockReason
from tests.backups.conftest import Backups, Restored
from tests.erasure.life import deliver
from tests.world import NOW, World

Act: TypeAlias = Callable[[Connection], Awaitable[object]]
Undone: TypeAlias = Callable[[Restored], Awaitable[bool]]
Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MAIN_USER = Actor(kind=ActorKind.MAIN_USER)


async def gone_through(
    backups: Backups, act: Act, undone: Undone, forget: Callable[[], Awaitable[object]]
) -> bool:
    """Back up, act, restore, reconcile; return whether the act is undone."""
    world = backups.world
    folder = await backups.take()
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        await act(conn)
    await backups.journal()
    await forget()
    async with backups.restored(folder) as restored:
        # The act never happened there: only what follows makes up for it.
        assert await undone(restored)
        with pytest.raises(Behind):
            await restored.refuse_behind()
        await restored.reconcile()
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
        return await undone(restored)


async def nothing() -> None:
    """Forget nothing."""


@pytest.fixture
def no_journal(keys_owner: Owner) -> Callable[[], Awaitable[object]]:
    return lambda: keys_owner.execute("DELETE FROM negative_act")


async def state_of(restored: Restored, item: ConsentItem) -> ConsentState:
    world = restored.world
    async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
        found = await consent.states(conn, world.company_id, [world.driver.member_id])
    return found[world.driver.member_id].consents[item]


async def still_given(restored: Restored) -> bool:
    return await state_of(restored, ConsentItem.LOCATION) is ConsentState.GIVEN


def withdrawal(world: World) -> Act:
    async def act(conn: Connection) -> None:
        driver = world.company_id, world.driver.member_id
        await consent.withdraw(conn, *driver, ConsentItem.LOCATION, now=NOW)

    return act


async def test_a_withdrawal(backups: Backups) -> None:
    assert not await gone_through(backups, withdrawal(backups.world), still_given, nothing)


async def test_control_a_withdrawal_that_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert await gone_through(backups, withdrawal(backups.world), still_given, no_journal)


async def test_who_withdrew_is_asked_again_for_everything(backups: Backups) -> None:
    folder = await backups.take()
    world = backups.world
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        await withdrawal(world)(conn)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        for item in (ConsentItem.LOCATION, ConsentItem.PLAN_FACT):
            assert await state_of(restored, item) is ConsentState.REQUESTED
        told = "SELECT count(*) FROM notice WHERE kind = 'consent_requested'"
        assert await restored.owner.fetchval(told) == 3


async def still_active(restored: Restored) -> bool:
    driver = restored.world.driver.member_id
    state = await restored.owner.fetchval("SELECT state FROM member WHERE member_id = $1", driver)
    return bool(state == "active")


def block(world: World) -> Act:
    async def act(conn: Connection) -> None:
        driver = world.company_id, world.driver.member_id
        await consent.block(conn, *driver, BlockReason.LOST_PHONE, by=MAIN_USER, now=NOW)

    return act


async def token_works(restored: Restored) -> bool:
    """Tell whether the driver's phone app is let in."""
    token = tokens.parse(restored.world.driver.device_token)
    assert token is not None
    async with db.tenant(restored.pool, restored.world.company_id, readonly=True) as conn:
        return await credentials.caller_of_token(conn, token, now=NOW) is not None


async def test_a_block(backups: Backups) -> None:
    assert not await gone_through(backups, block(backups.world), still_active, nothing)


async def test_a_block_because_of_a_lost_phone_takes_the_phone_away(backups: Backups) -> None:
    assert not await gone_through(backups, block(backups.world), token_works, nothing)


async def test_control_a_block_that_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert await gone_through(backups, block(backups.world), still_active, no_journal)


def revocation(world: World) -> Act:
    async def act(conn: Connection) -> None:
        driver = world.driver
        by = Actor(kind=ActorKind.DRIVER, member_id=driver.member_id)
        key = (world.company_id, driver.member_id, driver.device_id)
        await credentials.revoke_device(conn, *key, by=by, now=NOW)

    return act


async def test_a_phone_that_was_revoked(backups: Backups) -> None:
    assert not await gone_through(backups, revocation(backups.world), token_works, nothing)


async def test_control_a_phone_whose_revocation_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert await gone_through(backups, revocation(backups.world), token_works, no_journal)


async def test_a_log_out(backups: Backups) -> None:
    world = backups.world
    session = tokens.parse(await world.session("dispatcher"))
    assert session is not None
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await credentials.close_session(conn, world.company_id, session.digest)
    # A log-out is no act of the ledger: something else shows that `main` is from before.
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        await withdrawal(world)(conn)
    await backups.journal()

    async with backups.restored(folder) as restored:

        async def works() -> bool:
            async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
                return await credentials.caller_of_token(conn, session, now=NOW) is not None

        assert await works()  # the control: so it would be without reconciling
        await restored.reconcile()
        assert not await works()
        assert await restored.owner.fetchval("SELECT count(*) FROM session") == 0


async def test_an_api_token_and_a_link_that_were_revoked(backups: Backups) -> None:
    world = backups.world
    now = NOW
    async with db.tenant(world.pool, world.company_id) as conn:
        made, text = await credentials.add_api_token(
            conn,
            world.company_id,
            name="1C",
            scopes=[Scope.DRIVERS_READ],
            expires_at=None,
            now=now,
        )
    await deliver(world, world.driver.member_id)
    link_id = await world.owner.fetchval("SELECT link_id FROM customer_link")
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await links.revoke(conn, world.company_id, link_id, by=MAIN_USER, now=now)
        await credentials.revoke_api_token(
            conn, world.company_id, made.api_token_id, by=MAIN_USER, now=now
        )
    await backups.journal()

    async def both_work(restored: Restored) -> tuple[bool, bool]:
        token = tokens.parse(text)
        assert token is not None
        async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
            caller = await credentials.caller_of_token(conn, token, now=now)
            link = await links.get(conn, world.company_id, link_id)
        return caller is not None, link.revoked_at is None

    async with backups.restored(folder) as restored:
        assert await both_work(restored) == (True, True)
        await restored.reconcile()
        assert await both_work(restored) == (False, False)


async def rows_of(restored: Restored, driver_id: UUID) -> int:
    found: int = await restored.owner.fetchval(
        "SELECT (SELECT count(*) FROM member WHERE member_id = $1)"
        " + (SELECT count(*) FROM consent_record WHERE driver_id = $1)"
        " + (SELECT count(*) FROM device WHERE member_id = $1)",
        driver_id,
    )
    return found


async def erase(world: World) -> None:
    """Erase the driver, as their company asked; the grace is over at once."""
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        asked = await erasure.ask(
            conn,
            world.company_id,
            world.driver.member_id,
            by=MAIN_USER,
            reason=Reason.LEFT_COMPANY,
            now=NOW,
        )
    await saga.run(world.pool, world.vault, world.company_id, asked.request_id, NOW)


async def brought_back(backups: Backups, forget: Callable[[], Awaitable[object]]) -> int:
    """Back up, erase, restore, reconcile; return how many rows of the person are there."""
    world = backups.world
    folder = await backups.take()
    await erase(world)
    await backups.journal()
    await forget()
    async with backups.restored(folder) as restored:
        assert await rows_of(restored, world.driver.member_id) > 0
        with pytest.raises(Behind):
            await restored.refuse_behind()
        await restored.reconcile()
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
        return await rows_of(restored, world.driver.member_id)


@pytest.mark.proves("qoldau:14-backups")
async def test_an_erasure(backups: Backups) -> None:
    assert await brought_back(backups, nothing) == 0


async def test_control_an_erasure_without_its_tombstone(
    backups: Backups, keys_owner: Owner
) -> None:
    async def forget() -> None:
        await keys_owner.execute("UPDATE subject SET destroyed_at = NULL")
        await keys_owner.execute("DELETE FROM negative_act")

    assert await brought_back(backups, forget) > 0


async def test_a_wish_to_be_erased_is_asked_for_again(backups: Backups) -> None:
    world = backups.world
    folder = await backups.take()
    async with gate.stopping(world.pool, world.company_id, world.driver.member_id, now=NOW) as conn:
        by = Actor(kind=ActorKind.DRIVER, member_id=world.driver.member_id)
        driver = world.company_id, world.driver.member_id
        await erasure.ask(conn, *driver, by=by, reason=Reason.OWN_WISH, now=NOW)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        rows = await restored.owner.fetch("SELECT driver_id, state FROM erasure_request")
        assert [tuple(row) for row in rows] == [(world.driver.member_id, "open")]
        assert not await still_given(restored)


async def may_be_stored(restored: Restored) -> bool:
    """Tell whether a position of now would be kept of the driver."""
    world = restored.world
    driver = world.company_id, world.driver.member_id
    async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
        found = await gate.read(conn, *driver)
        windows = await gate.windows(conn, *driver, since=NOW, until=NOW)
    is_open = any(found.since(purpose, NOW) is not None for purpose in Purpose)
    return found.account_active and is_open and any(one.contains(NOW) for one in windows)


async def test_nothing_is_recorded_of_anybody_until_they_start_again(backups: Backups) -> None:
    world = backups.world
    folder = await backups.take()
    # Of somebody else, or nobody: all gates close, for nobody knows who ended a shift meanwhile.
    async with db.tenant(world.pool, world.company_id) as conn:
        made, _ = await credentials.add_api_token(
            conn,
            world.company_id,
            name="1C",
            scopes=[Scope.DRIVERS_READ],
            expires_at=None,
            now=NOW,
        )
        await credentials.revoke_api_token(
            conn, world.company_id, made.api_token_id, by=MAIN_USER, now=NOW
        )
    await backups.journal()

    async with backups.restored(folder) as restored:
        # The control: this is what a server without the fence would go on with.
        assert await may_be_stored(restored)
        with suppress(Behind):
            await restored.refuse_behind()
        await restored.reconcile()

        assert not await may_be_stored(restored)
        assert await still_given(restored)
        ended = "SELECT ended_by FROM shift WHERE driver_id = $1"
        assert await restored.owner.fetchval(ended, world.driver.member_id) == "operator"
