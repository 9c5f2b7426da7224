"""After a backup was restored: what was to be kept for less time is not kept for longer again.

What the operator or the main user set last, after the backup, holds if it is less than what the
backup says; that it was made longer is lost.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.journal.model import NegativeAct
from server.kit.db import Connection
from server.ledger.model import Act, Actor
from server.reports import service as reports
from server.retention import plans
from server.retention.model import TrackDaysInvalid
from server.retention.service import set_track_days


async def shorten_again(
    conn: Connection, company_id: UUID, lost: Sequence[NegativeAct], *, actor: Actor, now: datetime
) -> list[str]:
    """Set each time that was made shorter after the backup; return what was done, as sentences.

    Idempotent. Plans before reports: what keeps a plan may go first, never after.

    Raises
    ------
    CompanyMissing
    """
    last = {one.act: one.days for one in lost}
    said: list[str] = []
    days = last.get(Act.TRACK_DAYS_SET)
    kept = (await accounts.company(conn, company_id)).track_days
    if days is not None and (kept is None or days < kept):
        try:
            await set_track_days(conn, company_id, days, actor=actor, now=now)
            said.append(f"tracks are kept for {days} days again")
        except TrackDaysInvalid:
            said.append(f"tracks were to be kept for {days} days, which cannot be set: look at it")
    days = last.get(Act.PLAN_DAYS_SET)
    kept = await plans.kept_days(conn, company_id)
    if days is not None and (kept is None or days < kept):
        await plans.set_plan_days(conn, company_id, days, actor=actor, now=now)
        said.append(f"plans are kept for {days} days again")
    if Act.REPORT_DAYS_SET in last:
        days = last[Act.REPORT_DAYS_SET]
        settings = await reports.settings(conn, company_id)
        if settings.report_days is not None and (days is None or days < settings.report_days):
            await reports.set_settings(
                conn,
                company_id,
                report_days=days,
                speed_limit_kmh=settings.speed_limit_kmh,
                actor=actor,
                now=now,
            )
            said.append(
                "final reports are not kept again"
                if days is None
                else f"final reports are kept for {days} days again"
            )
    return said


async def in_force(conn: Connection, company_id: UUID) -> str:
    """Say for how long a company keeps what, for a person to compare.

    Raises
    ------
    CompanyMissing
    """
    company = await accounts.company(conn, company_id)
    settings = await reports.settings(conn, company_id)
    return ", ".join(
        f"{what} {_told(days, otherwise)}"
        for what, days, otherwise in (
            ("tracks", company.track_days, "until the driver is erased"),
            ("plans", await plans.kept_days(conn, company_id), "until they are deleted"),
            ("final reports", settings.report_days, "not at all"),
        )
    )


def _told(days: int | None, otherwise: str) -> str:
    return otherwise if days is None else f"{days} days"
