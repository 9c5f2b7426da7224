"""Accounts of drivers that nobody uses: warned of, then switched off, by a job of every day.

Nobody is switched off without a warning a week before, nor before the day that it named: a job that
did not run for long warns first. A person switches their own account on again.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts.model import CompanyMissing
from server.consent import service as consent
from server.credentials.model import MemberState
from server.gate import service as gate
from server.idle import store
from server.idle.model import IDLE_DAYS_MAX, IDLE_DAYS_MIN, IdleDaysInvalid, Step, Unused
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.life import service as life
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.standing import service as standing
from server.standing.model import BlockReason

log = structlog.get_logger(__name__)

_REASONS: Final = {
    MemberState.ACTIVE: BlockReason.IDLE,
    MemberState.INVITED: BlockReason.UNVERIFIED,
}


async def set_idle_days(
    conn: Connection, company_id: UUID, days: int, *, actor: Actor, now: datetime
) -> int:
    """Let accounts be switched off after so many days without use; return how many it was.

    Raises
    ------
    CompanyMissing
    IdleDaysInvalid
        Not 90 to 1095 days.
    """
    if not IDLE_DAYS_MIN <= days <= IDLE_DAYS_MAX:
        raise IdleDaysInvalid
    before = there(await store.exchange_idle_days(conn, company_id, days), CompanyMissing)
    facts = {"idle_days": days, "before": before}
    await ledger.append(
        conn, company_id, Act.IDLE_DAYS_SET, actor=actor, subject_id=None, facts=facts, now=now
    )
    return before


async def look_after(pool: Pool, company_id: UUID, now: datetime) -> dict[UUID, Step]:
    """Warn and switch off whoever it is due for; return what was done of whom. Due each day.

    Each driver is a transaction of their own, and one who fails does not hold up the others.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        idle_days = there(await store.idle_days(conn, company_id), CompanyMissing)
        found = await store.accounts(conn, company_id, now)
    done = {}
    for one in found:
        step = one.step(idle_days, now)
        if step is None:
            continue
        try:
            if await _take(pool, company_id, one.member_id, step, idle_days, now):
                done[one.member_id] = step
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("idle_account_failed", company=str(company_id), **where(error))
    return done


async def _take(
    pool: Pool, company_id: UUID, driver_id: UUID, step: Step, idle_days: int, now: datetime
) -> bool:
    """Take the step, unless the account was used since; tell whether it was taken."""
    if step is not Step.SWITCH_OFF:
        async with db.tenant(pool, company_id) as conn:
            await gate.lock(conn, company_id, driver_id)
            still = await _still(conn, company_id, driver_id, step, idle_days, now)
            if still is not None:
                await _warn(conn, company_id, still, step, idle_days, now)
        return still is not None
    # To stop a driver's uploads for a moment is for those who have something to lose by it.
    async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
        still = await _still(conn, company_id, driver_id, step, idle_days, now)
        if still is not None and still.state is MemberState.ACTIVE:
            await consent.block(conn, company_id, driver_id, BlockReason.IDLE, by=SYSTEM, now=now)
        elif still is not None:
            reason = BlockReason.UNVERIFIED
            await life.off_board(conn, company_id, driver_id, reason=reason, by=SYSTEM, now=now)
    return still is not None


async def _still(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    step: Step,
    idle_days: int,
    now: datetime,
) -> Unused | None:
    found = await store.accounts(conn, company_id, now, driver_id=driver_id)
    return next((one for one in found if one.step(idle_days, now) is step), None)


async def _warn(
    conn: Connection, company_id: UUID, one: Unused, step: Step, idle_days: int, now: datetime
) -> None:
    reason = _REASONS[one.state].value
    until = rfc3339(one.ends_at(idle_days, now))
    await notices.queue(
        conn,
        company_id,
        one.member_id,
        NoticeKind.ACCOUNT_UNUSED,
        {"reason": reason, "keeping": reason, "until": until},
        now=now,
        dedupe=f"{step} {rfc3339(one.used_at)}",
    )
    if step is Step.WARN_LAST:
        await standing.note_warned(conn, company_id, one.member_id, now)
