"""Accounts that nobody uses, with a clock that moves day by day."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.erasure import service as erasure
from server.idle import service as idle
from server.idle.model import IdleDaysInvalid, Step
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import SYSTEM, Actor, ActorKind
from server.standing import service as standing
from tests.accounts.people import gate_of, state_of
from tests.told import last_entry, told
from tests.world import CONSENTED, NOW, World

DAY: Final = timedelta(days=1)
Between = Callable[[int], Awaitable[None]]


async def nothing(_day: int) -> None:
    """Do nothing between two days."""


async def days(
    world: World, member_id: UUID, until: int, *, since: int = 0, between: Between = nothing
) -> dict[Step, int]:
    """Let the job come by each day; return on which each step was taken first."""
    taken: dict[Step, int] = {}
    for day in range(since, until):
        await between(day)
        done = await idle.look_after(world.pool, world.company_id, NOW + day * DAY)
        if member_id in done:
            taken.setdefault(done[member_id], day)
    return taken


async def quiet(world: World) -> UUID:
    """Return the driver, whose last use is the beginning of their shift."""
    await world.owner.execute("UPDATE company SET idle_days = 90")
    return world.driver.member_id


@pytest.mark.proves("gocargo:terms-idle-accounts")
async def test_an_idle_account_is_warned_of_twice_and_then_blocked_on_the_day_that_was_said(
    world: World,
) -> None:
    driver_id = await quiet(world)

    taken = await days(world, driver_id, 100)

    assert taken == {Step.WARN_EARLY: 60, Step.WARN_LAST: 83, Step.SWITCH_OFF: 90}
    assert await state_of(world, driver_id) == "blocked"
    assert not (await gate_of(world, str(driver_id))).account_active
    assert await world.owner.fetchval("SELECT revoked_at FROM device") == NOW + 90 * DAY
    warned = [facts for kind, facts in await told(world, driver_id) if kind == "account_unused"]
    used = NOW - timedelta(hours=2)
    assert [one["until"] for one in warned] == [
        rfc3339(used + 90 * DAY),
        rfc3339(NOW + 90 * DAY),
    ]
    blocked = {"by_role": "forgotten", "lifting": "self", "reason": "idle"}
    assert (await told(world, driver_id))[-1] == ("account_blocked", blocked)
    assert await last_entry(world) == ("member_blocked", "system", {"reason": "idle"})

    # The account keeps its rights, and its person enables it.
    at = NOW + 101 * DAY
    by = Actor(kind=ActorKind.DRIVER, member_id=driver_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await erasure.unblock(conn, world.company_id, driver_id, by=by, now=at)
    assert await days(world, driver_id, 103, since=101) == {}


@pytest.mark.parametrize("last", [59, 82, 89])
async def test_a_log_in_at_any_time_begins_the_days_anew(world: World, last: int) -> None:
    driver_id = await quiet(world)

    async def between(day: int) -> None:
        if day == last:
            async with db.tenant(world.pool, world.company_id) as conn:
                await standing.note_used(conn, world.company_id, driver_id, NOW + day * DAY)

    taken = await days(world, driver_id, 91, between=between)

    assert Step.SWITCH_OFF not in taken
    assert await state_of(world, driver_id) == "active"
    # The control: without a further one it ends 90 days after that.
    later = await days(world, driver_id, last + 92, since=91)
    assert later[Step.SWITCH_OFF] == last + 90


async def test_who_is_still_logged_in_or_sends_positions_is_not_idle(world: World) -> None:
    driver_id = await quiet(world)
    await world.owner.execute(
        "INSERT INTO session (company_id, token_hash, member_id, created_at, expires_at)"
        " VALUES ($1, 'hash', $2, $3, $4)",
        world.company_id,
        driver_id,
        NOW,
        NOW + 100 * DAY,
    )

    assert await days(world, driver_id, 100) == {}


async def test_a_job_that_did_not_run_for_years_warns_first(world: World) -> None:
    driver_id = await quiet(world)

    taken = await days(world, driver_id, 1_010, since=1_000)

    assert taken == {Step.WARN_LAST: 1_000, Step.SWITCH_OFF: 1_007}


async def test_who_never_joined_is_warned_and_off_boarded(world: World) -> None:
    await quiet(world)
    new = NewMember(name="Newcomer", role=Role.DRIVER, locale=Locale.KK, phone="+77011234567")
    async with db.tenant(world.pool, world.company_id) as conn:
        added, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)

    taken = await days(world, added.member_id, 40)

    assert taken == {Step.WARN_LAST: 23, Step.SWITCH_OFF: 30}
    assert await state_of(world, added.member_id) == "offboarded"
    assert await world.owner.fetchval("SELECT count(*) FROM invitation") == 0
    assert [kind for kind, _ in await told(world, added.member_id)] == [
        "account_unused",
        "account_offboarded",
    ]


@pytest.mark.parametrize("wrong", [0, 89, 1096])
async def test_the_days_are_the_companys_within_limits(world: World, wrong: int) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        with pytest.raises(IdleDaysInvalid):
            await idle.set_idle_days(conn, world.company_id, wrong, actor=SYSTEM, now=CONSENTED)
        before = await idle.set_idle_days(conn, world.company_id, 180, actor=SYSTEM, now=NOW)

    assert before == 365
    assert await last_entry(world) == (
        "idle_days_set",
        "system",
        {"idle_days": 180, "before": 365},
    )
