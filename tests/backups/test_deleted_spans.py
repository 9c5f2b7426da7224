"""A span of their track that a driver deleted after a backup is deleted again after a restore."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from server.ledger.model import Actor, ActorKind
from server.track_deletion import service
from server.track_deletion.model import Span
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import nothing
from tests.retention.rows import keep
from tests.track_deletion.conftest import stored
from tests.world import NOW

MINUTE = timedelta(minutes=1)
SPAN = Span(since=NOW - 40 * MINUTE, until=NOW - 20 * MINUTE)


async def of_the_span(restored: Restored) -> int:
    times = await stored(restored.world, restored.pool)
    return sum(SPAN.since <= at < SPAN.until for at in times)


async def brought_back(
    backups: Backups, forget: Callable[[], Awaitable[object]]
) -> tuple[int, int, bool]:
    """Back up, delete, restore, reconcile; return how much of it is there, and of the rest.

    And whether a window lies over it.
    """
    world = backups.world
    await keep(world, NOW - 10 * MINUTE, count=41, step=MINUTE)
    folder = await backups.take()
    driver_id = world.driver.member_id
    await service.delete(
        backups.databases.main,
        world.pool,
        world.vault,
        world.company_id,
        driver_id,
        SPAN,
        by=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        now=NOW,
    )
    await backups.journal()
    await forget()
    async with backups.restored(folder) as restored:
        assert await of_the_span(restored) == 20
        await restored.reconcile()
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
        over = await restored.owner.fetchval(
            "SELECT EXISTS (SELECT FROM recording_window WHERE opened_at < $1"
            " AND coalesce(closed_at, expires_at) > $2)",
            SPAN.until,
            SPAN.since,
        )
        gone = await of_the_span(restored)
        return gone, len(await stored(restored.world, restored.pool)) - gone, over


async def test_it_is_deleted_again(backups: Backups) -> None:
    assert await brought_back(backups, nothing) == (0, 21, False)


async def test_control_where_it_is_not_journalled_it_is_back(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def forget() -> None:
        await keys_owner.execute("DELETE FROM negative_act WHERE act = 'track_deleted'")

    assert await brought_back(backups, forget) == (20, 21, True)


@pytest.mark.parametrize("lost", ["since", "until"])
async def test_a_journal_names_the_whole_span(
    keys_owner: "asyncpg.Connection[asyncpg.Record]", lost: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await keys_owner.execute(
            f"INSERT INTO negative_act (company_id, index, act, recorded_at, {lost})"  # noqa: S608
            " VALUES (gen_random_uuid(), 1, 'track_deleted', now(), now())"
        )
