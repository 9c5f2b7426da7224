"""A company that closed, or was to close, and a backup from before: it stays as it was left."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import pytest

from server.closure import service as closure
from server.closure.model import DAYS_MIN
from server.erasure_decisions import clock as decisions
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.winding_up import service as winding_up
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import Owner, nothing
from tests.world import NOW, World

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
CLOSES: Final = NOW + timedelta(days=DAYS_MIN)


@pytest.fixture
def no_journal(keys_owner: Owner) -> Callable[[], Awaitable[object]]:
    return lambda: keys_owner.execute("DELETE FROM negative_act")


async def ask(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await closure.ask(conn, world.company_id, days=DAYS_MIN, by=OPERATOR, now=NOW)


async def is_open(restored: Restored) -> bool:
    """Tell whether, after the jobs came by, somebody of the staff or a driver is active still."""
    world = restored.world
    await winding_up.run_due(restored.pool, world.company_id, CLOSES)
    # Whose erasure had been asked for waits for a decision again, and nobody is there to decide.
    await decisions.run_due(restored.pool, world.company_id, CLOSES)
    active = "SELECT EXISTS (SELECT FROM member WHERE state = 'active')"
    return bool(await restored.owner.fetchval(active))


async def closed_after(
    backups: Backups, forget: Callable[[], Awaitable[object]]
) -> tuple[bool, list[str]]:
    """Back up, close, restore, reconcile; return whether the company is open, and what was said."""
    world = backups.world
    await world.session("main_user")
    folder = await backups.take()
    await ask(world)
    await winding_up.run_due(world.pool, world.company_id, CLOSES)
    await backups.journal()
    await forget()
    async with backups.restored(folder) as restored:
        assert await is_open(restored)
        await restored.reconcile(now=CLOSES)
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
        return await is_open(restored), restored.said


async def test_a_company_that_closed_after_the_backup_is_closed_after_the_restore(
    backups: Backups,
) -> None:
    is_open, said = await closed_after(backups, nothing)

    assert not is_open
    assert any("had closed, and is closed again" in sentence for sentence in said)


async def test_control_a_closing_that_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert (await closed_after(backups, no_journal))[0]


async def test_a_closing_that_was_only_asked_for_is_called_off_by_a_restore(
    backups: Backups,
) -> None:
    """It may have been called off since: what comes of it cannot be taken back."""
    world = backups.world
    await ask(world)
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await closure.keep_open(conn, world.company_id, by=OPERATOR, now=NOW)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        assert await is_open(restored)
        assert any("jolda company close" in sentence for sentence in restored.said)
        told = "SELECT count(*) FROM notice WHERE kind = 'company_stays'"
        assert await restored.owner.fetchval(told) == 1


async def test_control_without_the_reconciling_it_would_close(backups: Backups) -> None:
    await ask(backups.world)
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        assert not await is_open(restored)
