"""Plans of routes: they name customers and their places, and go after a time as well.

A plan stays as long as anything that is still kept is of its route: a report, a link, an alert, or
what its driver said.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

from server.accounts.model import CompanyMissing
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.retention import store
from server.retention.model import PLAN_DAYS_MAX, PLAN_DAYS_MIN, PLANS_AT_ONCE_MAX, PlanDaysInvalid
from server.retention.service import refuse_other_time


async def set_plan_days(
    conn: Connection, company_id: UUID, days: int, *, actor: Actor, now: datetime
) -> int | None:
    """Keep the company's plans for so many days from the next run on; return how many it was.

    Longer or shorter than before: plans are the company's, and drivers were promised nothing of
    them. None: they were kept until somebody deleted them.

    Raises
    ------
    CompanyMissing
    PlanDaysInvalid
        Not 1 to 3650 days.
    """
    if not PLAN_DAYS_MIN <= days <= PLAN_DAYS_MAX:
        raise PlanDaysInvalid
    before = there(await store.exchange_plan_days(conn, company_id, days), CompanyMissing)
    await ledger.append(
        conn,
        company_id,
        Act.PLAN_DAYS_SET,
        actor=actor,
        subject_id=None,
        facts={"plan_days": days, "before": before.days},
        now=now,
    )
    return before.days


async def kept_days(conn: Connection, company_id: UUID) -> int | None:
    """Return for how many days plans are kept; None: until somebody deletes them.

    Raises
    ------
    CompanyMissing
    """
    return there(await store.plan_days(conn, company_id), CompanyMissing).days


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, date | None]:
    """Return how many plans were kept long enough, and the day of the oldest."""
    ended_before = await _ended_before(conn, company_id, now)
    if ended_before is None:
        return 0, None
    held = await holds.drivers_held(conn, company_id, [HeldCategory.WORK], now)
    return await store.old_plans(conn, company_id, ended_before, held=held)


async def forget_old(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete plans that were kept long enough, with their versions; return how many. Due each day.

    With them what is known of the imports that brought them.
    """
    ended_before = await _ended_before(conn, company_id, now)
    if ended_before is None:
        return 0
    held = await holds.drivers_held(conn, company_id, [HeldCategory.WORK], now)
    gone = await store.delete_plans(
        conn, company_id, ended_before, held=held, limit=PLANS_AT_ONCE_MAX
    )
    await store.delete_imports(conn, company_id, ended_before, limit=PLANS_AT_ONCE_MAX)
    return gone


async def forget_due(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Delete plans that were kept long enough by now; return how many.

    Raises
    ------
    ClocksApart
    """
    await refuse_other_time(pool, company_id, now)
    async with db.tenant(pool, company_id) as conn:
        return await forget_old(conn, company_id, now)


async def _ended_before(conn: Connection, company_id: UUID, now: datetime) -> datetime | None:
    days = await kept_days(conn, company_id)
    return None if days is None else now - timedelta(days=days)
