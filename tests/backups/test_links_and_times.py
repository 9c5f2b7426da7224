"""Customers' links, and times for which things are kept, after a backup of before was restored."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.kit import db
from server.links import service as links
from server.reports import service as reports
from server.retention import plans
from server.retention import service as retention
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import MAIN_USER, nothing
from tests.backups.test_reconcile import Crash
from tests.erasure.life import deliver
from tests.world import NOW, World


async def revoke_something(world: World) -> None:
    """Write an act that shows that a `main` without it is from before."""
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


async def link_of(world: World) -> UUID:
    await deliver(world, world.driver.member_id)
    found: UUID = await world.owner.fetchval("SELECT link_id FROM customer_link")
    return found


async def works(restored: Restored, link_id: UUID) -> bool:
    async with db.tenant(restored.pool, restored.world.company_id, readonly=True) as conn:
        return not (await links.get(conn, restored.world.company_id, link_id)).has_ended(NOW)


async def test_a_link_that_ended_because_its_driver_arrived(backups: Backups) -> None:
    world = backups.world
    link_id = await link_of(world)
    folder = await backups.take()
    # As the minute's look does it: no act of the ledger, and so in no journal.
    await world.owner.execute("UPDATE customer_link SET delivered_at = $1", NOW)
    await revoke_something(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        assert await works(restored, link_id)  # the control: so it would be without reconciling
        await restored.reconcile(dry_run=True)
        assert "all shifts, sessions, invitations and links" in restored.said[-1]
        await restored.reconcile()

        assert not await works(restored, link_id)
        assert any("and 1 link of customers" in one for one in restored.said)
        ended = "SELECT actor_kind FROM ledger_entry WHERE act = 'link_revoked'"
        assert await restored.owner.fetchval(ended) == "operator"
        assert (await restored.verdict()).startswith("sound")


async def test_of_links_that_had_ended_before_nothing_is_written(backups: Backups) -> None:
    world = backups.world
    await link_of(world)
    await world.owner.execute("UPDATE customer_link SET delivered_at = $1", NOW)
    folder = await backups.take()
    await revoke_something(world)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        found = await restored.owner.fetchval("SELECT revoked_at FROM customer_link")
        assert found is None


async def test_broken_off_between_two_pages_of_links_it_goes_on(backups: Backups) -> None:
    world = backups.world
    await link_of(world)
    folder = await backups.take()
    await revoke_something(world)
    await backups.journal()

    def crash(here: str) -> None:
        if here == "links":
            raise Crash

    async with backups.restored(folder) as restored:
        with pytest.raises(Crash):
            await restored.reconcile(failpoint=crash)
        await restored.reconcile()

        await restored.refuse_behind()
        ended = "SELECT count(*) FROM ledger_entry WHERE act = 'link_revoked'"
        assert await restored.owner.fetchval(ended) == 1


async def keep_for(world: World, *, tracks: int, plan: int, report: int | None) -> None:
    company_id = world.company_id
    async with db.tenant(world.pool, company_id) as conn:
        await retention.set_track_days(conn, company_id, tracks, actor=MAIN_USER, now=NOW)
        await plans.set_plan_days(conn, company_id, plan, actor=MAIN_USER, now=NOW)
        await reports.set_settings(
            conn,
            company_id,
            report_days=report,
            speed_limit_kmh=None,
            actor=MAIN_USER,
            now=NOW,
        )


async def kept(restored: Restored) -> tuple[int | None, ...]:
    row = await restored.owner.fetchrow("SELECT track_days, plan_days, report_days FROM company")
    assert row is not None
    return tuple(row)


async def set_and_restored(
    backups: Backups,
    *,
    report: int | None = 30,
    forget: Callable[[], Awaitable[object]] = nothing,
) -> tuple[tuple[int | None, ...], list[str]]:
    """Back up, shorten everything, restore, reconcile; return what holds then, and what is said."""
    world = backups.world
    await world.owner.execute(
        "UPDATE company SET track_days = 60, plan_days = 365, report_days = 365"
    )
    folder = await backups.take()
    await keep_for(world, tracks=20, plan=90, report=report)
    await backups.journal()
    await forget()
    async with backups.restored(folder) as restored:
        assert await kept(restored) == (60, 365, 365)
        await restored.reconcile()
        await restored.refuse_behind()
        assert (await restored.verdict()).startswith("sound")
        return await kept(restored), restored.said


async def test_what_was_to_be_kept_for_less_time_is_not_kept_for_longer_again(
    backups: Backups,
) -> None:
    found, said = await set_and_restored(backups)

    assert found == (20, 90, 30)
    assert any("tracks are kept for 20 days again; plans are kept for 90 days" in s for s in said)
    assert any("kept from now on: tracks 20 days, plans 90 days" in one for one in said)


async def test_reports_that_were_no_longer_to_be_kept_are_not(backups: Backups) -> None:
    found, said = await set_and_restored(backups, report=None)

    assert found == (20, 90, None)
    assert any("final reports are not kept again" in one for one in said)


async def test_control_a_shorter_time_that_is_not_journalled(
    backups: Backups, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    found, said = await set_and_restored(
        backups, forget=lambda: keys_owner.execute("DELETE FROM negative_act")
    )

    assert found == (60, 365, 365)
    assert any("kept from now on: tracks 60 days, plans 365 days" in one for one in said)


async def test_what_was_made_longer_is_lost_and_what_holds_is_said(backups: Backups) -> None:
    world = backups.world
    await world.owner.execute("UPDATE company SET track_days = 20, plan_days = 90")
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await plans.set_plan_days(conn, world.company_id, 10, actor=MAIN_USER, now=NOW)
        # A mistake, mended at once: what it would have removed is still there.
        await plans.set_plan_days(conn, world.company_id, 365, actor=MAIN_USER, now=NOW)
    await backups.journal()

    async with backups.restored(folder) as restored:
        await restored.reconcile()

        assert await kept(restored) == (20, 90, 365)
        assert any("tracks 20 days, plans 90 days, final reports 365 d" in s for s in restored.said)


async def test_a_time_that_cannot_be_set_any_more_is_told_and_holds_up_nothing(
    backups: Backups,
) -> None:
    world = backups.world
    await world.owner.execute("UPDATE company SET track_days = 60")
    folder = await backups.take()
    async with db.tenant(world.pool, world.company_id) as conn:
        await retention.set_track_days(conn, world.company_id, 20, actor=MAIN_USER, now=NOW)
    await backups.journal()

    async with backups.restored(folder) as restored:
        # Phones may hold back for longer in this `main`.
        await restored.owner.execute("UPDATE company SET buffer_max_s = 30 * 86400")
        await restored.reconcile()

        assert any("which cannot be set: look at it" in one for one in restored.said)
        assert (await kept(restored))[0] == 60
        await restored.refuse_behind()
