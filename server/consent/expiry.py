"""Consents that run out: what is told before, what is written down after, both by a job.

The gate itself knows when each consent runs out, and by one that did it stores and shows nothing,
whatever window is open and whether or not the job came. So none of this has to be in time.
"""

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts import service as accounts
from server.consent import store
from server.consent.acts import Who, cells_of, take
from server.consent.model import (
    RENEWABLE_FOR,
    Cells,
    ConsentAct,
    ConsentActor,
    ConsentItem,
)
from server.gate import service as gate
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.notices import service as notices
from server.notices.kinds import NoticeKind

TOLD_BEFORE: Final = (timedelta(days=3), RENEWABLE_FOR)
"""How long before its end a consent is told of, each time once; the shortest first."""
_SYSTEM: Final = Who(actor=ConsentActor.SYSTEM)


async def settled_cells(
    conn: Connection, company_id: UUID, driver_id: UUID, item: ConsentItem, *, now: datetime
) -> Cells:
    """Return what is in force for every item, after ending this one if it ran out unnoticed.

    Raises
    ------
    GateMissing
    """
    cells = await cells_of(conn, company_id, driver_id)
    if not cells[item].has_run_out(now):
        return cells
    await take(conn, company_id, driver_id, item, ConsentAct.EXPIRE, _SYSTEM, now=now)
    return await cells_of(conn, company_id, driver_id)


async def expire_due(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """Write down every consent that ran out, and tell whose they were; return those. Each minute.

    With a driver's last one the shift ends.
    """
    due = await store.run_out(conn, company_id, now)
    drivers = list(dict.fromkeys(driver_id for driver_id, _ in due))
    # All locks before the first entry: whoever holds one of them may wait for the ledger's head.
    for driver_id in drivers:
        await gate.lock(conn, company_id, driver_id)
    expired: dict[UUID, list[ConsentItem]] = defaultdict(list)
    for driver_id, item in await store.run_out(conn, company_id, now):
        if driver_id in drivers:
            expired[driver_id].append(item)
            if item is ConsentItem.MARKETING:
                await notices.stop_marketing(conn, company_id, driver_id)
    for driver_id, items in expired.items():
        for item in items:
            await take(conn, company_id, driver_id, item, ConsentAct.EXPIRE, _SYSTEM, now=now)
        told = {"items": _words(items)}
        await notices.queue(conn, company_id, driver_id, NoticeKind.CONSENT_ENDED, told, now=now)
    return list(expired)


async def tell_expiring(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Tell drivers which consents run out within 30 days, and again within 3; return how many.

    What runs out on one day is told together, each time once. Nobody whose account is not active
    is told: they cannot give anything until it is, and are told then. Each day.
    """
    ending = await store.running_out(conn, company_id, now, now + max(TOLD_BEFORE))
    if not ending:
        return 0
    zone = ZoneInfo((await accounts.company(conn, company_id)).time_zone)
    active = {one.driver_id for one in await gate.read_all(conn, company_id) if one.account_active}
    by_day: dict[tuple[UUID, date], list[tuple[datetime, ConsentItem]]] = defaultdict(list)
    for driver_id, item, until in ending:
        if driver_id in active:
            by_day[driver_id, until.astimezone(zone).date()].append((until, item))
    for (driver_id, day), ends in by_day.items():
        first = min(until for until, _ in ends)
        before = next(one for one in TOLD_BEFORE if first <= now + one)
        await notices.queue(
            conn,
            company_id,
            driver_id,
            NoticeKind.CONSENT_EXPIRING,
            {"items": _words([item for _, item in ends]), "until": rfc3339(first)},
            now=now,
            dedupe=f"{before.days} days before {day}",
        )
    return len({driver_id for driver_id, _ in by_day})


def _words(items: list[ConsentItem]) -> str:
    """Return the items as a notice lists them, in the order in which they are asked for."""
    return ",".join(item.value for item in ConsentItem if item in items)
